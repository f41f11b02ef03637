"""Runs whose masks hide nothing from MRM's Rebuilder are told of, and no others."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from detectron2.config import CfgNode

from benchmarks.config.remarks import fine_token_grids, remarks, whole_grid_blocks
from benchmarks.config.spec import RunSpec
from methods.networks import NETWORKS
from methods.parts.rebuilder import Rebuilder

PUBLISHED = [
    ("gta-cityscapes", "dacs+mrm", "deeplabv2-r101"),
    ("gta-cityscapes", "daformer+mrm", "daformer-mitb5"),
    ("gta-cityscapes", "hrda+mic+mrm", "daformer-mitb5"),
    ("gta-cityscapes-vfm", "dacs+mrm", "dinov2-b-vfmuda"),
]


def resolved(protocol: str, method: str, network: str | None = None, **keys: Any) -> CfgNode:
    overrides = {key.replace("__", "."): value for key, value in keys.items()}
    return RunSpec(protocol, method, network, overrides=overrides).resolve()


def told_of_masked(places: int, tokens: int) -> float:
    """The share of masked tokens that is a linear function of the visible ones, by the Rebuilder's own interpolation.

    The Rebuilder is cut down to what comes before its blocks: one channel in, its value at each token out.
    """
    rebuilder = Rebuilder([1], [(places, places)], dim=4, blocks=0, heads=1, resolution=tokens).double()
    torch.nn.init.ones_(rebuilder.embed.weight)
    rebuilder.position.zero_()
    seen = list[torch.Tensor]()
    rebuilder.norm.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    units = torch.eye(places**2, dtype=torch.float64).reshape(-1, 1, places, places)
    rebuilder([units], torch.zeros(places**2, 1, tokens, tokens))
    grid = seen[0][..., 0].T  # (tokens, places)
    mask = torch.rand(tokens**2, generator=torch.Generator().manual_seed(0)) < 0.4
    visible, masked = grid[~mask], grid[mask]
    rest = masked - masked @ torch.linalg.pinv(visible) @ visible
    return float((rest.norm(dim=1) < 1e-6 * masked.norm(dim=1)).double().mean())


@pytest.mark.parametrize(("places", "tokens", "share"), [(4, 16, 1), (4, 8, 1), (4, 4, 0), (16, 16, 0), (20, 16, 0)])
def test_tokens_finer_than_the_last_stage_tell_of_masked_ones(places: int, tokens: int, share: float) -> None:
    assert told_of_masked(places, tokens) == share


def test_the_embedded_benchmark_hides_what_it_masks_and_is_told_of_with_the_published_grid() -> None:
    assert fine_token_grids([resolved("streets", "dacs+mrm"), resolved("streets-long", "daformer+mic+mrm")]) == []
    cfg = resolved("streets", "dacs+mrm", TERMS__MRM__RESOLUTION=16)
    (line,) = fine_token_grids([cfg, cfg])
    assert line.startswith("MRM masks 16x16 tokens that are interpolated from 4x4 places of the last stage of daformer")
    assert line.endswith("TERMS.MRM.RESOLUTION 4 hides it") and line in remarks([cfg])
    finer = resolved("streets", "dacs+mrm", TERMS__MRM__RESOLUTION=32)
    (both,) = fine_token_grids([cfg, finer, cfg])
    assert both == line.replace("16x16", "16x16 or 32x32")
    (line,) = fine_token_grids([resolved("streets", "hrda+mrm")])  # whose context is half of the crop
    assert "from 2x2 places" in line and "RESOLUTION 2 hides" in line


@pytest.mark.parametrize(("protocol", "method", "network"), PUBLISHED)
def test_published_settings_are_not(protocol: str, method: str, network: str) -> None:
    assert fine_token_grids([resolved(protocol, method, network)]) == []


def test_what_has_no_rebuilder_or_a_grid_that_hides_is_not() -> None:
    for cfg in (
        resolved("streets", "dacs+mrm", TERMS__MRM__RESOLUTION=3),
        resolved("streets", "dacs+mrm", TERMS__MRM__OBJECTIVE="mask-only"),
        resolved("streets", "dacs+mrm", TERMS__MRM__WEIGHT=0.0),
        resolved("streets", "dacs+mixup-local"),
        resolved("streets", "dacs"),
    ):
        assert fine_token_grids([cfg]) == []


@pytest.mark.parametrize("name", list(NETWORKS))
def test_the_stride_of_a_network_is_its_encoders(name: str) -> None:
    with torch.device("meta"):
        encoder = NETWORKS[name].make_encoder()
    assert NETWORKS[name].stride == encoder.strides[-1]


def test_blocks_as_large_as_the_grid_are_told_of() -> None:
    blocks = resolved("streets", "dacs+mrm", TERMS__MRM__STRATEGY="block")
    (line,) = whole_grid_blocks([blocks, blocks])
    assert line.startswith("MRM masks in blocks of 4x4 tokens, which is all there are") and line in remarks([blocks])
    for cfg in (
        resolved("streets", "dacs+mrm", TERMS__MRM__STRATEGY="block", TERMS__MRM__BLOCK=2),
        resolved("gta-cityscapes", "dacs+mrm", "deeplabv2-r101", TERMS__MRM__STRATEGY="block"),
        resolved("streets", "dacs+mrm"),
        resolved("streets", "dacs"),
    ):
        assert whole_grid_blocks([cfg]) == []
