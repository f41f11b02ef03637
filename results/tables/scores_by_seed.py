"""One score of the runs of a row, by seed: which one, of which model, and of which iterate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from results.files.errors import ResultsError
from results.records.columns import ScoreKey
from results.records.record import Record
from results.records.scores import CLASS_IOU, HEADLINE, STUDENT, TEACHER
from results.tables.rows import Row, is_known

LAST, ORACLE = "last", "oracle"
RULES = {
    LAST: "of the last iterate; no checkpoint is chosen by target labels",
    ORACLE: "of the best evaluated iterate, chosen by target labels: an oracle, and no result of adaptation",
}


@dataclass(frozen=True)
class Score:
    """A column of scores, in percent.

    Attributes:
        metric: as it is registered, "mIoU"; CLASS_IOU of one class.
        of: size of the class set, or the class's name; None: the class set of the run's headline.
    """

    metric: str = HEADLINE
    of: int | str | None = None

    @property
    def title(self) -> str:
        """The head that people read: ``mIoU``, ``mIoU (16)``, ``IoU road``."""
        if self.of is None:
            return self.metric
        return f"{self.metric} {self.of}" if isinstance(self.of, str) else f"{self.metric} ({self.of})"

    def column(self, statistic: str = "") -> str:
        """The name in CSV, as of `ScoreKey`: ``miou``, ``miou_16``, ``iou_road``; ``deviation_16`` of a statistic."""
        metric = "" if self.metric == HEADLINE and statistic else self.metric.lower()
        return "_".join(filter(None, (metric, statistic, "" if self.of is None else str(self.of))))


def scores(row: Row, score: Score, model: str = STUDENT, rule: str = LAST) -> dict[int, float]:
    """The score of each finished run of a row, by seed; runs without it are left out.

    Args:
        row: the runs.
        score: what of them.
        model: STUDENT or TEACHER.
        rule: LAST, or ORACLE, which the headline of the student alone has.

    Raises:
        ResultsError: a rule and score that records do not have together.
    """
    if rule == ORACLE and (score != Score() or model == TEACHER):
        raise ResultsError(f"--rule oracle: records keep {HEADLINE} of the student alone on the way, expected no other")
    if rule == LAST and (column := _column(row, score, model)) is not None:
        of_seeds = zip(row.finished["seed"], row.finished[column], strict=True)
        return {int(seed): float(value) for seed, value in of_seeds if is_known(value)}
    values = {
        seed: _best(record) if rule == ORACLE else _value(record, score, model) for seed, record in row.records.items()
    }
    return {seed: value for seed, value in values.items() if value is not None}


def _column(row: Row, score: Score, model: str) -> str | ScoreKey | None:
    """The column that has a score, the headline over the classes that all count; None: records alone have it."""
    if score == Score():
        return {STUDENT: "miou", TEACHER: "teacher_miou"}[model]
    key = ScoreKey(score.metric, score.of, model) if isinstance(score.of, int) else None
    return key if key in row.finished else None


def _value(record: Record, score: Score, model: str) -> float | None:
    known = record.scores_of(model)
    if isinstance(score.of, str):
        return known.by_class.get(score.metric, {}).get(score.of)
    if score.of is None or (score == Score(HEADLINE, record.classes) and score.of not in known.means.get(HEADLINE, {})):
        return known.headline if score.metric == HEADLINE else known.means.get(score.metric, {}).get(record.classes)
    return known.means.get(score.metric, {}).get(score.of)


def _best(record: Record) -> float | None:
    return max((point.miou for point in record.curve if point.miou is not None), default=record.result.student.headline)


def classes_of(rows: Sequence[Row], model: str = STUDENT) -> list[str]:
    """The classes that finished runs have an IoU of, in the order of the first record that has each."""
    records = [record for row in rows for record in row.records.values()]
    return list(dict.fromkeys(name for each in records for name in each.result.of(model).by_class.get(CLASS_IOU, {})))
