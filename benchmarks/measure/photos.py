"""Pictures and labels that are made up, of the size of real ones, and as hard to compress: no data set is needed."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

GTA, CITYSCAPES = (1914, 1052), (2048, 1024)
"""(width, height) in pixels of what the two data sets ship."""
_GRAIN = 1.1  # deviation of a channel's noise: files come to some 2.3 MB, as those of Cityscapes and GTA
_LABEL_IDS = np.array((7, 8, 11, 13, 21, 22, 23, 24, 26, 33, 0), np.uint8)


def write_photos(folder: Path, images: int, gta: tuple[int, int] = GTA, city: tuple[int, int] = CITYSCAPES) -> None:
    """Write GTA, and Cityscapes' train and val, ``images`` of each, in their layouts below ``folder``."""
    for index in range(images):
        _write(folder / f"gta/images/{index:05d}.png", photo(gta, index))
        _write(folder / f"gta/labels/{index:05d}.png", label_ids(gta, index))
        for split in ("train", "val"):
            stem = f"{split}/ulm/ulm_{index:06d}_000019"
            _write(folder / f"cityscapes/leftImg8bit/{stem}_leftImg8bit.png", photo(city, 1000 + index))
            _write(folder / f"cityscapes/gtFine/{stem}_gtFine_labelIds.png", label_ids(city, 1000 + index))


def photo(size: tuple[int, int], seed: int) -> np.ndarray:
    """uint8 (H, W, 3): light that changes slowly, structures of all sizes, and grain."""
    width, height = size
    rng = np.random.default_rng(seed)
    picture = np.full((height, width, 3), 110.0, np.float32)
    for cells in (2, 8, 32, 128):
        coarse = rng.normal(0, 80 / cells**0.5, (max(2, height * cells // width), cells, 3)).astype(np.float32)
        picture += cv2.resize(coarse, size, interpolation=cv2.INTER_CUBIC)
    picture += rng.normal(0, _GRAIN, picture.shape)
    return picture.clip(0, 255).astype(np.uint8)


def label_ids(size: tuple[int, int], seed: int) -> np.ndarray:
    """uint8 (H, W): regions of some classes with curved borders, as label ids."""
    width, height = size
    noise = np.random.default_rng(seed).normal(size=(len(_LABEL_IDS), 8, 16)).astype(np.float32)
    heights = np.stack([cv2.resize(each, (width, height), interpolation=cv2.INTER_CUBIC) for each in noise])
    return _LABEL_IDS[heights.argmax(0)]


def _write(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(".png", pixels)[1].tobytes())
