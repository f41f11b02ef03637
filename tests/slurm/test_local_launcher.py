"""Jobs in processes of this machine: in order, so many at a time, and what becomes of those that die."""

from __future__ import annotations

import errno
import json
import os
import pickle
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from conftest import SMALL
from full_disk import largest_file
from record_files import read_record, write_record
from rich.console import Console
from said_progress import SaidProgress
from submitit.core.utils import JobPaths

from benchmarks.cli.progress import Progress
from benchmarks.config.run import Run
from benchmarks.config.spec import RunSpec
from benchmarks.core.checkout import ROOT
from benchmarks.launch import workers
from benchmarks.launch.compare import Made, make_runs
from benchmarks.launch.launcher import Launcher
from benchmarks.launch.worker_progress import WorkerProgress
from benchmarks.launch.workers import WorkerJob
from benchmarks.state.lock import locked
from benchmarks.state.outcome import iteration, mark_lost
from slurm.base.errors import LauncherError
from slurm.base.outcome import Lost, error_of_another_task, read_outcome
from slurm.base.private import make_private
from slurm.processes import local
from slurm.processes.local import LocalPool, usual_parallel
from slurm.processes.ranks import RanksFailed

KILLED = "__import__('os').kill(__import__('os').getpid(), 9)"
ENVIRONMENT = "[__import__('os').environ.get(name) for name in ('OMP_NUM_THREADS', 'CUDA_VISIBLE_DEVICES')]"


def outcomes_of(
    jobs: list[str], parallel: int, folder: Path, look: Callable[[LocalPool[str, Any]], None] = lambda pool: None
) -> list[Any]:
    """What becomes of expressions that workers evaluate, in order; ``look`` is called over and over meanwhile.

    ``eval`` stands in for a function of ours: the worker can import it.
    """
    found = dict[int, Any]()
    with LocalPool(eval, parallel, folder) as pool:
        pool.submit_all(dict(enumerate(jobs)))
        while pool.left:
            look(pool)
            for index, outcome in pool.ended():
                assert index not in found
                found[index] = outcome
    return [found[index] for index in range(len(jobs))]


@pytest.mark.slow
def test_outcomes_are_in_order_and_a_dead_worker_stops_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,GPU-7")
    monkeypatch.setattr(local, "_cores", lambda: 7)
    monkeypatch.setattr("slurm.processes.local.POLL_SECONDS", 0.05)
    most, before = list[int](), dict(os.environ)
    slow = "(__import__('time').sleep(0.4), 6 * 7)[1]"
    import_ours = "__import__('results.files.errors', fromlist=['x']).__file__"
    folder = tmp_path / "files"
    jobs = [slow, KILLED, "1 / 0", ENVIRONMENT, import_ours]
    slow, killed, wrong, environment, ours = outcomes_of(
        jobs, 2, folder, lambda pool: most.append(len(pool.running))
    )
    assert slow == 42
    assert isinstance(killed, Lost) and "died without a result" in killed.reason
    assert isinstance(wrong, Lost) and wrong.reason == "ZeroDivisionError: division by zero"
    assert "ZeroDivisionError" in wrong.log.read_text()
    assert environment[0] == "3" and environment[1] in ("4", "GPU-7")  # 7 cores, 2 workers
    assert Path(ours).is_relative_to(ROOT)
    assert max(most) == 2
    assert dict(os.environ) == before
    (own,) = folder.iterdir()
    assert own.stat().st_mode & 0o777 == 0o700  # what workers execute is exchanged there
    left = {path.name.split("_")[0] for path in own.iterdir()}
    assert len(left) == 2  # of the two that were lost


@pytest.mark.slow
def test_a_full_disk_loses_the_jobs_that_it_has_no_place_for_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slurm.processes.local.POLL_SECONDS", 0.05)
    most, large = list[int](), repr("x" * 100_000)
    with largest_file(50_000):
        outcomes = outcomes_of(
            ["6 * 7", large, large, "6 + 7"], 2, tmp_path / "files", lambda pool: most.append(len(pool.running))
        )
    assert outcomes[0] == 42 and outcomes[3] == 13
    for lost in outcomes[1:3]:
        assert isinstance(lost, Lost) and lost.log is None
        assert lost.reason == f"its process could not be started ({os.strerror(errno.EFBIG)})"
    assert max(most) == 2


