"""Masks, the Rebuilder and the fusion of MRM; block masking of MIC."""

from __future__ import annotations

import math

import pytest
import torch

from methods.base.draws import Draws
from methods.base.errors import MethodError
from methods.base.randomness import keyed_generator
from methods.mrm import MRM, MRMSettings
from methods.networks import build_segmentor
from methods.parts.masking import bernoulli_mask, block_mask, fuse, resize_mask
from methods.parts.rebuilder import Rebuilder, projector, sincos_position, upsampling


def test_bernoulli_mask_has_its_ratio() -> None:
    mask = bernoulli_mask(64, 16, 16, 0.4, Draws(keyed_generator(0, "test")))
    assert mask.shape == (64, 1, 16, 16)
    assert set(mask.unique().tolist()) == {0.0, 1.0}
    deviation = math.sqrt(0.4 * 0.6 / mask.numel())
    assert abs(mask.mean().item() - 0.4) < 4 * deviation
    assert bernoulli_mask(2, 4, 4, 0.0, Draws(keyed_generator(0))).sum() == 0
    assert bernoulli_mask(2, 4, 4, 1.0, Draws(keyed_generator(0))).mean() == 1


def test_block_mask_is_made_of_blocks_and_cut_at_the_border() -> None:
    mask = block_mask(8, 40, 70, 16, 0.7, Draws(keyed_generator(0, "test")))
    assert mask.shape == (8, 1, 40, 70)
    for top in range(0, 40, 16):
        for left in range(0, 70, 16):
            block = mask[:, :, top : top + 16, left : left + 16]
            assert torch.equal(block.amin((2, 3)), block.amax((2, 3)))
    many = block_mask(500, 32, 32, 16, 0.7, Draws(keyed_generator(0, "many")))
    assert abs(many.mean().item() - 0.7) < 0.05


def test_rebuilder_for_resnet_has_the_published_size() -> None:
    rebuilder = Rebuilder([2048], [(64, 64)])
    parameters = sum(parameter.numel() for parameter in rebuilder.parameters())
    # embedding + token + 2 blocks (qkv, proj, mlp, 2 norms) + norm + 2 transposed convolutions with a norm between
    # + 1x1 convolution + norm
    block = (512 * 1536 + 1536) + (512 * 512 + 512) + (512 * 2048 + 2048) + (2048 * 512 + 512) + 4 * 512
    projector = (512 * 256 * 16 + 256) + 512 + (256 * 128 * 16 + 128) + (128 * 2048 + 2048) + 2 * 2048
    assert parameters == (2048 * 512 + 512) + 512 + 2 * block + 2 * 512 + projector
    assert parameters == pytest.approx(10.2e6, rel=0.01)


