"""Reading images and labels from the files that the data sets ship: images as a viewer shows them, ids as stored."""

from __future__ import annotations

import logging
import multiprocessing
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import cv2
import numpy as np
from PIL import Image

from datasets.base.errors import DataError, SizeMismatch
from datasets.classes.labels import SYNTHIA, UNKNOWN, LabelEncoding
from datasets.files.label_file import check_bmp, check_label, check_synthia, stored_ids
from datasets.files.picture_file import MAX_PIXELS, opened, orientation, size_shown, upright

# Loader workers are the parallelism: threads of OpenCV's own would compete with them, and do not survive a fork.
cv2.setNumThreads(0)

_LOGGER = logging.getLogger(__name__)

_IMAGE, _LABEL = "an RGB image", "a label of 8 bits a pixel, grey or palette"
_SYNTHIA_LABEL = "a SYNTHIA label, a PNG of three 16-bit channels"
_HEADER_BUFFER = 2**13
_COLOURS = ("RGB", "RGBA", "RGBX", "YCbCr")
_CONVERTED = {
    **dict.fromkeys(("1", "L", "LA"), "grey, read as RGB of three equal channels"),
    **dict.fromkeys(("P", "PA"), "of palette colours, read as the RGB that they stand for"),
}
_REFUSED = {"CMYK": "the colours of print", "LAB": "no RGB", "HSV": "no RGB"}
_said: set[str] = set()

Resize = Callable[[int, int], tuple[int, int]]
"""Width and height of an image as shown -> those that it is brought to."""


class Header(NamedTuple):
    """What the header of a picture says."""

    width: int  # as shown, with the turn that an EXIF orientation asks for
    height: int
    note: str = ""  # how an image that is not RGB is read as RGB, in words


def image_header(path: str | Path, max_pixels: int = MAX_PIXELS) -> Header:
    """What `read_image` will make of the file, from its header: no pixel is decoded, unless notes of a PNG follow them.

    Raises `DataError` as `read_image` does, but for damaged pixels.
    """
    with opened(path, _IMAGE, max_pixels, _HEADER_BUFFER) as image:
        return Header(*size_shown(image), _note(path, image))


def label_header(path: str | Path, encoding: LabelEncoding) -> Header:
    """What `read_label` will make of the file, from its header, as `image_header`.

    Raises `DataError` as `read_label` does, but for damaged pixels and unknown ids.
    """
    expected, check = (_SYNTHIA_LABEL, check_synthia) if encoding.storage == SYNTHIA else (_LABEL, check_label)
    with opened(path, expected, buffer=_HEADER_BUFFER) as image:
        check(path, image, expected)
        return Header(*size_shown(image))


def read_image(path: str | Path, max_pixels: int = MAX_PIXELS, resize: Resize | None = None) -> np.ndarray:
    """The image at `path` as a viewer shows it: uint8 (H, W, 3), RGB, 0..255, turned by its EXIF orientation.

    With `resize` it is brought to another size, bilinearly, over the area that a pixel covers where it shrinks.
    Alpha is dropped, grey and palette pictures are read as RGB, with one warning, and of 16 bits a channel the upper 8
    count.
    Raises `DataError` if the file is missing, no plain file, damaged, larger than `max_pixels`, several pictures in
    one, or of another kind: CMYK, floating point, grey of more than 8 bits that is no PNG.
    """
    return _image_and_size(path, max_pixels, resize)[0]


def _image_and_size(
    path: str | Path, max_pixels: int, resize: Resize | None
) -> tuple[np.ndarray, tuple[int, int]]:
    """An image as `read_image` gives it, and its own (width, height)."""
    with opened(path, _IMAGE, max_pixels) as image:
        note = _note(path, image)
        image.load()
        image.info.pop("transparency", None)  # dropped as alpha is, without a warning of Pillow's
        if note:
            say_once(path, note)
        if resize is not None and image.mode == "RGB" and orientation(image) == 1:  # without a copy of the whole
            width, height = image.size
            return np.array(_resized(image, resize(width, height))), (width, height)
        if image.mode.startswith("I"):
            grey = (np.asarray(image) >> 8).astype(np.uint8)
            pixels = np.repeat(grey[:, :, None], 3, axis=2)
        else:
            pixels = np.array(image if image.mode == "RGB" else image.convert("RGB"))
        pixels = upright(pixels, orientation(image))
        height, width = pixels.shape[:2]
        if resize is not None:
            pixels = np.array(_resized(Image.fromarray(pixels), resize(width, height)))
        return pixels, (width, height)


