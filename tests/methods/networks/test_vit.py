"""Foundation networks: published sizes, transformers' own forward pass, any size of image, all spellings of weights."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_vit import DAFORMER, LINEAR, TINY, register_tiny
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import Dinov2Config, Dinov2Model, DINOv3ViTConfig, DINOv3ViTModel

from methods.base.errors import MethodError
from methods.decoders.patch_decoders import LinearDecoder, UpscalingDecoder
from methods.encoders.vit import DINOv2, DINOv3
from methods.networks import Encoder, Segmentor, build_segmentor

State = dict[str, Tensor]
CLASSES = 5


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    register_tiny(monkeypatch)


def images(height: int, width: int) -> Tensor:
    return torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("dinov2-s-linear", 88_249_960),
        ("dinov2-b-linear", 346_345_912),
        ("dinov2-l-vfmuda", 1_217_522_888),
        ("dinov3-s-linear", 86_406_384),
        ("dinov3-b-daformer", 342_662_192),
        ("dinov3-l-linear", 1_212_559_808),
    ],
)
def test_parameters_are_those_of_the_published_file(name: str, size: int) -> None:
    """Bytes of model.safetensors: float32, a mask token that is of pretraining, and names of up to 64 KiB."""
    with torch.device("meta"):
        encoder = build_segmentor(name, CLASSES, "none").encoder
    parameters = sum(parameter.numel() for parameter in encoder.parameters()) + encoder.channels[0]
    assert 0 < size - 4 * parameters < 2**16


class Small(DINOv2):
    """Learned positions of 4x4 patches."""

    SIDE = 4


def of_transformers(encoder: Encoder) -> nn.Module:
    """transformers' whole model with the encoder's weights."""
    if isinstance(encoder, DINOv2):
        config = Dinov2Config(
            hidden_size=16, num_hidden_layers=4, num_attention_heads=2, image_size=56, use_mask_token=False
        )
        whole: Any = Dinov2Model(config)
        blocks, norm = whole.encoder.layer, whole.layernorm
    else:
        whole = DINOv3ViTModel(
            DINOv3ViTConfig(
                hidden_size=16,
                intermediate_size=64,
                num_hidden_layers=4,
                num_attention_heads=2,
                num_register_tokens=4,
            )
        )
        blocks, norm = next(m for m in whole.modules() if isinstance(m, nn.ModuleList) and len(m) == 4), whole.norm
    for own, theirs in ((encoder.embeddings, whole.embeddings), (encoder.blocks, blocks), (encoder.norm, norm)):
        theirs.load_state_dict(own.state_dict(), strict=False)  # type: ignore[union-attr]
    return whole.eval()


@pytest.mark.parametrize(("kind", "height", "width"), [(Small, 70, 98), (Small, 56, 56), (DINOv3, 48, 80)])
def test_the_last_feature_is_what_transformers_computes(kind: Any, height: int, width: int) -> None:
    torch.manual_seed(0)
    encoder = kind(TINY).eval()
    for parameter in encoder.parameters():
        nn.init.normal_(parameter, std=0.3)
    x = encoder.normalise(images(height, width))
    with torch.no_grad():
        tokens = of_transformers(encoder)(x).last_hidden_state[:, encoder.extra_tokens :]
        (feature,) = encoder.extract(x)
    assert feature.shape == (2, 16, height // encoder.patch, width // encoder.patch)
    torch.testing.assert_close(feature.flatten(2).transpose(1, 2), tokens, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", [DINOv2, DINOv3])
def test_taps_are_blocks_at_equal_distances(kind: Any) -> None:
    torch.manual_seed(0)
    encoder = kind(TINY, taps=2).eval()
    assert encoder.taps == (1, 3) and encoder.channels == (16, 16) and encoder.strides == (kind.patch,) * 2
    with torch.no_grad():
        first, last = encoder(images(64, 64))
        shallow = copy.deepcopy(encoder)
        shallow.blocks, shallow.taps = shallow.blocks[:2], (1,)
        torch.testing.assert_close(shallow(images(64, 64))[0], first)
    assert not torch.allclose(first, last, atol=1e-3)


@pytest.mark.parametrize("name", [LINEAR, DAFORMER])
def test_an_image_that_no_patch_fills_is_resampled_and_not_cut(name: str) -> None:
    segmentor = build_segmentor(name, CLASSES, "none").eval()
    patch = segmentor.encoder.strides[0]
    sides = (3 * patch - 5, 2 * patch + 1)
    with torch.no_grad():
        features = segmentor.encode(images(*sides))
        resampled = F.interpolate(images(*sides), (3 * patch, 3 * patch), mode="bilinear", align_corners=False)
        expected = segmentor.encode(resampled)
        assert segmentor(images(*sides)).shape == (2, CLASSES, *sides)
    for found, other in zip(features, expected, strict=True):
        assert found.shape[-2:] == (3, 3)
        torch.testing.assert_close(found, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", [LINEAR, DAFORMER])
def test_everything_is_trained_also_checkpointed_and_in_bf16(name: str) -> None:
    """No parameter is idle; gradients computed again are bit-equal; under autocast they agree but for rounding."""
    torch.manual_seed(0)
    segmentor = build_segmentor(name, CLASSES, "none").train()
    segmentor.decoder.eval()  # a batch norm that takes the mean away leaves no gradient of a bias

    def gradients(checkpointing: bool = False, cast: bool = False) -> State:
        trained = copy.deepcopy(segmentor)
        trained.encoder.checkpointing = checkpointing
        torch.manual_seed(2)
        with torch.autocast("cpu", torch.bfloat16, enabled=cast):
            loss = trained(images(64, 64)).square().mean()
        loss.backward()
        return {key: p.grad for key, p in trained.named_parameters() if p.grad is not None}

    found = gradients()
    assert found.keys() == dict(segmentor.named_parameters()).keys()
    again = gradients(checkpointing=True)
    assert [key for key in found if not torch.equal(found[key], again[key])] == []
    for key, gradient in gradients(cast=True).items():
        # A softmax does not see what is added to all keys: that gradient is zero but for rounding.
        if not key.endswith(("k_proj.bias", "key.bias")):
            assert F.cosine_similarity(gradient.flatten(), found[key].flatten(), dim=0, eps=0) > 0.7, key


@pytest.mark.parametrize("kind", [DINOv2, DINOv3])
def test_nothing_is_drawn_in_training(kind: Any) -> None:
    """Positions that are rescaled at random would be so for a batch, and differ with the number of processes."""
    encoder, found = kind(TINY).train(), []
    for seed in (1, 2):
        torch.manual_seed(seed)
        found.append(encoder(images(64, 64))[0])
    assert torch.equal(*found)


def test_layers_are_all_parameters_by_depth() -> None:
    encoder = DINOv2(TINY)
    layers = encoder.layers()
    assert [len(layer) for layer in layers] == [4, *([len(list(encoder.blocks[0].parameters()))] * 3), 20]
    assert {id(p) for layer in layers for p in layer} == {id(p) for p in encoder.parameters()}
    assert layers[0][0] is encoder.embeddings.cls_token
    assert build_segmentor("daformer-lite0", CLASSES, "none").encoder.layers() == []


# Decoders


def test_linear_decoder_by_hand() -> None:
    torch.manual_seed(0)
    decoder = LinearDecoder(6, CLASSES).eval()
    assert decoder.norm.running_mean is not None and decoder.norm.running_var is not None
    decoder.norm.running_mean.uniform_()
    decoder.norm.running_var.uniform_(0.5, 2)
    feature = torch.randn(2, 6, 3, 4)
    with torch.no_grad():
        mean, std = decoder.norm.running_mean, (decoder.norm.running_var + 1e-5).sqrt()
        normed = (feature - mean.view(1, -1, 1, 1)) / std.view(1, -1, 1, 1)
        expected = torch.einsum("bchw,kc->bkhw", normed, decoder.classifier.weight.flatten(1))
        torch.testing.assert_close(decoder([feature]), expected)


def test_upscaling_decoder_has_vfm_udas_layers() -> None:
    decoder = UpscalingDecoder(16, CLASSES)
    assert decoder([torch.randn(2, 16, 3, 4)]).shape == (2, CLASSES, 12, 16)
    # Two transposed 2x2 convolutions, a 3x3 and a 1x1 one, all without bias; three norms.
    expected = 4 * 16 * 8 + 2 * 8 + 4 * 8 * 4 + 2 * 4 + 9 * 4 * 4 + 2 * 4 + 4 * CLASSES
    assert sum(parameter.numel() for parameter in decoder.parameters()) == expected
    assert UpscalingDecoder(768, 19).classifier.weight.std().item() == pytest.approx(0.1, rel=0.05)


def test_hrda_has_an_attention_for_the_linear_decoder_and_none_for_vfm_udas() -> None:
    from methods.networks.attention import scale_attention

    head = scale_attention(build_segmentor(LINEAR, CLASSES, "none"))
    assert isinstance(head, LinearDecoder) and head.classifier.out_channels == CLASSES
    encoder = DINOv2(TINY)
    with pytest.raises(MethodError, match="found UpscalingDecoder; name a network daformer-"):
        scale_attention(Segmentor("own", encoder, UpscalingDecoder(16, CLASSES)))


# Weights


def respell(state: State, rules: tuple[tuple[str, str], ...]) -> State:
    """Apply every rule, in order, to every key."""
    for pattern, spelling in rules:
        state = {re.sub(pattern, spelling, key): value for key, value in state.items()}
    return state


def newer(state: State) -> State:
    """The encoder's own names, whichever transformers is installed -> those since 5.2x."""
    parts = (("query", "q_proj"), ("key", "k_proj"), ("value", "v_proj"))
    rules = tuple((rf"attention\.attention\.{old}", f"attention.{new}") for old, new in parts)
    return respell(state, (*rules, (r"attention\.output\.dense", "attention.o_proj")))


