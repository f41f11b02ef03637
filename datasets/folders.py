"""A user's own images and labels: two folders, or two patterns of paths."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from datasets.errors import DataError

_ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
_STARS = {"**/": "((?:[^/]+/)*)", "*": "([^/]*)"}


def scan_folders(folder: Path, images: str, labels: str, encoding: str | None, key: str) -> list[dict[str, Any]]:
    """The images below `folder` that `images` describes, each with its label, in detectron2's form, sorted by path.

    `images` and `labels` are paths below `folder`, of two forms. A folder, `left`: every image in it and in its
    subfolders; the label of `left/a/1.jpg` is `right/a/1.png`, whatever the two endings. A pattern, `*/left/*_rgb.png`:
    `*` is any text without a slash, `**/` any folders; image and label are a pair where the stars stand for the same.
    Items are those of `layouts.Layout.scan`, with labels where `encoding`, that of the labels, is not None. No file is
    opened. `key` is the section of the config, for errors.
    Raises `DataError` naming the folder or the key: nothing there, an image without label, two files of one name.
    """
    found = _found(folder, images, f"{key}.IMAGES")
    present = {} if encoding is None else _found(folder, labels, f"{key}.LABELS")
    if present and len(next(iter(present))) != len(next(iter(found))):
        raise DataError(f"{key}.LABELS is {labels!r}, expected as many stars as in {key}.IMAGES, {images!r}")
    items = []
    for name, path in found.items():
        relative = path.removeprefix(f"{_fixed(images)}/")
        item = {"file_name": str(folder / path), "image_id": Path(path).stem, "relative": relative}
        if encoding is not None:
            if name not in present:
                raise DataError(f"{folder / path}: no label, expected one of the same name in {folder / labels}")
            item |= {"sem_seg_file_name": str(folder / present[name]), "label_encoding": encoding}
        items.append(item)
    return items


def _found(folder: Path, text: str, key: str) -> dict[tuple[str, ...], str]:
    """What the stars stand for -> path below `folder`, of all files that match, sorted by path."""
    if not text or text.startswith("/") or "**" in text.replace("**/", ""):
        raise DataError(f"{key} is {text!r}, expected a folder or a pattern below FOLDER, such as left/**/*_rgb.png")
    pattern, start = re.compile(_expression(text)), folder / _fixed(text)
    found: dict[tuple[str, ...], str] = {}
    for path in sorted(_files(start, folder, key)):
        if match := pattern.fullmatch(path):
            if match.groups() in found:
                raise DataError(f"{folder / path}: there is {found[match.groups()]} too, expected one file of a name")
            found[match.groups()] = path
    if not found:
        raise DataError(f"{start}: holds no file that {key}, {text!r}, describes")
    return found


def _files(start: Path, folder: Path, key: str) -> Iterator[str]:
    def unreadable(error: OSError) -> None:
        raise DataError(f"{error.filename}: cannot be listed ({error.strerror}), expected the folder that {key} names")

    for base, folders, names in os.walk(start, onerror=unreadable, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(".")]
        below = Path(base).relative_to(folder)
        # Archives made on a Mac leave "._1.png" beside "1.png".
        yield from ((below / name).as_posix() for name in names if not name.startswith("."))


def _expression(text: str) -> str:
    if "*" in text:
        return "".join(_STARS.get(part, re.escape(part)) for part in re.split(r"(\*\*/|\*)", text.removeprefix("./")))
    fixed, endings = _fixed(text), "|".join(map(re.escape, _ENDINGS))
    return (re.escape(f"{fixed}/") if fixed else "") + f"(.*)(?i:{endings})"


def _fixed(text: str) -> str:
    """The folders of a pattern before the first that has a star; empty for `folder` itself."""
    fixed = text[: text.index("*")].rpartition("/")[0] if "*" in text else text
    return Path(fixed).as_posix().removeprefix(".").removeprefix("/")
