"""The plan of a street, seen from above: lanes, sidewalks, the crossing street, and what stands beside them."""

from dataclasses import dataclass

import numpy as np

from datasets.streets.camera import Camera
from datasets.streets.painter import Painter
from datasets.streets.style import Style

END_Z = 150.0  # metres; lots end here
LANE = 3.2  # metres


@dataclass(frozen=True)
class Side:
    """One side of the street; metres from the centre line outwards, `sign` is -1 on the left and 1 on the right."""

    sign: int
    road: float  # edge of the road
    verge: float  # outer edge of the strip of terrain, = road where there is none
    sidewalk: float  # outer edge of the sidewalk: lots begin here
    parking: float  # inner edge of the parking strip, = road where there is none
    behind: str  # label of the ground behind the sidewalk: terrain or sidewalk


@dataclass(frozen=True)
class Layout:
    """The plan of one street, seen from above."""

    sides: tuple[Side, Side]
    crossing: tuple[float, float] | None  # z from and to
    lanes: tuple[float, ...]  # x of the middle of each lane, left to right; those right of 0 lead away
    rails: float | None  # x of the middle of a tram track

    def crosses(self, z0: float, z1: float) -> bool:
        """Whether z0..z1 touches the crossing street."""
        return self.crossing is not None and z0 < self.crossing[1] and z1 > self.crossing[0]


@dataclass(frozen=True)
class Lot:
    """A plot beside the sidewalk, from z0 to z1, beginning x metres off the centre line (negative on the left)."""

    kind: str
    x: float
    z0: float
    z1: float
    grassy: bool


def draw_camera(style: Style, rng: np.random.Generator, width: int, height: int, x: float) -> Camera:
    """A camera of the style x metres right of the centre line; `width`, `height` in pixels of the canvas."""
    return Camera(
        width=width,
        height=height,
        focal=float(rng.uniform(*style.focal)) * width,
        vanish=float(rng.uniform(*style.vanish)) * width,
        horizon=float(rng.uniform(*style.horizon)) * height,
        elevation=float(rng.uniform(*style.camera_height)),
        x=x,
        bend=float(rng.uniform(-style.bend, style.bend)),
    )


def draw_layout(style: Style, rng: np.random.Generator, guests: frozenset[str]) -> Layout:
    """Lanes, sidewalks, crossing and tracks; `guests` may ask for a train (tracks) or for terrain (verges)."""
    half = float(rng.uniform(*style.road_half_width))
    sides = []
    for sign in (-1, 1):
        parked = half > LANE + 2.2 and rng.random() < 0.45
        verge = half + float(rng.uniform(0.9, 3.0)) * (rng.random() < style.verge)
        sidewalk = verge + float(rng.uniform(*style.sidewalk_width))
        behind = "terrain" if rng.random() < 0.4 or "terrain" in guests else "sidewalk"
        sides.append(Side(sign, half, verge, sidewalk, half - 2.1 if parked else half, behind))
    crossing = None
    if rng.random() < style.crossing:
        start = float(rng.uniform(9, 45))
        crossing = (start, start + float(rng.uniform(7, 12)))
    left, right = sides[0].parking, sides[1].parking
    lanes_left, lanes_right = max(1, int(left / LANE)), max(1, int(right / LANE))
    lanes = [-left + (k + 0.5) * left / lanes_left for k in range(lanes_left)]
    lanes += [(k + 0.5) * right / lanes_right for k in range(lanes_right)]
    rails = None
    if "train" in guests or rng.random() < 0.06:
        rails = lanes[int(rng.integers(lanes_left))]
    return Layout((sides[0], sides[1]), crossing, tuple(lanes), rails)


def draw_lots(p: Painter, layout: Layout, guests: frozenset[str]) -> list[Lot]:
    """Lots on both sides; `guests` named wall, fence or terrain get the first visible plot of a side."""
    kinds = list(p.style.lots)
    weights = np.array([p.style.lots[kind] for kind in kinds])
    wanted = [kind for kind in ("wall", "fence", "terrain") if kind in guests]
    p.rng.shuffle(wanted)
    lots = []
    for side in layout.sides:
        z, ask = p.uniform((-8, 4)), wanted[side.sign > 0 :: 2]
        while z < END_Z:
            kind = kinds[p.rng.choice(len(kinds), p=weights / weights.sum())]
            if ask and z > 2:
                kind = ask.pop(0)
                kind = "grass" if kind == "terrain" else kind
            length = p.uniform((9, 24) if kind == "building" else (7, 18))
            setback = p.uniform((0.0, 2.5)) * p.chance(0.3) if kind == "building" else 0.0
            lot = Lot(kind, side.sign * (side.sidewalk + setback), z, z + length, p.chance(0.85))
            lots += _cut(lot, layout)
            z += length
    return lots


def _cut(lot: Lot, layout: Layout) -> list[Lot]:
    """What the crossing street (and its sidewalks) leaves of a lot."""
    spans = [(lot.z0, lot.z1)]
    if layout.crossing is not None:
        low, high = layout.crossing[0] - 2.5, layout.crossing[1] + 2.5
        spans = [(lot.z0, min(lot.z1, low)), (max(lot.z0, high), lot.z1)]
    return [Lot(lot.kind, lot.x, z0, z1, lot.grassy) for z0, z1 in spans if z1 - z0 > 1.5 and z1 > 2.5]
