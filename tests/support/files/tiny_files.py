"""Tiny files in the formats and folders that the data sets ship."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from datasets.base.errors import DataError


def save_image(path: Path, size: tuple[int, int] = (8, 6), seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def save_palette(path: Path, ids: Any) -> Path:
    """GTA's form: indices into a palette whose colours are unlike the indices."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(np.asarray(ids, np.uint8)).convert("P")
    image.putdata(np.asarray(ids).reshape(-1).tolist())
    image.putpalette([(7 * i + 90) % 256 for i in range(768)])
    image.save(path)
    return path


def save_grey(path: Path, ids: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(ids, np.uint8)).save(path)
    return path


def save_synthia(path: Path, ids: Any) -> Path:
    """16 bits, three channels: class in red, instance in green (above 8 bits), nothing in blue."""
    path.parent.mkdir(parents=True, exist_ok=True)
    classes = np.asarray(ids, np.uint16)
    instances = np.arange(classes.size, dtype=np.uint16).reshape(classes.shape) + 300
    assert cv2.imwrite(str(path), np.dstack([np.zeros_like(classes), instances, classes]))
    return path


def gta(root: Path, count: int = 3) -> Path:
    for i in range(1, count + 1):
        save_image(root / f"images/{i:05d}.png", seed=i)
        save_palette(root / f"labels/{i:05d}.png", np.full((6, 8), 7))
    return root


def cityscapes(root: Path, split: str = "train") -> Path:
    for city in ("ulm", "aachen"):
        for frame in (19, 7):
            stem = f"{split}/{city}/{city}_000000_{frame:06d}"
            save_image(root / f"leftImg8bit/{stem}_leftImg8bit.png", seed=frame)
            save_grey(root / f"gtFine/{stem}_gtFine_labelIds.png", np.full((6, 8), 26))
            save_grey(root / f"gtFine/{stem}_gtFine_instanceIds.png", np.full((6, 8), 1))
    return root


def acdc(root: Path, *conditions: str, split: str = "val") -> Path:
    for number, condition in enumerate(conditions):
        for sequence in ("GOPR0402", "GP010476"):
            stem = f"{condition}/{split}/{sequence}/{sequence}_frame_{number:06d}"
            save_image(root / f"rgb_anon/{stem}_rgb_anon.png", seed=number)
            save_grey(root / f"gt/{stem}_gt_labelTrainIds.png", np.full((6, 8), number))
            save_grey(root / f"gt/{stem}_gt_labelIds.png", np.full((6, 8), 26))  # there in the download, not read
        save_image(root / f"rgb_anon/{condition}/{split}_ref/GOPR0402/GOPR0402_frame_000001_rgb_ref_anon.png")
    return root


def message(call: Callable[[], Any]) -> str:
    with pytest.raises(DataError) as caught:
        call()
    line = str(caught.value)
    assert "\n" not in line
    return line
