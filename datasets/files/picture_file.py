"""Picture files before a pixel is decoded: what may be opened, what the header says, and which way up it is shown.

The size of a picture here is always that *as shown*: with the turn that an EXIF orientation asks for, as cameras and
phones store it.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO, NoReturn

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from datasets.base.errors import DataError

# Pillow's own bound ends in a traceback or a warning; `opened` has one that a caller can set.
Image.MAX_IMAGE_PIXELS = None

MAX_PIXELS = 178_956_970
"""Pixels of the largest picture that is read unless a caller says otherwise: where Pillow suspects a bomb."""

_FORMATS = ("PNG", "JPEG", "MPO", "TIFF", "BMP", "DIB", "WEBP", "GIF", "PPM", "TGA", "JPEG2000", "AVIF")
_BUFFER = 2**20  # network disks answer few large reads faster than many small ones
_ORIENTATION = ExifTags.Base.Orientation
_REDUCED, _MASK = 1, 4  # bits of a TIFF page's NewSubfileType: a smaller copy, a mask
_LATE = (b"eXIf", b"iTXt", b"tEXt", b"zTXt")  # PNG chunks that can hold an orientation


@contextmanager
def opened(
    path: str | Path, expected: str, max_pixels: int = MAX_PIXELS, buffer: int = _BUFFER
) -> Iterator[Image.Image]:
    """The picture at `path`, header read and pixels not yet; the file is closed in the end.

    `expected` says in errors what the file should be. What Pillow raises inside the context, on damaged pixels, is told
    as a `DataError`, too.
    Raises `DataError` for what is missing, no plain file (a pipe would hang, a device never ends), no picture, damaged,
    larger than `max_pixels`, or several pictures in one (an animation, pages).
    """
    with _plain_file(path, expected, buffer) as file, in_one_line(path, expected):
        image = Image.open(file, formats=_formats())
        width, height = image.size
        if width * height > max_pixels:
            raise DataError(
                f"{path}: {width}x{height} are {width * height:,} pixels, expected at most {max_pixels:,}: cut it into "
                "smaller pictures (benchmarks/predict.py takes it whole with --max-pixels)"
            )
        if _several(image):
            raise DataError(f"{path}: holds several pictures (an animation, or pages), expected {expected}")
        yield image


def size_shown(image: Image.Image) -> tuple[int, int]:
    """(width, height) of a picture from `opened` as a viewer shows it, from its header."""
    width, height = image.size
    if image.format == "TIFF":  # versions of Pillow differ in whether its size is turned
        width, height = int(image.tag_v2[256]), int(image.tag_v2[257])  # type: ignore[attr-defined]
    return (height, width) if orientation(image) in (5, 6, 7, 8) else (width, height)


def orientation(image: Image.Image) -> int:
    """EXIF's number, 1 to 8, of how the pixels are to be turned; 1, as they are, where it says nothing sensible.

    No pixel is decoded for it, but of a PNG whose notes follow its pixels. Pillow turns a TIFF when it loads it: ask
    after that.
    """
    if image.format == "PNG" and image.fp is not None and _notes_follow(image.fp):  # type: ignore[attr-defined]
        image.load()
    try:
        # PNG's own getexif would decode the pixels of each picture to look for notes behind them
        found = Image.Image.getexif(image).get(_ORIENTATION, 1)
    except Exception:  # a damaged note turns no picture in a viewer either
        return 1
    return found if isinstance(found, int) and 1 <= found <= 8 else 1


def upright(pixels: np.ndarray, number: int) -> np.ndarray:
    """Pixels (H, W) or (H, W, C) as stored -> as shown, by the EXIF orientation `number`, 1 to 8."""
    turned = {
        2: lambda: pixels[:, ::-1],
        3: lambda: pixels[::-1, ::-1],
        4: lambda: pixels[::-1],
        5: lambda: pixels.swapaxes(0, 1),
        6: lambda: np.rot90(pixels, -1),
        7: lambda: pixels[::-1, ::-1].swapaxes(0, 1),
        8: lambda: np.rot90(pixels),
    }
    return np.ascontiguousarray(turned[number]()) if number in turned else pixels


@contextmanager
def in_one_line(path: str | Path, expected: str) -> Iterator[None]:
    """What Pillow raises on a file that is no picture, or a damaged one, as a `DataError`."""
    try:
        yield
    except DataError:
        raise
    except UnidentifiedImageError:
        raise DataError(f"{path}: not an image, expected {expected}") from None
    except MemoryError:
        raise DataError(f"{path}: memory does not suffice to read it, expected a smaller picture") from None
    except Exception as error:  # the formats' readers raise many kinds on damaged files
        told = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{path}: damaged ({told}), expected {expected}") from error


@contextmanager
def _plain_file(path: str | Path, expected: str, buffer: int) -> Iterator[BinaryIO]:
    def unreadable(error: OSError) -> NoReturn:
        raise DataError(f"{path}: cannot be read ({error.strerror or error}), expected {expected}") from None

    try:
        mode = Path(path).stat().st_mode  # before it is opened: opening a pipe waits for its writer
        if stat.S_ISDIR(mode):
            raise DataError(f"{path}: cannot be read (a folder), expected {expected}")
        if not stat.S_ISREG(mode):
            raise DataError(f"{path}: cannot be read (no plain file), expected {expected}")
        file = open(path, "rb", buffering=buffer)  # noqa: PTH123, SIM115
    except FileNotFoundError:
        raise DataError(f"{path}: no such file, expected {expected}") from None
    except OSError as error:
        unreadable(error)
    with file:
        yield file


@lru_cache
def _formats() -> list[str]:
    """The `_FORMATS` that this Pillow reads; others, such as EPS, would start programs."""
    Image.init()
    return [name for name in _FORMATS if name in Image.OPEN]


def _several(image: Image.Image) -> bool:
    """Whether a viewer shows more than one picture: the previews in a camera's JPEG or an aerial TIFF do not count."""
    if image.format == "MPO" or not getattr(image, "is_animated", False):
        return False
    if image.format != "TIFF":
        return True
    pages = 0
    for page in range(image.n_frames):  # type: ignore[attr-defined]
        image.seek(page)
        pages += not image.tag_v2.get(254, 0) & (_REDUCED | _MASK)  # type: ignore[attr-defined]
    image.seek(0)
    return pages > 1


def _notes_follow(file: BinaryIO) -> bool:
    """Whether a PNG has notes behind its pixels, by walking over its chunks."""
    position = file.tell()
    try:
        at, behind = 8, False
        while True:
            file.seek(at)
            head = file.read(8)
            if len(head) < 8 or head[4:] == b"IEND":
                return False
            behind |= head[4:] == b"IDAT"
            if behind and head[4:] in _LATE:
                return True
            at += 12 + int.from_bytes(head[:4], "big")
    finally:
        file.seek(position, os.SEEK_SET)
