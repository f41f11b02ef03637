"""Who holds a run's lock: what it writes into the file, and what others can tell of it."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import time
import uuid
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

from results.files.plain_file import read_plain_text

JUST_NOW = 1.0  # seconds in which one that only looks has let go again


@dataclass(frozen=True)
class Holder:
    """A process that has, or is taking, a lock.

    Attributes:
        process: its id, by itself no name of anything: ids are given anew, hence ``started``.
        started: when, in the kernel's ticks since boot; "" where that cannot be known.
        host: name of the machine.
        boot: the kernel's id of its boot; "" where that cannot be known.
        space: the namespace that ``process`` counts in: containers of one machine number their own.
        job: of SLURM, an element of an array as ``123_4``; "" outside.
        restarts: how often SLURM has queued the job again.
        has_file_lock: whether it also has the file locked, so that its end is seen by the kernel.
        since: seconds since 1970, by its clock.
        token: drawn; no two locks have the same.
    """

    process: int
    started: str
    host: str
    boot: str
    space: str
    job: str
    restarts: int
    has_file_lock: bool
    since: float
    token: str

    def __str__(self) -> str:
        restart = f" (restart {self.restarts})" if self.restarts else ""
        return f"process {self.process} on {self.host}" + (f", job {self.job}{restart}" if self.job else "")

    def dumps(self) -> str:
        """One line of JSON."""
        return json.dumps(asdict(self)) + "\n"

    @property
    def is_here(self) -> bool:
        """Whether its kernel is the one of this process, by which a file lock is always seen."""
        return (self.host, self.boot) == machine()

    @property
    def is_passing(self) -> bool:
        """Whether it may let go at once: it began just now, or is dead and so another is about to write its name."""
        return self.is_here and (time.time() - self.since < JUST_NOW or self.is_alive() is False)

    def is_alive(self) -> bool | None:
        """Whether the process is there; None where that cannot be told from here."""
        if not self.is_here or self.space != process_space():
            return None
        try:
            os.kill(self.process, 0)
        except ProcessLookupError:
            return False
        except OSError:  # another user's
            pass
        return not self.started or start_of(self.process) == self.started

    def is_before(self, other: Holder) -> bool:
        """Whether it is an earlier start of the same job, which SLURM ended before the other one."""
        return bool(self.job) and self.job == other.job and self.restarts < other.restarts


def this_process() -> Holder:
    """This process as a holder, with a new token, and no file lock yet."""
    host, boot = machine()
    process, (job, restarts) = os.getpid(), slurm_job()
    space, since, token = process_space(), time.time(), uuid.uuid4().hex[:16]
    return Holder(process, start_of(process), host, boot, space, job, restarts, False, since, token)


def parsed(text: str) -> Holder | None:
    """The holder that wrote a text; None for what no holder wrote."""
    try:
        found = Holder(**json.loads(text))
        return found if isinstance(found.process, int) and isinstance(found.token, str) else None
    except (ValueError, TypeError):
        return None


FREE = "free"


class Content(NamedTuple):
    """What a lock says. ``tag`` names it, no two holders' are the same; ``holder`` is None where it cannot be read."""

    tag: str
    holder: Holder | None


def read_content(path: Path) -> Content:
    """Read by opening the file anew, upon which NFS asks the server."""
    try:
        text = read_plain_text(path, errors="replace")
    except OSError:
        return Content("unknown", None)
    holder = parsed(text)
    if holder is not None:
        return Content(holder.token, holder)
    return Content(hashlib.sha1(text.encode()).hexdigest()[:16] if text.strip() else FREE, None)


def machine() -> tuple[str, str]:
    """Name of this host, and id of its boot."""
    return socket.gethostname(), _boot()


@cache
def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def process_space() -> str:
    """Name of the namespace of process ids; "" where there is none."""
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""


def start_of(process: int) -> str:
    """When a process started, in ticks since boot; "" where that cannot be known, or it only waits to be reaped."""
    try:
        state, *fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except (OSError, ValueError):
        return ""
    return "" if state in "ZX" else fields[18]  # field 22 of proc(5)


def slurm_job() -> tuple[str, int]:
    """Id of the SLURM job that this process is part of ("" outside), and how often it was queued again."""
    environment = os.environ
    array, element = environment.get("SLURM_ARRAY_JOB_ID"), environment.get("SLURM_ARRAY_TASK_ID")
    job = f"{array}_{element}" if array and element else environment.get("SLURM_JOB_ID", "")
    restarts = environment.get("SLURM_RESTART_COUNT", "")
    return job, int(restarts) if restarts.isdigit() else 0
