"""A few small predictions on validation images, which a finished run leaves beside its record, to be looked at."""

from __future__ import annotations

import io
import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from results.files.errors import ResultsError
from results.files.plain_file import read_plain, read_plain_text, replacing
from results.files.text import one_line
from results.records.record import as_json, write_text
from results.records.scores import STUDENT, TEACHER
from results.records.typed_json import typed

if TYPE_CHECKING:
    import numpy as np

MOST_IMAGES, LONGEST_SIDE = 24, 256
MOST_BYTES = 10**6  # of all files together
IGNORED = 255
FOLDER = "examples"  # in a run folder
STEP = "step.png"  # beside them: what the last pictures of a training step showed (LOG.IMAGES)

_INDEX = "index.json"
_MOST_CLASSES = 254
_IMAGE, _LABEL = "image", "label"


@dataclass(frozen=True, eq=False)
class Example:
    """One validation image at most LONGEST_SIDE pixels long; maps are (H, W) uint8 train ids, as large as it is.

    Attributes:
        index: its number in the evaluator's order, that of the rows of `results.records.image_counts`.
        image: (H, W, 3) uint8, RGB.
        label: with IGNORED where there is none; None where the image has no label.
        predictions: by model, STUDENT and, of methods that have one, TEACHER.
    """

    name: str
    index: int
    image: np.ndarray
    label: np.ndarray | None
    predictions: Mapping[str, np.ndarray]


@dataclass(frozen=True, eq=False)
class Examples:
    """The examples of a run. ``colors``: RGB, 0..255, one a class. ``left_out``: a line for each damaged example."""

    classes: list[str]
    colors: list[tuple[int, int, int]]
    images: list[Example]
    left_out: list[str] = field(default_factory=list)


def examples_folder(folder: Path) -> Path:
    """The folder of them in a run folder."""
    return folder / FOLDER


def make_examples_folder(folder: Path) -> Path:
    """The folder of them, made where it is not there; a link or a file of its name is removed. Raises OSError."""
    place = examples_folder(folder)
    if place.is_symlink() or not place.is_dir():
        place.unlink(missing_ok=True)
        place.mkdir()
    return place


def write_examples(folder: Path, examples: Examples) -> None:
    """Write them into a run folder; the index comes last, so that they are there whole or not at all.

    Every second one is left out until all take less than MOST_BYTES. Raises OSError where they cannot be written.
    """
    entries, files = zip(*(_encoded(number, each) for number, each in enumerate(examples.images)), strict=True)
    while sum(len(content) for each in files for content in each.values()) > MOST_BYTES * 0.98:
        entries, files = entries[::2], files[::2]
    place = make_examples_folder(folder)
    (place / _INDEX).unlink(missing_ok=True)
    for left_over in place.glob(".*.[0-9]*"):  # half a file of a process that was killed
        left_over.unlink()
    for name, content in ((name, content) for each in files for name, content in each.items()):
        with replacing(place / name) as file:
            file.write(content)
    index = {"classes": examples.classes, "colors": examples.colors, "ignored": IGNORED, "images": entries}
    write_text(place / _INDEX, as_json(index))


def _encoded(number: int, example: Example) -> tuple[dict[str, Any], dict[str, bytes]]:
    """An example's entry in the index, and its files by name."""
    from PIL import Image

    entry: dict[str, Any] = {"name": example.name, "index": example.index}
    maps = dict(example.predictions) if example.label is None else {_LABEL: example.label, **example.predictions}
    files = {}
    for key, pixels in {_IMAGE: example.image, **maps}.items():
        jpeg, file = key == _IMAGE, io.BytesIO()
        entry[key] = f"{number:02d}-{key}.{'jpg' if jpeg else 'png'}"
        Image.fromarray(pixels).save(file, "JPEG" if jpeg else "PNG", **({"quality": 85} if jpeg else {}))
        files[entry[key]] = file.getvalue()
    return entry, files


