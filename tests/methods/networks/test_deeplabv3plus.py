"""DeepLabV3+: detectron2's own network, counted by hand, and inside our interface of encoder and decoder."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from methods.networks import Segmentor, build_segmentor

CLASSES = 19


@pytest.fixture(scope="module")
def built() -> dict[str, Segmentor]:
    torch.manual_seed(0)
    return {name: build_segmentor(f"deeplabv3plus-{name}", CLASSES, "none") for name in ("r50", "r52")}


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def images(height: int = 32, width: int = 48) -> Tensor:
    return torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(1))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "stride"), [("r50", 8), ("r52", 16)])
def test_shapes_and_composition(built: dict[str, Segmentor], name: str, stride: int) -> None:
    segmentor = built[name].eval()
    encoder = segmentor.encoder
    assert (encoder.channels, encoder.strides) == ((256, 2048), (4, stride))
    with torch.no_grad():
        features = segmentor.encode(images())
        assert [tuple(f.shape) for f in features] == [(2, 256, 8, 12), (2, 2048, 32 // stride, 48 // stride)]
        logits = segmentor.decode(features)
        assert logits.shape == (2, CLASSES, 8, 12)
        assert torch.equal(segmentor(images()), segmentor.upsample(logits, (32, 48)))
        assert segmentor(images(26, 44)).shape == (2, CLASSES, 26, 44)


def test_strides_and_dilations(built: dict[str, Segmentor]) -> None:
    def blocks(name: str, stage: str) -> list[tuple[int, int]]:
        layers: Any = built[name].encoder.get_submodule(stage)
        return [(layer.conv2.stride[0], layer.conv2.dilation[0]) for layer in layers]

    assert blocks("r50", "res4") == [(1, 1)] + [(1, 2)] * 5
    assert blocks("r50", "res5") == [(1, 2), (1, 4), (1, 4)]
    assert blocks("r52", "res4") == [(2, 1)] + [(1, 1)] * 5
    assert blocks("r52", "res5") == [(1, 2), (1, 4), (1, 8)]
    for name, dilations in (("r50", [12, 24, 36]), ("r52", [6, 12, 18])):
        pyramid: Any = built[name].decoder.get_submodule("head.decoder.coarse.project_conv")
        assert [conv.dilation[0] for conv in pyramid.convs[1:4]] == dilations
        norms = {type(m) for m in built[name].modules() if "Norm" in type(m).__name__}
        assert all(issubclass(norm, nn.BatchNorm2d) for norm in norms)  # not one that other devices take part in


@pytest.mark.slow
def test_two_decoder_passes_share_the_features_and_train_everything(built: dict[str, Segmentor]) -> None:
    segmentor = built["r50"].train()
    features = segmentor.encode(images(32, 32))
    before = [feature.clone() for feature in features]
    loss = segmentor.decode(features).square().mean()
    loss = loss + segmentor.decode([feature * 0.5 for feature in features]).square().mean()
    assert all(torch.equal(a, b) for a, b in zip(before, features, strict=True))
    loss.backward()
    without = [key for key, p in segmentor.named_parameters() if p.grad is None or not p.grad.isfinite().all()]
    segmentor.zero_grad()
    assert without == []


@pytest.mark.slow
def test_bf16_in_channels_last_is_fp32_but_for_rounding(built: dict[str, Segmentor]) -> None:
    segmentor: Any = built["r50"].eval()
    with torch.no_grad():
        expected = segmentor(images(32, 32))
        segmentor.to(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            logits = segmentor(images(32, 32).to(memory_format=torch.channels_last))
    assert 0 < (logits - expected).abs().mean() < 0.05 * expected.abs().mean()


@pytest.mark.parametrize(("name", "stem", "depths"), [("r50", 64, (3, 4, 6, 3)), ("r103", 128, (3, 4, 23, 3))])
def test_parameter_counts_by_hand(name: str, stem: int, depths: tuple[int, ...]) -> None:
    encoder = 9 * (3 * stem // 2 + (stem // 2) ** 2 + stem // 2 * stem) + 2 * 2 * stem  # with their batch norms
    before = stem
    for width, depth in zip((64, 128, 256, 512), depths, strict=True):
        out = 4 * width
        encoder += before * out + 2 * out  # shortcut
        encoder += (before + (depth - 1) * out) * width + depth * (9 * width**2 + width * out + 2 * (2 * width + out))
        before = out
    norm = 2 * 256
    pyramid = 2048 * 256 + norm + 3 * (9 * 2048 * 256 + norm) + 2048 * 256 + 256 + 5 * 256 * 256 + norm
    fusion = 256 * 48 + 2 * 48 + 9 * (48 + 256) * 256 + norm + 9 * 256 * 256 + norm
    with torch.device("meta"):
        segmentor = build_segmentor(f"deeplabv3plus-{name}", CLASSES, "none")
    found = (count(segmentor.encoder), count(segmentor.decoder))
    assert found == (encoder, pyramid + fusion + 256 * CLASSES + CLASSES)


@pytest.mark.slow
def test_r52_is_detectron2s_own() -> None:
    """The network that detectron2 builds from its config deeplab_v3_plus_R_103_os16_mg124, at depth 50."""
    from detectron2.config import get_cfg
    from detectron2.layers import ShapeSpec
    from detectron2.projects.deeplab import add_deeplab_config, build_resnet_deeplab_backbone
    from detectron2.projects.deeplab.semantic_seg import DeepLabV3PlusHead

    images = torch.rand(2, 3, 32, 48, generator=torch.Generator().manual_seed(1))
    cfg = get_cfg()
    add_deeplab_config(cfg)
    resnet, head = cfg.MODEL.RESNETS, cfg.MODEL.SEM_SEG_HEAD
    resnet.DEPTH, resnet.NORM, resnet.OUT_FEATURES, resnet.STEM_OUT_CHANNELS = 50, "BN", ["res2", "res5"], 128
    resnet.STRIDE_IN_1X1, resnet.RES5_DILATION, cfg.MODEL.BACKBONE.FREEZE_AT = False, 2, 0
    head.IN_FEATURES, head.NORM, head.CONVS_DIM, head.NUM_CLASSES = ["res2", "res5"], "BN", 256, CLASSES
    segmentor = build_segmentor("deeplabv3plus-r52", CLASSES, "none").eval()
    backbone = build_resnet_deeplab_backbone(cfg, ShapeSpec(channels=3)).eval()
    theirs = DeepLabV3PlusHead(cfg, backbone.output_shape()).eval()
    backbone.load_state_dict(segmentor.encoder.state_dict())
    decoder = segmentor.decoder.state_dict()
    theirs.load_state_dict(
        {k.removeprefix("head.").replace("fine", "res2").replace("coarse", "res5"): v for k, v in decoder.items()}
    )
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)))
    with torch.no_grad():
        expected, _ = theirs(backbone((255 * images - mean) / std))
        torch.testing.assert_close(segmentor(images), expected, rtol=1e-4, atol=1e-5)
