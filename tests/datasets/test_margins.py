"""The margins of target images, whose pseudo-labels count for nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from detectron2.config import CfgNode
from PIL import Image

from benchmarks.data.from_config import data_root, training_set
from datasets.base.framing import Framing
from datasets.batches.pairs import PairedBatches
from datasets.batches.pools import Pool
from datasets.classes.labels import LABEL_IDS
from methods.framework.recipes import parse

WIDTH, HEIGHT, TOP, BOTTOM, SIDE = 40, 24, 3, 5, 4


def image_of_coordinates(path: Path) -> dict[str, Any]:
    """Every pixel says where it is: red its row, green its column."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH].astype(np.uint8)
    Image.fromarray(np.stack([rows, columns, 0 * rows], axis=2)).save(path)
    return {"file_name": str(path), "image_id": path.stem}


def labelled(tmp_path: Path) -> dict[str, Any]:
    item = image_of_coordinates(tmp_path / "source.png")
    Image.fromarray(np.full((HEIGHT, WIDTH), 7, np.uint8)).save(tmp_path / "label.png")
    return {**item, "sem_seg_file_name": str(tmp_path / "label.png"), "label_encoding": LABEL_IDS}


def paired(tmp_path: Path, target_view: Framing) -> PairedBatches:
    source = Pool([labelled(tmp_path)], Framing(None, target_view.crop))
    target = Pool([image_of_coordinates(tmp_path / "target.png")], target_view)
    return PairedBatches([source], [target], batch_size=3, seed=0)


def test_valid_follows_the_pixels_through_crop_and_flip(tmp_path: Path) -> None:
    dataset = paired(tmp_path, Framing(None, (16, 12), margins=(TOP, BOTTOM, SIDE)))
    seen = torch.cat([dataset[t]["target"]["images"] for t in range(20)])
    valid = torch.cat([dataset[t]["target"]["valid"] for t in range(20)])
    row, column = seen[:, 0].int(), seen[:, 1].int()
    expected = (row >= TOP) & (row < HEIGHT - BOTTOM) & (column >= SIDE) & (column < WIDTH - SIDE)
    assert torch.equal(valid, expected)
    assert valid.any() and not valid.all()


def test_margins_change_no_image_and_none_are_none(tmp_path: Path) -> None:
    plain = paired(tmp_path, Framing(None, (16, 12)))
    marked = paired(tmp_path, Framing(None, (16, 12), margins=(1, 1, 1)))
    for t in range(3):
        assert torch.equal(plain[t]["target"]["images"], marked[t]["target"]["images"])
        assert "valid" not in plain[t]["target"] and "valid" not in marked[t]["source"]


def test_margins_wider_than_the_image_leave_nothing() -> None:
    assert not Framing(None, (4, 4), margins=(9, 9, 0)).inside_margins(8, 8).any()


def test_config_reaches_the_batch(small_config: Callable[..., CfgNode]) -> None:
    cfg = small_config("dacs", overrides={"INPUT.TARGET_MARGINS": (2, 3, 0), "INPUT.CROP": (128, 64)})
    valid = training_set(cfg, parse("dacs"), data_root(cfg))[0]["target"]["valid"]
    assert valid.all(dim=(0, 2)).int().tolist() == [0] * 2 + [1] * 59 + [0] * 3


@pytest.mark.parametrize("margins", [(1, 1), (1, 2, 3, 4)])
def test_config_wants_three(small_config: Callable[..., CfgNode], margins: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"INPUT\.TARGET_MARGINS is .*expected pixels at top, bottom, sides"):
        small_config("dacs", overrides={"INPUT.TARGET_MARGINS": margins})
