"""Runs that share a GPU or cores with others: what a run's seconds were measured beside.

A run that trains has a file below the cache folder, locked for as long as its process lives, so that one that was
killed has left at once. Runs of this user on this machine see each other, whoever started them.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import torch

from benchmarks.state.lock import file_lock
from benchmarks.state.lock_holder import machine

_FOLDER = "neighbours"
_LOOK = 2.0  # seconds between looks: one that comes is seen so much later


@dataclass(frozen=True)
class Place:
    """What a run computes on.

    Attributes:
        gpu: its unique id; "" on a CPU.
        cores: those that its process may use, by number.
    """

    gpu: str
    cores: frozenset[int]

    @classmethod
    def of(cls, device: torch.device) -> Place:
        """The place of this process with its device."""
        gpu = str(torch.cuda.get_device_properties(device).uuid) if device.type == "cuda" else ""
        cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
        return cls(gpu, frozenset(cores))

    def is_shared_with(self, other: Place) -> bool:
        """Whether a run here is slowed by one there: on the same GPU; of one on a CPU, by all that use its cores."""
        return self.gpu == other.gpu if self.gpu else bool(self.cores & other.cores)


class Neighbours:
    """The other runs on this one's GPU or cores, for how many of its iterations, and how many at a time.

    They are looked for every two seconds, so that a neighbour that came for a part of the run counts for that part.
    """

    def __init__(self, cache: Path, run: Path, place: Place) -> None:
        """Let others know of ``run`` (its folder), which trains at ``place``, below the folder ``cache``.

        Where that cannot be written, or has no file locks, nothing is known of neighbours.
        """
        self._folder, self._run, self._place = cache / _FOLDER, str(run.absolute()), place
        self._host = f"{machine()[0]}-"
        self._file: IO[bytes] | None = None
        with suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True)
            self._file = self._enter()
        self._due, self._beside = 0.0, 0
        self._iterations, self._all, self._most = 0, 0, 0

    def _enter(self) -> IO[bytes] | None:
        name = f"{self._host}{os.getpid()}-{time.monotonic_ns()}"
        hidden, self._path = self._folder / f".{name}", self._folder / name
        file = hidden.open("xb")
        if not file_lock(file):
            file.close()
            hidden.unlink()
            return None
        told = {"run": self._run, "machine": machine(), "gpu": self._place.gpu, "cores": sorted(self._place.cores)}
        file.write(json.dumps(told).encode())
        file.flush()
        hidden.rename(self._path)  # never seen without its lock, or half written
        return file

    def step(self) -> None:
        """Note that an iteration is done."""
        if self._file is None:
            return
        if (now := time.monotonic()) >= self._due:
            self._beside, self._due = self.count(), now + _LOOK
            self._most = max(self._most, self._beside)
        self._iterations += self._beside > 0
        self._all += 1

    def count(self) -> int:
        """How many other runs are at this place now; what a process that is gone has left is removed."""
        others = set()
        for path in self._folder.glob(f"{self._host}*"):
            if path != self._path and (other := _read(path)) is not None and other[0] != self._run:
                others |= {other[0]} if self._place.is_shared_with(other[1]) else set()
        return len(others)

    def as_record(self) -> dict[str, Any]:
        """What a record has of it, as "shared" (`results.records.record.Shared`); nothing where nothing is known."""
        if self._file is None:
            return {}
        return {"shared": {"iterations": self._iterations, "of": self._all, "others": self._most}}

    def leave(self) -> None:
        """Let others know no more of the run."""
        if self._file is not None:
            with suppress(OSError):
                self._path.unlink()
            self._file.close()


def _read(path: Path) -> tuple[str, Place] | None:
    """Run and place of a file that a process of this machine still has; None of others."""
    try:
        with path.open("rb") as file:
            if is_left := file_lock(file, fcntl.LOCK_SH):
                path.unlink()
            found = json.loads(file.read())
        if is_left is not False or found["machine"] != list(machine()):  # that of a cache that machines share
            return None
        return str(found["run"]), Place(str(found["gpu"]), frozenset(map(int, found["cores"])))
    except (OSError, ValueError, TypeError, KeyError):
        return None  # it left meanwhile
