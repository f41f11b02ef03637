"""Which files hold label maps whose decoded values are the ids that were stored, and how those are read.

Lossy formats are known by their content, for a JPEG may be called .png; grey of fewer than 8 bits, which Pillow
stretches to 0..255 for the eye, is brought back to what is in the file.
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image

from datasets.base.errors import DataError

_LOSSY = {"JPEG": "JPEG", "MPO": "JPEG", "JPEG2000": "JPEG 2000", "AVIF": "AVIF", "WEBP": "WebP"}
_COMPRESSION, _PHOTOMETRIC, _BITS = 259, 262, 258  # tags of TIFF
_WHITE_IS_ZERO = 0
_TIFF_LOSSY = {6: "JPEG", 7: "JPEG", 33003: "JPEG 2000", 33005: "JPEG 2000", 34712: "JPEG 2000", 34887: "LERC"} | {
    50001: "WebP",
    50002: "JPEG XL",
    52546: "JPEG XL",
}
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # colour type of a PNG -> its channels


def check_label(path: str | Path, image: Image.Image, expected: str) -> None:
    """Raise `DataError` unless a picture, opened and not loaded, has the header of a label that `stored_ids` reads.

    `expected` says in errors what a label is.
    """
    lossy = _LOSSY.get(str(image.format))
    if image.format == "TIFF":
        lossy = _TIFF_LOSSY.get(image.tag_v2.get(_COMPRESSION, 1))  # type: ignore[attr-defined]
    if lossy:
        raise DataError(f"{path}: {lossy} changes values to save space, so they are no ids: expected a PNG, {expected}")
    if image.mode not in ("1", "L", "P"):
        colours = " (colours, which are no ids)" if image.mode in ("RGB", "RGBA") else ""
        raise DataError(f"{path}: expected {expected}, found mode {image.mode}{colours}")
    codec, extent = image.tile[0][:2]  # type: ignore[attr-defined]
    if (image.format == "PPM" and (image.mode != "L" or codec != "raw")) or (  # Pillow scales to 0..255
        image.format == "GIF" and extent != (0, 0, *image.size)  # the rest is filled with an id of no meaning
    ):
        raise DataError(f"{path}: expected {expected}, found a {image.format} whose values cannot be told, use PNG")
    check_bmp(path, image, expected)


def stored_ids(path: str | Path, image: Image.Image, expected: str) -> np.ndarray:
    """The values that are stored in a label, opened and not loaded: uint8 (H, W), grey levels or palette indices.

    Raises `DataError` as `check_label` does.
    """
    check_label(path, image, expected)
    bits, inverted = _grey_form(image)
    image.load()
    pixels = np.array(image).astype(np.uint8)  # a new array; mode "1" is of booleans, 0 and 1
    if image.mode == "1":
        return 1 - pixels if inverted else pixels
    if image.mode == "L":
        if inverted:
            pixels = 255 - pixels
        if bits < 8:
            pixels //= 255 // (2**bits - 1)
    return pixels


def check_bmp(path: str | Path, image: Image.Image, expected: str) -> None:
    """Raise `DataError` for a BMP that Pillow misreads: a palette of greys, but not of as many as its bits have."""
    if image.format in ("BMP", "DIB") and image.mode in ("1", "L"):
        bits = _bmp_bits(image)
        if bits != (1 if image.mode == "1" else 8):
            raise DataError(f"{path}: expected {expected}, found a BMP of {bits} bits with few greys, use PNG")


def check_synthia(path: str | Path, image: Image.Image, expected: str) -> None:
    """Raise `DataError` unless a picture, opened and not loaded, has the header of a label as SYNTHIA ships it."""
    if image.format != "PNG":
        raise DataError(f"{path}: expected {expected}, found {image.format}")
    bits, colour_type = _at(image, 24, 2)
    if (bits, colour_type) != (16, 2):
        raise DataError(f"{path}: expected {expected}, found {_CHANNELS.get(colour_type, 0)} of {bits} bits")


def _grey_form(image: Image.Image) -> tuple[int, bool]:
    """Bits a pixel that a grey picture is stored in, and whether it stores 0 for white, which Pillow turns round."""
    if image.format == "PNG":
        return _at(image, 24, 1)[0], False
    if image.format == "TIFF":
        tags = image.tag_v2  # type: ignore[attr-defined]
        bits = tags.get(_BITS, (1,))
        # Pillow takes one that does not say for white is zero
        return int(bits[0]), image.mode != "P" and tags.get(_PHOTOMETRIC, _WHITE_IS_ZERO) == _WHITE_IS_ZERO
    return 8, False


def _bmp_bits(image: Image.Image) -> int:
    start = 14 if image.format == "BMP" else 0
    core = int.from_bytes(_at(image, start, 4), "little") == 12
    return int.from_bytes(_at(image, start + (10 if core else 14), 2), "little")


def _at(image: Image.Image, position: int, count: int) -> bytes:
    file: BinaryIO = image.fp  # type: ignore[attr-defined]
    before = file.tell()
    file.seek(position)
    try:
        return file.read(count)
    finally:
        file.seek(before)
