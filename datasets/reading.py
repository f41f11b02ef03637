"""Reading images and labels from the files that the data sets ship."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

from datasets.errors import DataError, SizeMismatch
from datasets.labels import SYNTHIA, TRAIN_ID_TABLES, UNKNOWN, storage_of, train_id_table

# Loader workers are the parallelism: threads of OpenCV's own would compete with them, and do not survive a fork.
cv2.setNumThreads(0)


def read_image(path: str | Path) -> np.ndarray:
    """The image at `path`: uint8 (H, W, 3), RGB, 0..255.

    Raises `DataError` if the file is missing, damaged, or neither RGB nor RGBA (alpha is dropped).
    """
    expected = "an RGB image"
    image = _decoded(path, _contents(path, expected), expected)
    if image.mode not in ("RGB", "RGBA"):
        raise DataError(f"{path}: expected {expected}, found mode {image.mode} (is it a label?)")
    return np.array(image if image.mode == "RGB" else image.convert("RGB"))


def read_label(path: str | Path, encoding: str) -> np.ndarray:
    """The label map at `path`: uint8 (H, W), train ids (0..18 in Cityscapes' classes) or 255 (ignored).

    `encoding` says how the file stores classes: a key of `labels.TRAIN_ID_TABLES`, or what `labels.own_encoding` gave.
    Raises `DataError` if the file is missing, damaged, stored in another form, or holds ids that the encoding lacks.
    """
    table = train_id_table(encoding)
    stored = _stored_synthia(path) if storage_of(encoding) == SYNTHIA else _stored_bytes(path)
    train_ids = np.take(table, stored, mode="clip")
    unknown = train_ids == UNKNOWN
    if unknown.any():
        ids = np.unique(stored[unknown])
        shown = ", ".join(str(i) for i in ids[:8]) + (", ..." if len(ids) > 8 else "")
        if encoding in TRAIN_ID_TABLES:
            raise DataError(f"{path}: class ids {shown} are not in the table of encoding {encoding!r}")
        raise DataError(f"{path}: class ids {shown} are not in the protocol's IDS, expected them or 'others' there")
    return train_ids


def read_pair(item: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Image (H, W, 3) and label (H, W) of a labelled item of detectron2's form, as `read_image` and `read_label` give.

    Raises `SizeMismatch`, a `DataError`, if the two sizes disagree (as in a few files of GTA).
    """
    image = read_image(item["file_name"])
    label = read_label(item["sem_seg_file_name"], item["label_encoding"])
    if image.shape[:2] != label.shape:
        raise SizeMismatch(
            f"{item['sem_seg_file_name']}: expected the size of its image, {_size(image)}, found {_size(label)}"
        )
    return image, label


def _size(array: np.ndarray) -> str:
    return f"{array.shape[1]}x{array.shape[0]}"


def _stored_bytes(path: str | Path) -> np.ndarray:
    """uint8 (H, W): grey values, or the palette's indices, for GTA's colours are only for the eye."""
    expected = "a label of 8 bits a pixel, grey or palette"
    image = _decoded(path, _contents(path, expected), expected)
    if image.mode not in ("L", "P"):
        raise DataError(f"{path}: expected {expected}, found mode {image.mode}")
    return np.array(image)


def _stored_synthia(path: str | Path) -> np.ndarray:
    """uint16 (H, W): the red channel; the others number the instances.

    Pillow reduces 16-bit colour to 8 bits and loses the ids, so OpenCV decodes, whose channel order is blue first.
    """
    expected = "a SYNTHIA label, a PNG of three 16-bit channels"
    contents = _contents(path, expected)
    # OpenCV versions differ in what they return for a damaged file; the check sums tell.
    _decoded(path, contents, expected, check_only=True)
    stored = cv2.imdecode(np.frombuffer(contents, np.uint8), cv2.IMREAD_UNCHANGED)
    if stored is None:
        raise DataError(f"{path}: damaged, expected {expected}")
    if stored.dtype != np.uint16 or stored.ndim != 3 or stored.shape[2] != 3:
        channels = stored.shape[2] if stored.ndim == 3 else 1
        raise DataError(f"{path}: expected {expected}, found {channels} of {stored.dtype.itemsize * 8} bits")
    return stored[:, :, 2]


def _contents(path: str | Path, expected: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except FileNotFoundError:
        raise DataError(f"{path}: no such file, expected {expected}") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}), expected {expected}") from error


def _decoded(path: str | Path, contents: bytes, expected: str, check_only: bool = False) -> Image.Image:
    """The image in `contents`; with `check_only` its structure and check sums are tested and no pixel is decoded."""
    try:
        image = Image.open(BytesIO(contents))
        if check_only:
            image.verify()
        else:
            image.load()
    except UnidentifiedImageError:
        raise DataError(f"{path}: not an image, expected {expected}") from None
    except (OSError, SyntaxError, ValueError) as error:  # Pillow raises each of them on damaged files
        raise DataError(f"{path}: damaged ({error}), expected {expected}") from error
    return image
