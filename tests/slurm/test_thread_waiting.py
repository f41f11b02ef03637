"""Threads that soon sleep where they wait, and a line where there are more than the machine has room for."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from io import StringIO
from pathlib import Path

import pytest
from conftest import SMALL, pairs
from rich.console import Console

from benchmarks.cli import run_progress
from benchmarks.cli.run_progress import BUSY_SECONDS, RunProgress
from benchmarks.cli.time_left import Work
from benchmarks.core.checkout import ROOT
from slurm.base.thread_waiting import CHOICES, SPINS, script_line, wait_briefly

COMMAND = """
import sys
from benchmarks.core.command import exit_in_one_line

def main() -> int:
    import torch
    return 0

exit_in_one_line(main)
"""
ALONE = """
import os, subprocess, sys, time
from benchmarks.core.core_wait import CoreWait

os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2)]
try:
    wait, began, ran = CoreWait(), time.perf_counter(), time.thread_time()
    while time.perf_counter() - began < 1:
        pass
    print(wait.share(), 1 - (time.thread_time() - ran) / (time.perf_counter() - began))
finally:
    for other in others:
        other.kill()
"""


def without(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The environment of a user who chose no way of waiting."""
    return {name: value for name, value in environment.items() if name not in CHOICES}


def spins(environment: Mapping[str, str]) -> str:
    """How long torch's OpenMP spins in a command, as it says itself when it is loaded."""
    done = subprocess.run(
        [sys.executable, "-c", COMMAND],
        env={**without(), "OMP_DISPLAY_ENV": "verbose", **environment},
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    for line in done.stderr.splitlines():
        if "GOMP_SPINCOUNT" in line:
            return line.split("'")[1]
    pytest.skip("torch's OpenMP here is not GNU's")


@pytest.mark.slow
def test_commands_load_a_torch_whose_threads_soon_sleep() -> None:
    assert spins({}) == str(SPINS)


@pytest.mark.slow
def test_what_the_user_chose_is_kept() -> None:
    assert spins({"GOMP_SPINCOUNT": "1234"}) == "1234"
    assert spins({"OMP_WAIT_POLICY": "passive"}) == "0"


@pytest.mark.parametrize("name", CHOICES)
@pytest.mark.parametrize("value", ["active", ""])
def test_any_choice_is_a_choice(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for each in CHOICES:
        monkeypatch.delenv(each, raising=False)
    monkeypatch.setenv(name, value)
    wait_briefly()
    assert {each: os.environ.get(each) for each in CHOICES} == dict.fromkeys(CHOICES) | {name: value}
    script = f'set -eu\n{script_line()}\necho "${{GOMP_SPINCOUNT-none}}"'
    done = subprocess.run(["/bin/bash", "-c", script], env={name: value}, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == (value if name == "GOMP_SPINCOUNT" else "none")


def test_a_job_that_gets_no_variables_soon_sleeps_too() -> None:
    script = f'set -eu\n{script_line()}\necho "$GOMP_SPINCOUNT"'
    done = subprocess.run(["/bin/bash", "-c", script], env={}, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(SPINS)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/schedstat").exists(), reason="this system does not count waiting")
def test_waiting_for_a_core_is_what_is_left_of_the_time() -> None:
    """A thread that never sleeps, one of three on a core: it ran, or it waited."""
    done = subprocess.run([sys.executable, "-c", ALONE], cwd=ROOT, capture_output=True, text=True, check=True)
    share, expected = map(float, done.stdout.split())
    assert share == pytest.approx(expected, abs=0.05)
    assert share > 0.3


@pytest.mark.slow
def test_the_measurement_makes_steps_on_an_idle_and_on_a_busy_machine() -> None:
    steps = ("SOLVER.ITERS", "TEST.PERIOD", "CHECKPOINT_PERIOD")
    words = pairs({key: value for key, value in SMALL.items() if key not in steps})
    command = [sys.executable, "benchmarks/threads_speed.py", "--threads", "1", "--spins", "0", "--steps", "1"]
    done = subprocess.run([*command, *words], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    head, _, *rows = done.stdout.splitlines()
    assert "idle: s/step" in head and "busy: s/step" in head
    assert [row.split()[:3] for row in rows] == [["dacs", "1", "0"]]
    assert float(rows[0].split()[3]) > 0 and rows[0].split()[4] == "1.00"


class Waits:
    """Stands in for CoreWait: a machine on which threads wait for so much of their time."""

    share_of_time: float | None = 0.0

    def share(self) -> float | None:
        return self.share_of_time


def told(monkeypatch: pytest.MonkeyPatch, share: float | None, threads: int = 2, windows: int = 3) -> list[str]:
    """The lines about a busy machine of a command of two runs."""
    now = 1000.0
    monkeypatch.setattr(run_progress.time, "monotonic", lambda: now)
    monkeypatch.setattr(run_progress, "CoreWait", Waits)
    monkeypatch.setattr(Waits, "share_of_time", share)
    out = StringIO()
    shown = RunProgress([Work(10, "a"), Work(10, "b")], Console(file=out, width=40, force_terminal=False))
    for index in range(2):
        shown.start(index, 0, threads=threads)
        for done in range(windows):
            now += BUSY_SECONDS
            shown.step(done + 1, {})
        shown.end(index)
    return [line for line in out.getvalue().splitlines() if "busy" in line]


def test_a_busy_machine_is_said_once_with_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    (line,) = told(monkeypatch, 0.63)
    assert "waited 63% of their time for a core" in line and "OMP_NUM_THREADS=1" in line


@pytest.mark.parametrize(
    ("share", "threads"),
    [(0.05, 2), (0.5, 2), (None, 2), (0.9, 1)],
    ids=["idle", "room for both", "not counted", "no thread to spare"],
)
def test_nothing_is_said_where_fewer_threads_do_not_help(
    share: float | None, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert told(monkeypatch, share, threads) == []
