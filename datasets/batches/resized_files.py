"""Images and labels as they are after resizing, kept on disk: most of what loading costs is to decode a large PNG."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import zipfile
import zlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import PIL

from datasets.base.errors import DataError
from datasets.base.scratch import remove_leftovers, scratch_beside
from datasets.batches.cache import Decoded
from datasets.checks.class_presence import spread
from datasets.files.reading import image_header

_LOGGER = logging.getLogger(__name__)

_FORMAT = 1  # of the files: raise it whenever the same images give other contents
_LOOKED_AT = 20  # headers, for the size of all

Bytes = Callable[[int, int], int]
"""Width and height of an image -> bytes that it is kept in, with its label where it has one."""


class ResizedFiles:
    """Keeps what `load` gives for an item in a file of its own, uncompressed, and reads that the next time.

    A file is known by path, size and time of change (in nanoseconds) of image and label, by how the label stores
    classes, by the rule of resizing, and by the version of the library that decodes and resizes. It is written under
    another name and renamed, so that several processes may keep the same at once. One that is damaged (it has check
    sums) is made again with a warning. Where one cannot be written, a warning says so once and images are read as
    without.
    """

    def __init__(self, folder: Path, rule: str) -> None:
        """Keep files below ``folder``; ``rule`` says in words how images are resized."""
        self.folder, self._rule, self._writes = folder, rule, True

    def get(self, item: dict[str, Any], labelled: bool, load: Callable[[], Decoded]) -> Decoded:
        """What was kept of an item in detectron2's form, else what ``load()`` returns, which is kept.

        Raises DataError for a file that is missing, as ``load`` does.
        """
        file = self._file(item, labelled)
        if file is None:
            return load()
        kept = _read(file, labelled)
        if kept is None:
            kept = load()
            if self._writes:
                self._write(file, kept)
        return kept

    def told(self, items: Sequence[dict[str, Any]], size: Bytes, what: str) -> str:
        """How much room files of ``items`` take, in words that begin with ``what``; leftovers of the dead are removed.

        Raises DataError where the disk has not as much: nothing is begun that fills it.
        """
        headers = [image_header(item["file_name"]) for item in spread(items, _LOOKED_AT)]
        needed = len(items) * float(np.mean([size(header.width, header.height) for header in headers]))
        there = self._bytes()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            free = shutil.disk_usage(self.folder).free
        except OSError as error:
            raise DataError(f"{self.folder}: cannot be made ({error.strerror}), expected room for {what}") from None
        if needed - there > free:
            raise DataError(
                f"{self.folder}: {what} take {_gib(needed)}, {_gib(there)} of which are there, and {_gib(free)} are "
                "free: expected more room, another $SEGSHIFT_CACHE, or no --cache-resized (DATA.CACHE_RESIZED False)"
            )
        return f"{what} are kept in {self.folder}: {_gib(needed)}, {_gib(there)} of which are there"

    def _bytes(self) -> int:
        """Bytes of all files that are there; what makers left that have died is removed."""
        found = 0
        for part in self.folder.glob("??"):
            remove_leftovers(part)
            with suppress(OSError):
                found += sum(entry.stat().st_size for entry in os.scandir(part))
        return found

    def _file(self, item: dict[str, Any], labelled: bool) -> Path | None:
        """The file of an item; None where the image or its label is not there: who reads it says so."""
        key: list[Any] = [_FORMAT, PIL.__version__, self._rule]
        try:
            for path in (item["file_name"], *([item["sem_seg_file_name"]] if labelled else [])):
                stat = Path(path).stat()
                key.append([os.path.abspath(path), stat.st_size, stat.st_mtime_ns])  # noqa: PTH100 (links stay)
        except OSError:
            return None
        if labelled:
            key.append([item["label_encoding"].storage, item["label_encoding"].table.tolist()])
        digest = hashlib.sha256(json.dumps(key).encode()).hexdigest()
        return self.folder / digest[:2] / f"{digest[2:34]}.npz"

    def _write(self, file: Path, kept: Decoded) -> None:
        scratch = scratch_beside(file)
        image, label = kept
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            with scratch.open("wb") as stream:
                if label is None:
                    np.savez(stream, image=image)
                else:
                    np.savez(stream, image=image, label=label)
            scratch.replace(file)
        except OSError as error:
            self._writes = False
            _LOGGER.warning("%s: no further images are kept (%s)", self.folder, error.strerror or error)
        finally:
            with suppress(OSError):
                scratch.unlink(missing_ok=True)


def _read(file: Path, labelled: bool) -> Decoded | None:
    """What was kept in a file; None where it is absent or damaged."""
    try:
        with np.load(file, allow_pickle=False) as kept:
            return kept["image"], kept["label"] if labelled else None
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        _LOGGER.warning("%s: cannot be used (%s), the image is read again", file, error)
        return None


def _gib(count: float) -> str:
    return f"{count / 2**30:.1f} GiB"