@pytest.mark.slow
def test_an_interrupt_ends_the_workers_and_leaves_nothing(tmp_path: Path) -> None:
    def interrupt(_: Any) -> None:
        if marker.exists():
            raise KeyboardInterrupt

    marker = tmp_path / "begun"
    job = f"(__import__('pathlib').Path({str(marker)!r}).write_text(str(__import__('os').getpid())), "
    job += "__import__('time').sleep(60))"
    with pytest.raises(KeyboardInterrupt):
        outcomes_of([job], 1, tmp_path / "files", interrupt)
    with pytest.raises(ProcessLookupError):
        os.kill(int(marker.read_text()), 0)


class Planted:
    """Unpickled, it makes a file: what a folder that somebody else made could hold."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.marker,))


def test_what_was_planted_in_the_folder_is_not_unpickled(tmp_path: Path) -> None:
    """A result under the name that submitit gives it: the ids of processes can be guessed."""
    folder, marker = tmp_path / ".workers", tmp_path / "ran"
    folder.mkdir()
    planted = pickle.dumps(("success", Planted(marker)))
    script = (
        f"[__import__('pathlib').Path({str(folder)!r}, f'{{process}}_0_result.pkl').write_bytes({planted!r})"
        f" for process in (__import__('os').getpid(), __import__('os').getppid())], {KILLED}"
    )
    (lost,) = outcomes_of([script], 1, folder)
    assert isinstance(lost, Lost) and "died without a result" in lost.reason
    assert not marker.exists()


def test_a_result_that_is_more_than_plain_values_is_not_made(tmp_path: Path) -> None:
    paths = JobPaths(tmp_path, "7")
    paths.result_pickle.write_bytes(pickle.dumps(("success", Planted(tmp_path / "ran"))))
    with pytest.raises(pickle.UnpicklingError, match="more than plain values"):
        read_outcome(paths)
    (tmp_path / "7_1_result.pkl").write_bytes(pickle.dumps(("error", Planted(tmp_path / "ran"))))
    assert error_of_another_task(paths) == ""
    assert not (tmp_path / "ran").exists()
    paths.result_pickle.write_bytes(pickle.dumps(("success", (None, "a line", {"miou": [1.5, True]}))))
    assert read_outcome(paths) == (None, "a line", {"miou": [1.5, True]})


def test_a_folder_that_others_could_write_is_not_used(tmp_path: Path) -> None:
    make_private(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").stat().st_mode & 0o777 == 0o700
    with pytest.raises(LauncherError, match="b: the folder cannot be made"):
        make_private(tmp_path / "a" / "b")  # somebody else's, or with files in it
    (tmp_path / "c").symlink_to(tmp_path / "a")
    with pytest.raises(LauncherError, match="c: the folder cannot be made"):
        make_private(tmp_path / "c")


def test_a_number_of_threads_that_the_user_chose_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    assert local._environment(2)["OMP_NUM_THREADS"] == "5"
    monkeypatch.delenv("OMP_NUM_THREADS")
    monkeypatch.setattr(local, "_cores", lambda: 2)
    assert local._environment(8)["OMP_NUM_THREADS"] == "1"


class Held:
    """Stands in for submitit's executor: starts nothing, and keeps the GPUs that each job was given."""

    def __init__(self) -> None:
        self.gpus = list[str]()

    def submit(self, call: Any) -> Lost:
        self.gpus.append(call.environment["CUDA_VISIBLE_DEVICES"])
        return Lost("never started", None)


