"""Pixels of each class in each label: counted once, in parallel, and kept beside the data."""

from __future__ import annotations

import hashlib
import json
import logging
import multiprocessing
import os
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from datasets.base.end_with_parent import end_with_parent
from datasets.base.errors import DataError
from datasets.base.scratch import remove_leftovers, scratch_beside
from datasets.classes.labels import IGNORE, LabelEncoding
from datasets.files.reading import read_label

_LOGGER = logging.getLogger(__name__)

Shown = Callable[[str], AbstractContextManager[Callable[[int, int], None]]]
"""Shows that long work goes on: a context, given the work's title, of a callable for (labels done, labels in all)."""

_FORMAT = 2  # of the file: raise it whenever the same labels give other contents
_CHUNK = 32  # labels that a process counts between two reports
_PER_PROCESS = 400  # labels that are worth the second which one more process takes to start

_Label = tuple[str, LabelEncoding]  # path, encoding


def quiet(title: str) -> AbstractContextManager[Callable[[int, int], None]]:
    """A `Shown` that shows nothing."""
    return nullcontext(lambda done, total: None)


def class_pixels(
    items: Sequence[dict[str, Any]],
    classes: int,
    *,
    cache: Path,
    shown: Shown = quiet,
    workers: int | None = None,
) -> np.ndarray:
    """How many pixels of each class each label has: int64 (N, K), rows as `items`, columns train ids 0..K-1.

    `items` are N labelled ones in detectron2's form (`layouts.Layout.scan`), `classes` is K. Labels are counted as they
    are read, at their own resolution (as in DAFormer's public conversion of GTA, SYNTHIA and Cityscapes), ignored
    pixels left out, by `workers` processes (None: at most one a CPU, one alone for a small data set).

    The counts are kept in a hidden file of the folder that holds the labels, or below `cache` where that cannot be
    written (with a warning, nowhere, if neither can). They are made again when a label is added, removed, renamed or
    replaced (seen by size and time of change, in seconds, which most ways of copying keep), or when its encoding's
    table or the number of classes changes. The file is written under another name and renamed, so that of two processes
    that count at once each returns its counts and the last file stays.

    Raises `DataError` for a label that is missing or cannot be read, or holds a train id that is no class.
    """
    labels = [(item["sem_seg_file_name"], item["label_encoding"]) for item in items]
    if not labels:
        return np.zeros((0, classes), np.int64)
    folder = Path(os.path.commonpath([os.path.abspath(Path(path).parent) for path, _ in labels]))  # noqa: PTH100
    names = [os.path.relpath(path, folder) for path, _ in labels]
    fingerprint = _fingerprint(labels, names, classes)
    # A file for each list of labels and number of classes: splits and subsets of one folder do not evict each other.
    key = _digest([classes, list(zip(names, (str(encoding) for _, encoding in labels), strict=True))])[:12]
    files = [cache / "class_pixels" / f"{_digest([str(folder), key])[:12]}.npz"]
    if folder != folder.parent:  # labels from all over the disk have no folder of their own
        files.insert(0, folder / f".class_pixels-{key}.npz")
    for file in files:
        kept = _read(file, fingerprint, (len(labels), classes))
        if kept is not None:
            return kept
    counts = np.zeros((len(labels), classes), np.int64)
    with shown("counting class pixels") as progress:
        done = 0
        for start, rows in _counted(labels, classes, workers):
            counts[start : start + len(rows)] = rows
            done += len(rows)
            progress(done, len(labels))
    _write(files, fingerprint, counts)
    return counts


def _counted(labels: list[_Label], classes: int, workers: int | None) -> Iterator[tuple[int, np.ndarray]]:
    """Chunks of rows, each with the place of its first, in any order."""
    starts = range(0, len(labels), _CHUNK)
    if workers is None:
        workers = min(cpus(), 1 + len(labels) // _PER_PROCESS)
    if min(workers, len(starts)) <= 1:
        for start in starts:
            yield start, _count(labels[start : start + _CHUNK], classes)
        return
    # spawn, not fork: the calling process may hold threads (torch, BLAS) that a fork would not survive
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(min(workers, len(starts)), mp_context=context, initializer=end_with_parent)
    try:
        futures = {pool.submit(_count, labels[start : start + _CHUNK], classes): start for start in starts}
        for future in as_completed(futures):
            yield futures[future], future.result()
    except BrokenProcessPool as error:
        raise DataError(
            f"{labels[0][0]} and the labels beside it: a process that counts them died, expected enough "
            f"memory for {workers}"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _count(labels: list[_Label], classes: int) -> np.ndarray:
    rows = np.zeros((len(labels), classes), np.int64)
    for row, (path, encoding) in zip(rows, labels, strict=True):
        # Pillow's histogram takes a quarter of the time of numpy's bincount, which widens every pixel to 64 bits.
        histogram = Image.fromarray(read_label(path, encoding)).histogram()
        if any(histogram[classes:IGNORE]):
            found = next(train_id for train_id in range(classes, IGNORE) if histogram[train_id])
            raise DataError(f"{path}: expected train ids below {classes}, the number of classes, found {found}")
        row[:] = histogram[:classes]
    return rows


def _fingerprint(labels: list[_Label], names: list[str], classes: int) -> str:
    """Changes when the counts may have changed."""
    encodings = sorted({encoding for _, encoding in labels}, key=str)
    stats = []
    for (path, encoding), name in zip(labels, names, strict=True):
        try:
            stat = Path(path).stat()
        except OSError as error:
            raise DataError(f"{path}: cannot be read ({error.strerror}), expected a label") from None
        stats.append((name, encodings.index(encoding), stat.st_size, int(stat.st_mtime)))
    return _digest([_FORMAT, classes, stats, [encoding.table.tolist() for encoding in encodings]])


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()


def _read(file: Path, fingerprint: str, shape: tuple[int, int]) -> np.ndarray | None:
    """The counts kept in `file`; None where it is absent, of other labels, or damaged."""
    try:
        with np.load(file, allow_pickle=False) as kept:
            if str(kept["fingerprint"]) != fingerprint:
                return None
            counts = kept["counts"]
        if counts.shape != shape or counts.dtype != np.int64:
            raise ValueError(f"counts are {counts.dtype} {counts.shape}")
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        _LOGGER.warning("%s: cannot be used (%s), the pixels are counted again", file, error)
        return None
    return counts


def _write(files: Sequence[Path], fingerprint: str, counts: np.ndarray) -> None:
    """Keep the counts in the first of `files` that can be written."""
    failures = []
    for file in files:
        scratch = scratch_beside(file)
        remove_leftovers(file.parent)
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            with scratch.open("wb") as stream:
                np.savez_compressed(stream, counts=counts, fingerprint=np.array(fingerprint))
            scratch.replace(file)
            return
        except OSError as error:
            failures.append(f"{file.parent} ({error.strerror or error})")
        finally:
            _remove(scratch)
    _LOGGER.warning("the counted pixels are not kept: %s cannot be written", " and ".join(failures))


def _remove(scratch: Path) -> None:
    with suppress(OSError):  # in a folder that cannot be written there is no such file
        scratch.unlink(missing_ok=True)


def cpus() -> int:
    """CPUs that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
