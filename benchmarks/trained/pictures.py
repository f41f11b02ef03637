"""Predictions as pictures: label maps that can be looked at, and overlays on the image."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
from PIL import Image

from benchmarks.core.errors import ConfigError
from datasets.classes.label_space import Colour
from results.files.plain_file import replacing

OVERLAY_SHARE = 0.5
"""Of the classes' colours in an overlay."""

_ROWS = 512


def label_map(train_ids: np.ndarray, colours: Sequence[Colour]) -> Image.Image:
    """A palette picture of train ids, uint8 (H, W): its values are the train ids, its palette the classes' colours."""
    picture = Image.fromarray(train_ids)
    picture.putpalette([channel for colour in colours for channel in colour])
    return picture


def overlay(image: np.ndarray, train_ids: np.ndarray, colours: Sequence[Colour]) -> Image.Image:
    """The image, uint8 (H, W, 3), RGB, blended half and half with its classes' colours."""
    table, blended = np.asarray(colours, np.uint8), np.empty_like(image)
    for top in range(0, len(image), _ROWS):  # a large image is there twice already
        rows = slice(top, top + _ROWS)
        painted = Image.fromarray(table[train_ids[rows]])
        blended[rows] = np.asarray(Image.blend(Image.fromarray(image[rows]), painted, OVERLAY_SHARE))
    return Image.fromarray(blended)


class _Writer:
    """A file that has no number."""

    def __init__(self, file: BinaryIO) -> None:
        self.write, self.flush = file.write, file.flush


def save_png(picture: Image.Image, path: Path) -> None:
    """Write a PNG whole or not at all, with the folders above it.

    Raises:
        ConfigError: it cannot be written there.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as file:
            # Pillow writes to a plain file by itself and would not say why it could not.
            picture.save(cast(BinaryIO, _Writer(file)), format="PNG")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written ({error.strerror or error})") from None
