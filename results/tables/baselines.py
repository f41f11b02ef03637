"""What rows are compared with, and in what the two differ besides."""

from __future__ import annotations

from collections.abc import Sequence

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
    theirs = [row for row in rows if method in set(row.runs["method"])]
    if not theirs:
        known = ", ".join(dict.fromkeys(each for row in rows for each in row.runs["method"]))
        raise ResultsError(f"--baseline {method}: no run is of it, expected one of {known}")
    return ["" if row in theirs else _baseline(row, theirs) for row in rows]


def _baseline(row: Row, candidates: Sequence[Row]) -> Row | str:
    there = [each for each in candidates if _place(each) == _place(row)]
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
    both = row.config.keys() & baseline.config.keys()
    return tuple(sorted(k for k in both if k.startswith(_OF_NO_METHOD) and row.config[k] != baseline.config[k]))


def _place(row: Row) -> tuple[set[str], set[str]]:
    return _values(row, "protocol"), _values(row, "network")


def _values(row: Row, column: str) -> set[str]:
    return set(map(str, row.runs[column].tolist()))
