"""What a step's parts cost: whatever is counted goes to the innermost part that is under way."""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


class Parts:
    """Divides what ``read`` tells, a number that only grows, between named parts.

    Attributes:
        amounts: by part. A part within another one has its own, and the outer one the rest.
    """

    def __init__(self, read: Callable[[], float]) -> None:
        self.amounts: defaultdict[str, float] = defaultdict(float)
        self._read = read
        self._last = 0.0
        self._under_way: list[str] = []

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """What is done within is of this part."""
        self._read_off()
        self._under_way.append(name)
        try:
            yield
        finally:
            self._read_off()
            self._under_way.pop()

    def wrapped(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, whose calls are of this part."""

        @functools.wraps(function)
        def of_part(*args: Any, **kwargs: Any) -> Any:
            with self.part(name):
                return function(*args, **kwargs)

        return of_part

    def _read_off(self) -> None:
        now = self._read()
        if self._under_way:
            self.amounts[self._under_way[-1]] += now - self._last
        self._last = now
