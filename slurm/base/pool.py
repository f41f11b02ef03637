"""Jobs that run outside this process, whatever runs them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

from slurm.base.outcome import Lost

if TYPE_CHECKING:
    from typing_extensions import Self

T = TypeVar("T")
R = TypeVar("R")


class Pool(ABC, Generic[T, R]):
    """Jobs elsewhere, each called by an index of the caller's until it ended. Use as a context manager.

    Attributes:
        parallel: jobs at a time, at least 1.
    """

    def __init__(self, parallel: int) -> None:
        self.parallel = parallel

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...

    @property
    @abstractmethod
    def left(self) -> int:
        """How many jobs have not ended."""

    @property
    def free(self) -> int:
        """How many more jobs can be submitted now."""
        return self.parallel - self.left

    @property
    @abstractmethod
    def running(self) -> set[int]:
        """The jobs that are under way."""

    @property
    def waits_for(self) -> str:
        """What is waited for besides running jobs, in words; "" for nothing."""
        return ""

    def submit(self, index: int, job: T) -> str:
        """Submit ``job``, which can be pickled; a line instead where somebody else is at it. Raises LauncherError."""
        self.submit_all({index: job})
        return ""

    @abstractmethod
    def submit_all(self, jobs: Mapping[int, T]) -> None:
        """Submit jobs, also more than are `free`. Raises LauncherError; those that were submitted before stay."""

    def take(self, jobs: Mapping[int, T], say: Callable[[str], None]) -> dict[int, str]:
        """Submit jobs, or wait for those that are in a queue already; returns a line for each that others are at."""
        self.submit_all(jobs)
        return {}

    @abstractmethod
    def cancel(self, index: int) -> None:
        """Tell a job to stop; it is among the ended ones when it did."""

    @abstractmethod
    def ended(self) -> list[tuple[int, R | Lost]]:
        """Index and outcome of the jobs that ended since the last call; waits a moment, but for no job."""

    def busy(self, folder: Path) -> bool:
        """Whether a job that writes to ``folder`` waits for its turn, so that no process has it yet."""
        return False