@pytest.mark.parametrize(
    ("gpus", "of_each", "parallel", "expected"),
    [
        ("0,1", 1, 4, ["0", "1", "0", "1"]),
        ("GPU-7", 1, 3, ["GPU-7"] * 3),
        ("0,1,2,3", 2, 4, ["0,1", "2,3", "0,1", "2,3"]),
        ("0,1", 1, 2, ["0", "1"]),
    ],
)
def test_more_runs_than_gpus_share_them_in_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gpus: str, of_each: int, parallel: int, expected: list[str]
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", gpus)
    monkeypatch.setattr("slurm.processes.local.POLL_SECONDS", 0.0)
    with LocalPool(eval, parallel, tmp_path, of_each) as pool:
        monkeypatch.setattr(pool, "_executor", executor := Held())
        pool.submit_all(dict.fromkeys(range(parallel + 1), "1"))
        assert executor.gpus == expected and pool.left == parallel + 1  # one waits
        pool.ended()  # the next takes the GPU of the first that ended
        assert executor.gpus[parallel:] == expected[:1]


def test_as_many_workers_as_gpus_or_a_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,3,5,6,7")
    assert usual_parallel() == 5
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    for cores, number in ((1, 1), (2, 2), (64, 4)):
        monkeypatch.setattr(local, "_cores", lambda cores=cores: cores)
        assert usual_parallel() == number


# Runs


