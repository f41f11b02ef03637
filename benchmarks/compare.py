"""From specs to the table: make the runs that are missing, then read all records back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from detectron2.config import CfgNode

from benchmarks.data import check_data, data_root
from benchmarks.progress import RunProgress, clock
from benchmarks.runner import RunWatcher, pick_device, run_one
from benchmarks.spec import RunSpec, run_folder
from methods.recipes import parse
from results.collect import from_folders
from results.comparison import SELECTION, compare, render, write_tables
from results.record import FINISHED, read_record
from slurm.inline import run_inline

QUICK_WARNING = "--quick: these numbers mean nothing; they show that the path from data to table works"


@dataclass(frozen=True)
class _Job:
    index: int
    cfg: CfgNode
    folder: Path

    @property
    def label(self) -> str:
        return f"{self.cfg.METHOD} seed {self.cfg.SEED}"


class _Watcher(RunWatcher):
    """Passes what a run tells on to the command's progress."""

    def __init__(self, progress: RunProgress, index: int) -> None:
        self._progress, self._index = progress, index

    def started(self, iteration: int) -> None:
        self._progress.start(self._index, iteration)

    def step(self, done: int, losses: Mapping[str, float]) -> None:
        self._progress.step(done, losses)

    def evaluated(self, miou: float) -> None:
        self._progress.evaluated(miou)


def compare_methods(specs: Sequence[RunSpec], output: Path, *, force: bool, quick: bool) -> int:
    """Run every spec that has no finished run below ``output`` and print the table of all. Returns the exit code.

    All names, keys and data are checked before the first run. A run that fails does not stop the others.
    """
    jobs = _jobs(specs, output)
    _check(jobs)
    with RunProgress([(job.label, job.cfg.SOLVER.ITERS) for job in jobs]) as progress:
        run_inline(lambda job: _make(job, progress, force), jobs)
    runs = from_folders(job.folder for job in jobs)
    comparison = compare(runs)
    first = jobs[0].cfg
    caption = (
        f"{first.PROTOCOL}, {first.NETWORK}, {first.TEST.CLASSES} classes. {SELECTION}."
        + (f" {QUICK_WARNING}." if quick else "")
    )
    print(f"\n{render(comparison, 'simple')}\n\n{caption}")
    csv, markdown = write_tables(comparison, caption, output / f"{first.PROTOCOL}-{first.NETWORK}")
    print(f"table: {csv} and {markdown}; runs: {output / first.PROTOCOL}")
    return 0 if (runs["status"] == FINISHED).all() else 1


def _jobs(specs: Sequence[RunSpec], output: Path) -> list[_Job]:
    """One job a folder: two names of one recipe are one run."""
    configs = [spec.resolve() for spec in specs]
    folders = {run_folder(output, cfg): cfg for cfg in configs}
    return [_Job(index, cfg, folder) for index, (folder, cfg) in enumerate(folders.items())]


def _check(jobs: Sequence[_Job]) -> None:
    pick_device(jobs[0].cfg)
    data_root(jobs[0].cfg, progress=None)
    for cfg in {job.cfg.METHOD: job.cfg for job in jobs}.values():
        check_data(cfg, parse(cfg.METHOD))


def _make(job: _Job, progress: RunProgress, force: bool) -> None:
    record = None if force else read_record(job.folder)
    if record is not None and record["status"] == FINISHED:
        progress.skip(job.index)
        progress.say(f"{job.label}: finished before, mIoU {record['result']['student']['miou']:.1f}")
        return
    record = run_one(job.cfg, job.folder, _Watcher(progress, job.index), force)
    progress.end(job.index)
    if record["status"] == FINISHED:
        took = clock(record["wall_seconds"])
        progress.say(f"{job.label}: mIoU {record['result']['student']['miou']:.1f} in {took}")
    else:
        progress.say(f"{job.label}: {record['status']}, {record['reason']} (see {job.folder / 'log.txt'})")
