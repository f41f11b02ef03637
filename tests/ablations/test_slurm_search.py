"""A search whose trials are made by SLURM jobs, one of which is killed in the middle."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from conftest import SMALL, pairs
from held_runs import PATIENCE, held_run, wait_for
from search_trials import STUDY, assert_counted_once, lost_trials, runs, trials

from benchmarks.core.checkout import ROOT
from benchmarks.state.submissions import submitted_runs
from slurm.jobs.scheduler import Scheduler

PAIRS = pairs(SMALL | {"SOLVER.ITERS": 8, "TEST.PERIOD": 8, "CHECKPOINT_PERIOD": 3, "NUM_WORKERS": 0})
PROFILE = "partition: main\ngpus: 1\ncpus: 1\ntime: 10\n"
TRIALS = 4


@pytest.mark.usefixtures("slurm_environment")
def test_a_search_survives_a_killed_job(tmp_path: Path) -> None:
    (tmp_path / "profile.yaml").write_text(PROFILE)
    output = tmp_path / "runs"
    words = [
        *(sys.executable, "ablations/search.py", "--study", STUDY, "--pruner", "none", "--trials", str(TRIALS)),
        *("--launcher", "slurm", "--profile", str(tmp_path / "profile.yaml"), "--parallel", "3"),
        *("--output", str(output), *PAIRS),
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with (tmp_path / "log").open("w") as log:
        command = subprocess.Popen(words, cwd=ROOT, env=environment, stdout=log, stderr=log)
    try:
        killed, process = held_run(lambda: runs(output), [command.pid])
        job = submitted_runs(output)[killed].job
        os.kill(process, signal.SIGKILL)
        (lost,) = wait_for(lambda: lost_trials(output), "a lost trial")
        command.wait(PATIENCE)
    finally:
        command.kill()
        command.wait()
    said = (tmp_path / "log").read_text()
    assert command.returncode == 0, said
    reason = f"trial {lost.number}: lost, job {job} ended without a result: FAILED (signal 9)"
    assert f"{reason}; its setting is queued again" in said
    assert_counted_once(output, TRIALS, killed)
    assert [trial.number for trial in lost_trials(output)] == [lost.number]
    jobs = {run.job for run in submitted_runs(output).values()}
    assert len(jobs) == TRIALS and job not in jobs  # that of the killed run is another now
    states = Scheduler().states(jobs)
    assert not any(state.is_alive for state in states.values())
    assert len(pd.read_csv(output / "search" / STUDY / "trials.csv")) == len(trials(output)) == TRIALS + 1
