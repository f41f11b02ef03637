"""Run records as one tidy pandas table."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from results.files.errors import ResultsError
from results.files.mapped import mapped
from results.files.text import one_line
from results.records.columns import COLUMNS, COUNTED, ScoreKey
from results.records.folders import run_folders
from results.records.images import Images, MadeOf
from results.records.record import FILE, Record, Records, read_record
from results.records.scores import HEADLINE, STUDENT, TEACHER
from results.tables.class_means import SEPARATOR, left_out

if TYPE_CHECKING:
    import pandas as pd


_FOLDER = list(COLUMNS).index("folder")
_key = lru_cache(ScoreKey)  # the same for all runs


def say(line: str) -> None:
    """Tell beside a table what it leaves out: on stderr, so that the table can go on to another program."""
    print(one_line(line), file=sys.stderr)


def collect(path: str | Path, say: Callable[[str], None] = say) -> pd.DataFrame:
    """Every record below ``path``, one row a run, in the columns of ``from_folders``, sorted by folder.

    ``say`` gets a line for each damaged record, and one for the folders that were not looked into.

    Raises:
        ResultsError: no such folder.
    """
    found = run_folders(path)
    if found.left_out:
        say(found.left_out)
    return from_folders(found.folders, say)


def from_folders(
    folders: Iterable[Path],
    say: Callable[[str], None] = say,
    made_of: MadeOf | None = None,
    records: Records | None = None,
) -> pd.DataFrame:
    """The records of these run folders, in this order; a folder without a record is left out.

    So is one whose record is damaged, and ``say`` gets the line that tells: one bad file takes no table away.

    The columns are ``COLUMNS``, and a `ScoreKey` for each metric and class set that a record has scores of, the
    headline's too: those of the student, missing where the run was not scored so; of the teacher the metrics beside
    mIoU over the run's first class set; and how many classes of a further set count, where a run counted fewer.
    ``made_of`` learns of what images the runs are, ``records`` takes the records of all rows.
    """
    found = mapped(partial(_read, keep=records is not None, whole=records is not None and records.whole), list(folders))
    import pandas as pd  # here: `--help` does not wait for it

    rows, further = list[tuple[Any, ...]](), list[dict[ScoreKey, Any]]()
    for each in found:
        if isinstance(each, ResultsError):
            say(f"left out: {each}")
        elif each is not None:
            row, scores, images, record = each
            rows.append(row)
            if records is not None and record is not None:
                records[row[_FOLDER]] = record
            further.append(scores)
            if made_of is not None:
                made_of.add(images)
    keys = sorted(set().union(*further), key=lambda key: key.place)
    columns: dict[str | ScoreKey, list[Any]] = {}
    columns |= {name: [row[place] for row in rows] for place, name in enumerate(COLUMNS)}
    columns |= {key: [scores.get(key) for scores in further] for key in keys}
    return pd.DataFrame(columns)


def damaged(folders: Iterable[Path], runs: pd.DataFrame) -> list[Path]:
    """The folders whose record is there and is not in ``runs``, which `from_folders` made of them."""
    read = set(runs["folder"])
    return [folder for folder in folders if str(folder) not in read and os.path.lexists(folder / FILE)]


def _read(
    folder: Path, keep: bool, whole: bool
) -> tuple[tuple[Any, ...], dict[ScoreKey, Any], Images | None, Record | None] | ResultsError | None:
    """A run's values of COLUMNS, its scores of each class set, its images, and the record to keep; None without one."""
    try:
        record = read_record(folder)
        if record is None:
            return None
        kept = (record if whole else replace(record, content={}, data={})) if keep else None
        return *_row(folder, record), Images.of(record), kept
    except ResultsError as error:
        return error


def _row(folder: Path, record: Record) -> tuple[tuple[Any, ...], dict[ScoreKey, Any]]:
    if lacks := record.lacks:
        raise ResultsError(f"{folder / FILE}: has no {lacks}, expected the record of a run")
    classes, result = record.classes, record.result
    # A record of before there were several class sets has the headline alone.
    headline = {classes: result.student.headline} | result.student.means.get(HEADLINE, {})
    means = {**record.scores_of(STUDENT).means, HEADLINE: headline}
    without = left_out(record, classes)
    others = {size: left_out(record, size) or () for size in means[HEADLINE] if size != classes}
    row = {
        "run": record.id,
        **vars(record.spec),
        "status": str(record.status),
        "reason": record.reason,
        "oracle": record.oracle,
        "target_labels": str(record.labelled_target) or None,
        "classes": classes,
        "counted": None if without is None else classes - len(without),
        "left_out": None if without is None else SEPARATOR.join(without),
        "lower_is_better": SEPARATOR.join(result.student.lower_is_better),
        "miou": result.student.headline,
        "teacher_miou": result.teacher.headline,
        **vars(result.criteria),
        "iterations": record.iterations,
        "max_iterations": record.max_iterations,
        "seconds_per_iteration": record.seconds_per_iteration,
        "peak_memory_mib": record.peak_memory_mib,
        "shared": record.shared and record.shared.part,
        "others": record.shared and record.shared.others,
        "wall_seconds": record.wall_seconds,
        "parameters": record.parameters.inference,
        "hardware": record.hardware.name,
        "precision": record.precision,
        "folder": str(folder),
    }
    scores = {
        **{_key(name, size): value for name, values in means.items() for size, value in values.items()},
        **{
            _key(name, None, TEACHER): values.get(classes)
            for name, values in record.scores_of(TEACHER).means.items()
            if name != HEADLINE
        },
        **{_key("", size, statistic=COUNTED): size - len(names) for size, names in others.items() if names},
    }
    return tuple(row[name] for name in COLUMNS), scores
