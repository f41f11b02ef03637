"""The one error of this package, and the line it carries."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class DataError(ValueError):
    """Data or a description of data is not usable: one line naming the file (or key) and what was expected."""


class SizeMismatch(DataError):
    """A label whose size is not its image's."""


def unknown_name(kind: str, name: str, known: Iterable[str]) -> DataError:
    """The error to raise for a `name` that is none of the `known` ones; it suggests the nearest."""
    choices = sorted(known)
    nearest = difflib.get_close_matches(name, choices, n=1, cutoff=0.5)
    hint = f"did you mean {nearest[0]!r}? " if nearest else ""
    return DataError(f"unknown {kind} {name!r}: {hint}expected one of {', '.join(choices)}")
