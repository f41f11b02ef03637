"""A user's own images and labels: two folders, or two patterns of paths."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from datasets.base.errors import DataError
from datasets.classes.labels import LabelEncoding
from datasets.files.walking import told_circles, walk

_LOGGER = logging.getLogger(__name__)

_ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
_STARS = {"**/": "((?:[^/]+/)*)", "*": "([^/]*)"}
_said: set[Path] = set()


def scan_folders(
    folder: Path, images: str, labels: str, encoding: LabelEncoding | None, key: str
) -> list[dict[str, Any]]:
    """The images below `folder` that `images` describes, each with its label, in detectron2's form, sorted by path.

    `images` and `labels` are paths below `folder`, of two forms. A folder, `left`: every image in it and in its
    subfolders; the label of `left/a/1.jpg` is `right/a/1.png`, whatever the two endings. A pattern, `*/left/*_rgb.png`:
    `*` is any text without a slash, `**/` any folders; image and label are a pair where the stars stand for the same.
    Links are followed and circles cut, with a warning (`walking.walk`).
    Items are those of `layouts.Layout.scan`, with labels where `encoding`, that of the labels, is not None. No file is
    opened. `key` is the section of the config, for errors.
    Raises `DataError` naming the folder or the key: nothing there, an image without label, two files of one name.
    """
    found = _found(folder, images, f"{key}.IMAGES")
    present = {} if encoding is None else _found(folder, labels, f"{key}.LABELS")
    if present and len(next(iter(present))) != len(next(iter(found))):
        raise DataError(f"{key}.LABELS is {labels!r}, expected as many stars as in {key}.IMAGES, {images!r}")
    fixed, _ = _split(folder, images)
    start = f"{fixed}/" if fixed else ""
    items = []
    for name, path in found.items():
        relative = path.removeprefix(start)
        item: dict[str, Any] = {"file_name": str(folder / path), "image_id": Path(path).stem, "relative": relative}
        if encoding is not None:
            if name not in present:
                raise DataError(f"{folder / path}: no label, expected one of the same name in {folder / labels}")
            item |= {"sem_seg_file_name": str(folder / present[name]), "label_encoding": encoding}
        items.append(item)
    return items


def _found(folder: Path, text: str, key: str) -> dict[tuple[str, ...], str]:
    """What the stars stand for -> path below `folder`, of all files that match, sorted by path."""
    fixed, stars = _split(folder, text)
    if not text or text.startswith("/") or "**" in stars.replace("**/", ""):
        raise DataError(f"{key} is {text!r}, expected a folder or a pattern below FOLDER, such as left/**/*_rgb.png")
    pattern = re.compile((re.escape(f"{fixed}/") if fixed else "") + _expression(stars))
    found: dict[tuple[str, ...], str] = {}
    for path in sorted(_files(folder, fixed, key)):
        if match := pattern.fullmatch(path):
            if match.groups() in found:
                raise DataError(f"{folder / path}: there is {found[match.groups()]} too, expected one file of a name")
            found[match.groups()] = path
    if not found:
        raise DataError(f"{folder / fixed}: holds no file that {key}, {text!r}, describes")
    return found


def _files(folder: Path, fixed: str, key: str) -> Iterator[str]:
    """The paths below `folder` of all files in its folder `fixed`."""
    circles: list[Path] = []

    def unreadable(path: Path, error: OSError) -> NoReturn:
        raise DataError(f"{path}: cannot be listed ({error.strerror}), expected the folder that {key} names")

    start = folder / fixed
    for base, names in walk(start, unreadable, circles.append):
        below = Path(fixed, base.relative_to(start))
        yield from ((below / name).as_posix() for name in names)
    if circles and circles[0] not in _said:
        _said.add(circles[0])
        _LOGGER.warning("left out %s", told_circles(circles))


def _expression(stars: str) -> str:
    if not stars:
        return f"(.*)(?i:{'|'.join(map(re.escape, _ENDINGS))})"
    return "".join(_STARS.get(part, re.escape(part)) for part in re.split(r"(\*\*/|\*)", stars))


def _split(folder: Path, text: str) -> tuple[str, str]:
    """The folders before the first part with stars, empty for `folder` itself, and the pattern from there on.

    A folder that is there under the very name is none with stars.
    """
    fixed, parts = Path(), list(Path(text).parts)
    while parts and ("*" not in parts[0] or (folder / fixed / parts[0]).is_dir()):
        fixed /= parts.pop(0)
    return ("" if fixed == Path() else fixed.as_posix()), "/".join(parts)
