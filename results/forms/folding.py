"""Tables for a terminal: one that is too wide is folded between columns."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping, Sequence

from results.forms.cells import FORMS, tabulated

LEAST = 80  # columns that a terminal is taken to have
_BETWEEN = 2  # spaces between the columns of a block


def render_table(columns: dict[str, list[str]], form: str) -> str:
    """Columns of text as ``table`` (for the screen), ``markdown`` or ``latex``; the first on the left, others right."""
    return for_screen(columns) if form == "table" else tabulated(columns, FORMS[form])


def for_screen(columns: Mapping[str, Sequence[str]]) -> str:
    """The table for standard output: folded to the width of a terminal, whole for a file or another program."""
    if not sys.stdout.isatty():
        return tabulated(columns, "simple")
    return folded(columns, max(LEAST, shutil.get_terminal_size().columns))


def folded(columns: Mapping[str, Sequence[str]], width: int = 80) -> str:
    """The table of these columns for a terminal, in blocks that are at most ``width`` wide, one below the other.

    Each block begins with the first column and has as many of the others as fit, in their order: rows stay whole, and
    so do words. A column that does not fit beside the first one has a block of its own, which is wider.

    Args:
        columns: cells by head, as many in each.
        width: letters of a line.
    """
    first, *others = columns
    blocks, room = [[first]], width - _width(first, columns)
    left = room
    for head in others:
        needed = _BETWEEN + _width(head, columns)
        if needed > left and len(blocks[-1]) > 1:
            blocks.append([first])
            left = room
        blocks[-1].append(head)
        left -= needed
    return "\n\n".join(tabulated({head: columns[head] for head in block}, "simple") for block in blocks)


def _width(head: str, columns: Mapping[str, Sequence[str]]) -> int:
    return max(map(len, tabulated({head: columns[head]}, "simple").splitlines()))
