"""What was measured of runs, as a table: a row a measure, a column a method, and differences paired by seed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from ablations.mutual_information.measures import DIRECTIONS, Numbers, Settings
from results.statistics.paired import Interval, mean_and_deviation, paired_difference
from results.tables.rows import Row

NONE = "-"
MIOU = "miou"


@dataclass(frozen=True, eq=False)
class Method:
    """The runs of one row of a comparison: their numbers by seed."""

    label: str
    name: str
    runs: Mapping[int, Numbers]

    def values(self, measure: str) -> dict[int, float]:
        """What is known of a measure, by seed."""
        return {seed: run[measure] for seed, run in self.runs.items() if math.isfinite(run.get(measure, math.nan))}


def methods_of(rows: Sequence[Row], numbers: Mapping[str, Numbers]) -> list[Method]:
    """The methods of rows; ``numbers`` by run folder. mIoU is of the records."""
    found = []
    for row in rows:
        known = zip(row.finished["seed"], row.finished["folder"], row.finished["miou"], strict=True)
        runs = {
            int(seed): {MIOU: math.nan if miou is None else miou} | numbers[folder]
            for seed, folder, miou in known
            if folder in numbers
        }
        found.append(Method(row.label, row.names["method"], runs))
    return found


def measures(settings: Settings, reference: str) -> dict[str, str]:
    """What people read of each measure, by name, in the order of the table."""
    noise, directions = f"{settings.noise[0]:g}", f"{DIRECTIONS}+{DIRECTIONS}"
    under, left, right = "under the mask", "pixels rebuilt, linear", "labels right, linear probe, %"
    return {
        MIOU: "mIoU, %",
        "labels_linear": "I(Z;Y) at least, linear probe",
        "labels_mlp": "I(Z;Y) at least, MLP probe",
        f"labels@{noise}": f"I(Z~;Y) at least, linear probe, noise {noise}",
        f"rate@{noise}": f"I(Z~;X) at most, rate, noise {noise}",
        "contrastive": f"I(Z~;X) at least, InfoNCE, noise {noise}",
        "pixels": f"pixels rebuilt from Z~, noise {noise}",
        "ksg": f"KSG, {directions} directions, noise {noise}",
        "ksg_bias": "bias of KSG on Gaussians alike",
        "ksg_pooled": f"KSG, pooled tokens, {directions} directions, noise {noise}",
        "ksg_pooled_bias": "bias of KSG, pooled tokens, on Gaussians alike",
        "cka_reference": f"CKA of Z to {reference}, same seed",
        "cka_emptied": "CKA of D(E(x)), masked emptied",
        "cka_filled": "CKA of D(E(x)), masked rebuilt",
        "cka_last_neighbours": "CKA of D(E(x)), last stage of neighbours, others emptied",
        "cka_last_filled": "CKA of D(E(x)), last stage rebuilt, others emptied",
        "masked_labels_features": f"{under}: I(Z;Y) at least",
        "masked_labels_rebuilt": f"{under}: I(R;Y) at least",
        "masked_labels_neighbours": f"{under}: I(neighbours;Y) at least",
        "masked_right_features": f"{under}: {right}, from Z",
        "masked_right_rebuilt": f"{under}: {right}, from R",
        "masked_right_neighbours": f"{under}: {right}, from neighbours",
        "masked_pixels_features": f"{under}: {left}, from Z",
        "masked_pixels_rebuilt": f"{under}: {left}, from R",
        "masked_pixels_neighbours": f"{under}: {left}, from neighbours",
    }


def columns_of(methods: Sequence[Method], settings: Settings) -> dict[str, list[str]]:
    """The table as text; differences of each method to the first, seed by seed, with their 95 % interval."""
    first, *others = methods
    shown = measures(settings, first.label)
    columns = {"nats a location, but % and CKA": list(shown.values())}
    for method in methods:
        cells = [_cell(list(method.values(name).values())) for name in shown]
        columns[f"{method.label} (n={len(method.runs)})"] = cells
    for method in others:
        columns[f"{method.label} - {first.label}"] = [
            NONE if name == "cka_reference" else _difference(method.values(name), first.values(name)) for name in shown
        ]
    return columns


def frame_of(methods: Sequence[Method]) -> pd.DataFrame:
    """All numbers at full precision: a row a run, by method and seed; missing where a run has none."""
    return pd.DataFrame(
        [{"method": each.label, "seed": seed} | numbers for each in methods for seed, numbers in each.runs.items()]
    )


def caption(methods: Sequence[Method], settings: Settings, about: str) -> str:
    """What the numbers are of, and how they were taken."""
    runs = [run for method in methods for run in method.runs.values()]
    locations = sorted({int(run["locations"]) for run in runs})
    entropy, most = runs[0]["label_entropy"], runs[0]["contrastive_most"]
    return (
        f"{about}, {' or '.join(map(str, locations))} locations. Oracle measures: probes are trained on target labels "
        "of half of the images, and measured on the other half. Mean ± sample deviation over n seeds; differences are "
        f"paired by seed, with their 95 % interval. H(Y) is {entropy:.3f} nats, InfoNCE at most {most:.2f}. Z~ is Z, "
        "of mean variance 1, with noise of the deviation given: without, I(Z;X) is infinite, or H(Z). Draws of "
        f"seed {settings.seed}."
    )


def _cell(values: list[float]) -> str:
    if not values:
        return NONE
    mean, deviation = mean_and_deviation(values)
    digits = 3 if abs(mean) < 10 else 1
    return f"{mean:.{digits}f}" if deviation is None else f"{mean:.{digits}f} ± {deviation:.{digits}f}"


def _difference(method: Mapping[int, float], first: Mapping[int, float]) -> str:
    found = paired_difference(method, first)
    if found is None:
        return NONE
    return f"{_number(found.mean, '+')}{'' if found.interval is None else f' {_interval(found.interval)}'}"


def _interval(interval: Interval) -> str:
    return f"[{_number(interval.low, '+')}, {_number(interval.high, '+')}]"


def _number(value: float, sign: str = "") -> str:
    return f"{round(value, 3) + 0.0:{sign}.3f}" if abs(value) < 10 else f"{value:{sign}.1f}"