@dataclass(frozen=True)
class _Entry:
    """An image in the index, as the file has it."""

    name: str = ""
    index: int | None = None
    image: str = ""
    label: str = ""
    student: str = ""
    teacher: str = ""


@dataclass(frozen=True)
class _Index:
    """The index, as the file has it."""

    classes: list[str] = field(default_factory=list)
    colors: list[list[int]] = field(default_factory=list)
    ignored: int | None = None
    images: list[_Entry] = field(default_factory=list)


def read_examples(folder: Path) -> Examples | None:
    """The examples of a run, or None where it left none, as runs of before did.

    One whose files are missing or damaged is left out, with a line that names the file.

    Raises:
        ResultsError: the index is no plain file, or not what `write_examples` writes.
    """
    place = examples_folder(folder)
    path = place / _INDEX
    try:
        content = json.loads(read_plain_text(path, MOST_BYTES))
        index = typed(_Index, content if isinstance(content, dict) else {})
        _check(index)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise ResultsError(f"{path}: expected the index of a run's examples ({one_line(str(error))})") from None
    classes = [one_line(name) for name in index.classes]
    found = Examples(classes, [(red, green, blue) for red, green, blue in index.colors], [])
    for entry in index.images:
        try:
            found.images.append(_read(place, entry, len(classes)))
        except (OSError, ValueError) as error:
            found.left_out.append(one_line(str(error)))
    return found


def _check(index: _Index) -> None:
    """Check the index. Raises ValueError for what no run writes."""
    if not 1 <= len(index.classes) <= _MOST_CLASSES:
        raise ValueError(f"{len(index.classes)} classes, expected 1 to {_MOST_CLASSES}")
    if len(index.colors) != len(index.classes) or any(len(each) != 3 or max(each) > 255 for each in index.colors):
        raise ValueError("colors: expected three numbers from 0 to 255 for each class")
    if index.ignored != IGNORED:
        raise ValueError(f"ignored is {index.ignored}, expected {IGNORED}")
    if len(index.images) > MOST_IMAGES:
        raise ValueError(f"{len(index.images)} images, expected at most {MOST_IMAGES}")


def _read(place: Path, entry: _Entry, classes: int) -> Example:
    """An image of the index. Raises OSError or ValueError naming the file that is not as expected."""
    import numpy as np

    if entry.index is None:
        raise ValueError(f"{place / _INDEX}: {entry.name!r:.60} has no index, expected its number")
    image = _pixels(place, entry.image, "JPEG", "RGB")
    maps = {}
    for key in (_LABEL, STUDENT, TEACHER):
        name = getattr(entry, key)
        if name or key == STUDENT:
            maps[key] = _pixels(place, name, "PNG", "L")
            if maps[key].shape != image.shape[:2]:
                raise ValueError(f"{place / name}: expected a map as large as its image")
            if not np.all((maps[key] < classes) | ((maps[key] == IGNORED) & (key == _LABEL))):
                raise ValueError(f"{place / name}: expected train ids below {classes}")
    return Example(one_line(entry.name), entry.index, image, maps.pop(_LABEL, None), maps)


def _pixels(place: Path, name: str, kind: str, mode: str) -> np.ndarray:
    """The pixels of a small picture in the folder."""
    import numpy as np
    from PIL import Image

    path = place / name
    if name in ("", "..") or Path(name).name != name or "\0" in name:
        raise ValueError(f"{place / _INDEX}: {name!r:.60} is no name of a file of this folder")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # Pillow's, of a size that is suspicious
            picture = Image.open(io.BytesIO(read_plain(path, MOST_BYTES)), formats=(kind,))
            if max(picture.size) <= LONGEST_SIDE and picture.mode == mode:
                return np.array(picture)
    except Exception as error:  # the formats' readers raise many kinds on damaged files
        told = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise ValueError(f"{path}: damaged ({told}), expected a {kind} of a run's examples") from None
    shown = f"{picture.width}x{picture.height} in mode {picture.mode}"
    raise ValueError(f"{path}: {shown}, expected mode {mode} and at most {LONGEST_SIDE} pixels along a side")
