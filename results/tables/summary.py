"""What a comparison says of each row: means over seeds, and paired differences to a baseline."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from results.records.columns import ScoreKey
from results.records.record import FINISHED
from results.records.scores import HEADLINE, STUDENT, lower_is_better
from results.statistics.paired import Interval, PairedDifference, mean_and_deviation, paired_difference
from results.tables.baselines import besides
from results.tables.frame import say as tell
from results.tables.image_intervals import ImageIntervals
from results.tables.rows import Row, is_known, lower_metrics
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
        return cls(*mean_and_deviation(list(values.values())), len(values))


@dataclass(frozen=True)
class Versus:
    """A row against its baseline, in the first score where nothing else is said.

    Attributes:
        difference: paired by seed.
        by_image: the interval over images and seeds together; None of one seed, and where the runs left no counts.
        besides: config keys in which the two differ and that no method sets.
        others: the differences in the further scores, where they were asked for; None where no seed has both.
    """

    difference: PairedDifference
    by_image: Interval | None
    besides: tuple[str, ...] = ()
    others: Sequence[Versus | None] = ()


@dataclass(frozen=True)
class Cost:
    """What a row's finished runs took: iterations, and medians of seconds an iteration and of MiB; None: unknown.

    ``shared``: how many of the runs had others on their GPU or cores.
    """

    iterations: int | None = None
    seconds: float | None = None
    memory: float | None = None
    shared: int = 0

    @classmethod
    def of(cls, row: Row) -> Cost:
        """The cost of a row's finished runs."""
        iterations, seconds, memory = map(row.known, ("iterations", "seconds_per_iteration", "peak_memory_mib"))
        return cls(
            int(max(iterations)) if iterations else None,
            statistics.median(seconds) if seconds else None,
            statistics.median(memory) if memory else None,
            sum(part > 0 for part in row.known("shared")),
        )


@dataclass(frozen=True)
class Summary:
    """A row with its figures.

    Attributes:
        row: what they are of.
        means: one a score; None where no run has it.
        versus: against its baseline; None where there is none, for the reason ``why_none``.
    """

    row: Row
    means: list[Mean | None]
    versus: Versus | None
    why_none: str

    @cached_property
    def cost(self) -> Cost:
        """What its finished runs took."""
        return Cost.of(self.row)

    @cached_property
    def unfinished(self) -> str:
        """The other runs by status, as "1 diverged, 2 not started"."""
        statuses = Counter(status for status in self.row.runs["status"] if status != FINISHED)
        told = [f"{count} {status}" for status, count in statuses.most_common()]
        told += [f"{count} {status}" for status, count in self.row.missing.items() if count]
        return ", ".join(told)

    @cached_property
    def target_labels(self) -> str:
        """The target images whose labels were learned from, as "1/16 (186 of 2975)"; "" where no number is said."""
        told = self.row.runs.get("target_labels", [])
        return " or ".join(dict.fromkeys(each for each in told if is_known(each)))

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
    every: bool = False,
) -> list[Summary]:
    """The figures of all rows.

    Args:
        rows: of one comparison.
        columns: scores; differences are of the first.
        baselines: what each row is compared with, or why with nothing ("" for a baseline itself); empty: no row is.
        model: STUDENT or TEACHER.
        rule: LAST or ORACLE.
        say: gets a line for each damaged file of counts, without which there is no interval over images.
        every: whether there are differences of the further columns, too.
    """
    found, intervals, lower = [], ImageIntervals(model, say), lower_metrics(rows)
    for row, baseline in zip(rows, baselines or [""] * len(rows), strict=True):
        by_seed = [scores(row, score, model, rule) for score in columns]
        versus, why = None, ""
        if isinstance(baseline, str):
            why = baseline
        else:
            first, *others = [
                paired_difference(own, scores(baseline, score, model, rule), lower_is_better(score.metric, lower))
                for score, own in zip(columns[: None if every else 1], by_seed, strict=False)
            ]
            if first is None:
                why = "no seed in common"
            else:
                is_plain = columns[0] == Score() and rule == LAST
                # Of one seed it would be of the images alone, narrow, and read as if it were of the method.
                by_image = intervals.of(row, baseline) if is_plain and first.n > 1 else None
                further = [None if each is None else Versus(each, None) for each in others]
                versus = Versus(first, by_image, besides(row, baseline), further)
        found.append(Summary(row, [Mean.of(values) for values in by_seed], versus, why))
    return found


def all_scores(rows: Sequence[Row]) -> list[Score]:
    """The headline, mIoU over each further class set that runs were scored on, large ones first, and other metrics."""
    columns = rows[0].runs if rows else {}
    keys = [key for key in columns if isinstance(key, ScoreKey) and not key.statistic and key.model == STUDENT]
    there = [key for key in keys if any(is_known(value) for row in rows for value in row.runs.get(key, []))]
    first = {int(size) for row in rows for size in row.runs["classes"]}
    is_first = ScoreKey(HEADLINE, first.pop()) if len(first) == 1 else None
    return [Score(), *(Score(key.metric, key.classes) for key in there if key != is_first)]
