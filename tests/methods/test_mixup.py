"""Feature mixup (Eq. 9 and local Eq. 8) and MRM in input space, at one resolution and at two."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from detectron2.config import CfgNode
from stepped_trainer import assert_same, make_trainer, state, train

from benchmarks.core.errors import ConfigError
from methods.base.draws import Draws
from methods.base.errors import MethodError
from methods.base.randomness import keyed_generator
from methods.framework.recipes import parse
from methods.framework.step import SelfTraining, Source, TrainingStep, View
from methods.mixup import Mixup, MixupSettings, blend, draw_share
from methods.mrm_input import MRMInput, MRMInputSettings
from methods.networks import Prediction, Segmentor, build_segmentor
from methods.networks.multi_resolution import MultiResolution, MultiResolutionSegmentor
from methods.parts.masking import bernoulli_mask
from methods.parts.teacher import Teacher

CROP = (64, 64)


def network(two: bool = False) -> Segmentor:
    """In eval mode, so that a pass is a function of its input."""
    torch.manual_seed(0)
    segmentor = build_segmentor("daformer-lite0", 19, "none")
    return (MultiResolutionSegmentor(segmentor, MultiResolution(enabled=True), CROP) if two else segmentor).eval()


def make_step(student: Segmentor, batch: int = 3, threshold: float = 0.0) -> TrainingStep:
    images = torch.rand(2 * batch, 3, *CROP, generator=torch.Generator().manual_seed(2))
    labels = torch.randint(19, (batch, *CROP), generator=torch.Generator().manual_seed(3))
    return TrainingStep(
        student=student,
        teacher=Teacher(student, 0.99),
        source_batch=Source(images[:batch], labels, [list(range(19))] * batch),
        target_images=images[batch:],
        settings=SelfTraining(threshold=threshold),
        seed=0,
        iteration=5,
    )


def decoded(student: Segmentor, monkeypatch: pytest.MonkeyPatch) -> list[torch.Tensor]:
    """The list that the features of the next `predict` will be put in."""
    seen: list[torch.Tensor] = []
    predict = student.predict

    def keep(features: list[torch.Tensor], *rest: Any) -> Prediction:
        seen.extend(features)
        return predict(features, *rest)

    monkeypatch.setattr(student, "predict", keep)
    return seen


def cross_entropy(view: View, logits: torch.Tensor, shift: int) -> float:
    """Against labels and weights of the sample ``shift`` before each, in numpy, mean over all pixels."""
    assert view.weights is not None
    values = logits.detach().double().numpy()
    log_probability = values - np.log(np.exp(values).sum(1, keepdims=True))
    labels, weights = (np.roll(maps.numpy(), shift, 0) for maps in (view.labels, view.weights))
    return float((-np.take_along_axis(log_probability, labels[:, None], 1)[:, 0] * weights).mean())


# Eq. 9


def test_blend_at_0_and_1_and_between() -> None:
    features = [torch.rand(3, 4, 5, 6), torch.rand(3, 2, 1, 1)]
    assert all(torch.equal(a, b) for a, b in zip(blend(features, 1.0), features, strict=True))
    assert all(torch.equal(a, b[[2, 0, 1]]) for a, b in zip(blend(features, 0.0), features, strict=True))
    for mixed, feature in zip(blend(features, 0.3), features, strict=True):
        assert np.allclose(mixed.numpy(), 0.3 * feature.numpy() + 0.7 * feature.numpy()[[2, 0, 1]])


def test_share_is_drawn_from_beta() -> None:
    shares = np.array([draw_share(2.0, keyed_generator(0, "test", index)) for index in range(3000)])
    assert draw_share(2.0, keyed_generator(0, "test", 0)) == shares[0]
    assert abs(shares.mean() - 0.5) < 4 * np.sqrt(0.05 / 3000)
    assert shares.var() == pytest.approx(1 / (4 * (2 * 2 + 1)), rel=0.1)
    assert shares.min() > 0 and shares.max() < 1


@pytest.mark.parametrize("view", ["mixed", "target"])
def test_global_loss_by_numpy(view: str) -> None:
    student = network()
    # A decoder with opinions: otherwise the two labels of a pixel cost nearly the same.
    student.decoder.train()
    student.decoder.dropout.p = 0.0  # type: ignore[union-attr, assignment]
    with torch.no_grad():
        student.decoder.classifier.weight.mul_(100)  # type: ignore[union-attr, operator]
    step = make_step(student, threshold=0.06)
    shared: View = getattr(step, view)
    share = draw_share(2.0, keyed_generator(0, "mixup/share", 5))
    features = [share * feature + (1 - share) * feature[[2, 0, 1]] for feature in shared.features]
    logits = student.predict(features, CROP).logits
    own, other = cross_entropy(shared, logits, 0), cross_entropy(shared, logits, 1)
    assert abs(own - other) > 1e-3 and abs(share - 0.5) > 0.01
    expected = share * own + (1 - share) * other
    loss = Mixup(MixupSettings(view=view), student, CROP).losses(step)["loss_mixup"]
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    loss.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in student.parameters())


@pytest.mark.parametrize("two", [False, True])
def test_global_at_share_0_and_1(two: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    student = network(two)
    step = make_step(student)
    own = step.mixed.loss()
    for share in (1.0, 0.0):  # of an image with itself: the batch's mean loss does not depend on who is i and who j
        monkeypatch.setattr("methods.mixup.draw_share", lambda *_, share=share: share)
        loss = Mixup(MixupSettings(), student, CROP).losses(step)["loss_mixup"]
        assert torch.allclose(loss, own, rtol=1e-5)


def test_both_scales_share_one_blend(monkeypatch: pytest.MonkeyPatch) -> None:
    student = network(two=True)
    step = make_step(student)
    features = step.mixed.features
    seen = decoded(student, monkeypatch)
    Mixup(MixupSettings(), student, CROP).losses(step)
    share = draw_share(2.0, keyed_generator(0, "mixup/share", 5))
    for mixed, feature in zip(seen, features, strict=True):
        assert torch.allclose(mixed, share * feature + (1 - share) * feature[[2, 0, 1]])


# Eq. 8 between samples


@pytest.mark.parametrize("two", [False, True])
def test_local_at_mask_0_and_1(two: bool) -> None:
    student = network(two)
    step = make_step(student)
    for ratio in (0.0, 1.0):
        loss = Mixup(MixupSettings(scope="local", ratio=ratio), student, CROP).losses(step)["loss_mixup"]
        assert torch.allclose(loss, step.mixed.loss(), rtol=1e-5)


@pytest.mark.parametrize("two", [False, True])
def test_local_takes_features_labels_and_weights_of_the_partner(two: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    student = network(two)
    step = make_step(student, threshold=0.06)
    view, losses = step.mixed, []
    whole, window = view.features, view.window
    monkeypatch.setattr(
        "methods.mixup.segmentation_loss", lambda *arguments: losses.append(arguments) or torch.ones(())
    )
    seen = decoded(student, monkeypatch)
    Mixup(MixupSettings(scope="local", resolution=8), student, CROP).losses(step)
    pixels = bernoulli_mask(3, 8, 8, 0.4, Draws(keyed_generator(0, "mixup/mask", 5))).numpy().repeat(8, 2).repeat(8, 3)
    assert 0.2 < pixels.mean() < 0.6
    for index, (mixed, feature) in enumerate(zip(seen, whole, strict=True)):
        mask = pixels
        if index >= len(student.encoder.channels):
            assert window is not None
            mask = pixels[:, :, window.top : window.top + 32, window.left : window.left + 32]
        step_size = mask.shape[2] // feature.shape[2]
        expected = np.where(mask[:, :, ::step_size, ::step_size] == 1, feature[[2, 0, 1]].detach(), feature.detach())
        assert np.array_equal(mixed.detach().numpy(), expected)
    _, labels, weights, *_ = losses[0]
    masked = pixels[:, 0] == 1
    assert view.weights is not None
    for mixed, maps in ((labels, view.labels), (weights, view.weights)):
        assert np.array_equal(mixed.numpy(), np.where(masked, maps[[2, 0, 1]], maps))


# MRM in input space


def test_tokens_replace_masked_patches() -> None:
    student = network()
    term = MRMInput(MRMInputSettings(resolution=4), student, CROP)
    images, mask = torch.rand(2, 3, *CROP), torch.zeros(2, 1, 4, 4)
    mask[0, 0, 1, 3] = mask[1, 0, 0, 0] = 1
    masked = term.masked(images, mask, student)
    normalised = student.encoder.normalise(masked)
    assert term.mask_token.shape == (1, 3, 16, 16)
    for image, top, left in ((0, 16, 48), (1, 0, 0)):
        assert torch.allclose(normalised[image, :, top : top + 16, left : left + 16], term.mask_token[0], atol=1e-6)
    visible = mask.repeat_interleave(16, 2).repeat_interleave(16, 3).expand_as(images) == 0
    assert torch.equal(masked[visible], images[visible]) and (masked != images).sum() == 2 * 3 * 16 * 16


def test_tokens_cover_a_crop_that_is_no_multiple_of_the_grid() -> None:
    student = network()
    term = MRMInput(MRMInputSettings(resolution=7), student, CROP)
    masked = term.masked(torch.full((1, 3, *CROP), 9.0), torch.ones(1, 1, 7, 7), student)
    assert masked.shape == (1, 3, *CROP) and masked.max() < 9


@pytest.mark.parametrize("view", ["mixed", "target"])
@pytest.mark.parametrize("two", [False, True])
def test_input_mrm_has_labels_weights_and_images_of_the_view(view: str, two: bool) -> None:
    student = network(two)
    step = make_step(student, threshold=0.06)
    term = MRMInput(MRMInputSettings(view=view, ratio=0.0), student, CROP)
    shared: View = getattr(step, view)
    again = step.view("mrm-input", shared.images, shared.labels, shared.weights)  # the pass's window is its own
    assert torch.equal(term.losses(step)["loss_mrm_input"], again.loss())


def test_input_mrm_trains_token_encoder_and_decoder() -> None:
    student = network()
    term = MRMInput(MRMInputSettings(), student, CROP)
    term.losses(make_step(student))["loss_mrm_input"].backward()
    assert term.mask_token.grad is not None and (term.mask_token.grad != 0).any()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in student.parameters())


# Recipes


@pytest.mark.slow
@pytest.mark.parametrize("add_on", ["mrm-input", "mixup", "mixup-local"])
def test_steps_run_and_weight_0_is_bit_identical_to_the_host(small_config: Callable[..., CfgNode], add_on: str) -> None:
    name = add_on.removesuffix("-local").replace("-", "_")
    host = make_trainer(small_config("dacs"))
    off = make_trainer(small_config(f"dacs+{add_on}", overrides={f"TERMS.{name.upper()}.WEIGHT": 0.0}))
    on = make_trainer(small_config(f"dacs+{add_on}"))
    losses, with_term = train(host, 3), train(on, 1)[0]
    assert losses == train(off, 3)
    assert_same(state(host), state(off))
    assert with_term.pop(f"loss_{name}") > 0
    assert all(with_term[name] == value for name, value in losses[0].items())


def test_mixup_is_global_or_local_by_name(small_config: Callable[..., CfgNode]) -> None:
    assert small_config("mixup").TERMS.MIXUP.SCOPE == "global"
    assert small_config("dacs+mixup-local").TERMS.MIXUP.SCOPE == "local"
    with pytest.raises(MethodError, match="two forms of one loss"):
        parse("dacs+mixup+mixup-local")


def test_settings_that_cannot_be_say_so(small_config: Callable[..., CfgNode]) -> None:
    with pytest.raises(ConfigError, match=r"TERMS\.MIXUP\.ALPHA is 0\.0, expected a finite number above 0"):
        small_config("mixup", overrides={"TERMS.MIXUP.ALPHA": 0.0})
