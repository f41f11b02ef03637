"""From specs to the table: make the runs that are missing, then read all records back."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from detectron2.config import CfgNode

from benchmarks.cli.progress import shown
from benchmarks.cli.run_options import INLINE, SLURM
from benchmarks.cli.run_progress import RunProgress
from benchmarks.cli.time_left import clock
from benchmarks.config.keys import PLACE_KEYS, flatten
from benchmarks.config.label_space import scoring
from benchmarks.config.published_network import other_networks
from benchmarks.config.spec import RunSpec, run_folder
from benchmarks.core.errors import ConfigError, RunLeftOut, RunLocked, RunRefused
from benchmarks.core.files_first import write_then_show
from benchmarks.data.from_config import check_data, check_files, data_root, used_roles
from benchmarks.engine.build import build_student, build_terms
from benchmarks.engine.device import pick_device
from benchmarks.engine.distributed import check_ranks
from benchmarks.engine.runner import RunWatcher, run_one
from benchmarks.launch.launcher import Launcher, launch
from benchmarks.launch.workers import WorkerJob
from benchmarks.state.again import newest, settle_if_any
from benchmarks.state.fingerprint import Listings
from methods.framework.recipes import parse
from results.files.errors import ResultsError
from results.records.images import about_images
from results.records.record import DIVERGED, FAILED, FINISHED, is_over, read_record, record_or_none
from results.tables.class_means import said
from results.tables.comparison import SELECTION, compare, render, write_tables
from results.tables.frame import from_folders
from slurm.processes.inline import run_inline

QUICK_WARNING = "--quick: these numbers mean nothing; they show that the path from data to table works"


@dataclass(frozen=True)
class Made:
    """What `make_runs` has to show.

    Attributes:
        folders: of all runs, each once.
        left_out: why those that were left as they are were not made.
    """

    folders: list[Path]
    left_out: list[RunLeftOut]

    @property
    def code(self) -> int:
        """The exit code of a command that shows the runs, where they themselves ask for no other.

        A run that another process has is what that makes of it.
        """
        if any(isinstance(error, RunRefused) for error in self.left_out):
            return 2
        return 0 if all(isinstance(error, RunLocked) for error in self.left_out) else 1


@dataclass(frozen=True, eq=False)
class _Job:
    index: int
    cfg: CfgNode
    folder: Path
    name: str = ""

    @property
    def label(self) -> str:
        return self.name or f"{self.cfg.METHOD} seed {self.cfg.SEED}"


class _Watcher(RunWatcher):
    """Passes what a run tells on to the command's progress."""

    def __init__(self, progress: RunProgress, job: _Job) -> None:
        self._progress, self._job = progress, job

    def started(self, iteration: int, miou: float | None = None) -> None:
        threads = torch.get_num_threads() if pick_device(self._job.cfg).type == "cpu" else 1
        self._progress.start(self._job.index, iteration, miou, threads)

    def step(self, done: int, losses: Mapping[str, float]) -> None:
        self._progress.step(done, losses)

    def evaluating(self, done: int, images: int) -> None:
        self._progress.evaluating(done, images)

    def evaluated(self, miou: float) -> None:
        self._progress.evaluated(miou)


def compare_methods(
    specs: Sequence[RunSpec], output: Path, *, force: bool, quick: bool, launcher: Launcher | None = None
) -> int:
    """Run every spec that has no finished run below ``output`` and print the table of all. Returns the exit code."""
    configs = [spec.resolve() for spec in specs]
    made = make_runs(configs, output, force=force, launcher=launcher)
    folders = made.folders
    runs = from_folders(folders)
    if not_waited_for(runs, launcher, output):
        return made.code
    if runs.empty:  # each said why
        return made.code or 1
    comparison = compare(runs)
    first = configs[0]
    classes = " and ".join(map(str, scoring(first).class_sets))
    changed = ", ".join(f"{key} {value}" for key, value in specs[0].overrides.items() if key not in PLACE_KEYS)
    caption = (
        f"{first.PROTOCOL}, {first.NETWORK}, {classes} classes. {SELECTION}."
        + (f" {without}." if (without := said(runs)) else "")
        + "".join(f" {line}." for line in other_networks(configs))
        + about_images(folders, unrecorded=not first.DATA.STREETS.SOURCE_IMAGES)
        + (f" Set: {changed}." if changed and not quick else "")
        + (f" {QUICK_WARNING}." if quick else "")
    )

    def write() -> str:
        stem = output / f"{first.PROTOCOL}-{first.NETWORK}-{runs_digest(folders)}"
        csv, markdown = write_tables(comparison, caption, stem)
        return f"table: {csv} and {markdown}; runs: {output / first.PROTOCOL}"

    write_then_show(write, f"\n{render(comparison, 'simple')}\n\n{caption}", output)
    finished = len(runs) == len(folders) and (runs["status"] == FINISHED).all()
    if finished and not (force and any(newest(folder) != folder for folder in folders)):
        return made.code
    return made.code or 1


