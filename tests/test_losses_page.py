"""The table of losses on docs/streets.md is of the metrics.json in its records: means of the last lines, and seeds."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

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
TABLES = re.findall(
    rf"^\| method \| {re.escape(COLUMNS)} \|\n\|---[-|:]+\n((?:\| .+ \|\n)+)", PAGE, re.MULTILINE
)
"""Of whole methods, and of settings of two of them."""
METHODS, SETTINGS = (re.findall(r"^\| (.+) \|$", table, re.MULTILINE) for table in TABLES)
MRM = {"WEIGHT": 1.0, "RATIO": 0.4, "LEARNING_RATE": 2e-4, "DIM": 128, "HEADS": 4, "BLOCKS": 2, "RESOLUTION": 4}
MRM |= {"TRAINED": "both", "OBJECTIVE": "pixel-classification", "DOMAIN": "target"}
MRM |= {"VIEW": "mixed", "STRATEGY": "random"}
USUAL = {"TERMS.SELF_TRAINING.WEIGHT": 1.0} | {f"TERMS.MRM.{key}": value for key, value in MRM.items()}
CHANGES = {
    r"λ (.+)": ("TERMS.MRM.WEIGHT", float),
    r"(\d+) tokens a side": ("TERMS.MRM.RESOLUTION", int),
    r"(.+) alone": ("TERMS.MRM.TRAINED", str),
    r"(.+) view": ("TERMS.MRM.VIEW", str),
    r"self-training × (.+)": ("TERMS.SELF_TRAINING.WEIGHT", float),
}


@pytest.mark.parametrize("row", METHODS, ids=lambda row: row.split(" | ")[0])
def test_a_row_of_a_method_is_the_mean_of_its_runs(row: str) -> None:
    method, *cells = row.split(" | ")
    assert cells == means(of_method(ROOT / "docs/records/streets", method, {}), after=240)


@pytest.mark.parametrize("row", SETTINGS, ids=lambda row: row.split(" | ")[0])
def test_a_row_of_a_setting_is_the_mean_of_its_runs(row: str) -> None:
    name, *cells = row.split(" | ")
    method, *changes = name.split(", ")
    settings = USUAL | dict(map(changed, changes))
    assert cells == means(of_method(ROOT / "docs/records/ablations", method, settings), after=140)


def changed(words: str) -> tuple[str, Any]:
    """The key and the value that the words of a row mean."""
    (found,) = [(key, kind(match[1])) for told, (key, kind) in CHANGES.items() if (match := re.fullmatch(told, words))]
    return found


def means(runs: list[Path], after: int) -> list[str]:
    """The cells of a row of three runs."""
    assert len(runs) == 3
    lines = [last(run, after) for run in runs]
    mean = {name: fmean(line[name] for line in lines) if name in lines[0] else None for name in NAMES}
    of_terms = [number(mean[term]) for term in ADD_ONS if mean[term] is not None]
    supervised, mixed, confidence = (number(mean[NAMES[at]]) for at in (0, 1, 5))
    return [supervised, mixed, " and ".join(of_terms) or "-", confidence, number(mean[NAMES[6]], digits=2)]


def of_method(folder: Path, method: str, settings: Mapping[str, Any]) -> list[Path]:
    """The runs of a method that have these settings, those that its config has."""
    found = []
    for run in run_folders(folder).folders:
        record = read_record(run)
        assert record is not None
        of_run = run_settings(run)
        if record.spec.method == method and all(of_run.get(key, value) == value for key, value in settings.items()):
            found.append(run)
    return found


def last(run: Path, after: int) -> dict[str, float]:
    """The mean of each metric after an iteration."""
    values = {name: [value for at, value in each.items() if at > after] for name, each in read_metrics(run, "").items()}
    return {name: fmean(each) for name, each in values.items() if each}


def number(mean: float | None, digits: int = 3) -> str:
    return "-" if mean is None else f"{mean:.{digits}f}"
