"""One score of the runs of a row, by seed: which one, of which model, and of which iterate."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from results.files.errors import ResultsError
from results.records.record import Record, Status, read_record
from results.records.scores import CLASS_IOU, HEADLINE, STUDENT, TEACHER
from results.tables.rows import Row

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
    finished = row.runs[row.runs["status"] == Status.FINISHED]
    if (model, rule, score) == (STUDENT, LAST, Score()):  # in the table already, over the classes that all count
        return finished.set_index("seed")["miou"].astype(float).dropna().to_dict()
    found = {}
    for seed, folder in zip(finished["seed"], finished["folder"], strict=True):
        record = read_record(Path(folder))
        assert record is not None
        value = _best(record) if rule == ORACLE else _value(record, score, model)
        if value is not None:
            found[int(seed)] = value
    return found


def _value(record: Record, score: Score, model: str) -> float | None:
    known = record.result.of(model)
    if isinstance(score.of, str):
        return known.by_class.get(score.metric, {}).get(score.of)
    if score.of is None or (score == Score(HEADLINE, record.classes) and score.of not in known.means.get(HEADLINE, {})):
        return known.headline if score.metric == HEADLINE else known.means.get(score.metric, {}).get(record.classes)
    return known.means.get(score.metric, {}).get(score.of)


def _best(record: Record) -> float | None:
    return max((point.miou for point in record.curve if point.miou is not None), default=record.result.student.headline)


def classes_of(rows: list[Row], model: str = STUDENT) -> list[str]:
    """The classes that finished runs have an IoU of, in the order of the first record that has each."""
    names: dict[str, None] = {}
    for row in rows:
        for folder in row.runs.loc[row.runs["status"] == Status.FINISHED, "folder"]:
            record = read_record(Path(folder))
            assert record is not None
            names |= dict.fromkeys(record.result.of(model).by_class.get(CLASS_IOU, {}))
    return list(names)
