"""Plain Vision Transformers of foundation models as encoders: DINOv2 and DINOv3, their parts from transformers.

Oquab et al., TMLR 2024 (arXiv 2304.07193); Siméoni et al., 2025 (arXiv 2508.10104). B = batch, C = channels, h x w =
patches down and across.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import Dinov2Config, Dinov2Model, DINOv3ViTConfig, DINOv3ViTModel
from transformers.models.dinov3_vit.modeling_dinov3_vit import DINOv3ViTLayer

from methods.encoders.encoder import Encoder
from methods.encoders.vit_spelling import own_names


class Size(NamedTuple):
    """How large a Vision Transformer is; its MLPs are four times as wide."""

    channels: int
    blocks: int
    heads: int


SIZES = {"s": Size(384, 12, 6), "b": Size(768, 12, 12), "l": Size(1024, 24, 16)}


class PlainTransformer(Encoder):
    """Patches of one size from the first block to the last: every feature has the patch's stride and all channels.

    Features are the outputs of `taps` blocks at equal distances, the last one among them, each through the final norm
    (as DINOv2's authors give intermediate layers), without the class token and registers. An image whose sides are no
    multiples of `patch` is resampled to the next ones, so that the features cover all of it; the authors cut it off.
    """

    patch: int
    extra_tokens: int  # before those of the patches: class token and registers
    classifier_prefixes = ("mask_token", "embeddings.mask_token", "head.", "classifier.")

    def __init__(
        self, embeddings: nn.Module, blocks: Iterable[nn.Module], norm: nn.Module, size: Size, taps: int
    ) -> None:
        super().__init__()
        self.embeddings, self.blocks, self.norm = embeddings, nn.ModuleList(blocks), norm
        self.taps = tuple(size.blocks * (tap + 1) // taps - 1 for tap in range(taps))
        self.channels, self.strides = (size.channels,) * taps, (self.patch,) * taps

    def extract(self, x: Tensor) -> list[Tensor]:
        grid = ((x.shape[-2] + self.patch - 1) // self.patch, (x.shape[-1] + self.patch - 1) // self.patch)
        fitting = (grid[0] * self.patch, grid[1] * self.patch)
        if x.shape[-2:] != fitting:
            x = F.interpolate(x, fitting, mode="bilinear", align_corners=False)
        tokens = self.embed(x, grid)
        position = self.position(x, grid)
        features = []
        for index, block in enumerate(self.blocks):
            tokens = block(tokens, **position)
            if index in self.taps:
                patches = self.norm(tokens[:, self.extra_tokens :])
                features.append(patches.transpose(1, 2).unflatten(2, grid))
        return features

    def embed(self, x: Tensor, grid: tuple[int, int]) -> Tensor:
        """Normalised images (B, 3, h * patch, w * patch) -> tokens (B, extra_tokens + h * w, C)."""
        raise NotImplementedError

    def position(self, x: Tensor, grid: tuple[int, int]) -> dict[str, tuple[Tensor, Tensor]]:
        """What each block is told of positions beside the tokens, by the name of its argument."""
        return {}

    def residual_blocks(self) -> Iterable[nn.Module]:
        return self.blocks

    def layers(self) -> list[list[nn.Parameter]]:
        """Embeddings, then each block; the final norm goes with the last.

        VFM-UDA's code counts the final norm among the embeddings, at the lowest rate.
        """
        parts: list[list[nn.Module]] = [[self.embeddings], *([block] for block in self.blocks)]
        parts[-1].append(self.norm)
        return [[parameter for module in modules for parameter in module.parameters()] for modules in parts]

    def rename_checkpoint(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Rename weights from the names of the authors or of either layout of transformers to ours."""
        return own_names(state, [name for name, _ in self.named_parameters()])


class DINOv2(PlainTransformer):
    """DINOv2 without registers, patches of 14 pixels, learned positions of 37 x 37 patches (518 x 518 pixels)."""

    patch, extra_tokens = 14, 1
    SIDE = 37

    def __init__(self, size: Size, taps: int = 1) -> None:
        model = Dinov2Model(
            Dinov2Config(
                hidden_size=size.channels,
                num_hidden_layers=size.blocks,
                num_attention_heads=size.heads,
                patch_size=self.patch,
                image_size=self.SIDE * self.patch,
                use_mask_token=False,
            )
        )
        super().__init__(model.embeddings, model.encoder.layer, model.layernorm, size, taps)

    def embed(self, x: Tensor, grid: tuple[int, int]) -> Tensor:
        patches = self.embeddings.patch_embeddings(x)  # type: ignore[operator]
        class_token = self.embeddings.cls_token.expand(x.shape[0], -1, -1)  # type: ignore[operator]
        return torch.cat([class_token, patches], dim=1) + self.positions(grid).to(patches.dtype)

    def positions(self, grid: tuple[int, int]) -> Tensor:
        """Learned positions (1, 1 + h * w, C): bicubic, as the authors interpolate, but as products of matrices.

        Their gradient, unlike that of torch's bicubic kernel on a GPU, is summed in one order.
        """
        learned: Tensor = self.embeddings.position_embeddings  # type: ignore[assignment]
        if grid == (self.SIDE, self.SIDE):
            return learned
        with _full_precision(learned.device):  # half of it would shift them
            place = learned[0, 1:].float().unflatten(0, (self.SIDE, self.SIDE))  # rows, columns, channels
            for length in grid:  # first the rows, then the columns
                line = _bicubic(self.SIDE, length, learned) @ place.flatten(1)
                place = line.unflatten(1, place.shape[1:]).transpose(0, 1)
            return torch.cat([learned[:, :1], place.flatten(0, 1)[None]], dim=1)


class DINOv3(PlainTransformer):
    """DINOv3 with its four registers, patches of 16 pixels, rotary positions of any number of patches.

    Positions are not rescaled at random, which pretraining does: one draw of a batch would not be that of an image.
    """

    patch, extra_tokens = 16, 5
    PERIOD = 100.0

    inverse_periods: Tensor

    def __init__(self, size: Size, taps: int = 1) -> None:
        model = DINOv3ViTModel(
            DINOv3ViTConfig(
                hidden_size=size.channels,
                num_hidden_layers=size.blocks,
                num_attention_heads=size.heads,
                intermediate_size=4 * size.channels,
                patch_size=self.patch,
                num_register_tokens=self.extra_tokens - 1,
            )
        )
        model.embeddings.mask_token = None  # of pretraining alone
        blocks = [module for module in model.modules() if isinstance(module, DINOv3ViTLayer)]
        super().__init__(model.embeddings, blocks, model.norm, size, taps)
        width = size.channels // size.heads
        inverse = self.PERIOD ** -torch.arange(0, 1, 4 / width, dtype=torch.float32)
        self.register_buffer("inverse_periods", inverse, persistent=False)

    def embed(self, x: Tensor, grid: tuple[int, int]) -> Tensor:
        tokens: Tensor = self.embeddings(x)
        return tokens

    def position(self, x: Tensor, grid: tuple[int, int]) -> dict[str, tuple[Tensor, Tensor]]:
        """Cosine and sine of each patch's angles, (h * w, channels of a head): centres from -1 to 1 along each side.

        transformers' own keeps what it computed last, also where that has no values.
        """
        centres = ((torch.arange(0.5, length, device=x.device) / length) * 2 - 1 for length in grid)
        places = torch.stack(torch.meshgrid(*centres, indexing="ij"), dim=-1).flatten(0, 1)
        angles = (2 * math.pi * places[:, :, None] * self.inverse_periods).flatten(1).tile(2)
        return {"position_embeddings": (angles.cos(), angles.sin())}


def _full_precision(device: torch.device) -> AbstractContextManager[object]:
    kind = device.type
    cast = torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)
    return torch.autocast(kind, enabled=False) if cast else nullcontext()


def _bicubic(before: int, after: int, like: Tensor) -> Tensor:
    """(after, before): the weights of bicubic interpolation along a line, from what it makes of single ones."""
    ones = torch.eye(before, device=like.device)[None, :, :, None]
    return F.interpolate(ones, (after, 1), mode="bicubic", align_corners=False)[0, :, :, 0].transpose(0, 1)
