"""Jobs become arrays of SLURM, through submitit."""

from __future__ import annotations

import os
import pickle
import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any

from submitit.core.utils import FailedJobError, FailedSubmissionError
from submitit.slurm.slurm import SlurmExecutor

from slurm.base.errors import LauncherError
from slurm.base.private import make_private
from slurm.base.thread_waiting import script_line
from slurm.jobs.job import SlurmCall
from slurm.jobs.profile import Profile, is_one_line
from slurm.jobs.scheduler import Scheduler

# Variables of sbatch, without SBATCH_, that say what is decided here; and those of keys that a profile may leave open.
_SBATCH = (
    "ARRAY_INX", "CPUS_PER_GPU", "GPUS", "GPUS_PER_NODE", "GPUS_PER_TASK", "GRES", "JOB_NAME", "NO_REQUEUE",
    "OPEN_MODE", "REQUEUE", "SIGNAL", "TIMELIMIT", "WAIT",
)  # fmt: skip
_SBATCH_KEYS = {
    "ACCOUNT": "account", "CONSTRAINT": "constraint", "MEM_PER_CPU": "memory", "MEM_PER_GPU": "memory",
    "MEM_PER_NODE": "memory", "PARTITION": "partition", "QOS": "qos",
}  # fmt: skip
_NO_END = 1_000_000  # times that submitit queues a job again after a time limit: SlurmCall knows when it is in vain
NO_SLURM = "no srun on the PATH"


class _ShownExecutor(SlurmExecutor):
    """One whose script is shown, on a machine without SLURM too."""

    @classmethod
    def affinity(cls) -> int:
        return 2


def is_slurm_here() -> bool:
    """Whether jobs can be submitted from this machine."""
    return SlurmExecutor.affinity() > 0


@dataclass(frozen=True)
class Submitter:
    """How jobs of one command are submitted.

    Attributes:
        profile: what each asks for.
        folder: for submitit's files and the jobs' output, shared with the nodes.
        code: the folder that jobs import our packages from.
        environment: variables that jobs are given whatever sbatch hands over.
    """

    profile: Profile
    folder: Path
    code: Path
    environment: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check the paths. Raises LauncherError for one that sbatch cannot be given."""
        check_path(self.folder)
        check_path(self.code)

    def submit(
        self, function: Callable[[Any], Any], jobs: Sequence[Any], scheduler: Scheduler
    ) -> Iterator[list[str]]:
        """Submit ``function`` of each job, in arrays as long as the cluster allows; yields the ids of each array.

        With a limit of runs at a time, arrays after the first wait for the one before: the limit is an array's.

        Args:
            function: of a module.
            jobs: what can be pickled.
            scheduler: the cluster.

        Raises:
            LauncherError: sbatch refused; arrays before that one are in the queue.
        """
        size, before = scheduler.array_size, ""
        if not self.folder.exists():
            make_private(self.folder)
        for first in range(0, len(jobs), size):
            chunk = jobs[first : first + size]
            executor = self._executor(before if self.profile.array_parallelism else "")
            calls = [self._call(function, job) for job in chunk]
            try:
                # What sbatch says is in the error. A batch of one is no array.
                with _outside_job(self.profile), redirect_stderr(StringIO()), executor.batch():
                    made = [executor.submit(call) for call in calls]
            except (FailedJobError, FailedSubmissionError, OSError) as error:
                raise LauncherError(f"sbatch: {_complaint(error)}") from None
            ids = [job.job_id for job in made]
            before = ids[0].split("_")[0]
            yield ids

    def script(self, jobs: int) -> str:
        """What sbatch is given for an array of so many jobs, or for one; nothing is written, no SLURM is needed."""
        executor = self._executor("", _ShownExecutor)
        if jobs > 1:
            executor.parameters["map_count"] = jobs
        text: str = executor._make_submission_file_text(executor._submitit_command_str, "")
        return text

    def _executor(self, after: str, kind: type[SlurmExecutor] = SlurmExecutor) -> SlurmExecutor:
        if kind.affinity() < 0:
            raise LauncherError(f"--launcher slurm: {NO_SLURM}, expected a machine that SLURM jobs start from")
        profile = self.profile
        executor = kind(self.folder.absolute(), max_num_timeout=_NO_END, python=profile.python)
        more = {**profile.sbatch, "chdir": str(self.code), "requeue": True}
        executor.update_parameters(
            **profile.parameters(),
            job_name="segshift",
            setup=[*profile.setup, *self._setup()],
            stderr_to_stdout=True,
            # Ranks that wait for a dead one would wait for long; where sbatch hands over nothing, srun does as it did.
            srun_args=["--kill-on-bad-exit=1", "--export=ALL"],
            dependency=f"afterany:{after}" if after else None,
            additional_parameters=more,
        )
        return executor

    def _setup(self) -> list[str]:
        return [
            f'export PYTHONPATH={shlex.quote(str(self.code))}"${{PYTHONPATH:+:$PYTHONPATH}}"',
            f'export OMP_NUM_THREADS="${{OMP_NUM_THREADS:-{self.profile.cpus}}}"',
            script_line(),
        ]

    def _call(self, function: Callable[[Any], Any], job: Any) -> SlurmCall:
        payload, here = pickle.dumps((function, job)), str(Path.cwd())
        return SlurmCall(payload, here, dict(self.environment), self.profile.signal_seconds)


def check_path(path: Path) -> None:
    """Raise LauncherError for a path that would not stand in a batch script as what it is.

    sbatch and srun replace patterns such as %j, also in the names of folders, and a backslash says not to.
    """
    text = str(path.absolute())
    if any(sign in text for sign in "%\\") or not is_one_line(text):
        raise LauncherError(
            f"--launcher slurm: the path {text!r} holds a %, a backslash or a control character, which sbatch does not "
            "take as it is; expected another --output"
        )


@contextmanager
def _outside_job(profile: Profile) -> Iterator[None]:
    """Leave out a job's variables: in an interactive one, sbatch would take over what that job asked for.

    It also prefers variables such as SBATCH_TIMELIMIT to the lines of the script: they count for what those leave open.
    """
    kept = {name: value for name, value in os.environ.items() if name.startswith("SLURM_") and name != "SLURM_CONF"}
    ours = [*_SBATCH, *(name for name, key in _SBATCH_KEYS.items() if getattr(profile, key) is not None)]
    kept |= {name: os.environ[name] for name in (f"SBATCH_{each}" for each in ours) if name in os.environ}
    for name in kept:
        del os.environ[name]
    try:
        yield
    finally:
        os.environ.update(kept)


def _complaint(error: Exception) -> str:
    """What sbatch says, in one line, from what submitit wraps it in."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    own = [line for line in lines if "error:" in line or "fatal:" in line]
    said = own or lines[-1:] or [type(error).__name__]
    return "; ".join(dict.fromkeys(re.sub(r"^(sbatch:|error:|fatal:|\s)*", "", line) for line in said))
