"""A run on two nodes of SLURM, which loses one of its processes and is then preempted."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from held_runs import PATIENCE, held, wait_for
from killed_runs import assert_same, state
from rank_runs import config, whole
from record_files import read_record
from said_progress import SaidProgress

from benchmarks.config.run import Run
from benchmarks.config.run_id import run_folder
from benchmarks.launch.elsewhere import make_elsewhere
from benchmarks.launch.launcher import Launcher
from benchmarks.launch.workers import WorkerJob
from benchmarks.state.submissions import submitted_runs
from results.records.record import LOST
from slurm.jobs import pool
from slurm.jobs.profile import Profile
from slurm.local_cluster.cluster import LocalCluster

PROFILE = Profile(nodes=2, gpus=1, cpus=1, time="10", signal_seconds=60)


def rank_process(job: str, rank: int) -> int:
    """Of a task of a job, by what SLURM has in its environment."""
    wanted = {f"SLURM_PROCID={rank}".encode(), f"SLURM_JOB_ID={job}".encode()}
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            found = set(path.read_bytes().split(b"\0"))
            command = (path.parent / "cmdline").read_bytes()
        except OSError:
            continue
        if wanted <= found and b"submitit" in command:
            return int(path.parent.name)
    raise AssertionError(f"job {job} has no rank {rank}")


def test_a_run_on_two_nodes_survives_a_lost_process_and_a_preemption(
    tmp_path: Path, slurm_environment: LocalCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "POLL_SECONDS", 0.5)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    cfg, output, shown = config(), tmp_path / "slurm", SaidProgress()
    folder = run_folder(output, cfg)
    job = WorkerJob("shared", Run.at(folder, cfg), False, PROFILE.gpus)

    def submit() -> Callable[[], None]:
        arguments = ([job], output, Launcher("slurm", profile=PROFILE), shown, lambda job: None)
        thread = threading.Thread(target=make_elsewhere, args=arguments, daemon=True)  # a test that fails leaves it
        thread.start()

        def end() -> None:
            thread.join(PATIENCE)
            assert not thread.is_alive(), shown.said

        return end

    ended = submit()
    wait_for(lambda: held(folder), "the run under way")  # its first process stands still, so the other one waits
    first = submitted_runs(output)[folder].job
    nodes = slurm_environment.run("squeue", "-h", "-j", first, "-o", "%D %C").stdout.split()
    assert nodes == ["2", "2"]
    os.kill(rank_process(first, 1), signal.SIGKILL)
    ended()
    record = read_record(folder)
    assert record is not None and record["status"] == "failed"
    assert record["reason"].startswith(f"{LOST}job {first} ended without a result: FAILED (signal 9"), record["reason"]

    ended = submit()
    process = wait_for(lambda: submitted_runs(output)[folder].job != first and held(folder), "the run going on")
    second = submitted_runs(output)[folder].job
    slurm_environment.run("scancel", "--signal=USR2", second)
    os.kill(process, signal.SIGCONT)
    ended()
    assert any("back in the queue" in line for line in shown.said), shown.said
    record = read_record(folder)
    assert record is not None and record["status"] == "finished" and record["hardware"]["processes"] == 2
    assert record["resumed_at"] > 0

    ours, theirs = state(folder), state(whole())
    assert ours[1].pop("job") and theirs[1].pop("job") is None
    assert_same(ours, theirs)


