"""A search as a user has it: real workers, one of which is killed, and then the command itself."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from conftest import SMALL, pairs
from held_runs import held_run, wait_for
from search_trials import STUDY, assert_counted_once, lost_trials, runs, trials
from trained_runs import assert_one_line, call

import ablations.search
from benchmarks.core.checkout import ROOT

PAIRS = pairs({**SMALL, "SOLVER.ITERS": 12, "CHECKPOINT_PERIOD": 3, "TEST.PERIOD": 6})
TRIALS = 4
PATIENCE = 150.0


def command(output: Path, *words: str) -> list[str]:
    return [
        *(sys.executable, "ablations/search.py", "--study", STUDY, "--pruner", "none", "--parallel", "2"),
        *("--output", str(output), *words, *PAIRS),
    ]


@pytest.mark.slow
@pytest.mark.usefixtures("streets_cache")
def test_a_search_survives_a_killed_worker_and_a_killed_command(tmp_path: Path) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    words = command(tmp_path, "--trials", str(TRIALS))
    with (tmp_path / "log").open("w") as log:
        first = subprocess.Popen(words, cwd=ROOT, env=environment, stdout=log, stderr=log)
    try:
        killed, process = held_run(lambda: runs(tmp_path), [first.pid])
        os.kill(process, signal.SIGKILL)
        wait_for(lambda: lost_trials(tmp_path), "a lost trial")
        _, process = held_run(lambda: runs(tmp_path), [first.pid])
    finally:
        first.kill()
        first.wait()
    os.kill(process, signal.SIGCONT)  # it outlives the command
    assert 1 <= sum(not trial.state.is_finished() for trial in trials(tmp_path)) <= 3
    second = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=PATIENCE)
    assert second.returncode == 0, second.stderr
    assert_counted_once(tmp_path, TRIALS, killed)
    folder = tmp_path / "search" / STUDY
    assert len(pd.read_csv(folder / "trials.csv")) == len(trials(tmp_path))
    assert "ORACLE" in second.stdout and "optuna-dashboard sqlite:///" in second.stdout
    assert {path.name for path in folder.glob("*.png")} == {"history.png", "contour.png"}


def test_what_is_wrong_is_one_line_and_exit_code_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for words, said in (
        (["--space", "lamda"], "did you mean lambda?"),
        (["--trials", "0"], "--trials is 0, expected at least 1"),
    ):
        assert_one_line(call(ablations.search, command(tmp_path, *words)[2:], monkeypatch, capfd), said)
    assert not any(tmp_path.iterdir())
