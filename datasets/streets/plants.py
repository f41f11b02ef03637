"""Vegetation: trees, bushes, hedges."""

from math import sqrt

import numpy as np

from datasets.streets.canvas import darker
from datasets.streets.painter import Painter, unit_circle

_CIRCLE = unit_circle(np.linspace(0, 2 * np.pi, 16))


def bush(p: Painter, x: float, z: float, size: float) -> None:
    """A heap of leaves about `size` metres wide and high, standing at (x, z)."""
    colour = p.pick("vegetation")
    for level in np.linspace(0.3, 0.75, 3).tolist():
        for _ in range(2):
            centre = (x + size * p.uniform((-0.3, 0.3)), size * level * p.uniform((0.6, 1.0)), z)
            tone = 0.75 + 0.45 * level * p.uniform((0.8, 1.2))
            p.disc(centre, size * p.uniform((0.22, 0.36)), "vegetation", darker(colour, tone), "foliage", rough=0.22)


def hedge(p: Painter, x: float, z0: float, z1: float, height: float) -> None:
    """A hedge along the road at x metres off its centre line."""
    colour = p.pick("vegetation")
    bays = np.linspace(z1, z0, max(2, int((z1 - z0) / 1.2))).tolist()
    for z in bays:
        at = p.camera.road_x(x, z)
        p.panel((at, height * 0.42, z), 1.3, height * 0.84, "vegetation", darker(colour, 0.8), "foliage")
        for _ in range(2):
            centre = (at + p.uniform((-0.4, 0.4)), height * p.uniform((0.45, 0.85)), z)
            tone = p.uniform((0.8, 1.2))
            p.disc(centre, height * 0.3, "vegetation", darker(colour, tone), "foliage", rough=0.25)


def tree(p: Painter, x: float, z: float, height: float) -> None:
    """A tree of one of three habits (broad, column, conifer); trunk and crown are vegetation, as in Cityscapes."""
    habit = p.rng.choice(3, p=(0.6, 0.2, 0.2))
    trunk, colour = p.pick("trunk"), p.pick("vegetation")
    lean = p.uniform((-0.04, 0.04)) * height
    thick = 0.035 * height * p.uniform((0.7, 1.3))
    bare = height * (0.35 if habit == 0 else 0.15) * p.uniform((0.8, 1.2))
    p.shadow(_patch(x, z, 0.22 * height))
    p.bar((x, 0, z), (x + lean, bare * 1.3, z), thick, "vegetation", trunk, "wood", least=2.5)
    if habit == 2:
        _conifer(p, x + lean, z, bare, height)
        return
    wide = height * (0.3 if habit == 0 else 0.13) * p.uniform((0.8, 1.2))
    middle, tall = (bare + height) / 2, (height - bare) / 2
    if habit == 0:
        for reach in (-0.5, 0.55):
            tip = (x + lean + reach * wide, middle, z)
            p.bar((x + lean, bare, z), tip, thick * 0.6, "vegetation", trunk, "wood", least=1.5)
    blobs = int(p.rng.integers(12, 20))
    for k in range(blobs):
        up = -1 + 2 * (k + 0.5) / blobs  # from the bottom up, so that the lit top lies over the dark underside
        spread = wide * sqrt(max(0.15, 1 - up * up))
        centre = (x + lean + spread * p.uniform((-0.75, 0.75)), middle + tall * up * 0.85, z)
        radius = min(wide, tall) * p.uniform((0.35, 0.6))
        tone = 0.72 + 0.22 * (up + 1) * p.uniform((0.7, 1.3))
        p.disc(centre, radius, "vegetation", darker(colour, tone), "foliage", rough=0.25)


def _conifer(p: Painter, x: float, z: float, bare: float, height: float) -> None:
    colour = darker(p.pick("vegetation"), 0.8)
    tiers = 5
    for k in range(tiers):
        low = bare + (height - bare) * k / (tiers + 0.5)
        top = min(height, low + (height - bare) * 0.42)
        half = 0.22 * height * (1 - 0.8 * k / tiers) * p.uniform((0.85, 1.15))
        skirt = [(x + half * (i - 4) / 4, low + 0.05 * height * (i % 2), z) for i in range(9)]  # with jagged hem
        p.face([*skirt, (x, top, z)], "vegetation", darker(colour, 0.85 + 0.07 * k), "foliage")


def _patch(x: float, z: float, radius: float) -> list[tuple[float, float]]:
    """The outline of a round shadow on the ground."""
    return [(x + radius * cos, max(z + radius * sin, 1.0)) for cos, sin in _CIRCLE]
