"""From specs to the table: make the runs that are missing, then read all records back."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks.cli.run_options import INLINE
from benchmarks.cli.run_progress import RunProgress
from benchmarks.config.keys import PLACE_KEYS
from benchmarks.config.remarks import remarks
from benchmarks.config.run import Run
from benchmarks.core.errors import ConfigError, RunLeftOut, RunLocked, RunRefused
from benchmarks.core.files_first import write_then_show
from benchmarks.data.further_sets import set_name
from benchmarks.launch.elsewhere import make_elsewhere
from benchmarks.launch.here import make_here, miou_text, tell_left
from benchmarks.launch.launcher import Launcher
from benchmarks.launch.run_checks import check_runs
from benchmarks.launch.workers import WorkerJob
from benchmarks.state.again import newest, settle_if_any
from benchmarks.state.fingerprint import Listings
from results.files.errors import ResultsError
from results.forms.folding import for_screen
from results.forms.written import write_tables
from results.records.images import about_images
from results.records.record import DIVERGED, FAILED, FINISHED, Record, record_or_none
from results.tables.class_means import said
from results.tables.frame import from_folders
from results.tables.methods_table import methods_table
from results.tables.run_index import refresh_index

QUICK_WARNING = "--quick: these numbers mean nothing; they show that the path from data to table works"


@dataclass(frozen=True)
class Made:
    """What `make_runs` has to show.

    Attributes:
        folders: of all runs, each once.
        left_out: why those that were left as they are were not made.
        queued: whether some were left in a queue, so that there is no table yet.
    """

    folders: list[Path]
    left_out: list[RunLeftOut]
    queued: bool = False

    @property
    def code(self) -> int:
        """The exit code of a command that shows the runs, where they themselves ask for no other.

        A run that another process has is what that makes of it.
        """
        if any(isinstance(error, RunRefused) for error in self.left_out):
            return 2
        return 0 if all(isinstance(error, RunLocked) for error in self.left_out) else 1


def compare_methods(
    runs: Sequence[Run], output: Path, *, force: bool, quick: bool, launcher: Launcher | None = None
) -> int:
    """Make the runs that are not finished and print the table of all. Returns the exit code."""
    made = make_runs(runs, output, force=force, launcher=launcher)
    if made.queued:
        return made.code
    folders, frame = made.folders, from_folders(made.folders)
    if frame.empty:  # each said why
        return made.code or 1
    table = methods_table(frame)
    first = runs[0].cfg
    classes = " and ".join(map(str, runs[0].scoring.class_sets))
    changed = ", ".join(f"{key} {value}" for key, value in runs[0].spec.overrides.items() if key not in PLACE_KEYS)
    caption = (
        f"{first.PROTOCOL}, {first.NETWORK}, {classes} classes. {table.notes}"
        + (f" {without}." if (without := said(frame)) else "")
        + "".join(f" {line}." for line in remarks(run.cfg for run in runs))
        + about_images(folders, unrecorded=not first.DATA.STREETS.SOURCE_IMAGES)
        + (f" Set: {changed}." if changed and not quick else "")
        + (f" {QUICK_WARNING}." if quick else "")
    )

    def write() -> str:
        stem = output / f"{first.PROTOCOL}-{first.NETWORK}-{runs_digest(folders)}"
        csv, markdown = write_tables(table.columns, table.frame, caption, stem)
        return f"table: {csv} and {markdown}; runs: {output / first.PROTOCOL}"

    write_then_show(write, f"\n{for_screen(table.columns)}\n\n{caption}", output)
    finished = len(frame) == len(folders) and (frame["status"] == FINISHED).all()
    unsettled = force and any(newest(folder) != folder for folder in folders)
    return made.code or int(not finished or unsettled)


def runs_digest(folders: Sequence[Path]) -> str:
    """What a table is named after beside what it is of, so that one of other runs does not take its place."""
    return hashlib.sha256(" ".join(sorted({folder.name for folder in folders})).encode()).hexdigest()[:8]


def make_output(output: Path) -> None:
    """Make the folder of --output where there is none. Raises ConfigError."""
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"--output {output}: expected a folder that can be written ({error.strerror})") from None


def make_runs(
    runs: Sequence[Run],
    output: Path,
    *,
    force: bool = False,
    labels: Sequence[str] = (),
    launcher: Launcher | None = None,
) -> Made:
    """Make the runs that are not over; returns the folders of all.

    A run that is finished, or that has diverged, is over. Data and weights of the runs to be made are checked before
    the first of them; where there is none, neither is looked for. A run that fails does not stop the others.

    Args:
        runs: those that come to the same numbers are one.
        output: folder of run folders, which it is made as where there is none.
        force: make runs again that are over.
        labels: what each is called while it runs; without, method and seed.
        launcher: where runs are made; None: one after the other, in this process.

    Raises:
        RunLeftOut: not one of the runs could be made, as all are other processes', or were refused: the first's line.
        ConfigError: a run that is over, or was begun, is of other images than those of now; nothing is made.
    """
    launcher = launcher or Launcher()
    jobs, listings = _jobs(runs, labels, force, launcher.gpus), Listings()
    if not force:
        for job in jobs:
            listings.check(job.run)
    over = {} if force else {job.run.folder: record for job in jobs if (record := _over(job.run.folder))}
    missing = [job for job in jobs if job.run.folder not in over]
    if missing:  # a table alone needs neither
        for line in remarks(job.run.cfg for job in missing):
            print(line, flush=True)
        check_runs([job.run for job in missing], launcher)
    make_output(output)
    refresh_index(output)
    with RunProgress([job.work() for job in missing]) as progress:
        for job in jobs:
            if record := over.get(job.run.folder):
                how = f"mIoU {miou_text(record)}" if record.status == FINISHED else record.reason
                also = [name for name in job.run.cfg.TEST.ALSO if set_name(name) not in record.also]
                if record.status == FINISHED and also:
                    how += f"; not scored on {', '.join(also)}, which evaluate.py --also adds"
                progress.say(f"{job.label}: {record.status} before, {how}")
        left_out = list[RunLeftOut]()
        if launcher.kind == INLINE and launcher.gpus == 1:
            left_out = make_here(missing, progress)
        elif missing:
            left_out = make_elsewhere(missing, output, launcher, progress, lambda job: tell_left(job, progress))
    if missing and len(left_out) == len(jobs):
        raise left_out[0]
    folders = [job.run.folder for job in jobs]
    queued = not launcher.wait and not all(map(_has_end, folders))
    if queued:
        print(
            f"the same command without --no-wait waits for them and prints the table; how they stand: "
            f"python benchmarks/status.py --output {output}"
        )
    refresh_index(output)
    return Made(folders, left_out, queued)


def _jobs(runs: Sequence[Run], labels: Sequence[str], force: bool, gpus: int) -> list[WorkerJob]:
    """One job a folder: two names of one recipe are one run."""
    jobs: dict[Path, WorkerJob] = {}
    for run, label in zip(runs, labels or [run.label for run in runs], strict=True):
        jobs.setdefault(run.folder, WorkerJob(label, run, force, gpus))
    return list(jobs.values())


def _has_end(folder: Path) -> bool:
    """Whether nothing of it is in a queue or under way; also of a folder that no record says anything of."""
    record = record_or_none(folder)
    return newest(folder) == folder and (record is None or record.status in (FINISHED, DIVERGED, FAILED))


def _over(folder: Path) -> Record | None:
    """The record of a run that is over; a record that cannot be read is no record, and its run is made again."""
    try:
        with suppress(RunLocked, OSError):  # a kill came between its end and its place
            settle_if_any(folder)
    except ResultsError:
        return None  # which of two makings is the run cannot be read: `run_one` refuses it with the reason
    record = record_or_none(folder)
    return record if record is not None and record.is_over else None
