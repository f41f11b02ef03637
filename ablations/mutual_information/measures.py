"""All that is measured of one run."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.linalg import eigh

from ablations.mutual_information.locations import (
    LEAST_IMAGES,
    Picture,
    Pictures,
    Places,
    chosen,
    labels_at,
    pixels_under,
    rows,
)
from ablations.mutual_information.masked import FILLINGS, Masked, masked_places
from ablations.mutual_information.nearest import NEIGHBOURS, gaussian_information, ksg, ksg_bias
from ablations.mutual_information.parts import HELD_OUT, Parts, split
from ablations.mutual_information.probes import class_bound, pixel_bounds
from ablations.mutual_information.rate import GaussianRate, Scale
from ablations.mutual_information.similarity import cka
from benchmarks.core.errors import ConfigError
from methods.base.randomness import key_seed
from methods.mrm import MRM
from methods.networks import Segmentor

DIRECTIONS = 3
"""Principal directions of features, and of pixels, that nearest neighbours are looked for in: more, and it fails."""
POOLED = 2
"""Sides, in places, of the blocks whose mean a pooled token is."""
MOST_COMPARED = 2000  # samples of CKA and of nearest neighbours, which take time and memory by their square
Numbers = dict[str, float]
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Settings:
    """What is measured, and how well.

    Attributes:
        images: validation images of the target, at most.
        locations: places of the feature map in all images together, at most.
        noise: deviations of the noise on Z, whose mean variance over channels is 1; estimates of I(Z~;X) are at the
            first, the rate and I(Z~;Y) at all.
        stage: of the encoder, from 1; 0 is the last.
        seed: of the parts, places, noise, masks and networks of the estimates: the same for all runs.
    """

    images: int = 100
    locations: int = 8000
    noise: tuple[float, ...] = (0.5, 0.1, 0.2, 1.0, 2.0)
    stage: int = 0
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Measured:
    """The numbers of one run by name, and the features (N, C) that are compared between runs."""

    numbers: Numbers
    features: np.ndarray


STEPS = 6  # that `measure` tells of, beside one an image


@torch.no_grad()
def _places(segmentor: Segmentor, picture: Picture, stage: int, wanted: int, seed: int) -> tuple[Places, Places]:
    """Places of an image; and its pooled tokens, the means of blocks of POOLED x POOLED places with all their pixels.

    Pooled tokens have no label. There are none of a map with a side under POOLED.
    """
    device = next(segmentor.parameters()).device
    feature, stride = segmentor.encoder(picture.image.to(device))[stage], segmentor.encoder.strides[stage]
    size = (feature.shape[-2], feature.shape[-1])
    at = chosen(size[0] * size[1], wanted, seed, "bottleneck/places", picture.number)
    x, y = pixels_under(picture.image, stride), labels_at(picture.label, size)
    places = Places(rows(feature)[at], x[at], y[at], np.full(len(at), picture.part))
    if min(size) < POOLED:
        none = np.empty(0, dtype=int)
        return places, Places(places.z[none], x[none], places.y[none], places.part[none])
    z, x = rows(F.avg_pool2d(feature, POOLED)), pixels_under(picture.image, POOLED * stride)
    at = chosen(len(z), wanted, seed, "bottleneck/pooled", picture.number)
    return places, Places(z[at], x[at], np.full(len(at), 255), np.full(len(at), picture.part))


def measure(
    segmentor: Segmentor,
    term: MRM | None,
    pictures: Pictures,
    classes: int,
    tile: tuple[int, int],
    mask: tuple[int, float],
    settings: Settings,
    tell: Tell,
) -> Measured:
    """The numbers of one network, by the names of `ablations.mutual_information.tables.MEASURES`; all in nats but CKA.

    Args:
        segmentor: in eval mode.
        term: with its Rebuilder, if any.
        pictures: of at least 3 images.
        classes: K.
        tile: (height, width) of training crops.
        mask: side of the token grid and ratio.
        settings: how well.
        tell: called with what was done, for each image and then for each of STEPS.

    Raises:
        ConfigError: nothing is labelled in a part.
    """
    stage = (settings.stage or len(segmentor.encoder.channels)) - 1
    of_image = max(1, settings.locations // len(pictures))
    seen: list[Places] = []
    blocks: list[Places] = []
    under: list[Masked] = []
    for picture in pictures:
        of_places, of_blocks = _places(segmentor, picture, stage, of_image, settings.seed)
        seen.append(of_places)
        blocks.append(of_blocks)
        under.append(masked_places(segmentor, term, picture, tile, *mask, of_image, settings.seed))
        tell("encoding")
    places, pooled, masked = Places.joined(seen), Places.joined(blocks), Masked.joined(under)
    numbers = {"locations": float(len(places.y))} | dict(_of_places(places, pooled, classes, settings, tell))
    numbers |= dict(_of_masked(masked, classes, settings.seed))
    tell("under masks")
    held_out = places.z[places.part == HELD_OUT]
    return Measured(numbers, held_out[chosen(len(held_out), MOST_COMPARED, settings.seed, "bottleneck/compared")])


def _of_places(
    places: Places, blocks: Places, classes: int, settings: Settings, tell: Tell
) -> Iterator[tuple[str, float]]:
    scale, seed = Scale.of(split(places.z, places.part).fit), settings.seed
    z, x = split(places.z, places.part).map(scale), split(places.x, places.part)
    labelled = places.labelled()
    known, y = split(labelled.z, labelled.part).map(scale), split(labelled.y, labelled.part)
    _check_labelled(y)
    for name, hidden in (("linear", False), ("mlp", True)):
        bound = class_bound(known, y, classes, hidden=hidden, seed=seed)
        yield f"labels_{name}", bound.information
        tell(f"labels, {name} probe")
    yield "label_entropy", bound.entropy
    rate = GaussianRate.of(z.fit)
    for noise in settings.noise:
        yield f"rate@{noise:g}", rate(z.held_out, noise)
        yield f"labels@{noise:g}", class_bound(known, y, classes, hidden=False, noise=noise, seed=seed).information
    tell("rate and labels under noise")
    noise = settings.noise[0]
    pixels = pixel_bounds(z, x, noise=noise, seed=seed)
    yield "pixels", pixels.rebuilt
    yield "contrastive", pixels.told_apart
    yield "contrastive_most", pixels.most
    tell("pixels")
    yield from _of_neighbours(places, blocks, noise, seed)
    tell("nearest neighbours")


def _of_neighbours(places: Places, blocks: Places, noise: float, seed: int) -> Iterator[tuple[str, float]]:
    """KSG of places, and of pooled tokens, at the scale of features at places.

    A pooled token is the mean of noisy ones, whose noise is less by the root of their number.
    """
    scale = Scale.of(split(places.z, places.part).fit)
    for name, each, deviation in (("ksg", places, noise), ("ksg_pooled", blocks, noise / POOLED)):
        yield from _nearest(name, split(each.z, each.part).map(scale), split(each.x, each.part), deviation, seed)


def _nearest(
    name: str, z: Parts[np.ndarray], x: Parts[np.ndarray], noise: float, seed: int
) -> Iterator[tuple[str, float]]:
    """KSG between principal directions of noisy features and of pixels, those of the part that is fitted on.

    NaN where there are too few samples to find neighbours among, or directions in.
    """
    names = (name, f"{name}_bias", f"{name}_gaussian")
    if min(len(z.fit), len(z.held_out)) <= max(NEIGHBOURS, 2 * DIRECTIONS):
        yield from ((each, math.nan) for each in names)
        return
    random = np.random.default_rng(key_seed(seed, "bottleneck/nearest"))
    at = chosen(len(z.held_out), MOST_COMPARED, seed, "bottleneck/nearest")
    noisy = z.held_out[at] + noise * random.standard_normal(z.held_out[at].shape)
    few_z, few_x = _principal(z.fit, noisy), _principal(x.fit, x.held_out[at])
    yield from zip(names, (ksg(few_z, few_x), ksg_bias(few_z, few_x, random), gaussian_information(few_z, few_x)),
                   strict=True)  # fmt: skip


def _principal(fit: np.ndarray, others: np.ndarray) -> np.ndarray:
    directions = eigh(np.cov(fit, rowvar=False).reshape(fit.shape[1], -1))[1][:, ::-1][:, :DIRECTIONS]
    return (others - fit.mean(axis=0)) @ directions


def _of_masked(masked: Masked, classes: int, seed: int) -> Iterator[tuple[str, float]]:
    """What features, neighbours and the Rebuilder's output tell of what is under the mask; CKA of logits."""
    kinds = {"features": masked.features.z, "neighbours": masked.neighbours, "rebuilt": masked.rebuilt}
    for name, z in kinds.items():
        if z is None:
            yield from ((f"masked_{what}_{name}", math.nan) for what in ("labels", "right", "pixels"))
            continue
        places = Places(z, masked.features.x, masked.features.y, masked.features.part)
        scale, labelled = Scale.of(split(z, places.part).fit), places.labelled()
        y = split(labelled.y, labelled.part)
        _check_labelled(y)
        known = split(labelled.z, labelled.part).map(scale)
        bound = class_bound(known, y, classes, hidden=False, seed=seed)
        yield f"masked_labels_{name}", bound.information
        yield f"masked_right_{name}", 100 * bound.right
        every, x = split(places.z, places.part).map(scale), split(places.x, places.part)
        yield f"masked_pixels_{name}", pixel_bounds(every, x, hidden=False, seed=seed).rebuilt
    whole = masked.logits["whole"]
    assert whole is not None  # some image is held out
    at = chosen(len(whole), MOST_COMPARED, seed, "bottleneck/logits")
    for name in FILLINGS:
        logits = masked.logits[name]
        yield f"cka_{name}", math.nan if logits is None else cka(whole[at], logits[at])


def _check_labelled(y: Parts[np.ndarray]) -> None:
    if not all(len(each) for each in (y.fit, y.tune, y.held_out)):
        raise ConfigError(
            f"nothing is labelled in a part of the images or of masked places: expected more --images (at least "
            f"{LEAST_IMAGES}) or --locations"
        )
