"""Run records as one tidy pandas table; ``python results/collect.py runs --format csv`` on the command line."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterable
from os.path import expanduser
from pathlib import Path
from typing import TYPE_CHECKING, Any

# The checkout's root in place of this folder: our packages are found, and nothing here shadows a module of others.
if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from results.cells import FORMS
from results.class_means import SEPARATOR, left_out
from results.errors import ResultsError
from results.folders import run_folders
from results.images import MadeOf
from results.record import FILE, read_record
from results.text import one_line

if TYPE_CHECKING:
    import pandas as pd

COUNTED = "counted_"  # begins the name of the column of how many classes of another class set count
BY_CLASSES = "miou_"  # begins the name of a column of another class set, which is followed by its size
COLUMNS = {
    "run": "the run's id: a hash of what decides its numbers",
    "protocol": "name of the benchmark protocol",
    "method": "canonical recipe, e.g. dacs+mrm",
    "network": "name of the network",
    "seed": "run seed",
    "status": "pending, running, finished, failed, diverged, or stopped: ended on purpose before its last iterate",
    "reason": "why a run failed or diverged, or by what it was stopped",
    "oracle": "whether the method learns from target labels",
    "classes": "size of the class set that miou and teacher_miou average over, e.g. 19",
    "counted": "how many of these classes have labelled validation pixels (before: an IoU), and count in the means",
    "left_out": "the others, by name",
    "miou": "mIoU of the student at the last iterate on the target's validation set, in percent",
    "teacher_miou": "the same of the teacher, in percent",
    "source_miou": "the student's on source images held out of training (TEST.SOURCE_IMAGES), in percent, if measured",
    "confidence": "mean largest probability of pseudo-labels (TEST.CONFIDENCE_IMAGES), from 0 to 1, if measured",
    "iterations": "iterations done",
    "max_iterations": "iterations planned",
    "seconds_per_iteration": "median wall time of one training iteration, in seconds",
    "peak_memory_mib": "peak memory of the run in MiB: of the GPU, or of the process where there is none",
    "wall_seconds": "wall time of training and evaluation in seconds, over all sessions of the run",
    "parameters": "parameters of the segmentor used at inference",
    "hardware": "the processor or GPU it ran on",
    "precision": "fp32, bf16 or fp16",
    "folder": "the run folder",
}


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
    folders: Iterable[Path], say: Callable[[str], None] = say, made_of: MadeOf | None = None
) -> pd.DataFrame:
    """The records of these run folders, in this order; a folder without a record is left out.

    So is one whose record is damaged, and ``say`` gets the line that tells: one bad file takes no table away.

    The columns are ``COLUMNS``, and ``miou_<n>`` for each class set of n classes that a record has, the headline's too:
    mIoU of the student in percent, missing where the run was not scored on it. ``counted_<n>`` is there for one, but
    the headline's, of whose classes a run counted fewer. ``made_of`` learns of what images the runs are.
    """
    import pandas as pd  # here: `--help` does not wait for it

    rows = []
    for folder in folders:
        try:
            if (record := read_record(folder)) is not None:
                rows.append(_row(folder, record))
                if made_of is not None:
                    made_of.add(record)
        except ResultsError as error:
            say(f"left out: {error}")
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            say(f"left out: {folder / FILE}: a field is missing or of another kind ({error})")
    further = {key for row in rows for key in row} - set(COLUMNS)
    return pd.DataFrame(rows, columns=[*COLUMNS, *sorted(further, key=_place)])


def damaged(folders: Iterable[Path], runs: pd.DataFrame) -> list[Path]:
    """Of these folders, those whose record is there and is not in ``runs``, which `from_folders` made of them."""
    read = set(runs["folder"])
    return [folder for folder in folders if str(folder) not in read and os.path.lexists(folder / FILE)]


def _place(column: str) -> tuple[bool, int]:
    """``miou_16`` before ``miou_13``, and both before ``counted_16``."""
    return column.startswith(COUNTED), -int(column.rpartition("_")[2])


def _row(folder: Path, record: dict[str, Any]) -> dict[str, Any]:
    spec, result = record["spec"], record.get("result") or {}
    student, teacher = result.get("student") or {}, result.get("teacher") or {}
    criteria = result.get("criteria") or {}
    classes, means = record["classes"], student.get("miou_by_classes") or {}
    without = left_out(record, classes)
    others = {int(size): left_out(record, int(size)) or () for size in means if int(size) != classes}
    return {
        "run": record["id"],
        "protocol": spec["protocol"],
        "method": spec["method"],
        "network": spec["network"],
        "seed": spec["seed"],
        "status": record["status"],
        "reason": record.get("reason", ""),
        "oracle": record["oracle"],
        "classes": classes,
        "counted": None if without is None else classes - len(without),
        "left_out": None if without is None else SEPARATOR.join(without),
        "miou": student.get("miou"),
        "teacher_miou": teacher.get("miou"),
        "source_miou": criteria.get("source_miou"),
        "confidence": criteria.get("confidence"),
        "iterations": record["iterations"],
        "max_iterations": record["max_iterations"],
        "seconds_per_iteration": record.get("seconds_per_iteration"),
        "peak_memory_mib": record.get("peak_memory_mib"),
        "wall_seconds": record.get("wall_seconds"),
        "parameters": (record.get("parameters") or {}).get("inference"),
        "hardware": record["hardware"]["name"],
        "precision": record["precision"],
        "folder": str(folder),
        # A record of before there were several has the headline alone.
        f"{BY_CLASSES}{classes}": student.get("miou"),
        **{f"{BY_CLASSES}{int(size)}": miou for size, miou in means.items()},
        **{f"{COUNTED}{size}": size - len(names) for size, names in others.items() if names},
    }


def main(words: list[str]) -> int:
    """The command; returns the exit code: 1 where a damaged file is left out of the table.

    What the user got wrong is one line on stderr and exit code 2.
    """
    parser = argparse.ArgumentParser(
        prog="results/collect.py",
        description="All runs below a folder, one row each; failed and diverged ones too.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="columns of csv, where text that a spreadsheet would run has an apostrophe before it:\n"
        + "\n".join(f"  {name}: {meaning}" for name, meaning in COLUMNS.items()),
    )
    parser.add_argument(
        "path", type=expanduser, nargs="?", default="runs", help="folder that holds run folders (default: runs)"
    )
    parser.add_argument("--format", choices=list(FORMS), default="table", help="csv has all columns (default: table)")
    parser.add_argument("--keys", default="", help="config keys as further columns, such as TERMS.MRM.RATIO,WEIGHTS")
    arguments = parser.parse_args(words)
    from results.tables import runs_table, with_settings

    keys = [key.strip() for key in arguments.keys.split(",") if key.strip()]
    damaged: list[str] = []

    def tell(line: str) -> None:
        damaged.append(line)
        say(line)

    try:
        found = run_folders(arguments.path)
        if found.left_out:
            say(found.left_out)
        made_of = MadeOf()
        runs = from_folders(found.folders, tell, made_of)
        if runs.empty:
            raise ResultsError(f"{arguments.path}: no run there, expected run folders with a record.json")
        runs = with_settings(runs, keys, tell)
        print(runs_table(runs, arguments.format, keys).rstrip("\n"))
        if mixed := made_of.told(unrecorded=False):
            say(mixed.strip())
    except ResultsError as error:
        print(f"error: {one_line(str(error))}", file=sys.stderr)
        return 2
    return 1 if damaged else 0


if __name__ == "__main__":
    from benchmarks.screen import screen

    with screen():
        sys.exit(main(sys.argv[1:]))