def _resized(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """The image at another (width, height)."""
    return image if image.size == size else image.resize(size, Image.Resampling.BILINEAR)


def read_label(path: str | Path, encoding: LabelEncoding) -> np.ndarray:
    """The label map at `path`: uint8 (H, W), train ids 0..K-1 or 255 (ignored), turned by its EXIF orientation.

    `encoding` says how the file stores classes. Ids are those in the file, also in fewer than 8 bits a pixel.
    Raises `DataError` if the file is missing, no plain file, damaged, stored in another form or in a lossy format (by
    its content, not its name), or holds ids that the encoding lacks.
    """
    stored = read_stored(path, encoding)
    # OpenCV's takes a quarter of the time of numpy's, which widens each id.
    in_bytes = stored.dtype == np.uint8
    train_ids = cv2.LUT(stored, encoding.table) if in_bytes else np.take(encoding.table, stored, mode="clip")
    unknown = train_ids == UNKNOWN
    if unknown.any():
        ids = np.unique(stored[unknown])
        shown = ", ".join(str(i) for i in ids[:8]) + (", ..." if len(ids) > 8 else "")
        if encoding.name:
            raise DataError(f"{path}: class ids {shown} are not in the table of encoding {encoding.name!r}")
        known = np.flatnonzero(encoding.table != UNKNOWN)
        raise DataError(
            f"{path}: class ids {shown} belong to no class, expected {_spans(known)}, or IDS in the protocol "
            "that say what the others are"
        )
    return train_ids


def read_stored(path: str | Path, encoding: LabelEncoding) -> np.ndarray:
    """The ids in the label at `path`, (H, W), as they are stored, whatever they mean; otherwise as `read_label`."""
    return _stored_synthia(path) if encoding.storage == SYNTHIA else _stored_bytes(path)


def _spans(numbers: np.ndarray) -> str:
    """Ids as text: ``0 to 4, 255``."""
    runs = np.split(numbers, np.flatnonzero(np.diff(numbers) > 1) + 1)
    return ", ".join(f"{run[0]}" if len(run) == 1 else f"{run[0]} to {run[-1]}" for run in runs if len(run))


def read_pair(item: dict[str, Any], resize: Resize | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Image (H, W, 3) and label (H, W) of a labelled item of detectron2's form, as `read_image` and `read_label` give.

    `resize` is of the image alone.
    Raises `SizeMismatch`, a `DataError`, if the two sizes disagree (as in a few files of GTA).
    """
    image, (width, height) = _image_and_size(item["file_name"], MAX_PIXELS, resize)
    label = read_label(item["sem_seg_file_name"], item["label_encoding"])
    if label.shape != (height, width):
        raise SizeMismatch(
            f"{item['sem_seg_file_name']}: expected the size of its image, {width}x{height}, found "
            f"{label.shape[1]}x{label.shape[0]}"
        )
    return image, label


def say_once(path: str | Path, note: str) -> None:
    """Warn of the `note` in an image's header: each note once, and not from workers, which would all say it."""
    if note not in _said and multiprocessing.parent_process() is None:
        _said.add(note)
        _LOGGER.warning("%s is %s; so are others like it", path, note)


def _note(path: str | Path, image: Image.Image) -> str:
    """How an image is read as RGB, empty where it is RGB. Raises `DataError` where it cannot be."""
    mode = image.mode
    if mode in _COLOURS:
        return ""
    if image.format == "PNG" and mode.startswith("I"):  # 16 bits; versions of Pillow differ in the mode
        return _CONVERTED["L"]
    if mode not in _CONVERTED:
        why = _REFUSED.get(mode, "not 8 bits a channel")
        raise DataError(f"{path}: expected {_IMAGE}, found mode {mode} ({why})")
    check_bmp(path, image, _IMAGE)
    return _CONVERTED[mode]


def _stored_bytes(path: str | Path) -> np.ndarray:
    """uint8 (H, W): grey values, or the palette's indices, for GTA's colours are only for the eye."""
    with opened(path, _LABEL) as image:
        stored = stored_ids(path, image, _LABEL)
        return upright(stored, orientation(image))


def _stored_synthia(path: str | Path) -> np.ndarray:
    """uint16 (H, W): the red channel; the others number the instances.

    Pillow reduces 16-bit colour to 8 bits and loses the ids, so OpenCV decodes, whose channel order is blue first.
    """
    with opened(path, _SYNTHIA_LABEL) as image:
        check_synthia(path, image, _SYNTHIA_LABEL)
        contents = _contents(path, image)
        # OpenCV versions differ in what they return for a damaged file; the check sums tell.
        Image.open(BytesIO(contents), formats=["PNG"]).verify()
        stored = cv2.imdecode(np.frombuffer(contents, np.uint8), cv2.IMREAD_UNCHANGED)
        if stored is None or stored.dtype != np.uint16 or stored.ndim != 3 or stored.shape[2] != 3:
            raise DataError(f"{path}: damaged, expected {_SYNTHIA_LABEL}")
        return upright(stored[:, :, 2], orientation(image))


def _contents(path: str | Path, image: Image.Image) -> bytes:
    """All of an opened file, which is not much larger than its pixels are."""
    file: BinaryIO = image.fp  # type: ignore[attr-defined]
    before, most = file.tell(), 2 * 6 * image.size[0] * image.size[1] + 2**24
    file.seek(0)
    contents = file.read(most + 1)
    file.seek(before)
    if len(contents) > most:
        raise DataError(f"{path}: damaged (far larger than its pixels), expected {_SYNTHIA_LABEL}")
    return contents
