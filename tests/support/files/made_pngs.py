"""PNGs of any colour type and bit depth, which Pillow cannot all write: made by hand, chunk by chunk."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

GREY, RGB, PALETTE, GREY_ALPHA, RGBA = 0, 2, 3, 4, 6
_CHANNELS = {GREY: 1, RGB: 3, PALETTE: 1, GREY_ALPHA: 2, RGBA: 4}
# Adam7: first row and column, and steps, of each pass
_PASSES = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))


def save_png(
    path: Path,
    samples: np.ndarray,
    bits: int,
    colour_type: int = GREY,
    *,
    interlaced: bool = False,
    before: tuple[tuple[bytes, bytes], ...] = (),
    behind: tuple[tuple[bytes, bytes], ...] = (),
) -> Path:
    """Write samples (H, W) or (H, W, C), each below 2 ** bits, as they are, with more chunks around the pixels."""
    samples = samples.reshape(*samples.shape[:2], _CHANNELS[colour_type])
    height, width = samples.shape[:2]
    parts = [samples[r::dr, c::dc] for r, c, dr, dc in _PASSES] if interlaced else [samples]
    rows = b"".join(b"\0" + _packed(row.ravel(), bits) for part in parts if part.size for row in part)
    header = struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, int(interlaced))
    palette = [(b"PLTE", bytes((7 * i + 90) % 256 for i in range(3 * 2**bits)))] if colour_type == PALETTE else []
    chunks = [(b"IHDR", header), *palette, *before, (b"IDAT", zlib.compress(rows)), *behind, (b"IEND", b"")]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*chunk) for chunk in chunks))
    return path


def orientation_note(number: int) -> bytes:
    """The contents of an EXIF note that asks for a turn."""
    exif = Image.Exif()
    exif[274] = number
    return exif.tobytes().removeprefix(b"Exif\0\0")


def _packed(values: np.ndarray, bits: int) -> bytes:
    if bits >= 8:
        return values.astype(">u2" if bits == 16 else np.uint8).tobytes()
    return np.packbits((values[:, None] >> np.arange(bits - 1, -1, -1)) & 1).tobytes()


def _chunk(name: bytes, contents: bytes) -> bytes:
    return struct.pack(">I", len(contents)) + name + contents + struct.pack(">I", zlib.crc32(name + contents))
