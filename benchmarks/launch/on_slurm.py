"""Runs made by jobs of SLURM: submitted as arrays, and written down."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from benchmarks.config.plugins import handed_over, plugins
from benchmarks.config.stored_config import stored
from benchmarks.core.checkout import PACKAGES, ROOT
from benchmarks.core.errors import RunLocked
from benchmarks.engine.run_record import initial_record
from benchmarks.launch.workers import Outcome, WorkerJob, make_run_in_job
from benchmarks.state import again
from benchmarks.state.lock import held_by, locked
from benchmarks.state.outcome import mark_lost, validated_anew
from benchmarks.state.provenance import git_state
from benchmarks.state.submissions import SubmittedRun, code_folder, jobs_folder, note_submission, submitted_runs
from results.records import record as records
from results.tables.run_index import refresh_index
from slurm.base.private import private_name
from slurm.jobs.pool import SlurmPool
from slurm.jobs.profile import Profile
from slurm.jobs.scheduler import Scheduler, SchedulerSilent
from slurm.jobs.snapshot import snapshot
from slurm.jobs.submission import Submitter, check_path

# What our code and the libraries that find data and weights read; sbatch may hand over nothing by itself.
_HANDED_OVER = (
    "SEGSHIFT_CACHE", "DETECTRON2_DATASETS", "XDG_CACHE_HOME", "TORCH_HOME", "HF_HOME", "FVCORE_CACHE", "MASTER_PORT"
)  # fmt: skip

_THREADS = 16  # that mark runs as pending: on a file server each waits for some twenty answers


class SlurmRuns(SlurmPool[WorkerJob, Outcome]):
    """Runs of one output folder in SLURM's queue; what is submitted is written down there."""

    def __init__(self, output: Path, profile: Profile, parallel: int = 1, scheduler: Scheduler | None = None) -> None:
        """Copies the code that jobs will run, if it is not there. Raises LauncherError."""
        self._output = output
        super().__init__(make_run_in_job, parallel, submitter(output, profile), scheduler or Scheduler())

    def take(self, jobs: Mapping[int, WorkerJob], say: Callable[[str], None]) -> dict[int, str]:
        there = queued(self._output, self.scheduler)
        held, to_submit = dict[int, str](), dict[int, WorkerJob]()
        for index, job in jobs.items():
            if sent := there.get(job.run.folder):
                self.adopt(index, sent.job, sent.files.absolute())
            elif line := held_by(job.run.folder):
                held[index] = line
            else:
                to_submit[index] = job
        if self.left:
            say(f"{self.left} runs have a job in the queue already")
        if to_submit:
            self.submit_all(to_submit)
            arrays = dict.fromkeys(self.job_id(index).split("_")[0] for index in to_submit)
            say(f"submitted {len(to_submit)} runs as {'jobs' if len(arrays) > 1 else 'job'} {', '.join(arrays)}")
        return held

    def submit(self, index: int, job: WorkerJob) -> str:
        if there := queued(self._output, self.scheduler, [job.run.folder]):
            return f"{job.run.folder} is in the queue as job {there[job.run.folder].job}"
        try:
            return super().submit(index, job)
        except RunLocked as error:
            return str(error)

    def submit_all(self, jobs: Mapping[int, WorkerJob]) -> None:
        """Submit runs, whose records say pending from now on.

        Raises:
            RunLocked: another process has one; LauncherError: sbatch refused.
        """
        # Begun by this: a job that is queued again must go on.
        waiting = {index: job._replace(begun=True) for index, job in jobs.items()}
        marks = dict[int, Future[None]]()
        try:
            with ThreadPoolExecutor(_THREADS) as threads:
                for index, job in jobs.items():
                    marks[index] = threads.submit(mark_pending, job)
            for mark in marks.values():
                mark.result()
            super().submit_all(waiting)
        except BaseException:
            for index in marks.keys() - self._jobs.keys():
                if not marks[index].exception():
                    mark_lost(jobs[index].run.folder, "it could not be submitted", jobs[index].force)
            raise

    def submitted(self, jobs: Mapping[str, WorkerJob]) -> None:
        runs = {name: (job.run.folder, job.label, job.run.cfg.SOLVER.ITERS) for name, job in jobs.items()}
        profile, code, files = self.submitter.profile.dump(), self.submitter.code.name, self.submitter.folder.name
        note_submission(self._output, runs, self.scheduler.cluster, profile, code, files)
        refresh_index(self._output)

    def busy(self, folder: Path) -> bool:
        """Whether a job of this run waits or runs, or that cannot be told."""
        try:
            return folder in queued(self._output, self.scheduler, [folder])
        except SchedulerSilent as error:
            self.silent = str(error)
            return True


def mark_pending(job: WorkerJob) -> None:
    """Let the record of a run say that it was submitted to a queue; it is made if there is none.

    What an earlier session measured stays in it. A run that is forced is begun anew here (`benchmarks.state.again`),
    not by the job, which may be started several times.

    Raises:
        RunLocked: another process has the run.
    """
    with locked(job.run.folder):
        again.settle(job.run.folder)
        place = again.begin(job.run.folder) if job.force else job.run.folder
        known = records.record_or_none(place)
        records.write_text(place / "config.yaml", stored(job.run.cfg))
        record = validated_anew(known) if known else initial_record(job.run)
        records.write_record(place, record.changed(status=records.PENDING, reason=""))


def submitter(output: Path, profile: Profile) -> Submitter:
    """The submitter of runs below ``output``, where the code is copied; submitit's files lie in a new folder."""
    check_path(output)  # before anything is written there
    own = {path: file for plugin in plugins() for path, file in plugin.copies().items()}
    code = snapshot(ROOT, PACKAGES, code_folder(output), git_state(), own)
    environment = {name: os.environ[name] for name in _HANDED_OVER if name in os.environ} | handed_over(code)
    # One that nobody could know of before: jobs execute what they find under the names of these files.
    return Submitter(profile, jobs_folder(output).absolute() / private_name(), code, environment)


def dry_submitter(output: Path, profile: Profile) -> Submitter:
    """One whose script can be shown: nothing is copied or written."""
    jobs, code = jobs_folder(output).absolute(), code_folder(output).absolute()
    return Submitter(profile, jobs / "<a new folder>", code / "<digest of the code>")


def queued(output: Path, scheduler: Scheduler, folders: Sequence[Path] | None = None) -> dict[Path, SubmittedRun]:
    """The runs below ``output`` (of ``folders``, if given) that have a job in the queue, waiting or running.

    Raises:
        SchedulerSilent: it cannot be told.
    """
    known = submitted_runs(output)
    if not known:
        return {}
    cluster = scheduler.cluster
    mine = {
        folder: run
        for folder, run in known.items()
        if run.cluster == cluster and (folders is None or folder in folders)
    }
    states = scheduler.states([run.job for run in mine.values()])
    return {folder: run for folder, run in mine.items() if states[run.job].is_alive}
