"""How stable the training of a grid's rows was: runs that diverged, and norms of gradients."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from results.files.errors import ResultsError
from results.records.metrics import GRADIENT_NORM, read_metrics
from results.records.record import DIVERGED, FINISHED
from results.records.scores import STUDENT
from results.tables.rows import Row
from results.tables.summary_text import NONE


@dataclass(frozen=True)
class Stability:
    """How many of a row's runs diverged, of those that are finished or diverged, and what gradients these had.

    ``norm``, ``largest``: median and largest L2 norm of the student's gradients; None where no run wrote any.
    """

    diverged: int
    ended: int
    norm: float | None
    largest: float | None

    @classmethod
    def of(cls, row: Row) -> Stability:
        """That of a row. A metrics.json that cannot be read has no norms."""
        statuses = zip(row.runs["folder"], row.runs["status"], strict=True)
        ended = {folder: status for folder, status in statuses if status in (FINISHED, DIVERGED)}
        norms = [norm for folder in ended for norm in _norms(Path(folder))]
        diverged = sum(status == DIVERGED for status in ended.values())
        return cls(diverged, len(ended), statistics.median(norms) if norms else None, max(norms, default=None))

    @property
    def figures(self) -> dict[str, Any]:
        """The columns of a grid's CSV."""
        return {
            "diverged": self.diverged,
            "ended": self.ended,
            "gradient_norm": self.norm,
            "largest_gradient_norm": self.largest,
        }


def stability_columns(rows: Sequence[Stability]) -> Mapping[str, list[str]]:
    """The cells by head as people read them; norms where a row has some."""
    shown = {"diverged": [f"{each.diverged} of {each.ended}" for each in rows]}
    if any(each.norm is not None for each in rows):
        shown["gradient norm"] = [
            NONE if each.norm is None else f"{each.norm:.3g}, at most {each.largest:.3g}" for each in rows
        ]
    return shown


def stability_caption(rows: Sequence[Stability]) -> str:
    """What these columns are, in sentences; "" of no rows, and nothing of norms where no row has any."""
    norms = " Gradient norm: the student's, median and largest of what these runs wrote down while they trained."
    has_norms = any(each.norm is not None for each in rows)
    return f"Diverged: of the runs that came to an end.{norms if has_norms else ''}" if rows else ""


def _norms(folder: Path) -> list[float]:
    name = f"{GRADIENT_NORM}{STUDENT}"
    try:
        return list(read_metrics(folder, name).get(name, {}).values())
    except ResultsError:
        return []
