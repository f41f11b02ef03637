"""What is left under a mask: decoded with and without, and what a Rebuilder puts there.

Whole places of the last stage are masked, with all tokens on them: a token of theirs that stayed visible would tell
what is asked. Tiles have the size of training crops, which a Rebuilder's grid of tokens stands for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ablations.mutual_information.locations import Picture, Places, chosen, labels_at, pixels_under, rows
from ablations.mutual_information.parts import HELD_OUT
from methods.base.draws import Draws
from methods.base.randomness import keyed_generator
from methods.mrm import MRM
from methods.networks import Segmentor, Window
from methods.networks.multi_resolution import overlapping_windows
from methods.parts.masking import bernoulli_mask, fuse, resize_mask

LOGITS_PER_TILE = 16  # places at which logits are compared
FILLINGS = ("emptied", "filled", "last_neighbours", "last_filled")
"""What stands at masked places: 0 in all stages; the Rebuilder's output in all, if it rebuilds all; and the mean of
visible neighbours, or the Rebuilder's output, in the last stage with 0 in the others. So all methods have the first
and the third, and all Rebuilders the last, that of a pixel regression too, which rebuilds the last stage alone."""


@dataclass(frozen=True, eq=False)
class Masked:
    """What is at M masked places of the last stage, and at L places of the logits that are masked.

    Attributes:
        features: what the encoder has there, with pixels, labels and parts.
        neighbours: (M, C), the mean of the visible places around, 0 where there is none.
        rebuilt: (M, C), the Rebuilder's output; None without one.
        logits: (L, K) of the decoder: "whole", on all features, and of each of FILLINGS, on features that have another
            thing at masked places; None where there is none of the kind. Of images that are measured on alone.
    """

    features: Places
    neighbours: np.ndarray
    rebuilt: np.ndarray | None
    logits: dict[str, np.ndarray | None]

    @classmethod
    def joined(cls, several: Sequence[Masked]) -> Masked:
        """All of several."""

        def whole(parts: Sequence[np.ndarray | None]) -> np.ndarray | None:
            there = [each for each in parts if each is not None]
            return np.concatenate(there) if there else None

        names = dict.fromkeys(name for each in several for name in each.logits)
        return cls(
            Places.joined([each.features for each in several]),
            np.concatenate([each.neighbours for each in several]),
            whole([each.rebuilt for each in several]),
            {name: whole([each.logits.get(name) for each in several]) for name in names},
        )


@torch.no_grad()
def masked_places(
    segmentor: Segmentor,
    term: MRM | None,
    picture: Picture,
    tile: tuple[int, int],
    side: int,
    ratio: float,
    wanted: int,
    seed: int,
) -> Masked:
    """Mask tiles of an image in all stages.

    Args:
        segmentor: in eval mode; of one with two resolutions encoder and decoder are taken at the image's own.
        term: with the Rebuilder that fills masked places, if any.
        picture: the image.
        tile: (height, width) of a tile.
        side: of the token grid of a tile: masks are drawn on the coarser of it and of the last stage.
        ratio: probability that a place is masked.
        wanted: masked places of the image, at most.
        seed: of the masks, which are then the same for all runs.
    """
    device = next(segmentor.parameters()).device
    found = []
    size = (picture.image.shape[-2], picture.image.shape[-1])
    windows = overlapping_windows(size, tile, tile)
    for number, window in enumerate(windows):
        features = segmentor.encoder(window.of(picture.image).to(device))
        last, stride = features[-1], segmentor.encoder.strides[-1]
        places = (last.shape[-2], last.shape[-1])
        draws = Draws(keyed_generator(seed, f"bottleneck/mask/{number}", picture.number), device=device)
        mask = bernoulli_mask(1, min(side, places[0]), min(side, places[1]), ratio, draws)
        of_tile = -(-wanted // len(windows))
        here = _some(resize_mask(mask, places), of_tile, seed, f"bottleneck/places/{number}", picture)
        beside = _mean_of_visible(last, resize_mask(mask, places))
        empty = [torch.zeros_like(feature) for feature in features]
        fillings = {"emptied": empty, "last_neighbours": [*empty[:-1], beside]}
        rebuilt = None
        if term is not None and term.rebuilder is not None:
            stages = features[-len(term.rebuilder.projectors) :]
            tokens = resize_mask(mask, (term.rebuilder.resolution, term.rebuilder.resolution))
            new = term.rebuilder(stages, tokens)
            rebuilt = rows(new[-1])[here]
            fillings["last_filled"] = [*empty[:-1], new[-1]]
            if len(stages) == len(features):
                fillings["filled"] = new
        label = _label_under(picture, window)
        found.append(
            Masked(
                Places(
                    rows(last)[here],
                    pixels_under(window.of(picture.image), stride)[here],
                    labels_at(label, places)[here],
                    np.full(len(here), picture.part),
                ),
                rows(beside)[here],
                rebuilt,
                _logits(segmentor, features, fillings, mask, picture, (seed, f"bottleneck/logits/{number}")),
            )
        )
    return Masked.joined(found)


def _logits(
    segmentor: Segmentor,
    features: list[Tensor],
    fillings: Mapping[str, list[Tensor]],
    mask: Tensor,
    picture: Picture,
    key: tuple[int, str],
) -> dict[str, np.ndarray | None]:
    """Logits (L, K) at some masked places, of features as they are and of those with each filling; by name."""
    if picture.part != HELD_OUT:  # nothing is fitted on logits, and decoders take most of the time
        return {}
    whole = segmentor.decode(features)
    at = _some(resize_mask(mask, (whole.shape[-2], whole.shape[-1])), LOGITS_PER_TILE, *key, picture)
    found: dict[str, np.ndarray | None] = {"whole": rows(whole)[at]}
    for name in FILLINGS:
        new = fillings.get(name)
        found[name] = None if new is None else rows(segmentor.decode(fuse(features, new, mask)))[at]
    return found


def _some(mask: Tensor, wanted: int, seed: int, name: str, picture: Picture) -> np.ndarray:
    """Return where up to ``wanted`` of the masked places of a mask (1, 1, h, w) are, counted row by row."""
    masked = np.flatnonzero(mask.flatten().cpu().numpy())
    return masked[chosen(len(masked), wanted, seed, name, picture.number)]


def _mean_of_visible(feature: Tensor, mask: Tensor) -> Tensor:
    """The mean of the visible ones of the eight places around each, (B, C, h, w); 0 where there is none.

    ``mask``: (B, 1, h, w), 1 where masked.
    """
    visible = 1 - mask
    total = F.avg_pool2d(feature * visible, 3, 1, 1, divisor_override=1)
    return total / F.avg_pool2d(visible, 3, 1, 1, divisor_override=1).clamp_min(1)


def _label_under(picture: Picture, window: Window) -> Tensor:
    """The part of the label that a window of the image shows; the label may be larger."""
    height, width = picture.image.shape[-2:]
    rows_, columns = picture.label.shape
    top, bottom = (edge * rows_ // height for edge in (window.top, window.top + window.height))
    left, right = (edge * columns // width for edge in (window.left, window.left + window.width))
    return picture.label[top:bottom, left:right]