def runs_digest(folders: Sequence[Path]) -> str:
    """What a table is named after beside what it is of, so that one of other runs does not take its place."""
    return hashlib.sha256(" ".join(sorted({folder.name for folder in folders})).encode()).hexdigest()[:8]


def not_waited_for(runs: pd.DataFrame, launcher: Launcher | None, output: Path) -> bool:
    """Whether runs were left in a queue, which is then told in place of a table."""
    if launcher is None or launcher.wait:
        return False
    remade = any(newest(Path(folder)) != Path(folder) for folder in runs["folder"])
    if runs["status"].isin((FINISHED, DIVERGED, FAILED)).all() and not remade:
        return False
    print(
        f"the same command without --no-wait waits for them and prints the table; how they stand: "
        f"python benchmarks/status.py --output {output}"
    )
    return True


def make_runs(
    configs: Sequence[CfgNode],
    output: Path,
    *,
    force: bool = False,
    labels: Sequence[str] = (),
    launcher: Launcher | None = None,
) -> Made:
    """Make the runs that are not over below ``output``; returns the folders of all.

    A run that is finished, or that has diverged, is over. Data and weights of the runs to be made are checked before
    the first of them; where there is none, neither is looked for. A run that fails does not stop the others.

    Args:
        configs: the runs, resolved. Those that come to the same numbers are one.
        output: folder of run folders.
        force: make runs again that are over.
        labels: what each is called while it runs; without, method and seed.
        launcher: where runs are made; None: one after the other, in this process.

    Raises:
        RunLeftOut: not one of the runs could be made, as all are other processes', or were refused: the first's line.
        ConfigError: a run that is over, or was begun, is of other images than those of now; nothing is made.
    """
    jobs, listings, left_out = _jobs(configs, output, labels), Listings(), list[RunLeftOut]()
    if not force:
        for job in jobs:
            listings.check(job.cfg, job.folder)
    over = {} if force else {job: record for job in jobs if (record := _over(job)) is not None}
    missing = [job for job in jobs if job not in over]
    if missing:  # a table alone needs neither
        for line in other_networks([job.cfg for job in missing]):
            print(line, flush=True)
        check_runs([job.cfg for job in missing], launcher or Launcher())
    _make_folder(output)
    with RunProgress([(job.label, job.cfg.SOLVER.ITERS) for job in jobs]) as progress:
        for job, record in over.items():
            progress.end(job.index)
            how = f"mIoU {_miou(record)}" if record["status"] == FINISHED else str(record["reason"])
            progress.say(f"{job.label}: {record['status']} before, {how}")
        here = launcher is None or (launcher.kind == INLINE and launcher.gpus == 1)
        if here:
            made = run_inline(lambda job: _make(job, progress, force), missing)
            left_out = [error for error in made if error]
    if launcher is not None and not here and missing:
        left_out = launch(
            launcher,
            [WorkerJob(job.label, job.cfg, job.folder, force, launcher.gpus) for job in missing],
            output,
            progress.say,
            lambda index: _tell(missing[index], _left(missing[index], force), progress, force),
        )
    if missing and len(left_out) == len(jobs):
        raise left_out[0]
    return Made([job.folder for job in jobs], left_out)


def _jobs(configs: Sequence[CfgNode], output: Path, labels: Sequence[str] = ()) -> list[_Job]:
    """One job a folder: two names of one recipe are one run."""
    jobs: dict[Path, _Job] = {}
    for cfg, label in zip(configs, labels or [""] * len(configs), strict=True):
        folder = run_folder(output, cfg)
        jobs.setdefault(folder, _Job(len(jobs), cfg, folder, label))
    return list(jobs.values())


