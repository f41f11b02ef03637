"""Measured rows as tables; what a table shows is in the rows, which are the JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks.measure.spread import Spread
from benchmarks.measure.step_split import PARTS
from results.forms.cells import table_of

Row = dict[str, Any]


def step_tables(rows: Sequence[Row]) -> str:
    """Seconds and counts of each method's step; then its parts."""
    heads = ["method", "network", "precision", "crop", "s/step (half of them)", "x floor", "CPU s", "kernels", "GiB"]
    shown = []
    for row in rows:
        kernels = row.get("kernels") or sum(row.get("kernel_calls", {}).values())
        peak = None if row["captured"] else row["peak_mib"] or row.get("counted_peak_mib")  # graphs keep more
        shown.append(
            [
                *(row["method"], row["network"], row["precision"], f"{row['crop']}, {row['batch']}+{row['batch']}"),
                *(Spread(**row["seconds"]).text(), f"{row['to_floor']:.2f}", f"{row['cpu_seconds']['median']:.3f}"),
                *(f"{kernels:.0f}" if kernels else None, f"{peak / 1024:.2f}" if peak else None),
            ]
        )
    texts = [table_of(heads, shown, right=True), parts_table(rows)]
    if any("busy_share" in row for row in rows):
        texts.append(gpu_table(rows))
    return "\n\n".join(texts)


def parts_table(rows: Sequence[Row]) -> str:
    """Milliseconds of a step's parts, which sum up to it; and below, where they were counted, its operations."""
    heads = ["ms, and operations that launch", *PARTS, "sum"]
    shown = []
    for row in rows:
        name = f"{row['method']}, {row['network']}, {row['precision']}"
        milliseconds = [1000 * row["parts"][part] for part in PARTS]
        shown.append([name, *(f"{each:.1f}" for each in milliseconds), f"{sum(milliseconds):.1f}"])
        if calls := row.get("kernel_calls"):
            shown.append(["", *(calls.get(part) for part in PARTS), sum(calls.values())])
    return table_of(heads, shown, right=True)


def gpu_table(rows: Sequence[Row]) -> str:
    """What a GPU tells: how long it works, and where the host waits for it."""
    heads = ["method", "precision", "GPU works, ms", "of the step", "waits", "host outside launches", "waits are at"]
    return table_of(
        heads,
        [
            [
                *(row["method"], row["precision"], f"{1000 * row['busy_seconds']:.1f}", f"{row['busy_share']:.0%}"),
                *(row["waits"], f"{row['host_share_outside_launches']:.1%}"),
                ", ".join(dict.fromkeys(row["wait_places"])),
            ]
            for row in rows
            if "busy_share" in row
        ],
        right=True,
    )


def loading_table(rows: Sequence[Row]) -> str:
    """Images a second a core, and the processes that training steps need."""
    steps = list(rows[0]["workers"])
    heads = ["", "images a second a core", "s/batch", *(f"workers for {float(step):g} s/step" for step in steps)]
    return table_of(
        heads,
        [
            [
                row["what"],
                Spread(**row["images_per_second"]).text(1),
                f"{row['seconds_per_batch']:.3f}",
                *(row["workers"].get(step) for step in steps),
            ]
            for row in rows
        ],
        right=True,
    )


def counting_table(rows: Sequence[Row]) -> str:
    """Label maps a second by each way to count."""
    heads = ["", "size", "maps a second"]
    return table_of(
        heads, [[row["what"], row["size"], Spread(**row["maps_per_second"]).text(1)] for row in rows], right=True
    )


def evaluation_table(row: Row) -> str:
    """An evaluation beside its network's own time."""
    heads = ["evaluation of", "images", "workers", "s", "of it the network, s", "x network"]
    cells = [
        *(row["network"], row["images"], row["workers"], f"{row['seconds']:.2f}"),
        *(f"{row['network_seconds']:.2f}", f"{row['to_network']:.2f}"),
    ]
    return table_of(heads, [cells], right=True)


def starting_table(rows: Sequence[Row]) -> str:
    """Seconds of each kind of start."""
    return table_of(["", "s"], [[row["what"], Spread(**row["seconds"]).text(2)] for row in rows], right=True)
