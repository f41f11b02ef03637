"""Every file of a data set, looked at before it is used: its header alone, in threads, or all of it, in processes."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from datasets.base.end_with_parent import end_with_parent
from datasets.base.errors import DataError
from datasets.base.framing import Framing, too_small
from datasets.classes.labels import UNKNOWN, LabelEncoding
from datasets.files.reading import Header, image_header, label_header, read_image, read_stored, say_once

_CHUNK, _THREADS = 32, 16


class Problem(NamedTuple):
    """A file that cannot be used. ``mismatch``: a label of another size than its image, which training skips."""

    path: str
    text: str  # names the file
    mismatch: bool = False


@dataclass(frozen=True)
class FileReport:
    """What one image and its label hold. ``ids``: pixels of each stored id; empty where no label is read."""

    path: str
    label: str
    size: tuple[int, int]  # width, height as shown; 0, 0 where it cannot be read
    ids: dict[int, int]
    problems: tuple[Problem, ...]


def header_problems(items: Sequence[dict[str, Any]], view: Framing | None) -> list[Problem]:
    """What the headers of images and labels say against using them: kinds, sizes, and room for the crop of a ``view``.

    `items` are in detectron2's form, in whose order the problems come. An image that is read as RGB though it is none
    is told of in one warning.
    """
    found: list[Problem] = []
    with ThreadPoolExecutor(_THREADS) as pool:  # waits for the disk, mostly
        for item, (problems, note) in zip(items, pool.map(partial(_header, view=view), items), strict=True):
            found += problems
            if note:
                say_once(item["file_name"], note)
    return found


def file_reports(items: Sequence[dict[str, Any]], view: Framing | None, workers: int) -> Iterator[FileReport]:
    """Each image and label decoded, in the order of ``items``, by ``workers`` processes."""
    chunks = [items[start : start + _CHUNK] for start in range(0, len(items), _CHUNK)]
    report = partial(_reports, view=view)
    if min(workers, len(chunks)) <= 1:
        for chunk in chunks:
            yield from report(chunk)
        return
    # spawn, not fork: this process may hold threads that a fork would not survive
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(min(workers, len(chunks)), mp_context=context, initializer=end_with_parent)
    try:
        for reports in pool.map(report, chunks):
            yield from reports
    except BrokenProcessPool as error:
        first = items[0]["file_name"]
        raise DataError(f"{first} and those beside it: a process that reads them died (out of memory?)") from error
    finally:
        pool.shutdown(cancel_futures=True)


def _header(item: dict[str, Any], view: Framing | None) -> tuple[list[Problem], str]:
    """The problems of an item, and how its image is read as RGB, where it is none."""
    problems: list[Problem] = []
    image: Header | None = None
    try:
        image = image_header(item["file_name"])
        if view is not None and (reason := too_small(view, image.width, image.height)):
            problems.append(Problem(item["file_name"], f"{item['file_name']}: {reason}"))
    except DataError as error:
        problems.append(Problem(item["file_name"], str(error)))
    if path := item.get("sem_seg_file_name"):
        try:
            label = label_header(path, item["label_encoding"])
            if image is not None and label[:2] != image[:2]:
                text = (
                    f"{path}: expected the size of its image, {image.width}x{image.height}, found "
                    f"{label.width}x{label.height}"
                )
                problems.append(Problem(path, text, mismatch=True))
        except DataError as error:
            problems.append(Problem(path, str(error)))
    return problems, image.note if image else ""


def _reports(items: Sequence[dict[str, Any]], view: Framing | None) -> list[FileReport]:
    return [_report(item, view) for item in items]


def _report(item: dict[str, Any], view: Framing | None) -> FileReport:
    problems, _ = _header(item, view)
    path, label, size, ids = item["file_name"], item.get("sem_seg_file_name", ""), (0, 0), dict[int, int]()
    bad = {problem.path for problem in problems if not problem.mismatch}
    if path not in bad:
        try:
            height, width = read_image(path).shape[:2]
            size = (width, height)
        except DataError as error:
            problems.append(Problem(path, str(error)))
    if label and label not in bad:
        try:
            ids = stored_pixels(label, item["label_encoding"])
            train_ids = np.take(item["label_encoding"].table, list(ids), mode="clip")
            if unknown := [str(i) for i, train_id in zip(ids, train_ids, strict=True) if train_id == UNKNOWN]:
                problems.append(Problem(label, f"{label}: no class has the ids {', '.join(unknown)}"))
        except DataError as error:
            problems.append(Problem(label, str(error)))
    return FileReport(path, label, size, ids, tuple(problems))


def stored_pixels(path: str, encoding: LabelEncoding) -> dict[int, int]:
    """Stored id -> its pixels in a label. Raises `DataError` where it cannot be read, but not for unknown ids."""
    values, counts = np.unique(read_stored(path, encoding), return_counts=True)
    return {int(value): int(count) for value, count in zip(values, counts, strict=True)}