def check_runs(configs: Sequence[CfgNode], launcher: Launcher) -> None:
    """Find what would end a run before the first begins: device, GPUs, data, weights, settings of terms.

    Raises:
        ConfigError, DataError, MethodError: what was found, in one line.
    """
    device = pick_device(configs[0]) if launcher.kind != SLURM else None  # another machine's is its own affair
    if device is not None and device.type == "cuda" and launcher.gpus > torch.cuda.device_count():
        raise ConfigError(f"--gpus is {launcher.gpus}, and this machine has {torch.cuda.device_count()} GPUs")
    for cfg in configs:
        check_ranks(cfg, launcher.ranks)
    with shown("drawing streets") as progress:
        data_root(configs[0], progress)
    # Seeds change nothing of this.
    settings = _distinct(configs, lambda cfg: {**cfg, "SEED": 0})
    for cfg in _distinct(settings, lambda cfg: (cfg.METHOD, cfg.DATA, cfg.INPUT, cfg.SAMPLING, cfg.TEST)):
        check_data(cfg, parse(cfg.METHOD), shown)
    for cfg in _distinct(settings, lambda cfg: (used_roles(parse(cfg.METHOD)), cfg.DATA, cfg.INPUT, cfg.TEST.CLASSES)):
        check_files(cfg, parse(cfg.METHOD), shown)
    for group in _alike(settings):
        segmentor = build_student(group[0])
        for cfg in _distinct(group, lambda cfg: (cfg.METHOD, cfg.INPUT.CROP, _shapes(cfg.TERMS))):
            with torch.device("meta"):  # shapes tell what is wrong; values take a second for twenty Rebuilders
                build_terms(cfg, parse(cfg.METHOD), segmentor)


def _shapes(terms: CfgNode) -> dict[str, Any]:
    """What of the settings of terms decides how they are built: not how large a ratio or weight is, unless it is 0."""
    return {key: value != 0 if isinstance(value, float) else value for key, value in flatten(terms).items()}


def _distinct(configs: Sequence[CfgNode], key: Callable[[CfgNode], Any]) -> list[CfgNode]:
    """The first config of each ``key``."""
    found: dict[str, CfgNode] = {}
    for cfg in configs:
        found.setdefault(str(key(cfg)), cfg)
    return list(found.values())


def _alike(configs: Sequence[CfgNode]) -> list[list[CfgNode]]:
    """Configs that build the same student together: it is built once, as weights are large."""
    groups: dict[str, list[CfgNode]] = {}
    for cfg in configs:
        key = str((cfg.NETWORK, cfg.WEIGHTS, cfg.INPUT.CROP if cfg.HRDA.ENABLED else None, cfg.HRDA.dump()))
        groups.setdefault(key, []).append(cfg)
    return list(groups.values())


def _make_folder(output: Path) -> None:
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"--output {output}: expected a folder that can be written ({error.strerror})") from None


def _over(job: _Job) -> dict[str, Any] | None:
    """The record of a run that is over; a record that cannot be read is no record, and its run is made again."""
    try:
        with suppress(RunLocked, OSError):  # a kill came between its end and its place
            settle_if_any(job.folder)
    except ResultsError:
        return None  # which of two makings is the run cannot be read: `run_one` refuses it with the reason
    record = record_or_none(job.folder)
    return record if is_over(record) else None


def _left(job: _Job, force: bool) -> dict[str, Any] | None:
    """What a run that another process made has left."""
    try:
        return read_record(newest(job.folder) if force else job.folder)
    except ResultsError as error:
        return {"status": FAILED, "reason": str(error)}


def _miou(record: Mapping[str, Any]) -> str:
    miou = ((record.get("result") or {}).get("student") or {}).get("miou")
    return "-" if miou is None else f"{miou:.1f}"


def _make(job: _Job, progress: RunProgress, force: bool) -> RunLeftOut | None:
    """Make one run; the error where another process has it, it is refused, or its folder cannot be written."""
    try:
        record = run_one(job.cfg, job.folder, _Watcher(progress, job), force)
    except (RunLeftOut, OSError) as error:
        progress.end(job.index)
        left_out = RunLeftOut(f"{job.folder}: {error.strerror or error}") if isinstance(error, OSError) else error
        progress.say(f"{job.label}: left out, {left_out}")
        return left_out
    progress.end(job.index)
    _tell(job, record, progress, force)
    return None


def _tell(job: _Job, record: Mapping[str, Any] | None, progress: RunProgress, force: bool) -> None:
    """Say how a run ended; without a record, which a full disk has no place for, that there is none."""
    if record is None:
        progress.say(f"{job.label}: left no record (see {job.folder / 'log.txt'})")
    elif record["status"] == FINISHED:
        progress.say(f"{job.label}: mIoU {_miou(record)} in {clock(record['wall_seconds'])}")
    else:
        place = newest(job.folder) if force else job.folder
        kept = "" if place == job.folder else "; what was there before is kept"
        progress.say(f"{job.label}: {record['status']}, {record['reason']} (see {place / 'log.txt'}){kept}")
