"""What the data check reports of each data set that runs of a config open."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from detectron2.config import CfgNode

from benchmarks.cli.progress import Progress, shown
from benchmarks.config.label_space import label_space
from benchmarks.data.data_checks import UsedSet, expected_classes, used_sets
from benchmarks.data.from_config import data_root
from datasets.checks.class_pixels import cpus
from datasets.checks.file_checks import FileReport, Problem, file_reports
from datasets.classes.labels import IGNORE
from methods.framework.recipes import parse

_SIZES_SHOWN = 5


@dataclass(frozen=True)
class SetReport:
    """A data set's files, what is said of them, and how many faults there are."""

    role: str
    files: Sequence[FileReport]
    text: str
    faults: int


def check_all(cfg: CfgNode, workers: int | None = None) -> Iterator[SetReport]:
    """A report of each data set, once it is decoded by ``workers`` processes (None: one a CPU), with progress.

    Raises:
        DataError: a data set that is not there.
    """
    with shown("drawing streets") as progress:
        root = data_root(cfg, progress)
    classes = len(label_space(cfg).names)
    for used in used_sets(cfg, parse(cfg.METHOD), root):
        found = []
        with Progress(f"DATA.{used.role}", len(used.items), "images") as bar:
            for report in file_reports(used.items, used.view, workers or cpus()):
                found.append(report)
                bar.advance()
        yield _report(cfg, used, found, classes)


def _report(cfg: CfgNode, used: UsedSet, files: Sequence[FileReport], classes: int) -> SetReport:
    key = f"DATA.{used.role}"
    labelled = "sem_seg_file_name" in used.items[0]
    sizes = Counter(f"{file.size[0]}x{file.size[1]}" for file in files if file.size != (0, 0))
    shown_sizes = ", ".join(f"{size} ({count})" for size, count in sizes.most_common(_SIZES_SHOWN))
    more = ", ..." if len(sizes) > _SIZES_SHOWN else ""
    what = "pairs of image and label" if labelled else "images"
    if labelled and used.role == "TARGET" and cfg.DATA.LABELLED_TARGET:
        what += f" (DATA.LABELLED_TARGET {cfg.DATA.LABELLED_TARGET})"
    lines = [f"{key}: {len(files)} {what}", f"  sizes: {shown_sizes}{more}"]
    problems = [problem for file in files for problem in file.problems]
    # Training skips a few labels of another size; nothing is left where all are.
    skipped = [problem for problem in problems if problem.mismatch and used.view is not None]
    if len(skipped) == len(files):
        skipped = []
    faults = [problem.text for problem in problems if problem not in skipped]
    if labelled:
        ids: Counter[int] = Counter()
        for file in files:
            ids.update(file.ids)
        table = used.items[0]["label_encoding"].table
        lines.append("  ids: " + (", ".join(f"{i} ({ids[i]})" for i in sorted(ids)) or "-"))
        space = label_space(cfg)
        pixels = _class_pixels(ids, table, classes)
        lines += [f"  {name}: {pixels[i]} pixels" for i, name in enumerate(space.names)]
        if not pixels.any():
            faults.append(f"{key}: no pixel is of a class: {key}.IDS says which id is which class")
        elif absent := [space.names[train_id] for train_id in expected_classes(cfg, used.role) if not pixels[train_id]]:
            lines.append(f"  no label has a pixel of {', '.join(absent)}")
    lines += [f"  skipped in training: {problem.text}" for problem in skipped]
    lines += [f"  problem: {text}" for text in faults]
    return SetReport(used.role, files, "\n".join(lines), len(faults))


def _class_pixels(ids: Counter[int], table: np.ndarray, classes: int) -> np.ndarray:
    pixels = np.zeros(classes, np.int64)
    for stored, count in ids.items():
        train_id = int(table[min(stored, 255)])
        if train_id < classes and train_id != IGNORE:
            pixels[train_id] += count
    return pixels


def csv_text(reports: Sequence[SetReport]) -> str:
    """A line an image: data set, image, label, width, height, pixels of each id as ``7=1280 11=64``, and problems."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(("data_set", "image", "label", "width", "height", "ids", "problems"))
    for report in reports:
        for file in report.files:
            ids = " ".join(f"{i}={count}" for i, count in sorted(file.ids.items()))
            texts: Sequence[Problem] = file.problems
            told = "; ".join(problem.text for problem in texts)
            writer.writerow((report.role, file.path, file.label, *file.size, ids, told))
    return stream.getvalue()
