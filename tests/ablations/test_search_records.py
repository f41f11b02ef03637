"""A search from its published trials.csv and records: the report that the search itself made."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from made_trials import mixed
from trained_runs import Ended, assert_one_line, call

import ablations.search

WORDS = ["--study", "first", "--objective", "source-val-miou", "--seed", "1", "--iters", "40", "--plots", "png"]
PAIRS = ["TEST.SOURCE_IMAGES", "8", "SOLVER.ENCODER_LR", "1.23e-5", "TERMS.MRM.RESOLUTION", "16"]


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """The search's own report, and its trials and records in a folder of other names."""
    trials, folder = mixed(tmp_path / "runs"), tmp_path / "records"
    trials.report(formats=["png"])
    folder.mkdir()
    shutil.copy(trials.folder / "trials.csv", folder)
    for number, record in enumerate(sorted((tmp_path / "runs").rglob("record.json"))):
        shutil.copytree(record.parent, folder / f"run-{number}")
    return folder


@pytest.fixture
def command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., Ended]:
    def run(*words: str) -> Ended:
        given = [*WORDS, "--data-root", "my data", "--output", str(tmp_path / "out"), *words]
        return call(ablations.search, given, monkeypatch, capfd)

    return run


@pytest.mark.slow
def test_it_is_the_report_of_the_search(command: Callable[..., Ended], published: Path, tmp_path: Path) -> None:
    ended = command("--records", str(published), *PAIRS)
    assert ended.code == 0 and ended.err == ""
    theirs, ours = tmp_path / "runs/search/first", tmp_path / "out/search/first"
    assert (ours / "trials.csv").read_bytes() == (theirs / "trials.csv").read_bytes()
    text, own = (folder.joinpath("best.md").read_text().split("\n\n") for folder in (ours, theirs))
    assert text[0] == own[0] and text[0].startswith("| trial") and text[2].rstrip() == own[2]
    assert len(text) == 3 and "ablations/run.py" in own[4]  # whose path is of this machine
    told = own[1].replace("; sampler tpe, pruner median", "")  # which trials.csv does not know
    assert told != own[1] and text[1].replace(", TEST.PERIOD 8", "") == told  # which the command sets besides
    for name in ("history.png", "contour.png"):
        assert (ours / name).read_bytes() == (theirs / name).read_bytes()
    assert "optuna-dashboard" not in ended.out
    assert not (ours / "study.db").exists() and not any((tmp_path / "out").rglob("record.json"))


@pytest.mark.slow
def test_a_damaged_record_is_left_out_and_told(command: Callable[..., Ended], published: Path, tmp_path: Path) -> None:
    damaged = next(iter(sorted(published.rglob("record.json"))))
    damaged.write_text("{")
    ended = command("--records", str(published), *PAIRS)
    assert ended.code == 0 and ended.err.startswith(f"left out: {damaged}: expected a JSON record")
    frame = pd.read_csv(tmp_path / "out/search/first/trials.csv")
    assert list(frame["record"]).count("missing") == 3  # two had none


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--trials", "3"], "--records makes no run, expected no --trials beside it"),
        (["--storage", "study.db"], "--records makes no run, expected no --storage beside it"),
        (["--launcher", "slurm"], "--records makes no run, expected no --launcher slurm beside it"),
        (["SOLVER.BATCH", "3"], "trial 0: run "),
        (["--seed", "2"], "expected the protocol, seed and KEY VALUE pairs that the search was made with"),
        (["--objective", "target-miou"], "no column target-miou, expected --space and --objective of the search"),
        (["--space", "TERMS.MRM.BLOCKS=1..4"], "no column TERMS.MRM.BLOCKS, expected --space"),
        (["--space", "lambda=0.5..10,mask-ratio"], "trial 1: "),
        (["--records", "nowhere"], "nowhere"),
    ],
)
def test_what_is_of_another_search_is_one_line(
    command: Callable[..., Ended], published: Path, words: list[str], said: str
) -> None:
    given = words if "--records" in words else ["--records", str(published), *words]
    assert_one_line(command(*given, *PAIRS), said)


@pytest.mark.parametrize(
    ("column", "row", "text", "said"),
    [
        ("source-val-miou", 3, "43.5", "trial 3: source-val-miou 43.5, where its record "),
        ("source-val-miou", 3, "high", "trial 3: could not convert string to float"),
        ("state", 2, "done", "trial 2: state 'done', expected one of "),
        ("number", 1, "7", "trial 7 is row 1, expected 0, 1, 2, ... in this order"),
        ("lambda", 0, "1.5", "trial 0: run "),
    ],
)
def test_what_the_trials_cannot_say_is_one_line(
    command: Callable[..., Ended], published: Path, column: str, row: int, text: str, said: str
) -> None:
    frame = pd.read_csv(published / "trials.csv", dtype=str, keep_default_na=False)
    frame.loc[row, column] = text
    frame.to_csv(published / "trials.csv", index=False)
    assert_one_line(command("--records", str(published), *PAIRS), said)


def test_trials_that_are_none(command: Callable[..., Ended], published: Path) -> None:
    (published / "trials.csv").write_text(json.dumps({}))
    assert_one_line(command("--records", str(published), *PAIRS), "trials.csv: no column number")
    (published / "trials.csv").write_text("")
    assert_one_line(command("--records", str(published), *PAIRS), "trials.csv: expected the trials of a search (")
    (published / "trials.csv").unlink()
    assert_one_line(command("--records", str(published), *PAIRS), "trials.csv: no such file, expected the trials")
