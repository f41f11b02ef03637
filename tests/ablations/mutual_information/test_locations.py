"""Places of a feature map: the pixels under each, its label, and what is masked of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, cast

import numpy as np
import pytest
import torch
from detectron2.config import CfgNode
from tiny_trainer import TINY, tiny_trainer
from torch import Tensor, nn

from ablations.mutual_information.locations import Picture, Places, chosen, labels_at, pixels_under, rows
from ablations.mutual_information.masked import FILLINGS, Masked, _mean_of_visible, masked_places
from ablations.mutual_information.measures import _of_neighbours, _places
from ablations.mutual_information.opened import load_rebuilder
from ablations.mutual_information.parts import FIT, HELD_OUT
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


class Colours(nn.Module):
    """In place of a network: its features are the image's pixels."""

    strides = (1,)

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))
        self.encoder = self

    def forward(self, images: Tensor) -> list[Tensor]:
        return [images]


def test_pooled_tokens_are_of_the_pixels_of_their_block() -> None:
    image = torch.rand(1, 3, 5, 6, generator=torch.Generator().manual_seed(0))
    label = torch.zeros(5, 6, dtype=torch.uint8)
    places, pooled = _places(cast("Segmentor", Colours()), Picture(image, label, FIT, 0), 0, 100, 0)
    assert len(places.z) == 30 and len(pooled.z) == 2 * 3 and set(pooled.y) == {255} and set(pooled.part) == {FIT}
    assert pooled.z[4] == pytest.approx(image[0, :, 2:4, 2:4].mean(dim=(1, 2)).numpy())
    assert pooled.x[4] == pytest.approx(image[0, :, 2:4, 2:4].flatten().numpy())
    none = _places(cast("Segmentor", Colours()), Picture(image[..., :1, :], label[:1], FIT, 0), 0, 100, 0)[1]
    assert none.z.shape == (0, 3) and len(none.x) == 0


def test_pooled_tokens_tell_of_a_block_what_a_gaussian_channel_of_less_noise_does() -> None:
    """Blocks of one colour: a token has a noise of variance 4, and the mean of its four one of 1: 3 log(2) / 2."""
    network, drawn = cast("Segmentor", Colours()), torch.Generator().manual_seed(0)
    one, four = [], []
    for number in range(3):  # one an image of each part
        image = torch.randn(1, 3, 24, 24, generator=drawn).repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
        picture = Picture(image, torch.zeros(48, 48, dtype=torch.uint8), number, number)
        places, pooled = _places(network, picture, 0, 576, 0)
        one.append(places)
        four.append(pooled)
    numbers = dict(_of_neighbours(Places.joined(one), Places.joined(four), 2.0, 0))
    for name, truth in (("ksg", 3 * math.log(1.25) / 2), ("ksg_pooled", 3 * math.log(2) / 2)):
        bias = numbers[f"{name}_bias"]
        assert -0.2 < bias < 0 and numbers[name] - bias == pytest.approx(truth, abs=0.13)


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


def picture(part: int = HELD_OUT) -> Picture:
    drawn = torch.Generator().manual_seed(0)
    label = torch.randint(0, 19, (32, 64), generator=drawn).to(torch.uint8)
    return Picture(torch.rand(1, 3, 32, 64, generator=drawn), label, part, number=3)


def masked(segmentor: Segmentor, ratio: float, term: Any = None) -> Any:
    return masked_places(segmentor, cast("MRM | None", term), picture(), (32, 32), 4, ratio, 1000, 0)


def test_what_is_under_a_mask_of_everything(segmentor: Segmentor) -> None:
    shown, image = masked(segmentor, 1.0), picture()
    last = [segmentor.encode(image.image[..., :32]), segmentor.encode(image.image[..., 32:])]
    assert shown.features.z == pytest.approx(np.concatenate([rows(each[-1].detach()) for each in last]))
    both = [image.label[:, :32], image.label[:, 32:]]
    assert shown.features.y.tolist() == np.concatenate([labels_at(each, (4, 4)) for each in both]).tolist()
    assert set(shown.features.part) == {HELD_OUT} and not shown.neighbours.any()
    emptied = [torch.zeros_like(each) for each in last[0]]
    for told, features in ((shown.logits["whole"], last[0]), (shown.logits["emptied"], emptied)):
        decoded = rows(segmentor.decode(features).detach())
        assert all(np.abs(decoded - each).max(axis=1).min() < 1e-6 for each in told[:16])
    assert np.abs(shown.logits["whole"] - shown.logits["emptied"]).max() > 1e-3
    assert shown.logits["last_neighbours"] == pytest.approx(shown.logits["emptied"])  # none of them is visible
    assert shown.rebuilt is None and shown.logits["filled"] is shown.logits["last_filled"] is None


