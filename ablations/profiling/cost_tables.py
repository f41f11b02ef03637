"""Counted costs as Markdown tables, JSON and CSV. Rows are those of `MethodCost.to_dict`, one a method."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

Rows = list[dict[str, Any]]


def as_json(rows: Rows) -> str:
    """A list with an object a method."""
    return json.dumps(rows, indent=2)


def as_csv(rows: Rows) -> str:
    """A line a method; what is nested in JSON is a column with a dotted name, empty where a method has no such part."""
    import pandas as pd

    from results.forms import cells

    return cells.as_csv(pd.json_normalize(rows)).rstrip()


def as_table(rows: Rows) -> str:
    """What each method costs, what each part of it, what was measured, and how to read that."""
    tables = [_methods(rows), _parts(rows)]
    if "measured" in rows[0]:
        tables.append(_measured(rows))
    return "\n\n".join((*tables, _notes(rows)))


FORMATS: Mapping[str, Callable[[Rows], str]] = {"table": as_table, "json": as_json, "csv": as_csv}


def _methods(rows: Rows) -> str:
    return _markdown(
        [
            {
                "method": row["method"],
                "crop": row["crop"],
                "target image": _rounded(row["target_image_gmacs"]),
                "ratio": "-" if row["ratio"] is None else f"x{row['ratio']:.2f}",
                "E, D, A passes": _passes(row["target_image_passes"]),
                "step: trained": _rounded(row["step_student_gmacs"]),
                "copies": _rounded(row["step_copies_gmacs"]),
                "backward": _rounded(row["step_backward_gmacs"]),
                "inference": _rounded(row["inference_gmacs"]),
                "its passes": _passes(row["inference_passes"]),
                "parameters": _millions(row["parameters"]),
                "at inference": _millions(row["inference_parameters"]),
            }
            for row in rows
        ]
    )


def _parts(rows: Rows) -> str:
    """A part has the same parameters in all methods that have it."""
    table = []
    for name in dict.fromkeys(name for row in rows for name in row["parts"]):
        found = [row["parts"].get(name) for row in rows]
        line = {"part": name, "parameters": _millions(max(part["parameters"] for part in found if part))}
        for row, part in zip(rows, found, strict=True):
            line[f"{row['method']}: target image"] = _rounded(part["target_image_gmacs"]) if part else "-"
            line[f"{row['method']}: step"] = _rounded(part["step_gmacs"]) if part else "-"
        table.append(line)
    return _markdown(table)


def _measured(rows: Rows) -> str:
    return _markdown(
        [
            {
                "method": row["method"],
                "s/step (median)": f"{measured['seconds_per_step']:.3f}",
                "ratio": f"x{measured['seconds_per_step'] / rows[0]['measured']['seconds_per_step']:.2f}",
                "ratio counted": f"x{row['step_gmacs'] / rows[0]['step_gmacs']:.2f}",
                f"peak memory ({measured['peak_memory_is']})": f"{measured['peak_memory_mib'] / 1024:.2f} GiB",
                "steps": str(measured["steps"]),
                "on": measured["device"] + (f", threads: {measured['threads']}" if measured["device"] == "cpu" else ""),
            }
            for row in rows
            for measured in [row["measured"]]
        ]
    )


def _notes(rows: Rows) -> str:
    first = rows[0]
    notes = [
        f"{first['network']}, sizes of {first['protocol']}, batch {first['batch']}+{first['batch']}. Costs in G (10^9) "
        "multiply-adds, which fvcore calls FLOPs; 1 multiply-add = 2 FLOPs. Parameters in millions.",
        "Target image: forward passes that are trained on it (E encoder, D decoder, A scale attention), without the "
        "source's, copies' and backward passes; its ratio is to the method's host.",
        "Step: forward passes of what is trained and of copies (teachers, frozen encoders); backward passes, counted "
        "for convolutions, linear layers and attention. Inference: one image of the crop's size.",
    ]
    if "measured" in first:
        notes.append(f"Measured: random images, methods in turn; both ratios are of whole steps, to {first['method']}.")
    return "\n".join(notes)


def _markdown(table: list[dict[str, str]]) -> str:
    from results.forms.cells import MARKDOWN, tabulated

    return tabulated({key: [line[key] for line in table] for key in table[0]}, MARKDOWN)


def _rounded(number: float) -> str:
    """Two decimals, or two digits where that would be 0.00."""
    return "-" if not number else f"{number:.2f}" if number >= 0.01 else f"{number:.2g}"


def _millions(number: int) -> str:
    return _rounded(number / 1e6)


def _passes(passes: dict[str, float]) -> str:
    """Numbers of passes as text: ``{"encoder": 1, "decoder": 2}`` -> "1, 2"."""
    return ", ".join(f"{number:g}" for number in passes.values()) or "-"
