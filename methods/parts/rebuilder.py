"""The Rebuilder R of MRM: rebuilds masked encoder features from the visible ones; dropped at inference.

Shapes: B batch, C_i channels and (h_i, w_i) size of decoder input i (the last is the last encoder stage), D embedding
dimension, H' = W' the token grid's side, N = H' * W' tokens.
Source: arXiv 2509.13801 v2, sections 3 and 8.2; sizes and initialization as its implementation details report them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from methods.layers.channel_norm import ChannelLayerNorm


class Rebuilder(nn.Module):
    """Embed the last stage as tokens, replace masked ones, run Transformer blocks, project to every scale.

    Channel norms have eps 1e-6, the norms of the Transformer torch's 1e-5, as the authors' have.
    """

    def __init__(
        self,
        channels: Sequence[int],
        sizes: Sequence[tuple[int, int]],
        *,
        dim: int = 512,
        blocks: int = 2,
        heads: int = 16,
        resolution: int = 16,
    ) -> None:
        """Build and initialize it.

        Args:
            channels: C_i of each decoder input, the last encoder stage last.
            sizes: (h_i, w_i) of each decoder input for a training crop: decides how far each projector upsamples.
            dim: D, a multiple of 4 and of ``heads``.
            blocks: Transformer blocks.
            heads: attention heads.
            resolution: H' = W' of the token grid.
        """
        super().__init__()
        self.resolution = resolution
        self.embed = nn.Linear(channels[-1], dim)
        self.mask_token = nn.Parameter(torch.empty(1, 1, dim))
        self.blocks = nn.Sequential(
            *(
                nn.TransformerEncoderLayer(
                    dim, heads, 4 * dim, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
                )
                for _ in range(blocks)
            )
        )
        self.norm = nn.LayerNorm(dim)
        self.position: torch.Tensor
        self.register_buffer("position", sincos_position(dim, resolution), persistent=False)
        self.projectors = nn.ModuleList(
            projector(dim, out, upsampling(size, resolution)) for out, size in zip(channels, sizes, strict=True)
        )
        self._initialize()

    def _initialize(self) -> None:
        nn.init.normal_(self.mask_token, std=0.02)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)
            elif isinstance(module, nn.MultiheadAttention):
                nn.init.xavier_uniform_(module.in_proj_weight)
                nn.init.zeros_(module.in_proj_bias)

    def forward(self, features: Sequence[torch.Tensor], mask: torch.Tensor) -> list[torch.Tensor]:
        """Rebuild every decoder input.

        Args:
            features: (B, C_i, h_i, w_i), the encoder's.
            mask: (B, 1, H', W'), 1 where masked, the same for all channels.

        Returns:
            Rebuilt features in the shapes of ``features``, at masked and visible places alike.
        """
        side = self.resolution
        embedded = self.embed(features[-1].permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        grid = F.interpolate(embedded, (side, side), mode="bilinear", align_corners=False)
        tokens = grid.flatten(2).transpose(1, 2)  # (B, N, D)
        tokens = torch.where(mask.flatten(2).transpose(1, 2).bool(), self.mask_token.to(tokens.dtype), tokens)
        tokens = self.norm(self.blocks(tokens + self.position.to(tokens.dtype)))
        grid = tokens.transpose(1, 2).reshape(len(tokens), -1, side, side)
        rebuilt = []
        for project, feature in zip(self.projectors, features, strict=True):
            out = project(grid)
            if out.shape[-2:] != feature.shape[-2:]:  # a stage coarser than the grid, or a crop that is no power of 2
                out = F.interpolate(out, feature.shape[-2:], mode="bilinear", align_corners=False)
            rebuilt.append(out)
        return rebuilt


def upsampling(size: tuple[int, int], resolution: int) -> int:
    """How many times a projector doubles the grid: 0 to 3 (x1, x2, x4, x8), the nearest to the feature's size."""
    ratio = math.sqrt(size[0] * size[1]) / resolution
    return min(3, max(0, round(math.log2(ratio))))


def projector(dim: int, out: int, doublings: int) -> nn.Sequential:
    """Transposed convolutions (kernel 4, stride 2) with channel LayerNorm and GELU between, then a 1x1 convolution.

    Widths for D = 512: x2 512 -> 256; x4 512 -> 256 -> 128; x8 512 -> 256 -> 128 -> 128.
    """
    layers: list[nn.Module] = []
    width = dim
    for index in range(doublings):
        narrower = max(width // 2, dim // 4)
        if index:
            layers += [ChannelLayerNorm(width), nn.GELU()]
        layers.append(nn.ConvTranspose2d(width, narrower, kernel_size=4, stride=2, padding=1))
        width = narrower
    return nn.Sequential(*layers, nn.Conv2d(width, out, kernel_size=1), ChannelLayerNorm(out))


def sincos_position(dim: int, side: int) -> torch.Tensor:
    """(1, side * side, dim) fixed 2-D sine-cosine embedding: one half of the channels for rows, one for columns."""
    frequency = 1 / 10000 ** (torch.arange(dim // 4, dtype=torch.float64) / (dim // 4))
    angle = torch.arange(side, dtype=torch.float64)[:, None] * frequency
    axis = torch.cat([angle.sin(), angle.cos()], dim=1)  # (side, dim / 2)
    rows = axis[:, None].expand(side, side, -1)
    columns = axis[None].expand(side, side, -1)
    return torch.cat([rows, columns], dim=2).reshape(1, side * side, dim).float()
