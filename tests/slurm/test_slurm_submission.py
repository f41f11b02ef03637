"""Jobs submitted to a real SLURM: arrays, what becomes of jobs, a controller that is away, and requeueing."""

from __future__ import annotations

import math
import os
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from record_files import read_record
from said_progress import SaidProgress

from benchmarks import submit_speed
from benchmarks.config.run import Run
from benchmarks.config.run_id import run_folder
from benchmarks.config.stored_config import stored
from benchmarks.core.checkout import ROOT
from benchmarks.launch.elsewhere import make_elsewhere
from benchmarks.launch.launcher import Launcher
from benchmarks.launch.workers import WorkerJob
from benchmarks.state.submissions import submitted_runs
from results.records.record import PENDING
from slurm.base.errors import LauncherError
from slurm.base.outcome import Lost
from slurm.jobs import pool
from slurm.jobs.pool import SlurmPool
from slurm.jobs.profile import Profile
from slurm.jobs.scheduler import GONE, Scheduler
from slurm.jobs.submission import Submitter
from slurm.local_cluster.cluster import LocalCluster, is_slurm_variable

PLAIN = Profile(gpus=0, cpus=1, time="10")
HELD = Profile(gpus=0, cpus=1, time="10", sbatch={"hold": True})
KILLED = "__import__('os').kill(__import__('os').getpid(), 9)"
SLEEP = "__import__('time').sleep(60)"
PATIENCE = 60.0


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "POLL_SECONDS", 0.1)