def older(state: State) -> State:
    """Our names -> those of transformers before 5.2x, as in DINOv2's published files."""
    parts = (("query", "q_proj"), ("key", "k_proj"), ("value", "v_proj"))
    rules = tuple((rf"attention\.{new}", f"attention.attention.{old}") for old, new in parts)
    places = ((r"attention\.o_proj", "attention.output.dense"), (r"^norm\.", "layernorm."))
    return respell(newer(state), (*rules, *places, (r"^blocks\.", "encoder.layer.")))


def published_v3(state: State) -> State:
    return respell(state, ((r"^blocks\.", "layer."),))


def newer_v3(state: State) -> State:
    return respell(state, ((r"^blocks\.", "model.layer."),))


def in_classifier(state: State) -> State:
    return {f"dinov2.{key}": value for key, value in older(state).items()}


AUTHORS = (
    (r"^embeddings\.patch_embeddings(\.projection)?", "patch_embed.proj"),
    (r"^embeddings\.position_embeddings", "pos_embed"),
    (r"^embeddings\.register_tokens", "storage_tokens"),
    (r"^embeddings\.", ""),
    (r"layer_scale(\d)\.lambda1", r"ls\1.gamma"),
    (r"attention\.o_proj", "attn.proj"),
    (r"mlp\.up_proj", "mlp.fc1"),
    (r"mlp\.down_proj", "mlp.fc2"),
)