@pytest.mark.slow
def test_runs_made_by_workers_are_those_made_in_this_process(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two at a time; the first is another process's already."""
    import torch

    monkeypatch.setenv("OMP_NUM_THREADS", str(torch.get_num_threads()))
    specs = [RunSpec("streets", "dacs", None, seed, SMALL | {"SOLVER.ITERS": 2}) for seed in (0, 1)]
    (inline,) = make_runs([Run.of(specs[1], tmp_path / "inline")], tmp_path / "inline").folders
    runs = [Run.of(spec, tmp_path / "local") for spec in specs]
    first, second = (run.folder for run in runs)
    capfd.readouterr()
    with locked(first):
        made = make_runs(runs, tmp_path / "local", labels=["first", "second"], launcher=Launcher("local", 2))
    assert made.folders == [first, second] and made.code == 0  # what another process has is its affair
    out = capfd.readouterr().out
    assert "first: left out" in out and "is being run by process" in out
    assert "second: started (2 of 2)" in out and "second: mIoU" in out
    record, expected = read_record(second), read_record(inline)
    assert record is not None and expected is not None
    assert record["result"] == expected["result"] and record["id"] == expected["id"]
    assert read_record(first) is None
    assert not (tmp_path / "local" / ".workers").exists()


def test_a_lost_run_is_recorded_as_failed_unless_a_process_has_it(tmp_path: Path) -> None:
    running = {"status": "running", "reason": ""}
    write_record(tmp_path, running)
    with locked(tmp_path):
        mark_lost(tmp_path, "killed")
    assert read_record(tmp_path) == running
    mark_lost(tmp_path, "killed")
    assert read_record(tmp_path) == {"status": "failed", "reason": "lost: killed"}
    write_record(tmp_path, {"status": "finished"})
    mark_lost(tmp_path, "killed")
    assert read_record(tmp_path) == {"status": "finished"}
    mark_lost(tmp_path / "never-begun", "killed")
    assert read_record(tmp_path / "never-begun") is None


def test_a_lost_worker_is_told_and_its_run_is_no_longer_running(tmp_path: Path) -> None:
    shown, ended = SaidProgress(), list[WorkerJob]()
    cfg = RunSpec("streets", "dacs", None, 0, SMALL).resolve()
    jobs = [WorkerJob(name, Run.at(tmp_path / name, cfg)) for name in ("first", "second")]
    progress = WorkerProgress(jobs, shown, ended.append)
    for index, job in enumerate(jobs):
        job.run.folder.mkdir()
        write_record(job.run.folder, {"status": "running"})
        progress.started(index)
    progress.ended(0, Lost("killed", tmp_path / "log"))
    progress.ended(1, None)
    assert shown.said[2:] == [f"first: lost, killed (see {tmp_path / 'log'})"] and ended == [jobs[1]]
    progress.started(0)
    progress.ended(0, Lost("no place", None))
    assert shown.said[-1] == "first: lost, no place"
    found = [read_record(job.run.folder) for job in jobs]
    assert [record and record["status"] for record in found] == ["failed", "running"]


def test_a_worker_that_was_lost_before_it_made_a_run_anew_leaves_the_old_one_and_says_so(tmp_path: Path) -> None:
    shown, ended = SaidProgress(), list[WorkerJob]()
    job = WorkerJob("dacs", Run.at(tmp_path / "run", RunSpec("streets", "dacs", None, 0, SMALL).resolve()), True)
    job.run.folder.mkdir()
    write_record(job.run.folder, old := {"status": "finished", "result": {"student": {"miou": 50.0}}})
    progress = WorkerProgress([job], shown, ended.append)
    progress.started(0)
    progress.ended(0, Lost("killed", tmp_path / "log"))
    assert shown.said[1:] == [f"dacs: lost, killed (see {tmp_path / 'log'}); what was there before is kept"]
    assert ended == [] and read_record(job.run.folder) == old
    assert Made([job.run.folder], progress.left_out).code == 1  # though all in the table are finished
    # One that has made it is no loss, whatever ended its process then.
    progress.started(0)
    write_record(job.run.folder, {"status": "finished", "result": {"student": {"miou": 51.0}}})
    progress.ended(0, Lost("killed", tmp_path / "log"))
    assert ended == [job] and len(progress.left_out) == 1


@pytest.mark.parametrize("force", [True, False])
def test_ranks_that_fail_before_they_begin_are_not_taken_for_the_run_of_before(
    force: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise RanksFailed("rank 1 of 2: no GPU")

    monkeypatch.setattr(workers, "run_ranks", fail)
    write_record(tmp_path, before := {"status": "finished" if force else "running", "reason": ""})
    job = WorkerJob("dacs", Run.at(tmp_path, RunSpec("streets", "dacs", None, 0, SMALL).resolve()), force, 2)
    if force:
        with pytest.raises(RanksFailed):
            workers.make_run(job)
        assert read_record(tmp_path) == before
    else:
        assert workers.make_run(job) is None
        assert read_record(tmp_path) == {"status": "failed", "reason": "lost: rank 1 of 2: no GPU"}


def test_how_far_a_run_is(tmp_path: Path) -> None:
    assert iteration(tmp_path) == 0
    lines = [{"iteration": 19, "loss": 1.0}, {"iteration": 39, "loss": 0.5}]
    (tmp_path / "metrics.json").write_text("\n".join(map(json.dumps, lines)) + "\n")
    assert iteration(tmp_path) == 40
    (tmp_path / "metrics.json").write_text('{"iteration": 59, "los')  # as it is being written
    assert iteration(tmp_path) == 0


def test_a_terminal_has_a_bar_of_all_runs_in_place_of_lines(tmp_path: Path) -> None:
    out = StringIO()
    cfg = RunSpec("streets", "dacs", None, 0, SMALL | {"SOLVER.ITERS": 100}).resolve()
    jobs = [WorkerJob(name, Run.at(tmp_path / name, cfg)) for name in ("first", "second")]
    jobs[0].run.folder.mkdir()
    (jobs[0].run.folder / "metrics.json").write_text('{"iteration": 39}\n')
    with Progress(console=Console(file=out, force_terminal=True, width=120, color_system=None)) as progress:
        shown = WorkerProgress(jobs, progress, lambda job: None)
        shown.look({0})
        progress._last_line -= 60
        (jobs[0].run.folder / "metrics.json").write_text('{"iteration": 59}\n')
        shown.look({0}, "1 job held by its user")
        assert progress._bars is not None
        progress._bars.refresh()
        (jobs[0].run.folder / "metrics.json").write_text('{"iteration": 100}\n')  # the line of a last evaluation
        shown.ended(0, None)
        assert (progress.works[0].done, progress.works[0].total) == (100, 100)
    text = out.getvalue()
    assert "first: started (1 of 2)\n" in text.replace("\r", "")
    for part in ("0 of 2 over", "60/200", "running: first 60/100; 1 job held by its user", "time left 0:"):
        assert part in text
