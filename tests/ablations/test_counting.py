"""Multiply-adds of modules and networks against hand counts."""

from __future__ import annotations

from typing import Any

import hand_counts as hand
import pytest
import torch
from tiny_vit import TINY
from torch import nn

from ablations.profiling import counting
from ablations.profiling.call_recorder import META, convolution_backward_flops, new_shapes
from ablations.profiling.counting import count
from ablations.profiling.known_shapes import CountedShapes
from methods.encoders.vit import DINOv2, DINOv3
from methods.networks import build_segmentor
from methods.parts.rebuilder import Rebuilder

LITE0 = (24, 40, 112, 320)
B0 = (32, 64, 160, 256)


SHAPES = new_shapes()


def network(name: str, side: int) -> tuple[int, int]:
    """Counted: encoder and decoder."""
    segmentor = build_segmentor(name, hand.K, "none").to(META)
    images = torch.empty(1, 3, side, side, device=META)
    with CountedShapes(SHAPES):
        features = segmentor.encoder(images)
    return count(segmentor.encoder, images).total, count(segmentor.decoder, features).total


# Modules


def test_attention_counts_both_products() -> None:
    class Attention(nn.Module):
        def forward(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
            return nn.functional.scaled_dot_product_attention(query, key, value)

    sizes = ((1, 3, 10, 8), (1, 3, 7, 8), (1, 3, 7, 5))
    assert count(Attention(), *map(torch.empty, sizes)).total == 3 * (10 * 7 * 8 + 10 * 7 * 5)


def test_transformer_layer_is_counted_in_eval_mode_too() -> None:
    """Torch has a fused operator for that, which nobody counts."""
    layer = nn.TransformerEncoderLayer(32, 4, 128, batch_first=True, norm_first=True).eval()
    fused = torch.backends.mha.get_fastpath_enabled()
    assert count(layer, torch.empty(1, 9, 32)) == counting.Count(
        hand.rebuilder_blocks(32, 9, 1),
        {
            "self_attn": 4 * 32 * 32 * 9 + 2 * 9 * 9 * 32,
            "linear1": 4 * 32 * 32 * 9,
            "dropout": 0,
            "linear2": 4 * 32 * 32 * 9,
            "norm1": 5 * 32 * 9,
            "norm2": 5 * 32 * 9,
            "dropout1": 0,
            "dropout2": 0,
        },
        {},
    )
    assert torch.backends.mha.get_fastpath_enabled() == fused


def test_transposed_convolution_by_its_inputs_pixels() -> None:
    layer = nn.ConvTranspose2d(6, 4, kernel_size=4, stride=2, padding=1)
    assert count(layer, torch.empty(1, 6, 5, 7)).total == 4 * 4 * 6 * 4 * 5 * 7


@pytest.mark.parametrize("size", [(10, 14), (3, 4)])
def test_interpolation_by_the_pixels_made(size: tuple[int, int]) -> None:
    resize = nn.UpsamplingBilinear2d(size)
    assert count(resize, torch.empty(1, 6, 5, 7)).total == 4 * 6 * size[0] * size[1]


def test_operators_without_a_count_are_told() -> None:
    class Distances(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.cdist(x, x).relu() + 1

    assert count(Distances(), torch.empty(1, 4, 3)).uncounted == {"aten::cdist": 1}


def test_counting_leaves_the_module_alone() -> None:
    layer = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
    before = {name: value.clone() for name, value in layer.state_dict().items()}
    count(layer, torch.empty(2, 3, 4, 4))
    assert layer.training and all(torch.equal(before[name], value) for name, value in layer.state_dict().items())


# Networks


@pytest.mark.slow
def test_deeplabv2_by_hand() -> None:
    assert network("deeplabv2-r101", 64) == (hand.resnet(101, 64), hand.deeplabv2_head(64))
    four = build_segmentor("deeplabv2-r101-4b", hand.K, "none").to(META)
    with CountedShapes(SHAPES):
        features = four.encoder(torch.empty(1, 3, 64, 64, device=META))
    assert count(four.decoder, features).total == hand.deeplabv2_head(64, branches=4)


def test_deeplabv2_is_the_published_host() -> None:
    """182.34 G at 512x512 (arXiv 2509.13801, Table 6)."""
    assert hand.resnet(101, 512) + hand.deeplabv2_head(512) == pytest.approx(182.34e9, rel=0.01)


@pytest.mark.slow
def test_deeplabv3plus_by_hand() -> None:
    assert network("deeplabv3plus-r50", 64) == (hand.resnet(50, 64), hand.deeplabv3plus_head(64))


@pytest.mark.slow
def test_mit_by_hand() -> None:
    assert network("daformer-mitb0", 128) == (hand.mit_b0(128), hand.daformer_head(B0, 256, 128))


@pytest.mark.parametrize(("kind", "learned"), [(DINOv2, 37), (DINOv3, 0)])
def test_foundation_networks_by_hand(kind: Any, learned: int) -> None:
    encoder, side = kind(TINY).to(META), 4 * kind.patch
    counted = count(encoder, torch.empty(1, 3, side, side, device=META))
    assert counted.total == hand.vit(16, 4, side, kind.patch, kind.extra_tokens, learned) and counted.uncounted == {}


@pytest.mark.slow
def test_lite0_by_hand() -> None:
    width = build_segmentor("daformer-lite0", hand.K, "none").decoder.classifier.in_channels
    assert network("daformer-lite0", 128) == (hand.lite0(128), hand.daformer_head(LITE0, width, 128))


@pytest.mark.parametrize(
    ("channels", "sizes", "doublings"),
    [((2048,), (64,), (2,)), (B0, (128, 64, 32, 16), (3, 2, 1, 0)), ((40, 320), (16, 8), (0, 0))],
)
def test_rebuilder_by_hand(channels: tuple[int, ...], sizes: tuple[int, ...], doublings: tuple[int, ...]) -> None:
    rebuilder = Rebuilder(channels, [(size, size) for size in sizes])
    features = [torch.empty(1, c, s, s) for c, s in zip(channels, sizes, strict=True)]
    counted = count(rebuilder, features, torch.empty(1, 1, 16, 16))
    projectors = sum(hand.rebuilder_projector(512, c, n, 16) for c, n in zip(channels, doublings, strict=True))
    assert counted.children == {
        "embed": channels[-1] * 512 * sizes[-1] ** 2,
        "blocks": hand.rebuilder_blocks(512, 256, 2),
        "norm": 5 * 512 * 256,
        "projectors": projectors,
    }
    # What is coarser than the grid is made at the grid's size and shrunk.
    resized = 4 * 512 * 256 + sum(4 * c * s * s for c, s in zip(channels, sizes, strict=True) if s < 16)
    assert counted.total == sum(counted.children.values()) + resized
    assert not counted.uncounted


@pytest.mark.parametrize("transposed", [False, True])
def test_gradients_of_grouped_convolutions(transposed: bool) -> None:
    groups, size = 4, [1, 8, 6, 6]
    weight = [8, 3, 3, 3] if transposed else [12, 2, 3, 3]
    made = [1, 12, 6, 6]
    forward = 9 * 8 * 12 // groups * 36
    for wanted, factor in (([True, True, False], 2), ([False, True, True], 1), ([True, False, False], 1)):
        flops = convolution_backward_flops(
            made, size, weight, None, [1, 1], [1, 1], [1, 1], transposed, [0, 0], groups, wanted, out_shape=None
        )
        assert flops == 2 * factor * forward
