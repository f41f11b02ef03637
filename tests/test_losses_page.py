"""The table of losses on docs/streets.md is of the metrics.json in its records: means of the last lines, and seeds."""

from __future__ import annotations

import re
from pathlib import Path
from statistics import fmean

import pytest

from benchmarks.core.checkout import ROOT
from results.records.folders import run_folders
from results.records.metrics import read_metrics
from results.records.record import read_record
from results.records.settings import run_settings

PAGE = (ROOT / "docs/streets.md").read_text(encoding="utf-8")
ADD_ONS = ("loss_mic", "loss_mrm", "loss_mrm_input")
NAMES = ("loss_supervised", "loss_mixed", *ADD_ONS, "pseudo_label_confidence", "gradient_norm/student")
COLUMNS = "supervised, source | self-training | of the add-on | confidence | gradient norm of the student"
ROWS = re.findall(
    r"^\| (.+) \|$", PAGE.split(f"| method | {COLUMNS} |\n|---|---:|---:|---:|---:|---:|\n")[1].split("\n\n")[0], re.M
)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.split(" | ")[0])
def test_a_row_is_the_mean_of_its_runs(row: str) -> None:
    name, *cells = row.split(" | ")
    method, _, weight = name.partition(", λ ")
    folder, after = ("ablations", 140) if weight else ("streets", 240)
    changed = {"TERMS.MRM.WEIGHT": float(weight)} if weight else {}
    runs = [last(run, after) for run in of_method(ROOT / "docs/records" / folder, method, changed)]
    assert len(runs) == 3
    means = {name: fmean(run[name] for run in runs) if name in runs[0] else None for name in NAMES}
    of_terms = [number(means[term]) for term in ADD_ONS if means[term] is not None]
    supervised, mixed, confidence = (number(means[NAMES[at]]) for at in (0, 1, 5))
    assert cells == [supervised, mixed, " and ".join(of_terms) or "-", confidence, number(means[NAMES[6]], digits=2)]


def of_method(folder: Path, method: str, changed: dict[str, float]) -> list[Path]:
    """The runs of a method that have these settings."""
    found = []
    for run in run_folders(folder).folders:
        record = read_record(run)
        assert record is not None
        settings = run_settings(run)
        if record.spec.method == method and all(settings[key] == value for key, value in changed.items()):
            found.append(run)
    return found


def last(run: Path, after: int) -> dict[str, float]:
    """The mean of each metric after an iteration."""
    values = {name: [value for at, value in each.items() if at > after] for name, each in read_metrics(run, "").items()}
    return {name: fmean(each) for name, each in values.items() if each}


def number(mean: float | None, digits: int = 3) -> str:
    return "-" if mean is None else f"{mean:.{digits}f}"
