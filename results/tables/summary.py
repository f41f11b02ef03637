"""What a comparison says of each row: means over seeds, and paired differences to a baseline."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from results.files.errors import ResultsError
from results.records.columns import ScoreKey
from results.records.image_counts import read_counts
from results.records.record import FINISHED
from results.records.scores import HEADLINE, STUDENT
from results.statistics.bootstrap import bootstrap_interval
from results.statistics.paired import Interval, PairedDifference, paired_difference
from results.tables.baselines import besides
from results.tables.frame import say as tell
from results.tables.rows import Row
from results.tables.scores_by_seed import LAST, Score, scores


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
        by_image: the interval over images and seeds together; None of one seed, and where the runs left no counts.
        besides: config keys in which the two differ and that no method sets.
    """

    difference: PairedDifference
    by_image: Interval | None
    besides: tuple[str, ...] = ()


@dataclass(frozen=True)
class Cost:
    """What a row's finished runs took: iterations, and medians of seconds an iteration and of MiB; None: unknown."""

    iterations: int | None = None
    seconds: float | None = None
    memory: float | None = None

    @classmethod
    def of(cls, row: Row) -> Cost:
        """The cost of a row's finished runs."""
        iterations, seconds, memory = map(row.known, ("iterations", "seconds_per_iteration", "peak_memory_mib"))
        return cls(
            int(max(iterations)) if iterations else None,
            statistics.median(seconds) if seconds else None,
            statistics.median(memory) if memory else None,
        )


@dataclass(frozen=True)
class Summary:
    """A row with its figures.

    Attributes:
        row: what they are of.
        means: one a score; None where no run has it.
        versus: against its baseline; None where there is none, for the reason ``why_none``.
        cost: of its finished runs.
        unfinished: the other runs by status, as "1 diverged, 2 not started".
    """

    row: Row
    means: list[Mean | None]
    versus: Versus | None
    why_none: str
    cost: Cost
    unfinished: str

    @property
    def n(self) -> int:
        """The number of seeds behind the first score."""
        return self.means[0].n if self.means[0] else 0


def summarize(
    rows: Sequence[Row],
    columns: Sequence[Score],
    baselines: Sequence[Row | str] = (),
    model: str = STUDENT,
    rule: str = LAST,
    say: Callable[[str], None] = tell,
) -> list[Summary]:
    """The figures of all rows.

    Args:
        rows: of one comparison.
        columns: scores; differences are of the first.
        baselines: what each row is compared with, or why with nothing ("" for a baseline itself); empty: no row is.
        model: STUDENT or TEACHER.
        rule: LAST or ORACLE.
        say: gets a line for each damaged file of counts, without which there is no interval over images.
    """
    found = []
    for row, baseline in zip(rows, baselines or [""] * len(rows), strict=True):
        by_seed = [scores(row, score, model, rule) for score in columns]
        versus, why = None, ""
        if isinstance(baseline, str):
            why = baseline
        elif (difference := paired_difference(by_seed[0], scores(baseline, columns[0], model, rule))) is None:
            why = "no seed in common"
        else:
            is_plain = columns[0] == Score() and rule == LAST
            # Of one seed it would be of the images alone, narrow, and read as if it were of the method.
            by_image = _by_image(row, baseline, model, say) if is_plain and difference.n > 1 else None
            versus = Versus(difference, by_image, besides(row, baseline))
        statuses = Counter(status for status in row.runs["status"].tolist() if status != FINISHED)
        told = [f"{count} {status}" for status, count in statuses.most_common()]
        told += [f"{count} {status}" for status, count in row.missing.items() if count]
        means = [Mean.of(values) for values in by_seed]
        found.append(Summary(row, means, versus, why, Cost.of(row), ", ".join(told)))
    return found


def _by_image(row: Row, baseline: Row, model: str, say: Callable[[str], None]) -> Interval | None:
    """The interval over images and seeds, where all their finished runs left counts of the same images."""
    counts, made_of, left_out = [], set(), set()
    classes: list[int] = []
    for each in (row, baseline):
        of_seeds = {}
        for seed, folder in zip(each.finished["seed"], each.finished["folder"], strict=True):
            try:
                found = read_counts(Path(folder), model)
            except ResultsError as error:
                say(f"no interval over images of {row.label}: {error}")
                return None
            if found is None:
                return None
            record = each.records[int(seed)]
            if record.validation is None:
                return None
            names = list(record.validation.labelled_pixels)
            left_out.add(tuple(record.validation.left_out.get(record.classes, [])))
            if record.classes != len(names) or found.shape[1] != len(names) ** 2:
                return None  # which of its classes a smaller set counts is not in the record
            classes = [index for index, name in enumerate(names) if record.validation.labelled_pixels[name]]
            # Of images that are drawn there is no fingerprint: the same have as many pixels of each class.
            made_of.add(str(record.data.get("VAL") or record.validation.labelled_pixels))
            of_seeds[int(seed)] = found
        counts.append(of_seeds)
    if len(made_of) != 1 or len(left_out) != 1:
        return None
    return bootstrap_interval(counts[0], counts[1], classes)


def all_scores(rows: Sequence[Row]) -> list[Score]:
    """The headline, mIoU over each further class set that runs were scored on, large ones first, and other metrics."""
    columns: list[object] = list(rows[0].runs.columns) if rows else []
    keys = [key for key in columns if isinstance(key, ScoreKey) and not key.statistic and key.model == STUDENT]
    there = [key for key in keys if any(row.runs[key].notna().any() for row in rows if key in row.runs)]
    first = {int(size) for row in rows for size in row.runs["classes"]}
    is_first = ScoreKey(HEADLINE, first.pop()) if len(first) == 1 else None
    return [Score(), *(Score(key.metric, key.classes) for key in there if key != is_first)]
