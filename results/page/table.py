"""Tables of the report: cells as text, each with the value that it is sorted by."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from results.files.text import one_line
from results.tables.summary_text import NONE

NOTHING = "–"
MOST_CHARACTERS = 300  # of a cell: what others wrote may be long
_LONG = 40  # characters of a cell that is broken into lines
_NUMBER = re.compile(r"\[?([+-]?\d+(?:\.\d+)?)(?=$|[ ,\]])")


@dataclass(frozen=True)
class Cell:
    """A cell.

    Attributes:
        text: as it is shown.
        number: what it is sorted by; None: sorted as text, or last where it is NOTHING.
        note: a second, smaller line.
        share: how strongly it is coloured, from -1 (worse) to 1 (better).
        strong: whether its note is bold.
    """

    text: str
    number: float | None = None
    note: str = ""
    share: float = 0.0
    strong: bool = False

    @property
    def is_long(self) -> bool:
        """Whether it is broken into lines."""
        return len(self.text) > _LONG


@dataclass(frozen=True)
class Table:
    """A table: what it is of, its heads and its rows; the first cell of a row names it."""

    caption: str
    heads: Sequence[str]
    rows: Sequence[Sequence[Cell]]

    @cached_property
    def numeric(self) -> list[bool]:
        """Whether each column has numbers, and nothing else."""
        columns = [[each for each in column if each.text != NOTHING] for column in zip(*self.rows, strict=True)]
        return [bool(column) and all(each.number is not None for each in column) for column in columns]

    @classmethod
    def of(cls, caption: str, columns: Mapping[str, Sequence[str]]) -> Table:
        """A table of columns of text."""
        return cls(caption, list(columns), [list(map(cell, row)) for row in zip(*columns.values(), strict=True)])

    @classmethod
    def of_rows(cls, caption: str, heads: Sequence[str], rows: Iterable[Sequence[object]]) -> Table:
        """A table of rows of values; None is nothing."""
        return cls(caption, heads, [[cell("" if value is None else str(value)) for value in row] for row in rows])


def cell(text: str) -> Cell:
    """A cell of a text, sorted by the number that it begins with: ``22.5 ± 1.1``, ``+2.1``, ``[+1.0, +2.9]``."""
    text = shortened(text)
    if text in ("", NONE, NOTHING):
        return Cell(NOTHING)
    found = _NUMBER.match(text)
    return Cell(text, float(found.group(1)) if found else None)


def shortened(text: str, most: int = MOST_CHARACTERS) -> str:
    """A text of one line and of at most so many characters."""
    text = one_line(text[: most + 1])
    return text if len(text) <= most else f"{text[:most]}…"
