"""Which tokens MRM masks: at random (published), in blocks, where the teacher is unsure, or whole classes.

B batch, S side of the square token grid, N = S * S tokens, H x W the size of the labels in pixels. Masks come in fixed
sizes, on the device of the draws, which is that of the labels, so that nothing waits for the device.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from methods.base.draws import Draws
from methods.parts.loss import IGNORE
from methods.parts.masking import bernoulli_mask, block_mask

RANDOM, BLOCK, CONFIDENCE, CLASS = "random", "block", "confidence", "class"
STRATEGIES = (RANDOM, BLOCK, CONFIDENCE, CLASS)


@dataclass(frozen=True)
class TokenMasker:
    """Draws (B, 1, S, S) float masks, 1 where masked.

    Attributes:
        strategy: one of ``STRATEGIES``.
        ratio: ``random`` and ``block``: the probability of each token or block; ``confidence`` and ``class``: the share
            of tokens, met exactly by the one (rounded to whole tokens), as nearly as whole classes allow by the other.
        side: S.
        block: side of a block in tokens, of ``block``.
    """

    strategy: str
    ratio: float
    side: int
    block: int

    def draw(self, labels: torch.Tensor, probability: torch.Tensor | None, draws: Draws) -> torch.Tensor:
        """A mask for ``labels`` (B, H, W); ``probability`` (B, H, W) is read by ``confidence`` alone."""
        batch, side = len(labels), self.side
        if self.strategy == CLASS:
            return class_mask(labels, side, self.ratio, draws)
        if self.strategy == CONFIDENCE:
            if probability is None:
                raise RuntimeError("masking by confidence was asked for on labels that no teacher made")
            return confidence_mask(probability, side, self.ratio, draws)
        if self.strategy == BLOCK:
            return block_mask(batch, side, side, self.block, self.ratio, draws)
        return bernoulli_mask(batch, side, side, self.ratio, draws)


def confidence_mask(probability: torch.Tensor, side: int, ratio: float, draws: Draws) -> torch.Tensor:
    """Mask the round(ratio * N) tokens of each image where the teacher is least sure.

    Args:
        probability: (B, H, W), the teacher's largest softmax probability, 1 where a label is given; a token's is its
            mean. Of equally sure tokens (pasted ones, mostly) those of a random order are masked first.
        side: S.
        ratio: in [0, 1].
        draws: of the random order.

    Returns:
        (B, 1, S, S) float.
    """
    batch, tokens = len(probability), side * side
    shuffle = draws.orders(batch, tokens)
    certainty = F.adaptive_avg_pool2d(probability[:, None].float(), (side, side)).flatten(1).gather(1, shuffle)
    order = shuffle.gather(1, certainty.argsort(dim=1, stable=True))  # tokens from the least to the most sure
    masked = order[:, : round(ratio * tokens)]
    mask = torch.zeros(batch, tokens, device=probability.device)
    return mask.scatter_(1, masked, 1.0).view(batch, 1, side, side)


def class_mask(labels: torch.Tensor, side: int, ratio: float, draws: Draws) -> torch.Tensor:
    """Mask all tokens of some classes: classes in random order, as many as bring the masked share nearest to ``ratio``.

    A token's class is the label at its centre: over tokens, classes then have the share of their area, which a majority
    vote would take from thin ones such as poles. Tokens without a class (255) are never masked. Of two equally near
    shares the smaller is taken; where one class fills the image that can be none.

    Args:
        labels: (B, H, W) int64, train ids or 255.
        side: S.
        ratio: share of the N tokens, in [0, 1].
        draws: of the order of classes.

    Returns:
        (B, 1, S, S) float.
    """
    batch, height, width = labels.shape
    middles = 2 * torch.arange(side, device=labels.device) + 1  # in half tokens
    rows, columns = middles * height // (2 * side), middles * width // (2 * side)
    classes = labels[:, rows][:, :, columns].flatten(1)  # (B, N)
    order = draws.orders(batch, IGNORE)  # (B, 255)
    counts = (classes[:, :, None] == torch.arange(IGNORE, device=labels.device)).sum(1)
    covered = F.pad(counts.gather(1, order).cumsum(1), (1, 0)) / (side * side)  # after 0, 1, ... classes
    taken = (covered - ratio).abs().argmin(1, keepdim=True)
    chosen = torch.zeros(batch, IGNORE + 1, dtype=torch.bool, device=labels.device)
    chosen.scatter_(1, order, torch.arange(IGNORE, device=labels.device) < taken)
    return chosen.gather(1, classes).float().view(batch, 1, side, side)
