"""Small pictures as addresses that hold them, ``data:image/png;base64,...``."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

from results.records.examples import IGNORED

if TYPE_CHECKING:
    import numpy as np

_WRONG, _UNKNOWN = (213, 94, 0), (128, 128, 128)


def class_map(values: np.ndarray, colors: Sequence[tuple[int, int, int]]) -> str:
    """The address of train ids (H, W) in their colours; black where there is none."""
    return _palette(values, [*colors, *[(0, 0, 0)] * (256 - len(colors))], None)


def error_map(label: np.ndarray, prediction: np.ndarray) -> str:
    """The address of what is wrong in one colour, what is not labelled in grey; what is right is transparent."""
    import numpy as np

    kinds = np.where(label == IGNORED, 2, label != prediction).astype(np.uint8)
    return _palette(kinds, [(0, 0, 0), _WRONG, _UNKNOWN], 0)


def _palette(values: np.ndarray, colors: Sequence[tuple[int, int, int]], transparent: int | None) -> str:
    from PIL import Image

    picture = Image.fromarray(values)
    picture.putpalette([channel for color in colors for channel in color])
    file = io.BytesIO()
    picture.save(file, "PNG", optimize=True, **({} if transparent is None else {"transparency": transparent}))
    return address(file.getvalue(), "png")


def jpeg(pixels: np.ndarray) -> str:
    """The address of an image (H, W, 3), uint8."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=85)
    return address(file.getvalue(), "jpeg")


def address(content: bytes, kind: str) -> str:
    """The address of a picture's file of a ``kind`` as png."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
