"""A comparison as people read it, as LaTeX, and as numbers for other programs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from results.statistics.paired import Interval
from results.tables.latex import escaped, marked, small, table
from results.tables.scores_by_seed import Score
from results.tables.summary import Mean, Summary, Versus

if TYPE_CHECKING:
    import pandas as pd

NONE = "-"


def columns_of(summaries: Sequence[Summary], scores: Sequence[Score], baseline: str | None) -> dict[str, list[str]]:
    """The cells of a table by head, as text: names, setting, scores, seeds, and differences to the baseline.

    A mean is ``22.5 ± 1.1``, with the number of seeds behind it where that is not the row's.
    """
    found = {head: [summary.row.names[head] for summary in summaries] for head in summaries[0].row.names}
    if any(summary.row.setting for summary in summaries):
        found["setting"] = [
            ", ".join(f"{key} {value}" for key, value in summary.row.setting.items()) or NONE for summary in summaries
        ]
    for place, score in enumerate(scores):
        found[score.title] = [mean_text(summary.means[place], _n(summary)) for summary in summaries]
    found["n"] = [str(_n(summary)) for summary in summaries]
    if baseline is not None:
        versus = [summary.versus for summary in summaries]
        found[f"vs {baseline}"] = [difference_text(each) for each in versus]
        found["95% (seeds)"] = [interval_text(each.difference.interval if each else None) for each in versus]
        if any(each and each.by_image for each in versus):
            found["95% (images, seeds)"] = [interval_text(each.by_image if each else None) for each in versus]
        found["better"] = [f"{each.difference.better} of {each.difference.n}" if each else NONE for each in versus]
    return found


def _n(summary: Summary) -> int:
    return summary.means[0].n if summary.means[0] else 0


def mean_text(mean: Mean | None, n: int) -> str:
    """A mean as ``22.5 ± 1.1``; of one seed ``22.5``; of fewer seeds than the row's ``n`` with their number; or "-"."""
    if mean is None:
        return NONE
    deviation = "" if mean.deviation is None else f" ± {mean.deviation:.1f}"
    return f"{mean.mean:.1f}{deviation}" + (f" (n={mean.n})" if mean.n != n else "")


def difference_text(versus: Versus | None) -> str:
    """A difference as ``+2.1 ± 0.3``, the deviation that of the differences by seed; "-" of none."""
    if versus is None:
        return NONE
    difference = versus.difference
    return _signed(difference.mean) + ("" if difference.deviation is None else f" ± {difference.deviation:.1f}")


def interval_text(interval: Interval | None) -> str:
    """An interval as ``[+1.3, +2.9]``; "-" of none."""
    return f"[{_signed(interval.low)}, {_signed(interval.high)}]" if interval else NONE


def _signed(value: float) -> str:
    return f"{round(value, 1) + 0.0:+.1f}"  # never -0.0


def latex(summaries: Sequence[Summary], scores: Sequence[Score], baseline: str | None) -> str:
    """The table as LaTeX, for booktabs: of each score the best bold, the second underlined, deviations small."""
    cells = columns_of(summaries, scores, baseline)
    found = {escaped(head): [_typeset(text) for text in texts] for head, texts in cells.items()}
    for place, score in enumerate(scores):
        means = [summary.means[place] for summary in summaries]
        ranked = marked([mean.mean if mean else None for mean in means])
        head = escaped(score.title)
        found[head] = [mark(text) for mark, text in zip(ranked, found[head], strict=True)]
    return table(found, left=len(summaries[0].row.names) + ("setting" in cells))


def _typeset(text: str) -> str:
    value, sign, deviation = text.partition(" ± ")
    return escaped(value) + (small(rf"$\pm$ {escaped(deviation)}") if sign else "")


def frame_of(summaries: Sequence[Summary], scores: Sequence[Score], baseline: str | None) -> pd.DataFrame:
    """The figures at full precision, a row each: for CSV, Parquet and other programs."""
    import pandas as pd

    rows = []
    for summary in summaries:
        row: dict[str, object] = dict(summary.row.names)
        row["setting"] = ", ".join(f"{key} {value}" for key, value in summary.row.setting.items())
        for score, mean in zip(scores, summary.means, strict=True):
            row[score.title] = mean and mean.mean
            row[f"{score.title} deviation"] = mean and mean.deviation
            row[f"{score.title} n"] = mean.n if mean else 0
        if baseline is not None:
            versus = summary.versus
            difference = versus and versus.difference
            row["baseline"] = baseline
            row["difference"] = difference and difference.mean
            row["difference deviation"] = difference and difference.deviation
            row["difference n"] = difference.n if difference else 0
            row["better"] = difference.better if difference else 0
            for name, interval in (
                ("seeds", difference and difference.interval),
                ("images and seeds", versus and versus.by_image),
            ):
                row[f"low ({name})"], row[f"high ({name})"] = (
                    (interval.low, interval.high) if interval else (None, None)
                )
        rows.append(row)
    return pd.DataFrame(rows)
