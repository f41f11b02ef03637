"""What rows are compared with, and in what the two differ besides."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from results.files.errors import ResultsError
from results.tables.rows import Row

# Keys that no method sets: where a row and its baseline differ in them, so do the two in more than the method.
_OF_NO_METHOD = ("DATA.", "TEST.RESIZE", "SOLVER.BATCH", "SOLVER.PRECISION", "WEIGHTS")


def baselines_by_method(rows: Sequence[Row], method: str) -> list[Row | str]:
    """What each row is compared with: the row of ``method`` of its protocol and network, or why with nothing.

    Where that has several settings, it is the one of the row's own.

    Raises:
        ResultsError: no row is of the method.
    """
    theirs = [row for row in rows if method in row.runs["method"]]
    if not theirs:
        known = ", ".join(dict.fromkeys(each for row in rows for each in row.runs["method"]))
        raise ResultsError(f"--baseline {method}: no run is of it, expected one of {known}")
    there: dict[Hashable, list[Row]] = {}
    for row in theirs:
        there.setdefault(_place(row), []).append(row)
    return ["" if method in row.runs["method"] else _baseline(row, there.get(_place(row), [])) for row in rows]


def _baseline(row: Row, there: Sequence[Row]) -> Row | str:
    if not there:
        return "no baseline of its protocol and network"
    alike = [each for each in there if each.setting == row.setting] or (there if len(there) == 1 else [])
    if len(alike) != 1:
        return f"{len(there)} baselines of other settings"
    differing = [name for name in ("max_iterations", "classes") if _values(row, name) != _values(alike[0], name)]
    if differing:
        return f"the baseline has other {' and '.join(differing).replace('_', ' ')}"
    return alike[0]


def besides(row: Row, baseline: Row) -> tuple[str, ...]:
    """The config keys in which two rows differ and that no method sets."""
    theirs = baseline.config
    differing = (key for key, value in row.config.items() if key in theirs and value != theirs[key])
    return tuple(sorted(key for key in differing if key.startswith(_OF_NO_METHOD)))


def _place(row: Row) -> Hashable:
    return _values(row, "protocol"), _values(row, "network")


def _values(row: Row, column: str) -> frozenset[str]:
    return frozenset(map(str, row.runs[column]))
