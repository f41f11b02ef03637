"""Places of a feature map: the pixels under each, its label, and what is masked of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy as np
import pytest
import torch
from detectron2.config import CfgNode
from tiny_trainer import TINY, tiny_trainer
from torch import Tensor, nn

from ablations.mutual_information.locations import Picture, chosen, labels_at, pixels_under, rows
from ablations.mutual_information.masked import _mean_of_visible, masked_places
from ablations.mutual_information.opened import load_rebuilder
from benchmarks.core.errors import ConfigError
from benchmarks.trained.opened_run import TrainedRun
from methods.mrm import MRM
from methods.networks import Segmentor


def test_pixels_are_those_under_the_place() -> None:
    image = torch.arange(3 * 8 * 12).float().view(1, 3, 8, 12)
    found = pixels_under(image, 4)
    assert found.shape == (6, 3 * 16)
    for row in range(2):
        for column in range(3):
            under = image[0, :, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4]
            assert found[3 * row + column] == pytest.approx(under.flatten().numpy())
    feature = torch.nn.functional.avg_pool2d(image, 4)  # in the order of features, too
    assert found.reshape(6, 3, 16).mean(axis=2) == pytest.approx(rows(feature))


def test_pixels_of_coarse_stages_are_means_of_a_grid() -> None:
    image = torch.zeros(1, 3, 32, 32)
    image[..., :4, 4:8] = 1.0
    (found,) = pixels_under(image, 32)
    assert found.reshape(3, 8, 8).sum() == 3 and found.reshape(3, 8, 8)[:, 0, 1].tolist() == [1, 1, 1]
    assert pixels_under(torch.zeros(1, 3, 28, 28), 14).shape == (4, 3 * 7 * 7)


def test_a_place_has_the_label_at_its_centre() -> None:
    label = torch.arange(64, dtype=torch.uint8).view(8, 8)
    assert labels_at(label, (2, 2)).tolist() == [8 * 2 + 2, 8 * 2 + 6, 8 * 6 + 2, 8 * 6 + 6]
    assert labels_at(label, (8, 8)).tolist() == list(range(64))


def test_places_are_chosen_by_a_key() -> None:
    assert chosen(10, 20, 0).tolist() == list(range(10))
    first, again, other = (chosen(1000, 10, 0, name) for name in ("a", "a", "b"))
    assert first.tolist() == again.tolist() != other.tolist() and len(set(first)) == 10


def test_the_mean_of_visible_places() -> None:
    feature = torch.arange(9.0).view(1, 1, 3, 3)
    mask = torch.zeros(1, 1, 3, 3)
    mask[0, 0, 1, 1] = mask[0, 0, 0, 0] = 1
    found = _mean_of_visible(feature, mask)[0, 0]
    assert found[1, 1] == (1 + 2 + 3 + 5 + 6 + 7 + 8) / 7 and found[0, 0] == (1 + 3) / 2
    assert _mean_of_visible(feature, torch.ones_like(mask)).abs().sum() == 0


class Known(nn.Module):
    """In place of a Rebuilder: at each place 100 and what was asked for, of the last ``stages``."""

    def __init__(self, stages: int) -> None:
        super().__init__()
        self.resolution, self.projectors = 4, [None] * stages
        self.masks: list[Tensor] = []

    def forward(self, features: list[Tensor], mask: Tensor) -> list[Tensor]:
        self.masks.append(mask)
        return [torch.full_like(feature, 100.0) for feature in features]


class Term(nn.Module):
    def __init__(self, stages: int) -> None:
        super().__init__()
        self.rebuilder = Known(stages)


@pytest.fixture
def segmentor(small_config: Callable[..., CfgNode]) -> Segmentor:
    return tiny_trainer(small_config, "dacs").student.eval()


def picture() -> Picture:
    drawn = torch.Generator().manual_seed(0)
    label = torch.randint(0, 19, (32, 64), generator=drawn).to(torch.uint8)
    return Picture(torch.rand(1, 3, 32, 64, generator=drawn), label, part=1, number=3)


def masked(segmentor: Segmentor, ratio: float, term: Any = None) -> Any:
    return masked_places(segmentor, cast("MRM | None", term), picture(), (32, 32), 4, ratio, 1000, 0)


def test_what_is_under_a_mask_of_everything(segmentor: Segmentor) -> None:
    shown, image = masked(segmentor, 1.0), picture()
    last = [segmentor.encode(image.image[..., :32]), segmentor.encode(image.image[..., 32:])]
    assert shown.features.z == pytest.approx(np.concatenate([rows(each[-1].detach()) for each in last]))
    both = [image.label[:, :32], image.label[:, 32:]]
    assert shown.features.y.tolist() == np.concatenate([labels_at(each, (4, 4)) for each in both]).tolist()
    assert set(shown.features.part) == {1} and not shown.neighbours.any()
    for told, features in ((shown.logits, last[0]), (shown.emptied, [torch.zeros_like(each) for each in last[0]])):
        decoded = rows(segmentor.decode(features).detach())
        assert all(np.abs(decoded - each).max(axis=1).min() < 1e-6 for each in told[:16])
    assert np.abs(shown.logits - shown.emptied).max() > 1e-3
    assert shown.rebuilt is None and shown.filled is None


def test_the_rebuilder_sees_the_mask_and_fills_it(segmentor: Segmentor) -> None:
    both, last = Term(2), Term(1)
    shown = masked(segmentor, 0.5, both)
    here = sum(int(mask.sum()) for mask in both.rebuilder.masks)
    assert len(shown.features.z) == here and 0 < here < 32
    assert (shown.rebuilt == 100).all() and shown.filled.shape == shown.logits.shape
    assert np.abs(shown.filled - shown.emptied).max() > 0.1
    alone = masked(segmentor, 0.5, last)
    assert alone.filled is None and alone.rebuilt.shape == shown.rebuilt.shape
    assert masked(segmentor, 0.5).features.z == pytest.approx(shown.features.z)  # the same masks without a Rebuilder


# The Rebuilder of a run


class Run(TrainedRun):
    """A run with a checkpoint that a test names."""

    path: Any

    def checkpoint(self) -> Any:
        return self.path


@pytest.mark.parametrize("method", ["dacs+mrm", "dacs+mic+mrm"])
def test_the_rebuilder_is_read_from_the_checkpoint(
    small_config: Callable[..., CfgNode], tmp_path: Any, method: str
) -> None:
    trainer = tiny_trainer(small_config, method)
    run = Run.at(tmp_path, small_config(method, overrides=TINY))
    object.__setattr__(run, "path", tmp_path / "model_final.pth")
    nn.init.normal_(trainer.terms[-1].rebuilder.mask_token)
    torch.save({"model": {}, "terms": trainer.terms.state_dict()}, run.path)
    found = load_rebuilder(run, trainer.student)
    assert found is not None and not found.training
    expected = trainer.terms[-1].state_dict()
    assert {name: value.tolist() for name, value in found.state_dict().items()} == {
        name: value.tolist() for name, value in expected.items()
    }
    torch.save({"model": {}}, run.path)
    with pytest.raises(ConfigError, match=r"model_final.pth holds the network alone.*--no-rebuilder"):
        load_rebuilder(run, trainer.student)
    torch.save({"model": {}, "terms": {}}, run.path)
    with pytest.raises(ConfigError, match=r"model_final.pth: its Rebuilder does not fit"):
        load_rebuilder(run, trainer.student)


@pytest.mark.parametrize(("method", "overrides"), [("dacs", {}), ("dacs+mrm", {"TERMS.MRM.WEIGHT": 0.0})])
def test_other_methods_have_none(
    small_config: Callable[..., CfgNode], tmp_path: Any, segmentor: Segmentor, method: str, overrides: dict[str, Any]
) -> None:
    assert load_rebuilder(Run.at(tmp_path, small_config(method, overrides=overrides)), segmentor) is None
