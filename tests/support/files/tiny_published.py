"""Tiny data sets in the folders of the published downloads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from tiny_files import save_grey, save_image, save_palette, save_synthia

SIZE = (96, 64)


def label(rng: np.random.Generator, ids: list[int]) -> np.ndarray:
    return np.repeat(np.repeat(rng.choice(ids, (8, 12)), 8, 0), 8, 1)


def write_published(folder: Path, validation: int = 3) -> Path:
    """GTA, SYNTHIA, Cityscapes, ACDC and Dark Zurich, labels of large blocks of all classes.

    Three images of each split, so many of those for validation; of ACDC three and so many of each condition.
    """
    rng = np.random.default_rng(0)
    label_ids, train_ids = [0, 7, 8, 11, 13, 21, 22, 23, 26, 27], [*range(19), 255]
    for i in range(3):
        save_image(folder / f"gta/images/{i:05d}.png", SIZE, i)
        save_palette(folder / f"gta/labels/{i:05d}.png", label(rng, label_ids))
        save_image(folder / f"synthia/RGB/{i:07d}.png", SIZE, i)
        save_synthia(folder / f"synthia/GT/LABELS/{i:07d}.png", label(rng, [0, 1, 2, 3, 4, 6, 8, 10]))
        splits = ("train", "val") if i < validation else ("train",)
        for split in splits:
            stem = f"{split}/ulm/ulm_{i:06d}_000019"
            save_image(folder / f"cityscapes/leftImg8bit/{stem}_leftImg8bit.png", SIZE, i)
            save_grey(folder / f"cityscapes/gtFine/{stem}_gtFine_labelIds.png", label(rng, label_ids))
        for split in (*splits, "test"):
            for condition in ("fog", "night", "rain", "snow"):
                stem = f"{condition}/{split}/GP01/GP01_{condition}_{i:06d}"
                save_image(folder / f"acdc/rgb_anon/{stem}_rgb_anon.png", SIZE, i)
                if split != "test":
                    save_grey(folder / f"acdc/gt/{stem}_gt_labelTrainIds.png", label(rng, train_ids))
            stem = f"{split}/night/GOPR1/GOPR1_frame_{i:06d}"
            save_image(folder / f"dark_zurich/rgb_anon/{stem}_rgb_anon.png", SIZE, i)
            if split == "val":
                save_grey(folder / f"dark_zurich/gt/{stem}_gt_labelTrainIds.png", label(rng, train_ids))
    return folder
