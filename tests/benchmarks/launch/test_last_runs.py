"""The order in which runs side by side are started: as asked, but for the last ones, longest first."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from conftest import SMALL
from record_files import write_record
from said_progress import SaidProgress

from benchmarks.config.run import Run
from benchmarks.config.spec import RunSpec
from benchmarks.launch import elsewhere
from benchmarks.launch.elsewhere import make_elsewhere
from benchmarks.launch.last_runs import longest_last_ones_first
from benchmarks.launch.launcher import Launcher
from benchmarks.launch.workers import WorkerJob
from slurm.base.pool import Pool


def job_of(output: Path, method: str, seed: int = 0, iterations: int = 100) -> WorkerJob:
    spec = RunSpec("streets", method, None, seed, SMALL | {"SOLVER.ITERS": iterations})
    return WorkerJob(f"{method} {seed} {iterations}", Run.of(spec, output))


def finish(output: Path, method: str, seconds: float) -> None:
    """Write the record of a finished run of seed 9, of so many seconds."""
    run = job_of(output, method, 9).run
    cfg, content = run.cfg, dict[str, Any]()
    content["spec"] = {"protocol": cfg.PROTOCOL, "method": cfg.METHOD, "network": cfg.NETWORK, "seed": cfg.SEED}
    content |= {"id": run.id, "iterations": 100, "max_iterations": 100, "wall_seconds": seconds, "status": "finished"}
    content |= {"oracle": False, "classes": 19, "precision": "fp32", "result": {"student": {"miou": 20.0}}}
    run.folder.mkdir(parents=True)
    write_record(run.folder, content | {"hardware": {"name": "CPU", "device": "cpu"}})


def labels(jobs: Sequence[WorkerJob]) -> list[str]:
    return [job.label.removesuffix(" 100").removesuffix(" 0") for job in jobs]


def test_methods_of_more_terms_come_first_and_equal_ones_stay_as_they_are(tmp_path: Path) -> None:
    """The README's three methods: with two at a time, ``dacs`` follows the shorter of the others."""
    jobs = [job_of(tmp_path, method) for method in ("dacs", "dacs+mic", "dacs+mrm", "source-only")]
    assert labels(longest_last_ones_first(jobs, tmp_path, 2)) == ["dacs+mic", "dacs+mrm", "dacs", "source-only"]


def test_iterations_count_as_terms_do(tmp_path: Path) -> None:
    jobs = [job_of(tmp_path, "dacs+mrm"), job_of(tmp_path, "source-only", iterations=400)]
    assert longest_last_ones_first(jobs, tmp_path, 2) == jobs[::-1]


def test_runs_before_the_last_ones_keep_their_place(tmp_path: Path) -> None:
    """So a list that has its first seeds first goes on having them first."""
    jobs = [job_of(tmp_path, method, seed) for seed in (0, 1, 2) for method in ("source-only", "dacs+mrm")]
    ordered = longest_last_ones_first(jobs, tmp_path, 2)
    assert ordered[:2] == jobs[:2]
    assert labels(ordered[2:]) == ["dacs+mrm 1", "dacs+mrm 2", "source-only 1", "source-only 2"]


def test_finished_runs_tell_how_long_a_method_takes(tmp_path: Path) -> None:
    finish(tmp_path, "dacs", 900.0)
    finish(tmp_path, "dacs+mrm", 300.0)
    jobs = [job_of(tmp_path, "dacs+mrm"), job_of(tmp_path, "dacs")]
    assert longest_last_ones_first(jobs, tmp_path, 2) == jobs[::-1]
    unknown = [*jobs, job_of(tmp_path, "source-only")]  # seconds and terms are not compared with each other
    assert longest_last_ones_first(unknown, tmp_path, 2) == unknown


def test_a_run_that_was_begun_is_as_long_as_what_is_left_of_it(tmp_path: Path) -> None:
    begun, other = job_of(tmp_path, "dacs+mrm"), job_of(tmp_path, "dacs")
    begun.run.folder.mkdir(parents=True)
    (begun.run.folder / "metrics.json").write_text('{"iteration": 89}\n')
    assert begun.iteration == 90
    assert longest_last_ones_first([begun, other], tmp_path, 2) == [other, begun]


class SeenPool(Pool[WorkerJob, Any]):
    """Takes jobs and has nothing left to do."""

    seen: list[str]

    def submit_all(self, jobs: Any) -> None:
        SeenPool.seen = [jobs[index].label for index in sorted(jobs)]

    running: Any = frozenset()
    left: Any = 0

    def cancel(self, index: int) -> None: ...

    def ended(self) -> list[tuple[int, Any]]:
        return []


@pytest.mark.parametrize(
    ("kind", "parallel", "turned"),
    [("local", 2, True), ("local", 1, False), ("inline", 1, False), ("slurm", 2, False)],
)
def test_only_runs_side_by_side_on_this_machine_are_reordered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, parallel: int, turned: bool
) -> None:
    monkeypatch.setattr(elsewhere, "run_pool", lambda launcher, output: SeenPool(launcher.parallel))
    jobs = [job_of(tmp_path, "dacs"), job_of(tmp_path, "dacs+mrm")]
    make_elsewhere(jobs, tmp_path, Launcher(kind, parallel), SaidProgress(), lambda job: None)
    assert SeenPool.seen == [job.label for job in (jobs[::-1] if turned else jobs)]
