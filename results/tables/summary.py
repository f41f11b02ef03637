"""What a comparison says of each row: means over seeds, and paired differences to a baseline."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from results.files.errors import ResultsError
from results.records.columns import ScoreKey
from results.records.image_counts import read_counts
from results.records.record import FINISHED, read_record
from results.records.scores import HEADLINE, STUDENT
from results.statistics.bootstrap import bootstrap_interval
from results.statistics.paired import Interval, PairedDifference, paired_difference
from results.tables.frame import say as tell
from results.tables.rows import Row
from results.tables.scores_by_seed import LAST, Score, scores

# Keys that no method sets: where a row and its baseline differ in them, so do the two in more than the method.
_OF_NO_METHOD = ("DATA.", "TEST.RESIZE", "SOLVER.BATCH", "SOLVER.PRECISION", "WEIGHTS")


@dataclass(frozen=True)
class Mean:
    """A score over seeds: mean, sample standard deviation (n - 1; None for one seed) and number of seeds."""

    mean: float
    deviation: float | None
    n: int

    @classmethod
    def of(cls, values: Mapping[int, float]) -> Mean | None:
        """The mean of scores by seed; None of none."""
        if not values:
            return None
        each = list(values.values())
        return cls(math.fsum(each) / len(each), statistics.stdev(each) if len(each) > 1 else None, len(each))


@dataclass(frozen=True)
class Versus:
    """A row against its baseline in the first score.

    Attributes:
        difference: paired by seed.
        by_image: the interval over images and seeds together; None where the runs left no counts of images.
        besides: config keys in which the two differ and that no method sets.
    """

    difference: PairedDifference
    by_image: Interval | None
    besides: tuple[str, ...] = ()


@dataclass(frozen=True)
class Summary:
    """A row with its figures: a `Mean` a score (None: no run has it), and its `Versus` (None: no baseline)."""

    row: Row
    means: list[Mean | None]
    versus: Versus | None
    why_none: str = ""


def summarize(
    rows: Sequence[Row],
    columns: Sequence[Score],
    baseline: str | None = None,
    model: str = STUDENT,
    rule: str = LAST,
    say: Callable[[str], None] = tell,
) -> list[Summary]:
    """The figures of all rows.

    Args:
        rows: of one comparison.
        columns: scores; differences are of the first.
        baseline: the method that others are compared with, each with the row of it that has the same protocol and
            network (and setting, where that has several); None: no differences.
        model: STUDENT or TEACHER.
        rule: LAST or ORACLE.
        say: gets a line for each damaged file of counts, without which there is no interval over images.

    Raises:
        ResultsError: no row is of the baseline.
    """
    by_seed = [[scores(row, score, model, rule) for score in columns] for row in rows]
    places = [place for place, row in enumerate(rows) if baseline in set(row.runs["method"])]
    if baseline is not None and not places:
        known = ", ".join(dict.fromkeys(method for row in rows for method in row.runs["method"]))
        raise ResultsError(f"--baseline {baseline}: no run is of it, expected one of {known}")
    found = []
    for place, row in enumerate(rows):
        versus, why = None, ""
        if baseline is not None and place not in places:
            with_what = _baseline(row, [(rows[each], by_seed[each][0]) for each in places])
            if isinstance(with_what, str):
                why = with_what
            elif (difference := paired_difference(by_seed[place][0], with_what[1])) is None:
                why = "no seed in common"
            else:
                is_plain = columns[0] == Score() and rule == LAST
                by_image = _by_image(row, with_what[0], model, say) if is_plain else None
                versus = Versus(difference, by_image, _besides(row, with_what[0]))
        found.append(Summary(row, [Mean.of(values) for values in by_seed[place]], versus, why))
    return found


def _baseline(
    row: Row, candidates: Sequence[tuple[Row, Mapping[int, float]]]
) -> tuple[Row, Mapping[int, float]] | str:
    """The row of the baseline that a row is compared with, and its scores; or why there is none."""
    there = [each for each in candidates if _place(each[0]) == _place(row)]
    if not there:
        return "no baseline of its protocol and network"
    alike = [each for each in there if each[0].setting == row.setting] or (there if len(there) == 1 else [])
    if len(alike) != 1:
        return f"{len(there)} baselines of other settings"
    differing = [name for name in ("max_iterations", "classes") if _values(row, name) != _values(alike[0][0], name)]
    if differing:
        return f"the baseline has other {' and '.join(differing).replace('_', ' ')}"
    return alike[0]


def _besides(row: Row, baseline: Row) -> tuple[str, ...]:
    both = row.config.keys() & baseline.config.keys()
    return tuple(sorted(k for k in both if k.startswith(_OF_NO_METHOD) and row.config[k] != baseline.config[k]))


def _place(row: Row) -> tuple[set[str], set[str]]:
    return _values(row, "protocol"), _values(row, "network")


def _values(row: Row, column: str) -> set[str]:
    return set(map(str, row.runs[column]))


def _by_image(row: Row, baseline: Row, model: str, say: Callable[[str], None]) -> Interval | None:
    """The interval over images and seeds, where all their finished runs left counts of the same images."""
    counts, made_of, left_out = [], set(), set()
    classes: list[int] = []
    for each in (row, baseline):
        of_seeds = {}
        finished = each.runs[each.runs["status"] == FINISHED]
        for seed, folder in zip(finished["seed"], finished["folder"], strict=True):
            try:
                record, found = read_record(Path(folder)), read_counts(Path(folder), model)
            except ResultsError as error:
                say(f"no interval over images of {row.label}: {error}")
                return None
            if record is None or found is None or record.validation is None or not record.data.get("VAL"):
                return None
            names = list(record.validation.labelled_pixels)
            left_out.add(tuple(record.validation.left_out.get(record.classes, [])))
            if record.classes != len(names) or found.shape[1] != len(names) ** 2:
                return None  # which of its classes a smaller set counts is not in the record
            classes = [index for index, name in enumerate(names) if record.validation.labelled_pixels[name]]
            made_of.add(str(record.data["VAL"]))
            of_seeds[int(seed)] = found
        counts.append(of_seeds)
    if len(made_of) != 1 or len(left_out) != 1:
        return None
    return bootstrap_interval(counts[0], counts[1], classes)


def headline(rows: Sequence[Row]) -> list[Score]:
    """The headline, and mIoU over each further class set that runs were scored on, large ones first."""
    columns: list[object] = list(rows[0].runs.columns) if rows else []
    first = {int(size) for row in rows for size in row.runs["classes"]}
    sizes = {
        key.classes
        for key in columns
        if isinstance(key, ScoreKey) and key.metric == HEADLINE and not key.statistic and key.classes
        if any(row.runs[key].notna().any() for row in rows)
    }
    return [Score(), *(Score(HEADLINE, size) for size in sorted(sizes - (first if len(first) == 1 else set()))[::-1])]
