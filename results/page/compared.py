"""What all sections of the report are made of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from results.plots.row_looks import row_looks
from results.plots.style import Look
from results.records.record import Record
from results.tables.rows import Row
from results.tables.summary import Summary


@dataclass(frozen=True)
class Compared:
    """Runs as rows, with their figures.

    Attributes:
        runs: all of them, whatever their status, as `results.tables.frame` has them.
        summaries: of each row.
        records: of each run folder.
        baseline: the method that others are compared with, if any.
        baselines: the row that each row is compared with, or why with none; empty without a baseline.
        model, rule: whose scores they are, and of which iterate.
    """

    runs: pd.DataFrame
    summaries: Sequence[Summary]
    records: dict[str, Record]
    baseline: str | None
    baselines: Sequence[Row | str]
    model: str
    rule: str

    @property
    def rows(self) -> list[Row]:
        """The rows."""
        return [summary.row for summary in self.summaries]

    @cached_property
    def looks(self) -> dict[str, Look]:
        """How each row is drawn, by label."""
        return row_looks(self.rows)

    def by_place(self) -> Iterator[tuple[str, list[Summary]]]:
        """The rows of each protocol and network; the name is that of both."""
        places: dict[str, list[Summary]] = {}
        for summary in self.summaries:
            place = ", ".join(str(summary.row.runs[name][0]) for name in ("protocol", "network"))
            places.setdefault(place, []).append(summary)
        yield from places.items()
