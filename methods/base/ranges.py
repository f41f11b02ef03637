"""Which values a setting may have, stated beside the field it is of.

    ratio: float = share(0.4)
    block: int = at_least_one(4)
    margins: tuple[float, ...] = at_least_zero((0.1, 0.2))  # each of them
    limit: float | None = above_zero(None)  # or None
    view: str = choice("mixed", "target")

A field without a range may have any value of its type. Runs are checked where their config is made, before anything is
trained; a term that a run does not have says nothing about it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import field, fields
from typing import Any, NamedTuple


class Range(NamedTuple):
    """A test, ``holds``, and the words for what passes it, as in "expected a number from 0 to 1".

    ``whole``: of a tuple as it is, else of each of its items. None is in every range. ``words``: all that are in it,
    where these are few.
    """

    expected: str
    holds: Callable[[Any], bool]
    whole: bool = False
    words: tuple[str, ...] = ()

    def allows(self, value: Any) -> bool:
        """Whether the value is in the range."""
        items = value if isinstance(value, tuple) and not self.whole else (value,)
        return all(self.holds(item) for item in items if item is not None)


def within(default: Any, expected: str, holds: Callable[[Any], bool], whole: bool = False) -> Any:
    """A field of a settings dataclass with this default and `Range`."""
    return field(default=default, metadata={"range": Range(expected, holds, whole)})


def choice(default: str, *others: str) -> Any:
    """One of a few words."""
    *first, last = words = (default, *others)
    allowed = Range(f"{', '.join(first)} or {last}", lambda value: value in words, words=words)
    return field(default=default, metadata={"range": allowed})


def at_least_one(default: Any) -> Any:
    """A count: at least 1."""
    return within(default, "at least 1", lambda value: value >= 1)


def at_least_zero(default: Any) -> Any:
    """A finite number that is not negative: a weight, a rate."""
    return within(default, "a finite number of at least 0", lambda value: value >= 0 and math.isfinite(value))


def above_zero(default: Any) -> Any:
    """A finite number above 0: a temperature."""
    return within(default, "a finite number above 0", lambda value: 0 < value < math.inf)


def share(default: Any) -> Any:
    """A number from 0 to 1: a share, a probability, a momentum."""
    return within(default, "a number from 0 to 1", lambda value: 0 <= value <= 1)


def ranges_of(settings: type) -> dict[str, Range]:
    """The ranges of a settings dataclass, by field name."""
    return {each.name: each.metadata["range"] for each in fields(settings) if "range" in each.metadata}
