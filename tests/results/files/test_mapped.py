"""Many files in several processes: what is found is what one process finds, in the same order."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from written_runs import write_run

from benchmarks.core.checkout import ROOT
from results.files import mapped as module
from results.files.mapped import mapped
from results.tables.frame import collect

HERE = os.getpid()


@pytest.fixture
def several(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few files are many, and two cores are there."""
    monkeypatch.setattr(module, "MANY", 3)
    monkeypatch.setattr(module, "_AT_ONCE", 2)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})


def where(item: int) -> tuple[int, int]:
    return item, os.getpid()


def where_until_killed(item: int) -> tuple[int, int]:
    if item == 5 and os.getpid() != HERE:
        os.kill(os.getpid(), signal.SIGKILL)
    return item, os.getpid()


@pytest.mark.usefixtures("several")
def test_many_are_looked_at_elsewhere_and_come_in_their_order() -> None:
    found = list(mapped(where, range(9)))
    assert [item for item, _ in found] == [*range(9)] and os.getpid() not in {process for _, process in found}
    assert {process for _, process in mapped(where, range(2))} == {os.getpid()}


@pytest.mark.usefixtures("several")
def test_other_systems_than_linux_have_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity")
    assert {process for _, process in mapped(where, range(9))} == {os.getpid()}


@pytest.mark.usefixtures("several")
def test_what_a_killed_process_leaves_is_looked_at_here() -> None:
    found = list(mapped(where_until_killed, range(9)))
    assert [item for item, _ in found] == [*range(9)] and found[-1][1] == os.getpid()


@pytest.mark.usefixtures("several")
def test_no_process_can_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused() -> int:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", refused)
    assert list(mapped(where, range(9))) == [(item, os.getpid()) for item in range(9)]


WAITING = """
import os, time
from results.files import mapped

mapped.MANY = 1
os.sched_getaffinity = lambda _: {0, 1}

def wait(item):
    print(os.getpid(), flush=True)
    time.sleep(60)

list(mapped.mapped(wait, [1]))
"""


def test_no_process_outlives_the_one_that_started_it() -> None:
    """It would keep the locks that it was forked with."""
    with subprocess.Popen([sys.executable, "-c", WAITING], cwd=ROOT, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        one = int(owner.stdout.readline())
        owner.kill()
        for _ in range(500):
            try:
                state = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()[0]
            except (FileNotFoundError, ProcessLookupError):
                return
            if state == "Z":
                return  # nobody waits for it here
            time.sleep(0.02)
        os.kill(one, signal.SIGKILL)
        pytest.fail("it lives")


def test_a_table_of_many_runs_is_the_same(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    for seed in range(7):
        write_run(tmp_path / f"run{seed}", "dacs", seed, 40.0 + seed, 0.4)
    (tmp_path / "run3/record.json").write_text("{")
    told: list[str] = []
    here = collect(tmp_path, told.append)
    request.getfixturevalue("several")
    pd.testing.assert_frame_equal(collect(tmp_path, told.append), here)
    assert len(here) == 6 and len(told) == 2 and told[0] == told[1]