@pytest.mark.parametrize("side", [32, 64])
def test_every_stage_is_rebuilt_in_its_shape(side: int) -> None:
    channels, sizes = (8, 12, 16), [(side, side), (side // 2, side // 2), (side // 8, side // 8)]
    rebuilder = Rebuilder(channels, sizes, dim=16, heads=2, resolution=8)
    features = [torch.rand(2, c, *size) for c, size in zip(channels, sizes, strict=True)]
    rebuilt = rebuilder(features, torch.ones(2, 1, 8, 8))
    assert [out.shape for out in rebuilt] == [feature.shape for feature in features]


def test_upsampling_is_the_nearest_doubling() -> None:
    assert [upsampling((side, side), 16) for side in (4, 16, 32, 64, 128, 512)] == [0, 0, 1, 2, 3, 3]


@pytest.mark.parametrize(("dim", "doublings"), [(16, 0), (16, 1), (8, 3)])
def test_projectors_norm_channels_with_the_authors_epsilon(dim: int, doublings: int) -> None:
    """timm's LayerNorm2d, 1e-6: on small features 1e-5 is another number. Norms between and at the end alike."""
    torch.manual_seed(0)
    made = projector(dim, 5, doublings).double()
    features = 0.003 * torch.randn(2, dim, 4, 4, dtype=torch.float64)
    expected, norms = features, 0
    for layer in made:
        if not isinstance(layer, torch.nn.LayerNorm):
            expected = layer(expected)
            continue
        norms += 1
        centred = expected - expected.mean(1, keepdim=True)
        expected = centred / (centred.square().mean(1, keepdim=True) + 1e-6).sqrt()
    assert norms == max(1, doublings)
    torch.testing.assert_close(made(features), expected, rtol=1e-9, atol=1e-12)


def test_norms_of_the_rebuilders_transformer_keep_torchs_epsilon() -> None:
    rebuilder = Rebuilder([6], [(4, 4)], dim=16, heads=2, resolution=4)
    norms = [m for m in (*rebuilder.blocks.modules(), rebuilder.norm) if isinstance(m, torch.nn.LayerNorm)]
    assert [norm.eps for norm in norms] == 5 * [1e-5]


def test_rebuilder_does_not_see_what_is_masked() -> None:
    torch.manual_seed(0)
    rebuilder = Rebuilder([6], [(4, 4)], dim=16, heads=2, resolution=4).eval()
    mask = torch.zeros(1, 1, 4, 4)
    mask[..., 1, 2] = 1
    first = torch.rand(1, 6, 4, 4)
    second = first.clone()
    second[..., 1, 2] += 5
    assert torch.equal(rebuilder([first], mask)[0], rebuilder([second], mask)[0])
    assert not torch.allclose(rebuilder([first], 0 * mask)[0], rebuilder([second], 0 * mask)[0])


def test_position_embedding_by_formula() -> None:
    position = sincos_position(8, 3).view(3, 3, 8)
    row, column = 2, 1
    expected = []
    for place in (row, column):
        angles = [place / 10000 ** (index / 2) for index in range(2)]
        expected += [math.sin(angle) for angle in angles] + [math.cos(angle) for angle in angles]
    assert position[row, column].tolist() == pytest.approx(expected, abs=1e-6)


def test_fusion_at_mask_0_and_1_and_between() -> None:
    """Eq. 8: f_r = M * f_o + (1 - M) * f_t."""
    kept, new = [torch.rand(2, 5, 8, 8), torch.rand(2, 7, 4, 4)], [torch.rand(2, 5, 8, 8), torch.rand(2, 7, 4, 4)]
    for value, expected in ((0.0, kept), (1.0, new)):
        fused = fuse(kept, new, torch.full((2, 1, 4, 4), value))
        assert all(torch.equal(a, b) for a, b in zip(fused, expected, strict=True))
    mask = bernoulli_mask(2, 4, 4, 0.5, Draws(keyed_generator(0, "test")))
    for f_r, f_t, f_o in zip(fuse(kept, new, mask), kept, new, strict=True):
        m = resize_mask(mask, (f_r.shape[2], f_r.shape[3]))
        assert torch.allclose(f_r, m * f_o + (1 - m) * f_t)


@pytest.mark.slow
def test_gradient_reaches_encoder_rebuilder_and_token() -> None:
    torch.manual_seed(0)
    segmentor = build_segmentor("daformer-lite0", 19, "none")
    term = MRM(MRMSettings(dim=32, heads=2, resolution=4), segmentor, (64, 64))
    features = segmentor.encode(torch.rand(2, 3, 64, 64))
    assert term.rebuilder is not None
    mask = bernoulli_mask(2, 4, 4, 0.5, Draws(keyed_generator(0, "test")))
    segmentor.decode(fuse(features, term.rebuilder(features, mask), mask)).square().mean().backward()
    for parameter in (*term.parameters(), *segmentor.parameters()):
        assert parameter.grad is not None and parameter.grad.isfinite().all()


def test_settings_that_cannot_be_say_so() -> None:
    segmentor = build_segmentor("daformer-lite0", 19, "none")
    with pytest.raises(MethodError, match=r"TERMS\.MRM\.DIM is 30"):
        MRM(MRMSettings(dim=30), segmentor, (64, 64))
