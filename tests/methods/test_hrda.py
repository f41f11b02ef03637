"""HRDA: fusion, windows and inference against plain numpy and plain loops, the recipe's sizes, and training steps."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import NETWORK
from detectron2.config import CfgNode
from narrow_networks import narrow_resnet
from torch.nn import functional as F

from benchmarks.config.run import Run
from benchmarks.config.run_id import run_id
from benchmarks.config.sliding_window import SlidingWindow, sliding
from benchmarks.config.spec import RunSpec
from benchmarks.core.errors import ConfigError
from benchmarks.engine.build import build_student
from benchmarks.engine.runner import RunWatcher, run_one
from methods.base.errors import MethodError
from methods.decoders.convolutional import DeepLabV2Decoder
from methods.framework.step import SelfTraining, Source, TrainingStep
from methods.networks import Encoder, Segmentor, Window, build_segmentor
from methods.networks.multi_resolution import MultiResolution, MultiResolutionSegmentor
from methods.parts.teacher import Teacher

MakeConfig = Callable[..., CfgNode]
K, STRIDE, CROP = 5, 4, 64
WINDOW = Window(16, 8, 32, 32)


class Mean(Encoder):
    """Means of 4 x 4 pixels, in a convolution's place: features that depend on their own pixels alone."""

    channels = (3,)
    strides = (STRIDE,)

    def extract(self, x: torch.Tensor) -> list[torch.Tensor]:
        return [F.avg_pool2d(x, STRIDE)]


@pytest.fixture
def small() -> MultiResolutionSegmentor:
    torch.manual_seed(0)
    plain = Segmentor("fake", Mean(), DeepLabV2Decoder(3, K, (1, 2)))
    student = MultiResolutionSegmentor(plain, MultiResolution(), (CROP, CROP))
    for head in (student.decoder, student.attention):
        for parameter in head.parameters():
            torch.nn.init.normal_(parameter, std=0.5)
    return student


def attend(student: MultiResolutionSegmentor, logit: float) -> None:
    """Make the attention the sigmoid of `logit` everywhere."""
    for name, parameter in student.attention.named_parameters():
        torch.nn.init.constant_(parameter, logit / 2 if name.endswith("bias") else 0)  # of two summed branches


def images(height: int = CROP, width: int = CROP, count: int = 2) -> torch.Tensor:
    return torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(1))


def bilinear(maps: np.ndarray, height: int, width: int) -> np.ndarray:
    """Upsample (..., h, w) with pixel centres kept (align_corners False), one axis after the other."""
    for axis, size in ((-2, height), (-1, width)):
        length = maps.shape[axis]
        at = np.clip((np.arange(size) + 0.5) * length / size - 0.5, 0, length - 1)
        low = np.floor(at).astype(int)
        share = (at - low).reshape((-1, 1) if axis == -2 else (-1,))
        low_maps, high_maps = maps.take(low, axis), maps.take(np.minimum(low + 1, length - 1), axis)
        maps = (1 - share) * low_maps + share * high_maps
    return maps


