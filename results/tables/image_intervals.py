"""The interval of a difference over images and seeds together, of rows whose runs left counts of their images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from results.files.errors import ResultsError
from results.records.image_counts import read_counts
from results.statistics.bootstrap import bootstrap_interval
from results.statistics.paired import Interval
from results.tables.rows import Row

if TYPE_CHECKING:
    from scipy.sparse import csr_array


@dataclass(frozen=True)
class _Counts:
    """What a row's finished runs left.

    Attributes:
        by_seed: counts by image, (N, K²).
        made_of: which images they are of, as a text; one where they are the same.
        left_out: the classes that have no place in means; likewise.
        classes: indices of the others.
    """

    by_seed: dict[int, csr_array]
    made_of: frozenset[str]
    left_out: frozenset[tuple[str, ...]]
    classes: list[int]


class ImageIntervals:
    """The intervals of one comparison. Counts of the last baseline are kept, since many rows have the same."""

    def __init__(self, model: str, say: Callable[[str], None]) -> None:
        """Take counts of ``model``; ``say`` gets a line for each damaged file of them."""
        self._model, self._say = model, say
        self._kept: tuple[Row, _Counts | ResultsError | None] | None = None

    def of(self, row: Row, baseline: Row) -> Interval | None:
        """The interval, where all finished runs of both left counts of the same images."""
        own = _read(row, self._model)
        theirs = self._of_baseline(baseline) if isinstance(own, _Counts) else None
        for each in (own, theirs):
            if isinstance(each, ResultsError):
                self._say(f"no interval over images of {row.label}: {each}")
        if not isinstance(own, _Counts) or not isinstance(theirs, _Counts):
            return None
        if len(own.made_of | theirs.made_of) != 1 or len(own.left_out | theirs.left_out) != 1:
            return None
        return bootstrap_interval(own.by_seed, theirs.by_seed, own.classes)

    def _of_baseline(self, baseline: Row) -> _Counts | ResultsError | None:
        if self._kept is None or self._kept[0] is not baseline:
            self._kept = baseline, _read(baseline, self._model)
        return self._kept[1]


def _read(row: Row, model: str) -> _Counts | ResultsError | None:
    """What all finished runs of a row left; None where one left none, or none that can be used."""
    by_seed, made_of, left_out = {}, set(), set()
    classes: list[int] = []
    for seed, folder in zip(row.finished["seed"], row.finished["folder"], strict=True):
        try:
            found = read_counts(Path(folder), model)
        except ResultsError as error:
            return error
        if found is None:
            return None
        record = row.records[int(seed)]
        if record.validation is None:
            return None
        names = list(record.validation.labelled_pixels)
        left_out.add(tuple(record.validation.left_out.get(record.classes, [])))
        if record.classes != len(names) or found.shape[1] != len(names) ** 2:
            return None  # which of its classes a smaller set counts is not in the record
        classes = [index for index, name in enumerate(names) if record.validation.labelled_pixels[name]]
        # Of images that are drawn there is no fingerprint: the same have as many pixels of each class.
        made_of.add(str(record.data.get("VAL") or record.validation.labelled_pixels))
        by_seed[int(seed)] = found
    return _Counts(by_seed, frozenset(made_of), frozenset(left_out), classes)
