"""Run jobs one after the other in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def run_inline(function: Callable[[T], R], jobs: Iterable[T]) -> list[R]:
    """Call ``function`` on each job, in order."""
    return [function(job) for job in jobs]
