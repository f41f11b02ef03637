"""A comparison as people read it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from results.records.columns import COUNTED, ScoreKey
from results.records.scores import HEADLINE
from results.statistics.paired import Interval
from results.tables.beside_published import Beside, not_as_published
from results.tables.scores_by_seed import Score
from results.tables.summary import Mean, Summary, Versus

NONE, ALL = "-", "all"
SHARED = " †"  # after a figure of runs that had others on their GPU or cores


@dataclass(frozen=True)
class Shown:
    """What a table has beside names and scores.

    Attributes:
        versus: what differences are to, as the head says it; "" for none.
        cost: whether iterations, seconds and memory are there.
        published: what was published of each row; empty: no column of it.
    """

    versus: str = ""
    cost: bool = False
    published: Sequence[Beside] = ()


def columns_of(summaries: Sequence[Summary], scores: Sequence[Score], show: Shown = Shown()) -> dict[str, list[str]]:
    """The cells of a table by head, as text: names, setting, scores, seeds, differences, published figures and cost.

    A mean is ``22.5 ± 1.1``, with the number of seeds behind it where that is not the row's. What no row has, as an
    interval of one seed, is no column.
    """
    found = {head: [named(summary, head) for summary in summaries] for head in summaries[0].row.names}
    if any(summary.row.setting for summary in summaries):
        found["setting"] = [setting_text(summary) or NONE for summary in summaries]
    if any(summary.target_labels for summary in summaries):
        found["target labels"] = [labels_text(summary) for summary in summaries]
    for place, score in enumerate(scores):
        found[title(summaries, score)] = [
            mean_text(each.means[place], each.n) + _other_difference(each, place) for each in summaries
        ]
    if any(summary.n > 1 for summary in summaries):
        found["n"] = [str(summary.n) for summary in summaries]
    if show.versus:
        found |= _versus_columns(summaries, f"vs {show.versus}" + _of_which(summaries, scores))
    found |= published_columns(summaries, show.published)
    if show.cost:
        found["iterations"] = [_text(summary.cost.iterations, "d") for summary in summaries]
        marks = [SHARED if summary.cost.shared else "" for summary in summaries]
        cost = [(each.cost, mark) for each, mark in zip(summaries, marks, strict=True)]
        found["s/iteration"] = [_text(each.seconds, ".3f", mark) for each, mark in cost]
        found["peak memory"] = [_text(each.memory, ".0f", f" MiB{mark}") for each, mark in cost]
    if any(summary.unfinished for summary in summaries):
        found["unfinished"] = [summary.unfinished for summary in summaries]
    return found


def means(summaries: Sequence[Summary], place: int) -> list[float | None]:
    """The means of all rows in the score of that place."""
    return [mean.mean if (mean := summary.means[place]) else None for summary in summaries]


def named(summary: Summary, head: str) -> str:
    """A name of a row; of a method that learns from target labels with ``(oracle)``."""
    return summary.row.names[head] + (" (oracle)" if head == "method" and summary.row.is_oracle else "")


def setting_text(summary: Summary) -> str:
    """The keys that tell a row from others of its names, and their values; "" where none does."""
    return ", ".join(f"{key} {value}" for key, value in summary.row.setting.items())


def labels_text(summary: Summary) -> str:
    """How many target images a row learns from with their labels, beside rows that say so."""
    return summary.target_labels or (ALL if summary.row.is_oracle else NONE)


def title(summaries: Sequence[Summary], score: Score) -> str:
    """The head of a score: ``mIoU (19)``, or ``mIoU (18 of 19)`` where labels lack a class; several where rows differ.

    Where rows are of different class sets, that of the headline says none.
    """
    if isinstance(score.of, str):
        return score.title
    size = score.of or one_size(summaries)
    if size is None or score.metric != HEADLINE:
        return score.title
    known = (counted_of(each, None if score.of is None else size) for each in summaries)
    numbers = sorted({number for number in known if number is not None})
    is_all = not numbers or numbers == [size]
    return f"{HEADLINE} ({size if is_all else ' or '.join(map(str, numbers)) + f' of {size}'})"


def one_size(summaries: Sequence[Summary]) -> int | None:
    """The size of the class set of the headline, where it is one for all."""
    sizes = {int(size) for each in summaries for size in each.row.runs["classes"]}
    return sizes.pop() if len(sizes) == 1 else None


def counted_of(summary: Summary, size: int | None) -> int | None:
    """How many classes of a set (None: the headline's) the means of a row's finished runs are over, if it is known."""
    known = summary.row.known("counted" if size is None else ScoreKey("", size, statistic=COUNTED))
    return int(min(known)) if known else None


def _of_which(summaries: Sequence[Summary], scores: Sequence[Score]) -> str:
    """Which of several class sets differences are of: `` (16)``."""
    several = [score for score in scores if score.metric == HEADLINE]
    size = one_size(summaries)
    return f" ({size})" if len(several) > 1 and scores[0] == Score() and size is not None else ""


def _versus_columns(summaries: Sequence[Summary], head: str) -> dict[str, list[str]]:
    versus = [summary.versus for summary in summaries]
    if not any(versus) and len(summaries) == 1:
        return {}  # there is nothing else to be compared with
    found = {
        head: [
            difference_text(each) + (f" (n={each.difference.n})" if each and each.difference.n != summary.n else "")
            for each, summary in zip(versus, summaries, strict=True)
        ]
    }
    if any(each and each.difference.interval for each in versus):
        found["95% (seeds)"] = [interval_text(each.difference.interval if each else None) for each in versus]
    if any(each and each.by_image for each in versus):
        found["95% (images, seeds)"] = [interval_text(each.by_image if each else None) for each in versus]
    if any(each and each.difference.n > 1 for each in versus):
        found["better"] = [f"{each.difference.better} of {each.difference.n}" if each else NONE for each in versus]
    return found


def published_columns(summaries: Sequence[Summary], published: Sequence[Beside]) -> dict[str, list[str]]:
    """What was published of each row: mIoU, what the measured mean differs by, and what was not as published."""
    if not any(each.miou is not None or each.note or each.difference is not None for each in published):
        return {}
    found = {"published": [each.note or _text(each.miou, ".1f") for each in published]}
    if any(each.difference is not None for each in published):
        found["published difference"] = [_signed(each.difference) for each in published]
    found["vs published"] = [
        _signed(None if mean is None or each.miou is None else mean - each.miou)
        for mean, each in zip(means(summaries, 0), published, strict=True)
    ]
    if len(not_as_published(published)) > 1:  # of one, the note below the table has it
        found["not as published"] = [each.other or NONE for each in published]
    return found


def published_class_text(mean: Mean | None, published: float | None) -> tuple[str, str]:
    """A published IoU, and what the measured mean differs from it by ("" where one of the two is missing)."""
    difference = "" if mean is None or published is None else _signed(mean.mean - published)
    return _text(published, ".1f"), difference


def _text(value: float | None, form: str, unit: str = "") -> str:
    return NONE if value is None else f"{value:{form}}{unit}"


def mean_text(mean: Mean | None, n: int) -> str:
    """A mean as ``22.5 ± 1.1``; of one seed ``22.5``; of fewer seeds than the row's ``n`` with their number; or "-"."""
    if mean is None:
        return NONE
    deviation = "" if mean.deviation is None else f" ± {mean.deviation:.1f}"
    return f"{mean.mean:.1f}{deviation}" + (f" (n={mean.n})" if mean.n != n else "")


def _other_difference(summary: Summary, place: int) -> str:
    """A difference in a further score, as `` (+2.1 ± 0.3)``; "" where those of all were not asked for."""
    others = summary.versus.others if summary.versus and place else ()
    return f" ({difference_text(others[place - 1])})" if others else ""


def difference_text(versus: Versus | None) -> str:
    """A difference as ``+2.1 ± 0.3``, the deviation that of the differences by seed; "-" of none."""
    if versus is None:
        return NONE
    difference = versus.difference
    return _signed(difference.mean) + ("" if difference.deviation is None else f" ± {difference.deviation:.1f}")


def interval_text(interval: Interval | None) -> str:
    """An interval as ``[+1.3, +2.9]``; "-" of none."""
    return f"[{_signed(interval.low)}, {_signed(interval.high)}]" if interval else NONE


def _signed(value: float | None) -> str:
    return NONE if value is None else f"{round(value, 1) + 0.0:+.1f}"  # never -0.0
