"""A search as a user has it: real workers, one of which is killed, and then the command itself."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import optuna
import pandas as pd
import pytest
from conftest import SMALL
from optuna.trial import FrozenTrial, TrialState

from ablations.study import FOLDER, LOST, OUTCOME, RETRY_OF
from benchmarks.checkout import ROOT
from results.record import FINISHED, RUNNING, read_record

PAIRS = [
    word
    for key, value in {**SMALL, "SOLVER.ITERS": 40, "CHECKPOINT_PERIOD": 5, "TEST.PERIOD": 10}.items()
    for word in (key, "x".join(map(str, value)) if isinstance(value, tuple) else str(value))
]
TRIALS = 4
PATIENCE = 150.0


def command(output: Path, *words: str) -> list[str]:
    return [
        *(sys.executable, "ablations/search.py", "--study", "mine", "--pruner", "none", "--parallel", "2"),
        *("--output", str(output), *words, *PAIRS),
    ]


def trials(output: Path) -> list[FrozenTrial]:
    path = output / "search" / "mine" / "study.db"
    if not path.is_file():
        return []
    try:
        return optuna.load_study(study_name="mine", storage=f"sqlite:///{path}").get_trials()
    except Exception:  # while it is being made
        return []


def workers(output: Path) -> list[int]:
    """Processes that are in the middle of a run."""
    found = []
    for lock in output.glob("streets/*/*/*/.lock"):
        record = read_record(lock.parent)
        process = re.match(r"process (\d+) on", lock.read_text())
        if record and process and record["status"] == RUNNING and list(lock.parent.glob("model_*.pth")):
            found.append(int(process[1]))
    return found


def wait_for(seen: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not seen():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)


@pytest.mark.usefixtures("streets_cache")
def test_a_search_survives_a_killed_worker_and_a_killed_command(tmp_path: Path) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    words = command(tmp_path, "--trials", str(TRIALS))
    log = (tmp_path / "log").open("w")
    first = subprocess.Popen(words, cwd=ROOT, env=environment, stdout=log, stderr=log)
    try:
        wait_for(lambda: bool(workers(tmp_path)))
        os.kill(workers(tmp_path)[0], signal.SIGKILL)
        wait_for(lambda: any(trial.user_attrs.get(OUTCOME) == LOST for trial in trials(tmp_path)))
        wait_for(lambda: bool(workers(tmp_path)))
    finally:
        first.kill()
        first.wait()
    assert 1 <= sum(not trial.state.is_finished() for trial in trials(tmp_path)) <= 3
    second = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=PATIENCE)
    assert second.returncode == 0, second.stderr
    made = trials(tmp_path)
    counted = [trial for trial in made if trial.state == TrialState.COMPLETE]
    lost = [trial for trial in made if trial.user_attrs.get(OUTCOME) == LOST]
    assert len(counted) == TRIALS and len(lost) >= 1 and len(made) == len(counted) + len(lost)
    assert {trial.user_attrs[RETRY_OF] for trial in made if RETRY_OF in trial.user_attrs} == {
        trial.number for trial in lost
    }
    for trial in counted:
        record = read_record(tmp_path / trial.user_attrs[FOLDER])
        assert record is not None and record["status"] == FINISHED
        assert trial.value == record["result"]["student"]["miou"]
    # The one that was killed went on from its checkpoint.
    again = next(trial for trial in counted if trial.user_attrs.get(RETRY_OF) == lost[0].number)
    record = read_record(tmp_path / again.user_attrs[FOLDER])
    assert record is not None and record["resumed_at"] > 0
    folder = tmp_path / "search" / "mine"
    assert len(pd.read_csv(folder / "trials.csv")) == len(made)
    assert "ORACLE" in second.stdout and "optuna-dashboard sqlite:///" in second.stdout
    assert {path.name for path in folder.glob("*.png")} == {"history.png", "contour.png"}


def test_what_is_wrong_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    for words, said in (
        (["--space", "lamda"], "did you mean lambda?"),
        (["--trials", "0"], "--trials is 0, expected at least 1"),
    ):
        done = subprocess.run(command(tmp_path, *words), cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE)
        assert done.returncode == 2 and said in done.stderr and len(done.stderr.splitlines()) == 1
    assert not any(tmp_path.iterdir())