def enter(cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process's environment lead to the cluster."""
    for name in [name for name in os.environ if is_slurm_variable(name)]:
        monkeypatch.delenv(name)
    for name, value in cluster.environment.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def cluster(slurm_environment: LocalCluster) -> Iterator[LocalCluster]:
    yield slurm_environment
    slurm_environment.run("scancel", f"--user={os.getuid()}")


def make_pool(folder: Path, function: Any = eval, profile: Profile = PLAIN, **more: Any) -> SlurmPool[Any, Any]:
    return SlurmPool(function, 8, Submitter(profile, folder / "jobs", more.pop("code", ROOT), **more), Scheduler())


def all_ended(jobs: SlurmPool[Any, Any], count: int) -> dict[int, Any]:
    found, end = dict[int, Any](), time.monotonic() + PATIENCE
    while len(found) < count:
        assert time.monotonic() < end, (found, jobs.states, jobs.silent)
        for index, outcome in jobs.ended():
            assert index not in found
            found[index] = outcome
    return found


def wait_for_state(jobs: SlurmPool[Any, Any], index: int, state: str) -> None:
    end = time.monotonic() + PATIENCE
    while index not in jobs.states or jobs.states[index].state != state:
        assert time.monotonic() < end, jobs.states
        assert jobs.ended() == []


def counted(folder: Path, monkeypatch: pytest.MonkeyPatch, refuse_from: int = 100) -> Path:
    """An sbatch that writes a line a call, and refuses later ones like a limit does."""
    real, calls = shutil.which("sbatch"), folder / "calls"
    (folder / "bin").mkdir()
    (folder / "bin" / "sbatch").write_text(
        f"#!/bin/sh\necho call >> {calls}\n"
        f"if [ $(wc -l < {calls}) -ge {refuse_from} ]; then\n"
        "  echo 'sbatch: error: QOSMaxSubmitJobPerUserLimit' >&2\n"
        "  echo 'sbatch: error: Batch job submission failed: Job violates accounting/QOS policy' >&2; exit 1\nfi\n"
        f'exec {real} "$@"\n'
    )
    (folder / "bin" / "sbatch").chmod(0o755)
    monkeypatch.setenv("PATH", str(folder / "bin"), prepend=":")
    return calls


# Arrays


def test_a_limit_of_runs_at_a_time_holds_across_arrays(
    tmp_path: Path, slurm_installed: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten jobs where an array has four at most: 4 + 4 + 2."""
    span = "(lambda t: (t.time(), t.sleep(0.2), t.time()))(__import__('time'))"
    with LocalCluster(max_array_size=4, accounting=False) as small:
        enter(small, monkeypatch)
        calls = counted(tmp_path, monkeypatch)
        jobs = make_pool(tmp_path, profile=Profile(gpus=0, cpus=1, time="10", array_parallelism=3))
        jobs.submit_all(dict.fromkeys(range(10), span))
        assert calls.read_text() == "call\n" * 3
        arrays = [jobs.job_id(index).split("_")[0] for index in range(10)]
        assert [arrays.count(array) for array in dict.fromkeys(arrays)] == [4, 4, 2]
        spans = [(begin, end) for begin, _, end in all_ended(jobs, 10).values()]
        most = max(sum(begin <= moment < end for begin, end in spans) for moment, _ in spans)
        assert most <= 3
        last = [max(end for _, end in spans[first : first + 4]) for first in (0, 4)]
        assert all(begin >= last[0] for begin, _ in spans[4:]) and all(begin >= last[1] for begin, _ in spans[8:])


def test_a_thousand_jobs_are_one_call(tmp_path: Path, cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    calls, jobs = counted(tmp_path, monkeypatch), make_pool(tmp_path, math.sqrt, HELD)
    jobs.submit_all({index: float(index) for index in range(1000)})
    assert calls.read_text() == "call\n"
    states = Scheduler().states(jobs.job_id(index) for index in range(1000))
    assert {(state.state, state.reason) for state in states.values()} == {("PENDING", "JobHeldUser")}
    assert jobs.free == 8 - 1000


def test_a_grid_of_two_hundred_runs_is_one_call(
    tmp_path: Path, cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch, small_config: Callable[..., Any]
) -> None:
    """As ``ablations/run.py --launcher slurm --no-wait``; a second command submits none again."""
    calls, shown, jobs = counted(tmp_path, monkeypatch), SaidProgress(), list[WorkerJob]()
    for seed in range(200):
        cfg = small_config("dacs").clone() if not jobs else jobs[0].run.cfg.clone()
        cfg.defrost()
        cfg.SEED = seed
        jobs.append(WorkerJob(f"seed {seed}", Run.at(run_folder(tmp_path, cfg), cfg)))
    launcher = Launcher("slurm", profile=HELD, wait=False)
    for _ in range(2):
        assert make_elsewhere(jobs, tmp_path, launcher, shown, lambda index: None) == []
    assert calls.read_text() == "call\n"
    assert shown.said[0].startswith("submitted 200 runs as job ")
    assert shown.said[1:] == ["200 runs have a job in the queue already"]
    known = submitted_runs(tmp_path)
    assert set(known) == {job.run.folder for job in jobs} and len({run.job for run in known.values()}) == 200
    assert {(read_record(job.run.folder) or {})["status"] for job in jobs} == {PENDING}
    assert (jobs[7].run.folder / "config.yaml").read_text() == stored(jobs[7].run.cfg)


def test_the_measurement_of_submitting(slurm_installed: None, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setattr(sys, "argv", ["submit_speed.py", "--runs", "2,3", "--singles", "2"])
    assert submit_speed.main() == 0
    rows = [re.split(r" {2,}", line.strip()) for line in capsys.readouterr().out.splitlines()[3:]]
    assert [(name, runs, calls) for name, runs, _, calls, *_ in rows] == [
        ("first of all", "1", "1"), ("one by one", "2", "2"), ("grid", "2", "1"), ("grid", "3", "1"),
    ]  # fmt: skip


def test_a_refused_array_leaves_those_before_it(
    tmp_path: Path, slurm_installed: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    noted: dict[str, float] = {}

    class Noting(SlurmPool[float, float]):
        def submitted(self, jobs: Any) -> None:
            noted.update(jobs)

    with LocalCluster(max_array_size=4, accounting=False) as small:
        enter(small, monkeypatch)
        counted(tmp_path, monkeypatch, refuse_from=2)
        jobs = Noting(math.sqrt, 8, Submitter(PLAIN, tmp_path / "jobs", ROOT), Scheduler())
        with pytest.raises(LauncherError) as error:
            jobs.submit_all({10 + k: float(k * k) for k in range(6)})
        said = "sbatch: QOSMaxSubmitJobPerUserLimit; Batch job submission failed: Job violates accounting/QOS policy"
        assert str(error.value) == said
        assert list(noted.values()) == [0.0, 1.0, 4.0, 9.0] and list(noted) == [jobs.job_id(10 + k) for k in range(4)]
        assert all_ended(jobs, 4) == {10: 0.0, 11: 1.0, 12: 2.0, 13: 3.0}


def refused(folder: Path, count: int) -> str:
    jobs = make_pool(folder, math.sqrt, Profile(partition="nowhere", gpus=0))
    with pytest.raises(LauncherError) as error:
        jobs.submit_all(dict.fromkeys(range(count), 1.0))
    return str(error.value)


def test_what_sbatch_says_is_one_line(tmp_path: Path, cluster: LocalCluster, capfd: pytest.CaptureFixture[str]) -> None:
    for count in (1, 3):
        line = refused(tmp_path, count)
        assert line.startswith("sbatch: ") and "nvalid partition" in line and "\n" not in line
    assert capfd.readouterr().err == ""


def test_what_sbatch_says_names_what_is_wrong(tmp_path: Path, cluster: LocalCluster) -> None:
    """Before 'Batch job submission failed: ...' it says which partition, or which limit of submitted jobs."""
    assert "nowhere" in refused(tmp_path, 1)


@pytest.mark.xfail(strict=True, reason="what submitit had written for the jobs stays")
def test_a_refused_submission_leaves_no_files(tmp_path: Path, cluster: LocalCluster) -> None:
    refused(tmp_path, 3)
    assert list((tmp_path / "jobs").iterdir()) == []


# Outcomes


@pytest.mark.parametrize("accounting", [True, False])
def test_what_becomes_of_jobs(
    tmp_path: Path, slurm_installed: None, monkeypatch: pytest.MonkeyPatch, accounting: bool
) -> None:
    """By the accounting where the controller has forgotten the job; by the controller where there is none."""
    if accounting:
        monkeypatch.setattr(Scheduler, "_from_controller", lambda self, job: "")
    with LocalCluster(accounting=accounting) as own:
        enter(own, monkeypatch)
        jobs = make_pool(tmp_path)
        jobs.submit_all(dict(enumerate([SLEEP, SLEEP, "6 * 7", "1 / 0", KILLED])))
        ids = [jobs.job_id(index) for index in range(5)]
        found, end = dict[int, Any](), time.monotonic() + PATIENCE
        while not all(index in jobs.states and jobs.states[index].state == "RUNNING" for index in (0, 1)):
            assert time.monotonic() < end, jobs.states
            found |= dict(jobs.ended())
        jobs.cancel(0)
        own.run("scancel", ids[1])
        found |= all_ended(jobs, 5 - len(found))
    assert found[2] == 42
    assert all(isinstance(found[index], Lost) for index in (0, 1, 3, 4))
    assert found[3].reason == "ZeroDivisionError: division by zero" and "ZeroDivisionError" in found[3].log.read_text()
    assert found[4].reason == f"job {ids[4]} ended without a result: FAILED (signal 9)" and found[4].log.is_file()
    for index in (0, 1):
        assert found[index].reason.startswith(f"job {ids[index]} ended without a result: CANCELLED")
    left = {path.name.split("_")[1] for path in (tmp_path / "jobs").glob("*_log.out")}
    assert left - {"1"} == {"3", "4"}  # of what went well, or was not wanted, no output stays


def without_result(folder: Path) -> tuple[SlurmPool[Any, Any], Path, bytes]:
    """A job that is gone, whose result has not come; where it will be, and what it is."""
    jobs = make_pool(folder)
    jobs.submit(0, "6 * 7")
    result = folder / "jobs" / f"{jobs.job_id(0)}_0_result.pkl"
    end = time.monotonic() + PATIENCE
    while not result.exists():
        assert time.monotonic() < end
        time.sleep(0.02)
    whole = result.read_bytes()
    result.unlink()
    wait_for_state(jobs, 0, GONE)
    return jobs, result, whole


def test_a_late_result_is_waited_for(tmp_path: Path, cluster: LocalCluster) -> None:
    """As over NFS: first nothing, then a part."""
    jobs, result, whole = without_result(tmp_path)
    result.write_bytes(whole[:5])
    assert jobs.ended() == []
    result.write_bytes(whole)
    assert all_ended(jobs, 1) == {0: 42}


@pytest.mark.parametrize("how", ["COMPLETED", ""])
def test_a_result_that_never_comes_is_lost_after_a_while(
    tmp_path: Path, cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """Whether the scheduler knows how the job ended or not."""
    if not how:
        for source in ("_from_controller", "_from_accounting"):
            monkeypatch.setattr(Scheduler, source, lambda self, job: "")
    jobs, _, _ = without_result(tmp_path)
    job, began = jobs.job_id(0), time.monotonic()
    monkeypatch.setattr(pool, "SETTLE_SECONDS", 1.0)
    (lost,) = all_ended(jobs, 1).values()
    assert isinstance(lost, Lost) and time.monotonic() - began > 0.6
    assert lost.reason == f"job {job} ended without a result" + (f": {how}" if how else "")


def test_another_command_takes_over_what_one_left_in_the_queue(tmp_path: Path, cluster: LocalCluster) -> None:
    with make_pool(tmp_path) as first:
        first.submit_all({0: "6 * 7", 1: "6 * 8"})
    second = make_pool(tmp_path)
    for index in (0, 1):
        second.adopt(index, first.job_id(index))
    assert all_ended(second, 2) == {0: 42, 1: 48}


def test_two_commands_that_wait_for_a_job_both_get_its_result(
    tmp_path: Path, cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "SETTLE_SECONDS", 0.5)
    first, second = make_pool(tmp_path), make_pool(tmp_path)
    first.submit(0, "6 * 7")
    second.adopt(0, first.job_id(0))
    assert all_ended(first, 1) == all_ended(second, 1) == {0: 42}


def test_while_the_controller_is_away_nothing_is_lost(
    tmp_path: Path, slurm_installed: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "SETTLE_SECONDS", 0.0)
    with LocalCluster(nodes=1, accounting=False) as own:
        with own.conf.open("a") as conf:
            conf.write("MessageTimeout=1\n")  # of commands from now on: they give up sooner
        enter(own, monkeypatch)
        jobs, go = make_pool(tmp_path), tmp_path / "go"
        wait = f"[__import__('time').sleep(0.05) for _ in iter(__import__('pathlib').Path({str(go)!r}).exists, True)]"
        jobs.submit_all({0: wait, 1: "6 * 7"})
        found = dict[int, Any]()
        while 1 not in found or jobs.states[0].state != "RUNNING":
            found |= dict(jobs.ended())
        own.stop_controller()
        assert jobs.ended() == [] and jobs.silent.startswith("squeue: ") and "\n" not in jobs.silent
        jobs.cancel(0)
        assert jobs.silent.startswith("scancel: ")
        jobs._jobs[0].cancelled = False
        own.start_controller()
        go.touch()
        found |= all_ended(jobs, 1)
        assert found[1] == 42 and isinstance(found[0], list) and jobs.silent == ""


# The environment


def test_from_inside_a_job_submission_is_as_from_outside(
    tmp_path: Path, cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As from an interactive job of three nodes, whose variables sbatch and srun take for options."""
    job = {
        "SLURM_JOB_ID": "1", "SLURM_JOBID": "1", "SLURM_ARRAY_TASK_ID": "5", "SLURM_ARRAY_JOB_ID": "1",
        "SLURM_NTASKS": "12", "SLURM_NPROCS": "12", "SLURM_NTASKS_PER_NODE": "4", "SLURM_JOB_NUM_NODES": "3",
        "SLURM_NNODES": "3", "SLURM_CPUS_PER_TASK": "7", "SLURM_TRES_PER_TASK": "cpu:7", "SLURM_MEM_PER_CPU": "1",
        "SLURM_GPUS": "9", "SLURM_PROCID": "3", "SLURM_EXPORT_ENV": "NONE",
    }  # fmt: skip
    for name, value in job.items():
        monkeypatch.setenv(name, value)
    before = dict(os.environ)
    jobs, names = make_pool(tmp_path), ["SLURM_NTASKS", "SLURM_CPUS_PER_TASK", "SLURM_JOB_NUM_NODES", "SLURM_PROCID"]
    jobs.submit(0, f"[__import__('os').environ.get(name) for name in {[*names, 'SLURM_JOB_ID']}]")
    assert dict(os.environ) == before
    number = jobs.job_id(0)
    assert all_ended(jobs, 1) == {0: ["1", "1", "1", "0", number]}


def test_jobs_have_the_folder_the_code_and_the_variables(
    tmp_path: Path, cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, here = tmp_path / "my code", tmp_path / "he re"
    shutil.copytree(ROOT / "slurm", code / "slurm", ignore=shutil.ignore_patterns("__pycache__"))
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setenv("SEGSHIFT_CACHE", "another")
    jobs = make_pool(tmp_path, code=code, environment={"SEGSHIFT_CACHE": "mine"})
    jobs.submit(0, "(__import__('os').getcwd(), __import__('slurm.jobs.job').__file__, "
                   "__import__('os').environ['SEGSHIFT_CACHE'])")  # fmt: skip
    assert all_ended(jobs, 1) == {0: (str(here), str(code / "slurm" / "__init__.py"), "mine")}


def test_jobs_have_their_variables_where_sbatch_hands_over_nothing(tmp_path: Path, cluster: LocalCluster) -> None:
    profile = Profile(gpus=0, cpus=1, time="10", sbatch={"export": "NONE"})
    jobs = make_pool(tmp_path, profile=profile, environment={"SEGSHIFT_CACHE": "mine"})
    jobs.submit(0, "[__import__('os').environ.get(name) for name in ('SEGSHIFT_CACHE', 'OMP_NUM_THREADS')]")
    assert all_ended(jobs, 1) == {0: ["mine", "1"]}


@pytest.mark.parametrize(
    ("name", "value", "field", "expected"),
    [
        ("SBATCH_PARTITION", "short", "Partition", "main"),
        ("SBATCH_TIMELIMIT", "1", "TimeLimit", "00:10:00"),
        ("SBATCH_NO_REQUEUE", "1", "Requeue", "1"),
    ],
)
def test_the_profile_prevails_over_variables_of_sbatch(
    tmp_path: Path, cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch,
    name: str, value: str, field: str, expected: str,
) -> None:  # fmt: skip
    monkeypatch.setenv(name, value)
    profile = Profile(partition="main", gpus=0, cpus=1, time="10", sbatch={"hold": True})
    jobs = make_pool(tmp_path, profile=profile)
    jobs.submit(0, "1")
    assert f" {field}={expected} " in cluster.run("scontrol", "show", "job", "-o", jobs.job_id(0)).stdout


@pytest.mark.parametrize(("name", "value"), [("SQUEUE_STATES", "RUNNING"), ("SQUEUE_PARTITION", "short")])
def test_a_filter_of_the_user_hides_no_job(
    tmp_path: Path, cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    jobs = make_pool(tmp_path, profile=HELD)
    jobs.submit(0, "1")
    monkeypatch.setenv(name, value)
    assert Scheduler().states([jobs.job_id(0)])[jobs.job_id(0)].state == "PENDING"
