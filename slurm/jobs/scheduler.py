"""What SLURM says of jobs: those in its queue from squeue, those that left it from scontrol, or from sacct."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from slurm.base.errors import LauncherError

PENDING, RUNNING, GONE = "PENDING", "RUNNING", "GONE"
USUAL_ARRAY_SIZE = 1001  # SLURM's own MaxArraySize
_SECONDS = 60.0  # that a command may take; a busy controller makes them wait
_FILTERS = ("SQUEUE_", "SACCT_", "SCONTROL_", "SCANCEL_")
_OVER = {
    "BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED", "TIMEOUT",
    "REVOKED",
}  # fmt: skip


class SchedulerSilent(LauncherError):
    """squeue does not answer: nothing is known of any job, in particular not that it is gone."""


@dataclass(frozen=True)
class JobState:
    """The state of one job, or of one element of an array.

    Attributes:
        state: SLURM's word, such as PENDING, RUNNING, COMPLETING; ``GONE`` for a job that is in the queue no more.
        reason: why it waits, in SLURM's word; "None" and the like are left out.
    """

    state: str
    reason: str = ""

    @property
    def is_alive(self) -> bool:
        """Whether it waits or runs: it may still do something."""
        return self.state not in _OVER and self.state != GONE


class Scheduler:
    """The cluster that SLURM's commands on the PATH lead to."""

    @cached_property
    def configuration(self) -> Mapping[str, str]:
        """The keys of ``scontrol show config``. Raises SchedulerSilent."""
        found = re.findall(r"^(\w+)[ \t]*=[ \t]*(.*?)[ \t]*$", _output(["scontrol", "show", "config"]), re.MULTILINE)
        return dict(found)

    @property
    def cluster(self) -> str:
        """The cluster's name: job ids are of one cluster."""
        return self.configuration.get("ClusterName", "")

    @property
    def array_size(self) -> int:
        """How many elements an array can have, at least 1."""
        text = self.configuration.get("MaxArraySize", "")
        return max(1, int(text)) if text.isdigit() else USUAL_ARRAY_SIZE

    def states(self, ids: Iterable[str]) -> dict[str, JobState]:
        """The state of each job (``123`` or ``123_4``), by one call of squeue.

        Raises:
            SchedulerSilent: it cannot be told.
        """
        wanted = list(ids)
        if not wanted:
            return {}
        # All of the user's: as many ids as a grid has do not fit a command line, and an unknown one is an error.
        lines = _output(["squeue", "-h", "-r", "-u", str(os.getuid()), "-o", "%i|%T|%r"]).splitlines()
        queue = {}
        for line in lines:
            name, state, reason = line.split("|", 2)
            queue[name] = JobState(state, "" if reason in ("None", "(null)", "") else reason)
        return {name: queue.get(name, JobState(GONE)) for name in wanted}

    def how_ended(self, job: str) -> str:
        """How a job that is gone ended, in a few words such as "TIMEOUT" or "FAILED (signal 9)".

        From the controller, which forgets jobs after some minutes, else from the accounting; "" where nobody knows.
        """
        return self._from_controller(job) or self._from_accounting(job)

    def _from_controller(self, job: str) -> str:
        try:
            text = _output(["scontrol", "show", "job", "-o", job])
        except SchedulerSilent:
            return ""
        match = re.search(r"\bJobState=(\w+).*?\bExitCode=(\d+:\d+)", text)
        return _words(match[1], match[2]) if match and match[1] in _OVER else ""

    def _from_accounting(self, job: str) -> str:
        try:
            lines = _output(["sacct", "-X", "-n", "-P", "-j", job, "-o", "JobID,State,ExitCode"]).splitlines()
        except SchedulerSilent:
            return ""
        for line in lines:
            name, _, rest = line.partition("|")
            state, _, code = rest.partition("|")
            if name == job and state.split(" ")[0] in _OVER:  # "CANCELLED by 1000"
                return _words(state, code)
        return ""

    def cancel(self, jobs: Iterable[str]) -> None:
        """End jobs, waiting or running. Raises SchedulerSilent."""
        wanted = list(jobs)
        for first in range(0, len(wanted), 200):
            _output(["scancel", *wanted[first : first + 200]])


def _words(state: str, code: str) -> str:
    status, _, signal = code.partition(":")
    if status.isdigit() and int(status) > 128:  # of a shell: what it ran was ended by a signal
        signal = str(int(status) - 128)
    if signal not in ("", "0"):
        return f"{state} (signal {signal})"
    return f"{state} (exit code {status})" if state == "FAILED" and status != "0" else state


def _output(command: list[str]) -> str:
    """What a command of SLURM prints; SchedulerSilent with its first line of complaint where it fails."""
    try:
        # What a user has set for squeue, such as SQUEUE_STATES, hides jobs: they would be taken for gone.
        environment = {name: value for name, value in os.environ.items() if not name.startswith(_FILTERS)}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=_SECONDS)
    except FileNotFoundError:
        raise SchedulerSilent(f"{command[0]}: no such command, expected SLURM's on the PATH") from None
    except subprocess.TimeoutExpired:
        raise SchedulerSilent(f"{command[0]} does not answer within {_SECONDS:.0f} s") from None
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip() or f"exit code {done.returncode}").splitlines()[0]
        raise SchedulerSilent(f"{command[0]}: {said}")
    return done.stdout
