"""A process of several that make a run together fails: the run says which, nobody waits for it, and it can go on."""

from __future__ import annotations

import re
import socket
from pathlib import Path

import pytest
from killed_runs import assert_same, state
from rank_runs import config, made, whole
from shared_runs import FAULT, make_with_fault

import benchmarks.launch.workers
from benchmarks.config.run import Run
from benchmarks.core.errors import ConfigError
from benchmarks.engine.distributed import check_ranks
from benchmarks.launch.workers import WorkerJob, make_run
from benchmarks.state.lock import locked
from results.records.record import LOST
from slurm.base.errors import LauncherError
from slurm.processes import ranks
from slurm.processes.ranks import Rank, joined, slurm_rank


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "reason", "goes_on"),
    [
        ("1 raise 4", "rank 1 of 2 on .*: OSError: out of luck in step 4", False),
        ("0 raise 4", "OSError: out of luck in step 4", False),
        ("1 kill 4", f"{LOST}rank 1 of 2 was ended by SIGKILL", False),
        ("0 kill 4", f"{LOST}rank 0 of 2 was ended by SIGKILL", True),
    ],
)
def test_a_failing_rank_is_told_of_and_the_run_goes_on_as_if_nothing_was(
    fault: str, reason: str, goes_on: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setenv(FAULT, fault)
        patch.setattr(benchmarks.launch.workers, "make_shared_run", make_with_fault)
        record = made(tmp_path)
    assert record["status"] == "failed"
    assert re.fullmatch(reason, record["reason"]), record["reason"]
    with locked(tmp_path):  # nobody has it any more
        pass
    if goes_on:
        assert made(tmp_path)["resumed_at"] == 3
        assert_same(state(tmp_path), state(whole()))


@pytest.mark.slow
def test_a_run_that_another_process_has_is_left_to_it(tmp_path: Path) -> None:
    with locked(tmp_path):
        line = make_run(WorkerJob("run", Run.at(tmp_path, config()), False, 2))
    assert line is not None and "is being run by process" in line


def test_who_waits_in_vain_for_the_others_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        taken.listen()
        line = f"rank 0 of 2 on .* cannot meet the others at 127.0.0.1:{port}: "
        with pytest.raises(LauncherError, match=line), joined(Rank(0, 2, 0, "127.0.0.1", port), cuda=False):
            pass
    monkeypatch.setattr(ranks, "MEET_SECONDS", 0.3)
    line = r"after 0 s 1 of 2 processes have come \(MASTER_ADDR and MASTER_PORT choose another place\)"
    with pytest.raises(LauncherError, match=line), joined(Rank(0, 2, 0, "127.0.0.1", port), cuda=False):
        pass


def test_tasks_of_a_job_meet_on_its_first_node(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"JOB_ID": "40", "PROCID": "5", "STEP_NUM_TASKS": "8", "LOCALID": "1"}.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    monkeypatch.setenv("SLURM_LAUNCH_NODE_IPADDR", "10.1.2.3")
    for name in ("MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    assert slurm_rank() == Rank(5, 8, 1, "10.1.2.3", 15_040)
    monkeypatch.setenv("MASTER_ADDR", "n1")
    monkeypatch.setenv("MASTER_PORT", "29500")
    assert (slurm_rank().host, slurm_rank().port) == ("n1", 29500)
    monkeypatch.setenv("MASTER_PORT", "http")
    with pytest.raises(LauncherError, match="MASTER_PORT is 'http', expected the number of a port"):
        slurm_rank()


def test_a_batch_that_cannot_be_shared_is_refused() -> None:
    check_ranks(config(), 2)
    with pytest.raises(ConfigError, match=r"SOLVER\.BATCH is 2, which is shared by the 3 GPUs .* a multiple of 3"):
        check_ranks(config(), 3)
    check_ranks(config("mixup"), 1)
    with pytest.raises(ConfigError, match="mixup joins images of a batch, which one GPU must have"):
        check_ranks(config("mixup"), 2)
