"""A grid as an array of SLURM jobs while all that can happen to it does; its table is that of the grid made here."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from conftest import SMALL, pairs
from held_runs import PATIENCE, held_run, wait_for
from record_files import read_record

from benchmarks.core.checkout import ROOT
from benchmarks.state.submissions import submitted_runs
from results.tables.frame import collect
from slurm.local_cluster.cluster import LocalCluster

GRID = """\
title: Three ratios, and none
axes:
  - name: ratio
    values:
      none: {METHOD: "{host}"}
"""
RATIOS = [round(0.1 * k, 1) for k in range(1, 4)]
RUNS = 1 + len(RATIOS)
PAIRS = pairs(SMALL | {"SOLVER.ITERS": 20, "TEST.PERIOD": 20, "CHECKPOINT_PERIOD": 3, "NUM_WORKERS": 0})
PROFILE = "partition: main\ngpus: 1\ncpus: 1\ntime: 30\nsignal_seconds: 45\narray_parallelism: 4\n"


class Place:
    """A folder with the grid and a profile, and commands in it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.output, self.here = folder, folder / "slurm", folder / "here"
        self.grid, self.profile = folder / "ratios.yaml", folder / "profile.yaml"
        self.profile.write_text(PROFILE)
        values = [f'      "{ratio}": {{METHOD: "{{host}}+mrm", TERMS.MRM.RATIO: {ratio}}}\n' for ratio in RATIOS]
        self.grid.write_text(GRID + "".join(values))
        self.environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        self.started: list[subprocess.Popen[bytes]] = []

    def words(self, output: Path, *more: str) -> list[str]:
        return [sys.executable, "ablations/run.py", str(self.grid), "--output", str(output), *more, *PAIRS]

    def slurm(self) -> list[str]:
        return self.words(self.output, "--launcher", "slurm", "--profile", str(self.profile))

    def call(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(words, cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=PATIENCE)

    def start(self, name: str, words: list[str]) -> subprocess.Popen[bytes]:
        with (self.folder / f"{name}.log").open("w") as log:
            started = subprocess.Popen(words, cwd=ROOT, env=self.environment, stdout=log, stderr=log)
        self.started.append(started)
        return started

    def said(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()

    def status(self, *words: str) -> str:
        done = self.call(sys.executable, "benchmarks/status.py", *words, "--output", str(self.output))
        assert done.returncode == 0, done.stderr
        return done.stdout


def run_of(output: Path, ratio: float) -> Path:
    """The submitted run of a ratio."""
    line = re.compile(rf"^ *RATIO: {ratio}$", re.MULTILINE)
    return next(
        folder
        for folder in submitted_runs(output)
        if folder.parts[-3] == "dacs+mrm" and line.search((folder / "config.yaml").read_text())
    )


def was_sent(process: int, number: signal.Signals) -> bool:
    """Whether a signal waits for a process that is stopped, or SLURM let it go on, as some of its signals do."""
    try:
        text = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return True
    if not re.search(r"^State:\s*T", text, re.MULTILINE):
        return True
    pending = re.findall(r"^(?:Sig|Shd)Pnd:\s*(\w+)$", text, re.MULTILINE)
    return any(int(mask, 16) >> (number - 1) & 1 for mask in pending)


def comparable(table: Path) -> pd.DataFrame:
    """What depends neither on a clock nor on the process and its neighbours."""
    rows = pd.read_csv(table)
    return rows[[name for name in rows if not re.search("second|memory|s_per|^shared$|^others$", name)]]


def curves(output: Path) -> dict[str, Any]:
    """Of each run by its id, bit for bit."""
    records = [read_record(Path(folder)) for folder in collect(output)["folder"]]
    return {record["id"]: record["curve"] for record in records if record}


@pytest.fixture
def place(tmp_path: Path, slurm_environment: LocalCluster) -> Iterator[Place]:
    place = Place(tmp_path)
    yield place
    for each in place.started:
        each.kill()
        each.wait()


def test_a_grid_survives_the_cluster(place: Place, slurm_environment: LocalCluster) -> None:
    cluster = slurm_environment
    cluster.run("scontrol", "update", "PartitionName=main", "State=DOWN")  # nothing starts yet
    first = place.call(*place.slurm(), "--no-wait")
    assert first.returncode == 0 and f"submitted {RUNS} runs as job " in first.stdout, first.stderr
    assert len({run.job.split("_")[0] for run in submitted_runs(place.output).values()}) == 1
    failing = run_of(place.output, RATIOS[-1])
    (failing / "metrics.json").mkdir()  # ends the run
    failing_job = submitted_runs(place.output)[failing].job
    cluster.run("scontrol", "hold", failing_job)  # not before the next command, which would submit it again
    cluster.run("scontrol", "update", "PartitionName=main", "State=UP")
    # Over its time limit: of its minute 45 seconds are for the warning, which SLURM looks at every 30.
    late, late_process = held_run(lambda: submitted_runs(place.output).keys() - {failing})
    killed, killed_process = held_run(lambda: submitted_runs(place.output).keys() - {failing, late})
    job = submitted_runs(place.output)[late].job
    cluster.run("scontrol", "update", f"JobId={job}", "TimeLimit=1")
    cluster.restart_controller()
    command = place.start("command", place.slurm())
    wait_for(lambda: "waiting; Ctrl-C" in place.said("command"), "the command that waits")
    cluster.run("scontrol", "release", failing_job)
    os.kill(killed_process, signal.SIGKILL)
    here = place.start("here", place.words(place.here))
    wait_for(lambda: was_sent(late_process, signal.SIGUSR2), "the warning of the time limit")
    with suppress(ProcessLookupError):
        os.kill(late_process, signal.SIGCONT)
    assert command.wait(PATIENCE) == 1, place.said("command")  # what failed is in the table
    assert re.search(r"^\d+ runs have a job in the queue already$", place.said("command"), re.MULTILINE)
    assert "submitted" not in place.said("command")
    states = place.status()
    assert "1 failed" in states and "1 lost" in states and f"{RUNS - 2} finished" in states, states
    assert re.search(r"lost .*signal 9", states) and "metrics.json" in states
    record = read_record(late)
    assert record and record["status"] == "finished" and record["resumed_at"] > 0
    # On a slow machine its minute is over more than once.
    assert re.search(r"Restarts=[1-9]", cluster.run("scontrol", "show", "job", "-o", job).stdout)

    # The reason is seen to, and both are queued again.
    (failing / "metrics.json").rmdir()
    assert "submitted 2 runs" in place.status("resubmit")
    last = place.call(*place.slurm())
    assert last.returncode == 0, last.stdout + last.stderr
    runs = collect(place.output)
    assert len(runs) == RUNS and set(runs["status"]) == {"finished"}
    record = read_record(killed)
    assert record and record["resumed_at"] > 0

    assert here.wait(PATIENCE) == 0, place.said("here")
    ours, theirs = (comparable(next(output.glob("*-*.csv"))) for output in (place.output, place.here))
    assert len(ours) == RUNS and ours["miou"].notna().all(), ours
    pd.testing.assert_frame_equal(ours, theirs)
    assert curves(place.output) == curves(place.here)
