"""What all sections of the report are made of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pandas as pd

from results.records.record import FINISHED, Record
from results.tables.rows import Row
from results.tables.summary import Summary


@dataclass(frozen=True)
class Compared:
    """Runs as rows, with their figures.

    Attributes:
        runs: all of them, whatever their status, as `results.tables.frame` has them.
        summaries: of each row; a row's number in it is its style in figures.
        records: of each run folder.
        baseline: the method that others are compared with, if any.
        model, rule: whose scores they are, and of which iterate.
    """

    runs: pd.DataFrame
    summaries: Sequence[Summary]
    records: dict[str, Record]
    baseline: str | None
    model: str
    rule: str

    @property
    def rows(self) -> list[Row]:
        """The rows."""
        return [summary.row for summary in self.summaries]

    def finished(self, row: Row) -> list[Record]:
        """The records of a row's finished runs, by seed."""
        done = row.runs[row.runs["status"] == FINISHED].sort_values("seed")
        return [self.records[folder] for folder in done["folder"]]

    def by_place(self) -> Iterator[tuple[str, list[tuple[int, Summary]]]]:
        """The rows of each protocol and network, with their numbers; the name is that of both."""
        places: dict[str, list[tuple[int, Summary]]] = {}
        for style, summary in enumerate(self.summaries):
            place = ", ".join(str(summary.row.runs[name].iloc[0]) for name in ("protocol", "network"))
            places.setdefault(place, []).append((style, summary))
        yield from places.items()