def test_the_rebuilder_sees_the_mask_and_fills_it(segmentor: Segmentor) -> None:
    both, last = Term(2), Term(1)
    shown = masked(segmentor, 0.5, both)
    here = sum(int(mask.sum()) for mask in both.rebuilder.masks)
    assert len(shown.features.z) == here and 0 < here < 32
    assert (shown.rebuilt == 100).all() and set(shown.logits) == {"whole", *FILLINGS}
    found = list(shown.logits.values())
    assert {each.shape for each in found} == {found[0].shape}
    different = [np.abs(one - other).max() for place, one in enumerate(found) for other in found[:place]]
    assert min(different) > 1e-4
    alone = masked(segmentor, 0.5, last)
    assert alone.logits["filled"] is None and (alone.rebuilt == 100).all()
    for name in ("emptied", "last_neighbours", "last_filled"):  # what all can be compared by
        assert alone.logits[name] == pytest.approx(shown.logits[name], abs=1e-6)
    without = masked(segmentor, 0.5)
    assert without.features.z == pytest.approx(shown.features.z)  # the same masks without a Rebuilder
    assert without.logits["last_neighbours"] == pytest.approx(shown.logits["last_neighbours"], abs=1e-6)


def test_logits_are_of_images_that_are_measured_on(segmentor: Segmentor) -> None:
    fit, held_out = (
        masked_places(segmentor, None, picture(part), (32, 32), 4, 0.5, 1000, 0) for part in (FIT, HELD_OUT)
    )
    assert not fit.logits and fit.features.z == pytest.approx(held_out.features.z)
    both = Masked.joined([fit, held_out])
    assert len(both.features.z) == 2 * len(fit.features.z) and both.logits["filled"] is None
    assert both.logits["whole"] == pytest.approx(held_out.logits["whole"])


def test_the_last_stage_alone_is_filled_by_what_is_visible_around(
    segmentor: Segmentor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a mask of everything, and neighbours that are the features themselves: the last stage has them, others 0."""
    monkeypatch.setattr("ablations.mutual_information.masked._mean_of_visible", lambda feature, _: feature)
    shown, features = masked(segmentor, 1.0), segmentor.encode(picture().image[..., :32])
    filled = [*(torch.zeros_like(each) for each in features[:-1]), features[-1]]
    decoded = rows(segmentor.decode(filled).detach())
    found = shown.logits["last_neighbours"][:16]
    assert all(np.abs(decoded - each).max(axis=1).min() < 1e-6 for each in found)
    assert np.abs(found - shown.logits["emptied"][:16]).max() > 1e-4


# The Rebuilder of a run


class Run(TrainedRun):
    """A run with a checkpoint that a test names."""

    path: Any

    def checkpoint(self) -> Any:
        return self.path


@pytest.mark.parametrize(
    ("method", "overrides"),
    [
        ("dacs+mrm", {}),
        ("dacs+mic+mrm", {}),
        ("dacs+mixup+mrm", {}),
        ("dacs+mrm", {"TERMS.MRM.OBJECTIVE": "pixel-regression"}),
        ("dacs+mrm", {"TERMS.MRM.OBJECTIVE": "teacher-feature"}),
    ],
)
def test_the_rebuilder_is_read_from_the_checkpoint(
    small_config: Callable[..., CfgNode], tmp_path: Any, method: str, overrides: dict[str, Any]
) -> None:
    trainer = tiny_trainer(small_config, method, overrides=overrides)
    run = Run.at(tmp_path, small_config(method, overrides=TINY | overrides))
    object.__setattr__(run, "path", tmp_path / "model_final.pth")
    (mrm,) = (term for term in trainer.terms if isinstance(term, MRM))
    assert mrm.rebuilder is not None
    nn.init.normal_(mrm.rebuilder.mask_token)
    torch.save({"model": {}, "terms": trainer.terms.state_dict()}, run.path)
    found = load_rebuilder(run, trainer.student)
    assert found is not None and not found.training
    expected = mrm.state_dict()
    assert {name: value.tolist() for name, value in found.state_dict().items()} == {
        name: value.tolist() for name, value in expected.items()
    }
    torch.save({"model": {}}, run.path)
    with pytest.raises(ConfigError, match=r"model_final.pth holds the network alone.*--no-rebuilder"):
        load_rebuilder(run, trainer.student)
    torch.save({"model": {}, "terms": {}}, run.path)
    with pytest.raises(ConfigError, match=r"model_final.pth: its Rebuilder does not fit"):
        load_rebuilder(run, trainer.student)


@pytest.mark.parametrize(("method", "overrides"), [
    ("dacs", {}), ("dacs+mixup", {}), ("dacs+mixup-local", {}), ("dacs+mrm", {"TERMS.MRM.WEIGHT": 0.0}),
    ("dacs+mrm", {"TERMS.MRM.OBJECTIVE": "mask-only"}),
])  # fmt: skip
def test_other_methods_have_none(
    small_config: Callable[..., CfgNode], tmp_path: Any, segmentor: Segmentor, method: str, overrides: dict[str, Any]
) -> None:
    assert load_rebuilder(Run.at(tmp_path, small_config(method, overrides=overrides)), segmentor) is None
