"""Settings that are one of a few names."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from methods.base.errors import MethodError


def check_choice(key: str, value: str, known: Sequence[str]) -> None:
    """Raise MethodError unless ``value`` of the config key ``key`` is one of ``known``; it suggests the nearest."""
    if value in known:
        return
    near = difflib.get_close_matches(value, known, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise MethodError(f"{key} is {value!r}: expected {' or '.join(map(repr, known))}{hint}")
