"""A comparison as numbers at full precision, for CSV, Parquet and other programs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from results.tables.beside_published import Beside
from results.tables.scores_by_seed import Score
from results.tables.summary import Mean, Summary, Versus
from results.tables.summary_text import counted_of, setting_text

if TYPE_CHECKING:
    import pandas as pd


def frame_of(
    summaries: Sequence[Summary], scores: Sequence[Score], published: Sequence[Beside] = (), setting: bool = True
) -> pd.DataFrame:
    """The figures, a row each.

    The columns are those that rows are named by, ``setting``, and

    - ``oracle`` (whether a method learns from target labels in place of the source's), ``target_labels`` (of how many
      images, where a row says so), ``classes`` (size of the class set of the columns that name none), ``counted`` (how
      many of them the means are over);
    - ``miou`` (mean over finished seeds, percent), ``deviation`` (sample, n - 1; missing for one seed), ``n``;
    - ``difference`` to the baseline (mean over the seeds that both have, each against that of its own seed),
      ``difference_deviation``, ``difference_n``, ``better`` (seeds), the 95% intervals ``low``, ``high`` (seeds) and
      ``low_images``, ``high_images`` (images and seeds);
    - the same mean, deviation and n of each further score, as ``miou_16``, ``deviation_16``, ``n_16``, with the
      difference to the baseline where those of all scores were asked for, as ``difference_16``;
    - ``iterations``, ``seconds_per_iteration``, ``peak_memory_mib`` (medians), ``shared`` (how many of these runs had
      others on their GPU or cores), ``unfinished`` (runs by status);
    - with ``published``: ``published_miou``, ``published_difference`` (percent), ``published_note``,
      ``published_source`` and ``not_as_published``.
    """
    import pandas as pd

    every = any(each.versus and each.versus.others for each in summaries)
    rows = [
        each.row.names | ({"setting": setting_text(each)} if setting else {}) | _figures(each, scores, every)
        for each in summaries
    ]
    for row, each in zip(rows, published, strict=False):
        row |= {
            "published_miou": each.miou,
            "published_difference": each.difference,
            "published_note": each.note,
            "published_source": each.source,
            "not_as_published": each.other,
        }
    frame = pd.DataFrame(rows)
    return frame.astype({column: float for column in frame if frame[column].isna().all()})


def _figures(summary: Summary, scores: Sequence[Score], every: bool) -> dict[str, Any]:
    runs = summary.row.runs
    means = [
        mean_figures(mean, score.column(), score.column("deviation"), score.column("n"))
        for score, mean in zip(scores, summary.means, strict=True)
    ]
    for place, (score, mean) in enumerate(zip(scores[1:], means[1:], strict=True)):
        if every:
            figures = difference_figures(summary.versus.others[place] if summary.versus else None)
            mean |= {score.column(name): value for name, value in figures.items() if "image" not in name}
    return {
        "oracle": summary.row.is_oracle,
        **({"target_labels": summary.target_labels} if summary.target_labels else {}),
        "classes": int(runs["classes"][0]) if runs["classes"] else None,
        "counted": counted_of(summary, None),
        **means[0],
        **difference_figures(summary.versus),
        **{name: value for each in means[1:] for name, value in each.items()},
        "iterations": summary.cost.iterations,
        "seconds_per_iteration": summary.cost.seconds,
        "peak_memory_mib": summary.cost.memory,
        "shared": summary.cost.shared,
        "unfinished": summary.unfinished,
    }


def mean_figures(mean: Mean | None, name: str, deviation: str = "deviation", n: str = "n") -> dict[str, float | None]:
    """A mean's columns, by these names."""
    return {
        name: mean.mean if mean else None,
        deviation: mean.deviation if mean else None,
        n: mean.n if mean else 0,
    }


def difference_figures(versus: Versus | None) -> dict[str, float | None]:
    """The columns of a difference to the baseline."""
    difference, by_image = (versus.difference, versus.by_image) if versus else (None, None)
    interval = difference.interval if difference else None
    return {
        "difference": difference.mean if difference else None,
        "difference_deviation": difference.deviation if difference else None,
        "difference_n": difference.n if difference else 0,
        "better": difference.better if difference else 0,
        "low": interval.low if interval else None,
        "high": interval.high if interval else None,
        "low_images": by_image.low if by_image else None,
        "high_images": by_image.high if by_image else None,
    }
