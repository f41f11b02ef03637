"""A job that is told that its time is up: it saves and queues again, or is queued again as it is."""

from __future__ import annotations

import pickle
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polled_job
import pytest
from submitit.core.utils import DelayedSubmission

from benchmarks.core.checkout import ROOT
from slurm.base import interruption
from slurm.base.errors import LauncherError
from slurm.jobs import job as job_module
from slurm.jobs import pool
from slurm.jobs.job import FRUITLESS, SlurmCall
from slurm.jobs.pool import SlurmPool
from slurm.jobs.profile import Profile
from slurm.jobs.scheduler import Scheduler
from slurm.jobs.submission import Submitter
from slurm.local_cluster.cluster import LocalCluster


class Requeue:
    """In place of submitit's handler."""

    def __init__(self, *faults: BaseException) -> None:
        self.calls, self.faults = list[tuple[int, Any]](), list(faults)

    def __call__(self, number: int, frame: Any) -> None:
        self.calls.append((number, signal.getitimer(signal.ITIMER_REAL)[0]))
        if self.faults:
            raise self.faults.pop(0)


Install = Callable[..., Requeue]


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Install]:
    """As submitit does before it calls; afterwards everything is as it was, whoever changed it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(job_module, "_TRY_SECONDS", 0.0)
    before = {number: signal.getsignal(number) for number in (signal.SIGUSR2, signal.SIGALRM)}

    def make(*faults: BaseException) -> Requeue:
        signal.signal(signal.SIGUSR2, requeue := Requeue(*faults))
        return requeue

    yield make
    signal.setitimer(signal.ITIMER_REAL, 0)
    for number, handler in before.items():
        signal.signal(number, handler)
    interruption.begin()


def call(function: Any, job: Any, folder: Path, seconds: float = 60, **environment: str) -> SlurmCall:
    return SlurmCall(pickle.dumps((function, job)), str(folder), environment, seconds)  # type: ignore[arg-type]


def test_the_function_is_called_where_it_was_submitted(
    install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "there").mkdir()
    monkeypatch.setenv("SEGSHIFT_CACHE", "of the node")
    made = call(eval, "[__import__('os').getcwd(), __import__('os').environ['SEGSHIFT_CACHE']]", tmp_path / "there",
                SEGSHIFT_CACHE="mine")  # fmt: skip
    requeue = install()
    assert pickle.loads(pickle.dumps(made))() == [str(tmp_path / "there"), "mine"]
    assert requeue.calls == [] and signal.getsignal(signal.SIGUSR2) is requeue


@pytest.mark.parametrize("how_often", [0, 1, 3])
def test_a_signal_asks_the_function_to_stop(install: Install, tmp_path: Path, how_often: int) -> None:
    """One that ends in time all the same has its result, and nothing is left armed."""
    requeue, alarm = install(), signal.getsignal(signal.SIGALRM)
    interruption.ask_to_stop()  # of an earlier job of the process
    assert call(polled_job.signalled, how_often, tmp_path)() is (how_often > 0)
    assert requeue.calls == [] and signal.getitimer(signal.ITIMER_REAL)[0] == 0
    assert signal.getsignal(signal.SIGUSR2) is requeue and signal.getsignal(signal.SIGALRM) == alarm


def test_a_function_that_stops_is_queued_again_once(install: Install, tmp_path: Path) -> None:
    requeue = install()
    assert call(polled_job.heeding, 2, tmp_path)() is None  # as of a process other than the first
    assert requeue.calls == [(signal.SIGUSR2, 0.0)]  # and the alarm is off
    requeue = install(SystemExit(-1))
    with pytest.raises(SystemExit):
        call(polled_job.heeding, 1, tmp_path)()
    assert len(requeue.calls) == 1


def test_one_that_does_not_stop_in_time_is_queued_again_as_it_is(install: Install, tmp_path: Path) -> None:
    """Some of the time until the end is left for that."""
    requeue, began = install(SystemExit(-1)), time.monotonic()
    with pytest.raises(SystemExit):
        call(polled_job.not_heeding, 5.0, tmp_path, seconds=0.5)()
    assert len(requeue.calls) == 1 and 0.2 < time.monotonic() - began < 3
    assert signal.getsignal(signal.SIGUSR2) is requeue


def test_a_controller_that_is_away_for_a_moment_is_asked_again(install: Install, tmp_path: Path) -> None:
    away = subprocess.CalledProcessError(1, ["scontrol", "requeue", "7"])
    requeue = install(away, subprocess.TimeoutExpired("scontrol", 60), OSError("fork"), SystemExit(-1))
    with pytest.raises(SystemExit):
        call(polled_job.heeding, 1, tmp_path)()
    assert len(requeue.calls) == 4
    requeue = install(*[away] * 20)  # requeueing is disabled on this cluster, say
    with pytest.raises(subprocess.CalledProcessError):
        call(polled_job.heeding, 1, tmp_path)()
    assert len(requeue.calls) == job_module._TRIES


def test_sessions_that_save_nothing_are_not_repeated_for_ever() -> None:
    made = SlurmCall(b"", "/")

    def session(saved: bool) -> SlurmCall:
        """What is queued after it."""
        interruption.begin()
        if saved:
            interruption.note_saved()
        delayed: DelayedSubmission = pickle.loads(pickle.dumps(made)).checkpoint()
        assert isinstance(delayed.function, SlurmCall)
        return delayed.function

    for fruitless in range(1, FRUITLESS):
        made = session(False)
        assert made.fruitless == fruitless
    with pytest.raises(LauncherError, match=r"^3 sessions in a row ended before a checkpoint was saved: expected a"):
        session(False)
    assert session(True).fruitless == 0
    interruption.begin()
    assert not interruption.has_saved() and not interruption.asked_to_stop()


def test_on_a_cluster_a_job_that_is_told_to_goes_on_in_another_session(
    tmp_path: Path, slurm_environment: LocalCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "POLL_SECONDS", 0.1)
    code, file = tmp_path / "code", tmp_path / "file"
    shutil.copytree(ROOT / "slurm", code / "slurm", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(polled_job.__file__, code)
    profile = Profile(gpus=0, cpus=1, time="10", signal_seconds=30)
    with SlurmPool(polled_job.until_asked, 1, Submitter(profile, tmp_path / "jobs", code), Scheduler()) as jobs:
        jobs.submit(0, str(file))
        job, end, seen, found = jobs.job_id(0), time.monotonic() + 60, list[str](), list[Any]()
        while not file.exists() or not file.read_text():
            assert time.monotonic() < end
            time.sleep(0.05)
        slurm_environment.run("scancel", "--signal=USR2", job)
        while not found:
            assert time.monotonic() < end, seen
            found = jobs.ended()
            seen += [state.state for state in jobs.states.values() if state.state not in seen[-1:]]
    assert found == [(0, f"begun saved ; went on from {code / 'polled_job.py'}")]
    assert "PENDING" in seen and file.read_text() == "begun saved begun "
    assert [path.name for path in (tmp_path / "jobs").glob(f"{job}_*")] == [f"{job}_0_result.pkl"]
