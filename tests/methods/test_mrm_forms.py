"""MRM's ablations: what is trained, reconstructed and masked, on which domain, at one resolution and at two."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from detectron2.config import CfgNode
from stepped_trainer import assert_same, make_trainer, state, train

from benchmarks.engine.trainer import group_by_view
from methods.base.draws import Draws
from methods.base.errors import MethodError
from methods.base.randomness import keyed_generator
from methods.dacs import SelfTrainingLoss
from methods.framework.step import SelfTraining, Source, TrainingStep
from methods.framework.term import TermSettings
from methods.mrm import MRM, MRMSettings
from methods.networks import Prediction, Segmentor, build_segmentor
from methods.networks.multi_resolution import MultiResolution, MultiResolutionSegmentor
from methods.parts.masking import bernoulli_mask
from methods.parts.reconstruction import PixelHead, masked_feature_loss, masked_mean_square, teacher_features
from methods.parts.teacher import Teacher
from methods.supervised import Supervised

CROP = (64, 64)
OBJECTIVES = ["pixel-classification", "mask-only", "pixel-regression", "teacher-feature", "student-feature"]


def network(two: bool = False, name: str = "daformer-lite0") -> Segmentor:
    torch.manual_seed(0)
    segmentor = build_segmentor(name, 19, "none")
    return MultiResolutionSegmentor(segmentor, MultiResolution(enabled=True), CROP) if two else segmentor


def make_term(student: Segmentor, **settings: Any) -> MRM:
    torch.manual_seed(1)
    return MRM(MRMSettings(**{"dim": 32, "heads": 2, "resolution": 4} | settings), student, CROP)


def make_step(student: Segmentor, teacher: Teacher | None = None) -> TrainingStep:
    """Random images, labels in four quarters; every pseudo-label counts."""
    images = torch.rand(4, 3, *CROP, generator=torch.Generator().manual_seed(2))
    labels = torch.arange(4).view(2, 2).repeat_interleave(32, 0).repeat_interleave(32, 1).repeat(2, 1, 1)
    return TrainingStep(
        student=student,
        teacher=teacher or Teacher(student, 0.99),
        source_batch=Source(images[:2], labels, [[0, 1, 2, 3]] * 2),
        target_images=images[2:],
        settings=SelfTraining(threshold=0.0),
        seed=0,
        iteration=5,
    )


def drawn(name: str) -> np.ndarray:
    """The (2, 4, 4) random token mask that a step draws under this name."""
    return bernoulli_mask(2, 4, 4, 0.4, Draws(keyed_generator(0, name, 5)))[:, 0].numpy()


def resized(mask: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """(2, 4, 4) by nearest neighbour to (2, *size)."""
    rows, columns = (np.arange(side) * mask.shape[1] // side for side in size)
    return mask[:, rows][:, :, columns]


def masked_mean(values: np.ndarray, mask: np.ndarray) -> float:
    """Of (2, C, h, w) values, over channels and masked places."""
    return float(values.mean(1)[resized(mask, values.shape[2:]) == 1].mean())


def total(losses: dict[str, torch.Tensor]) -> torch.Tensor:
    return torch.stack(list(losses.values())).sum()


# What is trained


@pytest.mark.slow
@pytest.mark.parametrize(("objective", "two"), [("pixel-classification", False), ("mask-only", True)])
def test_trained_part_alone_gets_the_gradient_that_both_get(objective: str, two: bool) -> None:
    found, buffers = {}, []
    for trained in ("both", "encoder", "decoder"):
        student = network(two)
        term = make_term(student, trained=trained, objective=objective)
        total(term.losses(make_step(student))).backward()
        found[trained] = {name: p.grad for name, p in student.named_parameters() if p.grad is not None}
        assert all(p.grad is not None and p.grad.isfinite().all() and p.grad.any() for p in term.parameters())
        assert all(p.requires_grad for p in student.parameters())
        buffers.append(dict(student.named_buffers()))
    everything = {name for name, _ in network(two).named_parameters()}
    encoder = {name for name in everything if name.startswith("encoder.")}
    for trained, names in (("both", everything), ("encoder", encoder), ("decoder", everything - encoder)):
        assert found[trained].keys() == names
        assert all(torch.equal(found[trained][name], found["both"][name]) for name in names)
    for other in buffers[1:]:
        assert all(torch.equal(other[name], buffer) for name, buffer in buffers[0].items())


@pytest.mark.slow
def test_encoder_alone_is_trained_also_where_autocast_has_cast_the_decoder_before() -> None:
    student = network()
    term, step = make_term(student, trained="encoder"), make_step(student)
    with torch.autocast("cpu", torch.bfloat16):
        host = step.mixed.loss()
        loss = total(term.losses(step))
    loss.backward(retain_graph=True)
    assert all(p.grad is None for p in student.decoder.parameters())
    host.backward()
    assert all(p.grad is not None for p in student.decoder.parameters())


# On which domain


def test_domains_share_a_rebuilder_and_the_hosts_passes() -> None:
    student = network()
    term = make_term(student, domain="both")
    hosts = [cls(TermSettings(), student, CROP) for cls in (Supervised, SelfTrainingLoss)]
    groups = group_by_view([*hosts, term])
    assert [(view, len(members)) for view, members in groups] == [("source", 2), ("mixed", 2)]
    step = make_step(student)
    assert [set(members[1][1](step)) for _, members in groups] == [{"loss_mrm_source"}, {"loss_mrm"}]
    assert set(make_term(student, domain="source").losses(step)) == {"loss_mrm_source"}
    assert set(make_term(student).losses(step)) == {"loss_mrm"}
    assert not np.array_equal(drawn("mrm/mask"), drawn("mrm/source/mask"))


@pytest.mark.parametrize("view", ["mixed", "target"])
@pytest.mark.parametrize("two", [False, True])
def test_loss_is_the_views_own_where_nothing_is_masked(view: str, two: bool) -> None:
    """Eq. 8 at mask 0, through the whole term: labels, weights and window are those of the view."""
    student = network(two).eval()
    step = make_step(student)
    losses = make_term(student, domain="both", view=view, ratio=0.0).losses(step)
    # Equal to rounding: threads share out a batch that both domains are decoded in otherwise than one of them.
    torch.testing.assert_close(losses["loss_mrm"], getattr(step, view).loss(), rtol=1e-6, atol=0)
    torch.testing.assert_close(losses["loss_mrm_source"], step.source.loss(), rtol=1e-6, atol=0)


# What is reconstructed


def test_mean_square_over_masked_places_by_hand() -> None:
    prediction = torch.tensor([[[1.0, 2.0], [3.0, 4.0]], [[0.0, 0.0], [0.0, 0.0]]])[None]
    target = torch.zeros(1, 2, 2, 2)
    mask = torch.tensor([[[[0.0, 1.0], [1.0, 0.0]]]])
    assert masked_mean_square(prediction, target, mask).item() == pytest.approx((4 + 9) / 4)
    assert masked_mean_square(prediction, target, 0 * mask).item() == 0


def test_pixel_head_puts_pixels_where_they_belong() -> None:
    head = PixelHead(5, 4)
    feature = torch.rand(2, 5, 3, 2)
    assert head.predict.bias is not None
    torch.nn.init.normal_(head.predict.bias)
    weight, bias = head.predict.weight.detach().numpy()[:, :, 0, 0], head.predict.bias.detach().numpy()
    expected = np.zeros((2, 3, 12, 8))
    for row in range(3):
        for column in range(2):
            values = feature[:, :, row, column].numpy() @ weight.T + bias
            expected[:, :, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4] = values.reshape(2, 3, 4, 4)
    assert np.allclose(head(feature, (11, 7)).detach().numpy(), expected[:, :, :11, :7], atol=1e-5)


@pytest.mark.parametrize("two", [False, True])
def test_pixel_regression_is_towards_normalised_pixels(two: bool) -> None:
    """A head that predicts 0 leaves the mean square of the pixels at masked tokens."""
    student = network(two)
    term, step = make_term(student, domain="source", objective="pixel-regression"), make_step(student)
    assert term.pixel_head is not None
    torch.nn.init.zeros_(term.pixel_head.predict.weight)
    mean, deviation = student.encoder.pixel_mean.numpy(), student.encoder.pixel_std.numpy()
    images = step.source.images.numpy()
    seen = {"mrm/source/mask": images}
    if step.source.window is not None:
        top, left = step.source.window[:2]
        detail = images[:, :, top : top + 32, left : left + 32]
        # Half the size, bilinear: the mean of four pixels.
        seen = {"mrm/source/mask": images.reshape(2, 3, 32, 2, 32, 2).mean((3, 5)), "mrm/source/mask/detail": detail}
    expected = [masked_mean(((image - mean) / deviation) ** 2, drawn(name)) for name, image in seen.items()]
    assert len(expected) == 1 + two
    assert total(term.losses(step)).item() == pytest.approx(np.mean(expected), rel=1e-5)


@pytest.mark.parametrize("objective", ["teacher-feature", "student-feature"])
def test_feature_objectives_are_towards_normalised_features(objective: str) -> None:
    student = network().train()
    teacher = Teacher(student, 0.99)
    with torch.no_grad():
        for parameter in teacher.parameters():
            parameter.mul_(1.1)
    expected_step = make_step(copy.deepcopy(student), copy.deepcopy(teacher))
    assert expected_step.teacher is not None
    if objective == "teacher-feature":
        targets = expected_step.teacher.segmentor.encode(expected_step.source.images)
    else:
        targets = expected_step.source.features
    term = make_term(student, domain="source", objective=objective)
    rebuilt: list[torch.Tensor] = []
    assert term.rebuilder is not None
    term.rebuilder.register_forward_hook(lambda *call: rebuilt.extend(call[2]))
    loss = total(term.losses(make_step(student, teacher))).item()
    stages = []
    for new, target in zip(rebuilt, targets, strict=True):
        values = target.detach().double().numpy()
        normalised = (values - values.mean(1, keepdims=True)) / np.sqrt(values.var(1, keepdims=True) + 1e-5)
        stages.append(masked_mean((new.detach().numpy() - normalised) ** 2, drawn("mrm/source/mask")))
    assert loss == pytest.approx(np.mean(stages), rel=1e-4)


def test_targets_get_no_gradient() -> None:
    rebuilt, target = torch.rand(1, 4, 2, 2, requires_grad=True), torch.rand(1, 4, 2, 2, requires_grad=True)
    masked_feature_loss([rebuilt], [target], torch.ones(1, 1, 2, 2)).backward()
    assert target.grad is None and rebuilt.grad is not None and rebuilt.grad.any()


def test_teachers_features_leave_the_teacher_as_it_was() -> None:
    teacher = Teacher(network(), 0.99)
    images = torch.rand(2, 3, *CROP)
    tracked = copy.deepcopy(teacher)
    features = teacher_features(teacher.segmentor, images, None)
    expected = tracked.segmentor.encode(images)
    assert all(torch.equal(a, b) and not a.requires_grad for a, b in zip(features, expected, strict=True))
    before = network().state_dict()
    assert_same(teacher.segmentor.state_dict(), before)
    assert any(not torch.equal(tensor, before[name]) for name, tensor in tracked.segmentor.state_dict().items())
    teacher.logits(images)  # its own passes still count
    assert any(not torch.equal(tensor, before[name]) for name, tensor in teacher.segmentor.state_dict().items())


@pytest.mark.parametrize("two", [False, True])
def test_mask_only_decodes_zeros_where_masked(two: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    student = network(two)
    term, step = make_term(student, objective="mask-only"), make_step(student)
    assert list(term.parameters()) == []
    decoded: list[torch.Tensor] = []
    predict = student.predict

    def keep(features: list[torch.Tensor], *rest: Any) -> Prediction:
        decoded.extend(features)
        return predict(features, *rest)

    monkeypatch.setattr(student, "predict", keep)
    term.losses(step)
    masks = [name for name in ("mrm/mask", "mrm/mask/detail")[: 1 + two] for _ in student.encoder.channels]
    for feature, whole, name in zip(decoded, step.mixed.features, masks, strict=True):
        visible = 1 - resized(drawn(name), whole.shape[2:])[:, None]
        assert np.array_equal(feature.detach().numpy(), whole.detach().numpy() * visible)


# At two resolutions, and whole steps


@pytest.mark.parametrize("strategy", ["class", "confidence"])
def test_each_scale_is_masked_by_what_it_shows(strategy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    student = network(two=True)
    term, step = make_term(student, strategy=strategy), make_step(student)
    view, seen = step.mixed, []
    draw = type(term.masker).draw

    def keep(masker: Any, labels: torch.Tensor, probability: torch.Tensor, *others: Any) -> torch.Tensor:
        seen.append((labels, probability))
        return draw(masker, labels, probability, *others)

    monkeypatch.setattr(type(term.masker), "draw", keep)
    assert total(term.losses(step)).isfinite()
    assert view.window is not None and view.probability is not None
    assert len(seen) == 2 and view.window.of(view.labels).shape == (2, 32, 32)
    for maps, whole in zip(zip(*seen, strict=True), (view.labels, view.probability), strict=True):
        assert torch.equal(maps[0], whole) and torch.equal(maps[1], view.window.of(whole))


@pytest.mark.slow
@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("two", [False, True])
def test_every_objective_trains_encoder_and_rebuilder_on_both_domains(objective: str, two: bool) -> None:
    student = network(two)
    term = make_term(student, objective=objective, domain="both", strategy="class")
    total(term.losses(make_step(student))).backward()
    # The last stage is what the Rebuilder embeds: the gradient goes all the way down from there.
    gradients = {name: p.grad for name, p in student.encoder.named_parameters()}
    assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients.values())
    assert all(p.grad is not None and p.grad.isfinite().all() for p in term.parameters())
    decoder = [p.grad is not None for name, p in student.named_parameters() if not name.startswith("encoder.")]
    assert all(decoder) if objective in OBJECTIVES[:2] else not any(decoder)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["daformer-lite0", "deeplabv2-r50"])
def test_inference_is_the_same_without_the_term(name: str) -> None:
    """R is dropped: D(E(x)) before and after, and in a network that never had one."""
    student = network(name=name)
    names = set(student.state_dict())
    term = make_term(student)
    optimizer = torch.optim.SGD([*student.parameters(), *term.parameters()], lr=1e-3)
    total(term.losses(make_step(student))).backward()
    optimizer.step()
    student.eval()
    images = torch.rand(1, 3, *CROP)
    with torch.no_grad():
        before = student(images)
        del term, optimizer
        assert torch.equal(student(images), before)
        assert set(student.state_dict()) == names
        fresh = build_segmentor(name, 19, "none").eval()
        assert not torch.equal(fresh(images), before)
        fresh.load_state_dict(student.state_dict())
        assert torch.equal(fresh(images), before)


@pytest.mark.slow
def test_rebuilding_teachers_features_leaves_the_hosts_teacher_alone(small_config: Callable[..., CfgNode]) -> None:
    host = make_trainer(small_config("dacs"))
    beside = make_trainer(small_config("dacs+mrm", overrides={"TERMS.MRM.OBJECTIVE": "teacher-feature"}))
    losses = [train(trainer, 1)[0] for trainer in (host, beside)]
    assert all(losses[1][name] == value for name, value in losses[0].items())
    assert host.teacher is not None and beside.teacher is not None
    assert_same(dict(host.teacher.named_buffers()), dict(beside.teacher.named_buffers()))


@pytest.mark.slow
def test_forms_of_weight_0_are_bit_identical_to_the_host(small_config: Callable[..., CfgNode]) -> None:
    forms = {"OBJECTIVE": "teacher-feature", "DOMAIN": "both", "STRATEGY": "class", "VIEW": "target", "WEIGHT": 0.0}
    host = make_trainer(small_config("dacs"))
    off = make_trainer(small_config("dacs+mrm", overrides={f"TERMS.MRM.{key}": form for key, form in forms.items()}))
    assert train(host, 3) == train(off, 3)
    assert_same(state(host), state(off))


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"strategy": "confidence", "domain": "source"}, r"STRATEGY.*DOMAIN.*expected TERMS\.MRM\.DOMAIN 'target'"),
        ({"strategy": "confidence", "domain": "both"}, r"STRATEGY.*DOMAIN.*expected TERMS\.MRM\.DOMAIN 'target'"),
        ({"domain": "source", "view": "target"}, r"VIEW is 'target' and TERMS\.MRM\.DOMAIN 'source'"),
        (
            {"trained": "decoder", "objective": "pixel-regression"},
            r"TRAINED is 'decoder'.*expected .*'encoder' or 'both'",
        ),
        ({"trained": "decoder", "objective": "student-feature"}, r"TRAINED is 'decoder'.*decodes nothing"),
        ({"strategy": "block", "block": 17}, r"BLOCK is 17: expected at most TERMS\.MRM\.RESOLUTION \(16\)"),
        ({"dim": 36, "heads": 8}, r"TERMS\.MRM\.DIM is 36"),
    ],
)
def test_what_makes_no_sense_says_why(settings: dict[str, Any], line: str) -> None:
    with pytest.raises(MethodError, match=line) as error:
        MRMSettings(**settings)
    assert "\n" not in str(error.value)


def test_mask_only_asks_nothing_of_the_rebuilder() -> None:
    assert MRMSettings(objective="mask-only", dim=30).dim == 30