def parts(student: MultiResolutionSegmentor, shown: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Logits and attention of the context, of the image at half size: means of 2 x 2 pixels."""
    with torch.no_grad():
        features = student.encoder(F.avg_pool2d(shown, 2))
        return student.decoder(features).numpy(), 1 / (1 + np.exp(-student.attention(features).double().numpy()))


def logits_of(student: MultiResolutionSegmentor, shown: torch.Tensor) -> np.ndarray:
    with torch.no_grad():
        return student.decoder(student.encoder(shown)).numpy()


def predicted(student: MultiResolutionSegmentor, shown: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    with torch.no_grad():
        prediction = student.predict(student.encode(shown, WINDOW), (CROP, CROP), WINDOW)
    assert prediction.detail is not None
    return prediction.logits.numpy(), prediction.detail.numpy()


def test_fusion_is_that_of_numpy(small: MultiResolutionSegmentor) -> None:
    shown = images()
    logits, detail = predicted(small, shown)
    context, attention = parts(small, shown)
    of_window = logits_of(small, shown[..., 16:48, 8:40])
    masked = np.zeros_like(attention)  # on the context's logits, one cell is 8 pixels
    masked[..., 2:6, 1:5] = attention[..., 2:6, 1:5]
    placed = np.zeros((2, K, 16, 16))
    placed[..., 4:12, 2:10] = of_window
    fused = bilinear(masked, 16, 16) * placed + bilinear((1 - masked) * context, 16, 16)
    np.testing.assert_allclose(logits, bilinear(fused, CROP, CROP), atol=1e-5)
    np.testing.assert_allclose(detail, bilinear(of_window, 32, 32), atol=1e-5)


def test_attention_0_sees_the_context_alone(small: MultiResolutionSegmentor) -> None:
    attend(small, -400.0)  # its sigmoid is 0 in float32
    context = bilinear(bilinear(parts(small, images())[0], 16, 16), CROP, CROP)
    np.testing.assert_allclose(predicted(small, images())[0], context, atol=1e-5)


def test_attention_1_sees_the_detail_in_the_window_and_the_context_outside(small: MultiResolutionSegmentor) -> None:
    attend(small, 400.0)
    logits, detail = predicted(small, images())
    inside = (..., slice(16 + 8, 48 - 8), slice(8 + 8, 40 - 8))  # the attention fades over 8 pixels at the border
    np.testing.assert_allclose(logits[inside], detail[..., 8:-8, 8:-8], atol=1e-5)
    context = bilinear(bilinear(parts(small, images())[0], 16, 16), CROP, CROP)
    outside = np.ones((CROP, CROP), bool)
    outside[16 - 8 : 48 + 8, 0 : 40 + 8] = False
    np.testing.assert_allclose(logits[..., outside], context[..., outside], atol=1e-5)


def test_windows_lie_on_the_grid_and_reach_all_borders(small: MultiResolutionSegmentor) -> None:
    generator = torch.Generator().manual_seed(0)
    drawn = [small.window((CROP, CROP), generator) for _ in range(300)]
    assert {(window.height, window.width) for window in drawn} == {(32, 32)}
    for starts in ({window.top for window in drawn}, {window.left for window in drawn}):
        assert starts == {0, 8, 16, 24, 32}


def test_a_view_draws_its_window_by_its_key(small: MultiResolutionSegmentor) -> None:
    def window(name: str, iteration: int) -> Window | None:
        return training_step(small, iteration).view(name, images(), torch.zeros(2, CROP, CROP).long(), None).window

    assert window("source", 3) == window("source", 3)
    assert len({window("source", iteration) for iteration in range(20)}) > 5
    assert len({window(name, 3) for name in ("source", "mixed", "mic", "target")}) > 1


def training_step(student: Segmentor, iteration: int = 0) -> TrainingStep:
    labels = torch.zeros(2, CROP, CROP).long()
    return TrainingStep(
        student=student,
        teacher=None,
        source_batch=Source(images(), labels, [[0], [0]]),
        target_images=None,
        settings=SelfTraining(),
        seed=0,
        iteration=iteration,
    )


def cross_entropy(logits: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> float:
    """Mean over all pixels; ignored ones count as 0."""
    rows = np.moveaxis(logits.astype(np.float64), 1, -1)
    chosen = np.take_along_axis(rows, np.where(labels == 255, 0, labels)[..., None], -1)[..., 0]
    loss = np.log(np.exp(rows).sum(-1)) - chosen
    return float((np.where(labels == 255, 0, loss) * weights).mean())


def test_loss_is_nine_tenths_of_the_fused_and_one_of_the_detail(small: MultiResolutionSegmentor) -> None:
    rng = np.random.default_rng(0)
    labels = rng.choice([0, 1, 2, 3, 4, 255], (2, CROP, CROP))
    weights = rng.random((2, CROP, CROP)).astype(np.float32)
    view = training_step(small).view("source", images(), torch.from_numpy(labels), torch.from_numpy(weights))
    view.__dict__["window"] = WINDOW
    logits, detail = predicted(small, images())
    cut = (slice(None), slice(16, 48), slice(8, 40))
    expected = 0.9 * cross_entropy(logits, labels, weights) + 0.1 * cross_entropy(detail, labels[cut], weights[cut])
    assert view.loss().item() == pytest.approx(expected, rel=1e-5)
    small.detail_weight = 0.0
    assert view.loss().item() == pytest.approx(cross_entropy(logits, labels, weights), rel=1e-5)


SIZES = [(64, 64), (32, 32), (40, 72), (24, 16), (16, 64), (50, 37), (21, 90)]


@pytest.mark.parametrize("size", SIZES)
def test_inference_averages_overlapping_windows(small: MultiResolutionSegmentor, size: tuple[int, int]) -> None:
    shown = images(*size)
    bottom, right = -size[0] % 8, -size[1] % 8
    padded = np.pad(shown.numpy(), ((0, 0), (0, 0), (0, bottom), (0, right)), mode="edge")
    height, width = padded.shape[-2:]
    total, count = np.zeros((2, K, height // 4, width // 4)), np.zeros((height // 4, width // 4))
    for top in range(0, max(height - 32, 0) + 16, 16):  # one past the border ends at it
        for left in range(0, max(width - 32, 0) + 16, 16):
            y, x = max(min(top, height - 32), 0), max(min(left, width - 32), 0)
            if (y, x) != (top, left) and (y % 16 == 0 or y == top) and (x % 16 == 0 or x == left):
                continue  # the border is on the stride: that window was there
            logits = logits_of(small, torch.from_numpy(padded[..., y : y + 32, x : x + 32]))
            total[..., y // 4 : (y + 32) // 4, x // 4 : (x + 32) // 4] += logits
            count[y // 4 : (y + 32) // 4, x // 4 : (x + 32) // 4] += 1
    assert count.min() >= 1
    context, attention = parts(small, torch.from_numpy(padded))
    grid = total.shape[-2:]
    fused = bilinear(attention, *grid) * (total / count) + bilinear((1 - attention) * context, *grid)
    fused = fused[..., : -(-size[0] // 4), : -(-size[1] // 4)]
    with torch.no_grad():
        np.testing.assert_allclose(small.infer(shown).numpy(), fused, atol=1e-5)
        np.testing.assert_allclose(small(shown).numpy(), bilinear(fused, *size), atol=1e-5)


@pytest.fixture(scope="module")
def lite() -> MultiResolutionSegmentor:
    torch.manual_seed(0)
    return MultiResolutionSegmentor(build_segmentor("daformer-lite0", 19, "none"), MultiResolution(), (CROP, CROP))


def test_features_come_by_scale_in_the_sizes_told(lite: MultiResolutionSegmentor) -> None:
    features = lite.encode(images(), WINDOW)
    context, detail = lite.scales(features)
    assert [feature.shape[1] for feature in context] == [feature.shape[1] for feature in detail] == [24, 40, 112, 320]
    for scale, (height, width) in zip((context, detail), lite.scale_sizes((CROP, CROP)), strict=True):
        sizes = [tuple(feature.shape[-2:]) for feature in scale]
        assert sizes == [(height // stride, width // stride) for stride in (4, 8, 16, 32)]
    with pytest.raises(ValueError, match="window"):
        lite.encode(images())


def test_attention_head_is_daformers_with_a_1x1_convolution_in_place_of_aspp(lite: MultiResolutionSegmentor) -> None:
    embeddings = (24 + 40 + 112 + 320) * 64 + 4 * 64
    fusion, classifier = 4 * 64 * 64 + 2 * 64, 64 * 19 + 19
    assert sum(parameter.numel() for parameter in lite.attention.parameters()) == embeddings + fusion + classifier


def test_gradients_reach_encoder_decoder_and_attention(lite: MultiResolutionSegmentor) -> None:
    student = copy.deepcopy(lite)
    labels = torch.randint(0, 19, (2, CROP, CROP), generator=torch.Generator().manual_seed(0))
    training_step(student).view("source", images(), labels, None).loss().backward()
    for name, parameter in student.named_parameters():
        assert parameter.grad is not None and parameter.grad.any(), name


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_and_channels_last_give_float32_logits(lite: MultiResolutionSegmentor, dtype: torch.dtype) -> None:
    student = copy.deepcopy(lite).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    shown = images().contiguous(memory_format=torch.channels_last)
    with torch.autocast("cpu", dtype):
        prediction = student.predict(student.encode(shown, WINDOW), (CROP, CROP), WINDOW)
        whole = student(shown)
    assert prediction.detail is not None
    for logits in (prediction.logits, prediction.detail, whole):
        assert logits.dtype == torch.float32 and logits.isfinite().all()


def test_teacher_predicts_by_inference_and_averages_the_attention(lite: MultiResolutionSegmentor) -> None:
    student = copy.deepcopy(lite)
    teacher = Teacher(student, 0.999)
    start = [parameter.clone() for parameter in student.parameters()]
    reference = copy.deepcopy(lite)
    for module in reference.modules():  # batch statistics, no dropout, no drop path
        module.training = isinstance(module, torch.nn.BatchNorm2d)
    with torch.no_grad():
        assert torch.equal(teacher.logits(images()), reference(images()))
        for parameter in student.parameters():
            parameter.add_(1)
    teacher.update(student, 0)
    averaged = dict(teacher.segmentor.named_parameters())
    assert {name.split(".")[0] for name in averaged} == {"encoder", "decoder", "attention"}
    for before, after in zip(start, averaged.values(), strict=True):
        torch.testing.assert_close(after, before + 0.5)


def test_deeplabv2_needs_a_grid_of_16(monkeypatch: pytest.MonkeyPatch) -> None:
    narrow_resnet(monkeypatch)
    plain = build_segmentor("deeplabv2-r50", K, "none")
    student = MultiResolutionSegmentor(plain, MultiResolution(), (CROP, CROP)).eval()
    assert student.window((CROP, CROP), torch.Generator()).top % 16 == 0
    shapes = [(name, parameter.shape) for name, parameter in student.decoder.named_parameters()]
    assert [(name, parameter.shape) for name, parameter in student.attention.named_parameters()] == shapes
    with torch.no_grad():
        assert student(images(48, 40, 1)).shape == (1, K, 48, 40)
    with pytest.raises(MethodError, match=r"INPUT.CROP is 72x72, its detail window 36x36.*multiples of 16 pixels"):
        MultiResolutionSegmentor(plain, MultiResolution(), (72, 72))


def test_other_decoders_are_refused() -> None:
    with pytest.raises(MethodError, match=r"deeplabv3plus-r50.*DAFormer's, DeepLabV2's and the linear decoder"):
        MultiResolutionSegmentor(build_segmentor("deeplabv3plus-r50", K, "none"), MultiResolution(), (CROP, CROP))


@pytest.mark.parametrize(
    ("key", "value"),
    [("CONTEXT_SCALE", 0.3), ("CONTEXT_SCALE", 0.0), ("DETAIL_SIZE", 1.0), ("DETAIL_WEIGHT", 1.5)],
)
def test_settings_out_of_range_are_told(small_config: MakeConfig, key: str, value: float) -> None:
    with pytest.raises(ConfigError, match=rf"HRDA\.{key} is {value}, expected"):
        small_config("hrda", overrides={f"HRDA.{key}": value})


def resolved(protocol: str, method: str = "hrda", **overrides: Any) -> CfgNode:
    return RunSpec(protocol, method, None, 0, overrides).resolve()


RESIZING = ("gta-cityscapes", "synthia-cityscapes", "cityscapes-acdc")
METHODS = ("hrda", "hrda+mic", "hrda+mrm", "hrda+mic+mrm")


@pytest.mark.parametrize("method", METHODS)
def test_sizes_are_the_published_ones(method: str) -> None:
    gta, synthia, acdc = (resolved(protocol, method) for protocol in RESIZING)
    assert (gta.INPUT.SOURCE_RESIZE, synthia.INPUT.SOURCE_RESIZE) == ((2560, 1440), (2560, 1520))
    assert (gta.INPUT.TARGET_RESIZE, gta.TEST.RESIZE) == ((2048, 1024), (2048, 1024))
    assert (acdc.INPUT.SOURCE_RESIZE, acdc.INPUT.TARGET_RESIZE) == ((2048, 1024), (1920, 1080))
    for cfg, margins in ((gta, (30, 240, 30)), (synthia, (30, 240, 30)), (acdc, (0, 0, 0))):
        assert (cfg.INPUT.CROP, sliding(cfg)) == ((1024, 1024), SlidingWindow((1024, 1024), (512, 512)))
        assert tuple(cfg.INPUT.TARGET_MARGINS) == margins
        assert (cfg.SAMPLING.RARE_CLASSES, cfg.SAMPLING.MIN_CROP_PIXELS) == (True, 6000)
        assert (cfg.TERMS.MIC.BLOCK, cfg.SELF_TRAINING.MOMENTUM) == (64, 0.999)
        published = {"ENABLED": True, "CONTEXT_SCALE": 0.5, "DETAIL_SIZE": 0.5, "DETAIL_WEIGHT": 0.1}
        assert dict(cfg.HRDA) == published


def test_images_at_their_own_size_are_not_doubled() -> None:
    hrda, daformer = resolved("streets"), resolved("streets", "daformer")
    for node in ("INPUT", "SAMPLING", "TERMS", "SOLVER"):
        assert hrda[node] == daformer[node]
    assert sliding(hrda) == SlidingWindow((128, 128), (64, 64))


def test_run_ids_know_of_hrda_only_where_it_is() -> None:
    other = {"HRDA.DETAIL_WEIGHT": 0.2}
    assert run_id(resolved("streets", "dacs")) == run_id(resolved("streets", "dacs", **other))
    assert run_id(resolved("streets")) != run_id(resolved("streets", **other))


def test_encoder_and_decoder_start_as_daformers(small_config: MakeConfig) -> None:
    student = build_student(small_config("hrda")).state_dict()
    plain = build_student(small_config("daformer")).state_dict()
    assert {name.split(".")[0] for name in student.keys() - plain.keys()} == {"attention"}
    assert [name for name in plain if not torch.equal(student[name], plain[name])] == []
    again = build_student(small_config("hrda")).state_dict()
    assert [name for name in student if not torch.equal(student[name], again[name])] == []


def test_weights_of_a_whole_segmentor_are_loaded(small_config: MakeConfig, tmp_path: Path) -> None:
    torch.manual_seed(5)
    state = build_segmentor(NETWORK, 19, "none").state_dict()
    torch.save(state, tmp_path / "whole.pth")
    student = build_student(small_config("hrda", overrides={"WEIGHTS": str(tmp_path / "whole.pth")}))
    loaded = student.state_dict()
    assert [name for name in state if not torch.equal(state[name], loaded[name])] == []


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_two_steps_train_every_part(small_config: MakeConfig, tmp_path: Path, method: str) -> None:
    cfg = small_config(method, overrides={"SOLVER.ITERS": 2, "SOLVER.WARMUP_ITERS": 0})
    record = run_one(Run.at(tmp_path, cfg), RunWatcher()).content
    assert (record["status"], record["reason"]) == ("finished", "")
    start, end = build_student(cfg), torch.load(tmp_path / "model_final.pth", weights_only=True)
    unchanged = [name for name, value in start.named_parameters() if torch.equal(value, end["model"][name])]
    assert unchanged == []


@pytest.mark.slow
def test_a_step_of_deeplabv2(small_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    narrow_resnet(monkeypatch)
    overrides = {"SOLVER.ITERS": 1, "DATA.STREETS.VAL_IMAGES": 1, "NETWORK": "deeplabv2-r50"}
    record = run_one(Run.at(tmp_path, small_config("hrda", overrides=overrides)), RunWatcher()).content
    assert (record["status"], record["reason"]) == ("finished", "")


# Weights


@pytest.mark.slow
@pytest.mark.parametrize("method", ["daformer", "hrda"])
@pytest.mark.parametrize("name", ["imagenet", "none", "efficientnet-lite0"])
@pytest.mark.parametrize("as_file", [True, False])
def test_a_file_or_folder_that_is_called_as_known_weights_is_not_meant(
    small_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str, name: str, as_file: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    cfg = small_config(method, overrides={"WEIGHTS": name, "NETWORK": "daformer-lite0"})
    usual, state = run_id(cfg), build_student(cfg).state_dict()
    if as_file:
        (tmp_path / name).touch()
    else:
        (tmp_path / name).mkdir()
    assert run_id(cfg) == usual
    again = build_student(cfg).state_dict()
    assert state.keys() == again.keys() and all(torch.equal(state[key], again[key]) for key in state)


@pytest.mark.slow
def test_weights_of_a_whole_student_start_another(small_config: MakeConfig, tmp_path: Path) -> None:
    """Two resolutions from two, two from one (the attention is new), and one from two (it stays behind)."""
    files = {}
    for method in ("daformer", "hrda"):
        files[method] = str(tmp_path / f"{method}.pth")
        torch.save(build_student(small_config(method, seed=7)).state_dict(), files[method])
    for method, start in itertools.product(files, files):
        started = build_student(small_config(method, seed=8, overrides={"WEIGHTS": files[start]})).state_dict()
        fresh = build_student(small_config(method, seed=8)).state_dict()
        saved = torch.load(files[start])
        for name, value in started.items():
            assert torch.equal(value, saved[name] if name in saved else fresh[name]), (method, start, name)
