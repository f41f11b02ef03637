"""The spellings of published Vision Transformers: the authors', and those of transformers before and since 5.2x.

The authors keep queries, keys and values in one matrix; its thirds are named here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from torch import Tensor

# Names of one layer, or of one parameter; ours are transformers', by whichever of them is installed.
_LAYERS = (
    ("attn.q", "attention.attention.query", "attention.q_proj"),
    ("attn.k", "attention.attention.key", "attention.k_proj"),
    ("attn.v", "attention.attention.value", "attention.v_proj"),
    ("attn.proj", "attention.output.dense", "attention.o_proj"),
    ("mlp.fc1", "mlp.up_proj"),
    ("mlp.fc2", "mlp.down_proj"),
    ("ls1.gamma", "layer_scale1.lambda1"),
    ("ls2.gamma", "layer_scale2.lambda1"),
    ("patch_embed.proj", "embeddings.patch_embeddings.projection", "embeddings.patch_embeddings"),
    ("cls_token", "embeddings.cls_token"),
    ("pos_embed", "embeddings.position_embeddings"),
    ("storage_tokens", "register_tokens", "embeddings.register_tokens"),
    ("norm", "layernorm"),
)
_BLOCKS = ("blocks.", "layer.", "encoder.layer.", "model.layer.")
_PARTS = re.compile(r"(?P<block>blocks\.\d+\.)?(?P<layer>.+?)(?P<kind>\.weight|\.bias)?")
# Of DINOv3's authors: the periods that follow from its size, and a bias of the keys that is masked to 0.
_CONSTANT = re.compile(r"rope_embed\.periods|.*\.attn\.qkv\.bias_mask")


def own_names(state: Mapping[str, Tensor], own: Iterable[str]) -> dict[str, Tensor]:
    """The state dict with every known spelling of the parameters ``own`` turned into theirs; other names stay."""
    own = set(own)
    renames: dict[str, str] = {}
    for name in own:
        parts = _PARTS.fullmatch(name)
        assert parts is not None
        layer, kind = parts["layer"], parts["kind"] or ""
        number = (parts["block"] or "").removeprefix("blocks.")
        spelled = next((group for group in _LAYERS if layer in group), (layer,))
        renames |= {
            f"{place}{number}{each}{kind}": name for each in spelled for place in (_BLOCKS if number else ("",))
        }
    return {renames.get(key, key): value for key, value in _split(state, renames).items()}


def _split(state: Mapping[str, Tensor], known: Mapping[str, str]) -> dict[str, Tensor]:
    """Thirds of `attn.qkv` under names of their own; a bias of the keys goes where the network has none."""
    plain: dict[str, Tensor] = {}
    for key, value in state.items():
        key = key.removeprefix("dinov2.").removeprefix("dinov3_vit.")
        layer, _, kind = key.rpartition(".")
        if _CONSTANT.fullmatch(key):
            continue
        if layer.endswith("attn.qkv"):
            thirds = {f"{layer[:-3]}{part}.{kind}": third for part, third in zip("qkv", value.chunk(3), strict=True)}
            plain |= {name: third for name, third in thirds.items() if kind != "bias" or name in known}
        else:
            plain[key] = value
    return plain