def authors(state: State) -> State:
    """Our names -> those of the authors, with queries, keys and values in one matrix."""
    state = newer(state)
    found = dict(state)
    for key in [key for key in state if "q_proj" in key]:
        names = [key.replace("q_proj", f"{part}_proj") for part in "qkv"]
        thirds = [found.pop(name, torch.full_like(state[key], 7.0)) for name in names]  # DINOv3: no bias of keys
        found[key.replace("attention.q_proj", "attn.qkv")] = torch.cat(thirds)
        if key.endswith("bias") and names[1] not in state:
            found[key.replace("attention.q_proj.bias", "attn.qkv.bias_mask")] = torch.zeros(3)
            found["rope_embed.periods"] = torch.zeros(2)
    return respell(found, AUTHORS)


@pytest.mark.parametrize(
    ("kind", "respelled", "told"),
    [
        (DINOv2, older, "encoder.layer.3.attention.attention.query.bias"),
        (DINOv2, authors, "blocks.0.attn.qkv.weight"),
        (DINOv2, in_classifier, "dinov2.layernorm.weight"),
        (DINOv2, dict, "blocks.0.norm1.weight"),
        (DINOv3, published_v3, "layer.0.attention.k_proj.weight"),
        (DINOv3, newer_v3, "model.layer.0.layer_scale1.lambda1"),
        (DINOv3, authors, "storage_tokens"),
    ],
)
def test_every_spelling_is_loaded(kind: Any, respelled: Callable[[State], State], told: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    encoder, name = kind(TINY, 4 if kind is DINOv3 else 1), DAFORMER if kind is DINOv3 else LINEAR
    for parameter in encoder.parameters():
        nn.init.normal_(parameter)
    content = respelled(encoder.state_dict())
    assert told in content
    mask = "embeddings.mask_token" if "embeddings.cls_token" in content else "mask_token"
    torch.save(content | {mask: torch.zeros(1, 16)}, tmp_path / "weights.pth")
    loaded = build_segmentor(name, CLASSES, str(tmp_path / "weights.pth")).encoder.state_dict()
    assert [key for key, value in encoder.state_dict().items() if not torch.equal(loaded[key], value)] == []


def test_weights_of_another_size_are_told_by_their_shapes(tmp_path: Path) -> None:
    torch.save(older(DINOv2(TINY._replace(channels=32)).state_dict()), tmp_path / "other.pth")
    with pytest.raises(MethodError, match=r"of other shape: .*\(file 1x1x32, network 1x1x16\)"):
        build_segmentor(LINEAR, CLASSES, str(tmp_path / "other.pth"))
