"""Sliding-window inference: against a plain loop, with one window equal to the whole image, and what is refused."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from detectron2.config import CfgNode
from torch.nn import functional as F

from benchmarks.config.sliding_window import SlidingWindow, sliding
from benchmarks.core.errors import ConfigError
from benchmarks.evaluation import inference
from benchmarks.evaluation.inference import predict_classes, predict_image, predict_logits, upsampled_classes
from methods.networks import Segmentor, build_segmentor

MakeConfig = Callable[..., CfgNode]


@pytest.fixture(scope="module")
def tiny() -> Segmentor:
    torch.manual_seed(0)
    return build_segmentor("daformer-tiny", 19, "none").eval()


def images(height: int, width: int) -> torch.Tensor:
    return torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("height", "width", "expected"),
    [
        # Cityscapes at full resolution: the published three windows.
        (1024, 2048, [(0, 0, 1024, 1024), (0, 512, 1024, 1024), (0, 1024, 1024, 1024)]),
        # The last one is moved to end at the border.
        (1024, 1600, [(0, 0, 1024, 1024), (0, 512, 1024, 1024), (0, 576, 1024, 1024)]),
        (1080, 1024, [(0, 0, 1024, 1024), (56, 0, 1024, 1024)]),
        (500, 1024, [(0, 0, 500, 1024)]),
        (500, 400, [(0, 0, 500, 400)]),
    ],
)
def test_windows(height: int, width: int, expected: list[tuple[int, int, int, int]]) -> None:
    assert SlidingWindow((1024, 1024), (512, 512)).windows(height, width) == expected


def test_windows_are_wide_by_their_first_number() -> None:
    windows = SlidingWindow((4, 2), (3, 1)).windows(3, 7)
    assert windows == [(0, 0, 2, 4), (0, 3, 2, 4), (1, 0, 2, 4), (1, 3, 2, 4)]


def test_every_pixel_is_in_a_window() -> None:
    rng = np.random.default_rng(0)
    for _ in range(100):
        width, height, image_width, image_height = rng.integers(1, 40, 4).tolist()
        stride = (int(rng.integers(1, width + 1)), int(rng.integers(1, height + 1)))
        count = np.zeros((image_height, image_width))
        windows = SlidingWindow((width, height), stride).windows(image_height, image_width)
        for top, left, rows, columns in windows:
            assert top + rows <= image_height and left + columns <= image_width
            count[top : top + rows, left : left + columns] += 1
        assert count.min() >= 1 and len(set(windows)) == len(windows)


def test_logits_are_the_mean_of_the_windows(tiny: Segmentor) -> None:
    shown = images(64, 128)
    total, count = np.zeros((2, 19, 64, 128)), np.zeros((64, 128))
    for left in (0, 32, 64):
        with torch.no_grad():
            logits = F.interpolate(tiny.decoder(tiny.encoder(shown[..., left : left + 64])), (64, 64), mode="bilinear")
        total[..., left : left + 64] += logits.numpy()
        count[:, left : left + 64] += 1
    logits = predict_logits(tiny, shown, (64, 128), SlidingWindow((64, 64), (32, 32)))
    np.testing.assert_allclose(logits.numpy(), total / count, atol=1e-5)
    larger = predict_logits(tiny, shown, (128, 256), SlidingWindow((64, 64), (32, 32)))
    expected = F.interpolate(torch.from_numpy(total / count), (128, 256), mode="bilinear")
    np.testing.assert_allclose(larger.numpy(), expected.numpy(), atol=1e-5)


@pytest.mark.parametrize("window", [(96, 64), (500, 500)])
def test_one_window_is_the_whole_image(tiny: Segmentor, window: tuple[int, int]) -> None:
    shown = images(64, 96)
    whole = predict_logits(tiny, shown, (64, 96), None)
    assert torch.equal(predict_logits(tiny, shown, (64, 96), SlidingWindow(window, (32, 32))), whole)
    assert not whole.requires_grad and whole.dtype == torch.float32


def test_the_whole_image_is_brought_to_its_own_size_first(tiny: Segmentor) -> None:
    shown = images(64, 64)
    with torch.no_grad():
        at_image = F.interpolate(tiny.decoder(tiny.encoder(shown)), (64, 64), mode="bilinear")
    expected = F.interpolate(at_image, (130, 150), mode="bilinear")
    torch.testing.assert_close(predict_logits(tiny, shown, (130, 150), None), expected)


def test_keys_say_width_first_and_half_a_window_is_the_stride(small_config: MakeConfig) -> None:
    assert sliding(small_config("dacs")) is None
    halved = small_config("dacs", overrides={"TEST.SLIDING": True, "TEST.WINDOW": (96, 64)})
    assert sliding(halved) == SlidingWindow((96, 64), (48, 32))
    crop = small_config("dacs", overrides={"TEST.SLIDING": True})
    assert sliding(crop) == SlidingWindow((64, 64), (32, 32))
    with pytest.raises(ConfigError, match=r"expected TEST\.SLIDING True too"):
        small_config("dacs", overrides={"TEST.WINDOW": (96, 64)})
    own = small_config("dacs", overrides={"TEST.SLIDING": True, "TEST.WINDOW": (96, 64), "TEST.STRIDE": (96, 16)})
    assert sliding(own) == SlidingWindow((96, 64), (96, 16))


def test_a_stride_that_leaves_pixels_out_is_told(small_config: MakeConfig) -> None:
    with pytest.raises(ConfigError, match=r"TEST.STRIDE is \(64, 48\), expected at most the window, \(64, 32\)"):
        small_config("dacs", overrides={"TEST.SLIDING": True, "TEST.WINDOW": (64, 32), "TEST.STRIDE": (64, 48)})


# Classes of large images, whose logits are never there as a whole


def shown(height: int, width: int) -> torch.Tensor:
    """One image that is blocks of colours, so that it is of several classes."""
    blocks = torch.randint(0, 256, (3, height // 8, width // 8), generator=torch.Generator().manual_seed(3))
    return blocks.repeat_interleave(8, 1).repeat_interleave(8, 2).to(torch.uint8)


@pytest.mark.parametrize(("window", "stride"), [((64, 64), (32, 32)), ((96, 64), (80, 24)), ((500, 72), (9, 72))])
def test_classes_by_windows_are_those_of_all_logits_and_no_more_than_a_row_is_held(
    tiny: Segmentor, monkeypatch: pytest.MonkeyPatch, window: tuple[int, int], stride: tuple[int, int]
) -> None:
    image, windows, cpu = shown(136, 104), SlidingWindow(window, stride), torch.device("cpu")
    logits = predict_image(tiny, image, (136, 104), cpu, windows)
    expected = logits.argmax(0)
    assert len(expected.unique()) > 1
    held = []
    argmax = inference._argmax
    monkeypatch.setattr(inference, "_argmax", lambda part: held.append(part.shape[1]) or argmax(part))
    found = predict_classes(tiny, image, (136, 104), cpu, windows)
    assert found.dtype == torch.uint8 and torch.equal(found.long(), expected)
    assert sum(held) == 136 and max(held) <= window[1]


@pytest.mark.parametrize("size", [(300, 410), (41, 37), (60, 96), (65, 400)])
def test_logits_brought_to_a_size_in_stripes_have_the_same_classes(
    monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]
) -> None:
    logits = torch.randn(5, 64, 96, generator=torch.Generator().manual_seed(4))
    expected = F.interpolate(logits[None], size, mode="bilinear")[0]
    assert torch.equal(upsampled_classes(logits, size).long(), expected.argmax(0))  # at once
    stripes = []
    argmax = inference._argmax
    monkeypatch.setattr(inference, "_argmax", lambda part: stripes.append(part) or argmax(part))
    monkeypatch.setattr(inference, "_HELD", 5 * size[1] * 7)
    found = upsampled_classes(logits, size)
    assert {part.shape[1] for part in stripes[:-1]} == {7}
    torch.testing.assert_close(torch.cat(stripes, dim=1), expected, rtol=0, atol=1e-4)  # float32 places
    assert torch.equal(found.long(), torch.cat(stripes, dim=1).argmax(0))


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(
    ("height", "size"), [(64, (128, 200)), (64, (256, 192)), (64, (64, 300)), (64, (32, 150)), (96, (64, 131))]
)
def test_stripes_of_published_sizes_have_the_very_logits_of_all_at_once(
    monkeypatch: pytest.MonkeyPatch, height: int, size: tuple[int, int], memory_format: torch.memory_format
) -> None:
    drawn = torch.randn(1, 5, height, 96, generator=torch.Generator().manual_seed(4))
    logits = drawn.to(memory_format=memory_format)[0]
    expected = F.interpolate(logits[None], size, mode="bilinear")[0]
    stripes = []
    argmax = inference._argmax
    monkeypatch.setattr(inference, "_argmax", lambda part: stripes.append(part) or argmax(part))
    monkeypatch.setattr(inference, "_STRIPE", 5 * size[1] * 12)
    found = upsampled_classes(logits, size)
    assert len(stripes) > 2 and max(part.shape[1] for part in stripes) <= 12
    assert torch.equal(torch.cat(stripes, dim=1), expected)
    assert torch.equal(found.long(), expected.argmax(0))


def test_classes_are_the_first_of_equal_logits_and_those_that_are_no_number() -> None:
    """As ``argmax`` has them, in whatever order of memory."""
    logits = torch.randint(0, 3, (19, 40, 60), generator=torch.Generator().manual_seed(0)).float()
    logits[3:5, 9, 9] = float("nan")
    logits[:, 7, 7] = float("-inf")
    for each in (logits, logits.permute(1, 2, 0).contiguous().permute(2, 0, 1)):
        assert torch.equal(upsampled_classes(each, (40, 60)).long(), logits.argmax(0))
