"""Mix Transformer, the encoder of SegFormer (Xie et al., NeurIPS 2021, sec. 3.1), from transformers' SegformerModel."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from torch import Tensor, nn
from transformers import SegformerConfig, SegformerModel
from transformers.models.segformer.modeling_segformer import SegformerLayer

from methods.encoders.encoder import Encoder

_WIDTHS = {"b0": (32, 64, 160, 256)} | dict.fromkeys(("b1", "b2", "b3", "b4", "b5"), (64, 128, 320, 512))
_DEPTHS = {
    "b0": (2, 2, 2, 2),
    "b1": (2, 2, 2, 2),
    "b2": (3, 4, 6, 3),
    "b3": (3, 4, 18, 3),
    "b4": (3, 8, 27, 3),
    "b5": (3, 6, 40, 3),
}
DROP_PATH = 0.1


class _Spelling(NamedTuple):
    """One layer's name by SegFormer's authors, by transformers before 5.2x and since. s, b: stage and block from 0."""

    authors: str
    older: str
    newer: str


_STAGE_LAYERS = (
    _Spelling("patch_embed{s1}.proj", "encoder.patch_embeddings.{s}.proj", "stages.{s}.patch_embeddings.proj"),
    _Spelling(
        "patch_embed{s1}.norm", "encoder.patch_embeddings.{s}.layer_norm", "stages.{s}.patch_embeddings.layer_norm"
    ),
    _Spelling("norm{s1}", "encoder.layer_norm.{s}", "stages.{s}.layer_norm"),
)
_BLOCK_LAYERS = tuple(
    _Spelling(f"block{{s1}}.{{b}}.{a}", f"encoder.block.{{s}}.{{b}}.{o}", f"stages.{{s}}.blocks.{{b}}.{n}")
    for a, o, n in (
        ("norm1", "layer_norm_1", "layernorm_before"),
        ("attn.q", "attention.self.query", "attention.q_proj"),
        # The authors keep keys and values in one matrix; `_split_kv` gives its halves these two names.
        ("attn.kv.0", "attention.self.key", "attention.k_proj"),
        ("attn.kv.1", "attention.self.value", "attention.v_proj"),
        ("attn.proj", "attention.output.dense", "attention.o_proj"),
        ("attn.sr", "attention.self.sr", "attention.sequence_reduction.sequence_reduction"),
        ("attn.norm", "attention.self.layer_norm", "attention.sequence_reduction.layer_norm"),
        ("norm2", "layer_norm_2", "layernorm_after"),
        ("mlp.fc1", "mlp.dense1", "mlp.fc1"),
        ("mlp.dwconv.dwconv", "mlp.dwconv.dwconv", "mlp.dwconv.dwconv"),
        ("mlp.fc2", "mlp.dense2", "mlp.fc2"),
    )
)


class MixTransformer(Encoder):
    """MiT-B0 ... MiT-B5 (`size` "b0" ... "b5"): four stages at strides 4, 8, 16, 32, drop path 0.1.

    Drop path draws from torch's global generator.
    """

    strides = (4, 8, 16, 32)
    decay_norms = False
    classifier_prefixes = ("head.", "classifier.")

    def __init__(self, size: str) -> None:
        super().__init__()
        self.channels = _WIDTHS[size]
        self.depths = _DEPTHS[size]
        config = SegformerConfig(
            hidden_sizes=list(self.channels),
            depths=list(self.depths),
            num_attention_heads=[1, 2, 5, 8],
            mlp_ratios=[4, 4, 4, 4],
            sr_ratios=[8, 4, 2, 1],
            drop_path_rate=DROP_PATH,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
        )
        self.mit = SegformerModel(config)
        for name, module in self.mit.named_modules():
            if isinstance(module, nn.LayerNorm):
                # transformers leaves all at 1e-5; the published weights were trained with 1e-6 but in these two places.
                module.eps = 1e-5 if "patch_embeddings" in name or "attention" in name else 1e-6

    def extract(self, x: Tensor) -> list[Tensor]:
        return list(self.mit(x, output_hidden_states=True, return_dict=True).hidden_states)

    def residual_blocks(self) -> Iterable[nn.Module]:
        return (module for module in self.mit.modules() if isinstance(module, SegformerLayer))

    def repeated_parts(self) -> Iterable[nn.Module]:
        """The parts without drop path: each block has another rate of that, and would be compiled by itself."""
        for block in self.residual_blocks():
            yield from (block.get_submodule("attention"), block.get_submodule("mlp"))

    def rename_checkpoint(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Rename weights from the names of SegFormer's authors or of either layout of transformers to ours."""
        own = {f"mit.{name}" for name, _ in self.mit.named_parameters()}
        renames: dict[str, str] = {}
        for stage, depth in enumerate(self.depths):
            layers = [[part.format(s=stage, s1=stage + 1) for part in names] for names in _STAGE_LAYERS]
            for block in range(depth):
                layers += [[part.format(s=stage, s1=stage + 1, b=block) for part in names] for names in _BLOCK_LAYERS]
            for names in layers:
                for kind in (".weight", ".bias"):
                    target = next((n for n in names if f"mit.{n}{kind}" in own), None)
                    if target:
                        renames |= {f"{name}{kind}": f"mit.{target}{kind}" for name in names}
        plain = {key.removeprefix("mit."): value for key, value in state.items()}
        return {renames.get(key, key): value for key, value in _split_kv(plain).items()}


def _split_kv(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The authors' `attn.kv` (2C, C) -> `attn.kv.0` (keys) and `attn.kv.1` (values): keys are the first C rows."""
    split: dict[str, Tensor] = {}
    for key, value in state.items():
        layer, _, kind = key.rpartition(".")
        if layer.endswith("attn.kv"):
            keys, values = value.chunk(2)
            split |= {f"{layer}.0.{kind}": keys, f"{layer}.1.{kind}": values}
        else:
            split[key] = value
    return split
