"""Which values a setting may have, stated beside the field it is of.

    ratio: float = share(0.4)
    block: int = at_least_one(4)
    margins: tuple[float, ...] = at_least_zero((0.1, 0.2))  # each of them
    limit: float | None = above_zero(None)  # or None

A field without a range may have any value of its type. Runs are checked where their config is made, before anything is
trained; a term that a run does not have says nothing about it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import field, fields
from typing import Any, NamedTuple


class Range(NamedTuple):
    """``holds`` of a value in it; ``expected`` says which those are, as in "expected a number from 0 to 1"."""

    expected: str
    holds: Callable[[Any], bool]


def within(default: Any, expected: str, holds: Callable[[Any], bool]) -> Any:
    """A field of a settings dataclass with this default and `Range`."""
    return field(default=default, metadata={"range": Range(expected, holds)})


def at_least_one(default: Any) -> Any:
    """A count: at least 1."""
    return within(default, "at least 1", lambda value: value >= 1)


def at_least_zero(default: Any) -> Any:
    """Finite and not negative: a weight, a rate."""
    return within(default, "a finite number of at least 0", lambda value: value >= 0 and math.isfinite(value))


def above_zero(default: Any) -> Any:
    """Finite and positive: a temperature."""
    return within(default, "a finite number above 0", lambda value: 0 < value < math.inf)


def share(default: Any) -> Any:
    """From 0 to 1: a share, a probability, a momentum."""
    return within(default, "a number from 0 to 1", lambda value: 0 <= value <= 1)


def out_of_range(settings: type, values: Mapping[str, Any]) -> tuple[str, Any, str] | None:
    """The first field of a settings dataclass whose value is out of its range: its name, the value, what was expected.

    Args:
        settings: the dataclass.
        values: by field name. Of a tuple each item has to be in the range; None is in every one.
    """
    for each in fields(settings):
        value, allowed = values[each.name], each.metadata.get("range")
        items = value if isinstance(value, tuple) else (value,)
        if allowed and not all(allowed.holds(item) for item in items if item is not None):
            return each.name, value, allowed.expected
    return None
