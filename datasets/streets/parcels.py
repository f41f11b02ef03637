"""What stands beside the sidewalk: buildings, walls, fences. Each follows the road from z0 to z1 at a distance x."""

from itertools import pairwise

import numpy as np

from datasets.streets.camera import NEAR
from datasets.streets.canvas import Colour, darker
from datasets.streets.painter import Painter, Place

Quad = tuple[Place, Place, Place, Place]


def _upright(p: Painter, x: float, z0: float, z1: float, y0: float, y1: float) -> Quad:
    """Corners of an upright rectangle along the road."""
    near, far = p.camera.road_x(x, z0), p.camera.road_x(x, z1)
    return (near, y0, z0), (far, y0, z1), (far, y1, z1), (near, y1, z0)


def _across(x0: float, x1: float, z: float, y0: float, y1: float) -> Quad:
    """Corners of an upright rectangle that faces the camera."""
    return (x0, y0, z), (x1, y0, z), (x1, y1, z), (x0, y1, z)


def _in_view(p: Painter, x: float, near: float, far: float) -> bool:
    """Whether something along the road from near to far is inside the picture's width."""
    across = [p.camera.vanish + (p.camera.road_x(x, z) - p.camera.x) * p.camera.scale(z) for z in (near, far)]
    return max(across) > 0 and min(across) < p.camera.width


def building(p: Painter, x: float, z0: float, z1: float, height: float) -> None:
    """A house: its front with storeys of windows, sometimes a shop, a flat or a pitched roof, its near end wall."""
    sign = 1 if x > 0 else -1
    colour, frame, glass = p.pick("building"), p.pick("frame"), p.pick("window")
    material = "brick" if p.chance(0.4) else "plaster"
    deep = p.uniform((8, 14))
    pitched = height < 13 and p.chance(0.6)
    storey = p.uniform((2.9, 3.6))
    storeys = max(1, int(height / storey))
    height = storeys * storey + 0.4
    shop = p.pick("shop") if p.chance(0.35) else None
    window = (p.uniform((0.3, 0.75)), p.uniform((0.4, 0.7)))  # share of a bay's width and of a storey's height
    front, end = p.lit(colour, (-sign, 0, 0)), p.lit(colour, (0, 0, -1))
    bay = p.uniform((2.2, 4.0))
    cuts = np.linspace(z1, max(z0, NEAR), max(2, round((z1 - z0) / bay) + 1)).tolist()
    if pitched:
        _roof(p, x, z0, z1, height, sign * deep)
    if z0 > NEAR:
        _end_wall(p, x, z0, height, sign * deep, end, glass, storey, storeys, material)
    for far, near in pairwise(cuts):
        if not _in_view(p, x, near, far):
            continue
        p.face(_upright(p, x, near, far, 0, height), "building", front, material)
        if (far - near) * abs(x - p.camera.x) * p.camera.focal / (near * far) < 2.5:  # narrower than one final pixel
            continue
        for level in range(storeys):
            y = level * storey
            if level == 0 and shop is not None:
                p.face(_upright(p, x, near, far, 0.4, storey * 0.75), "building", glass)
                p.face(_upright(p, x, near, far, storey * 0.75, storey * 0.95), "building", shop)
                continue
            _window(p, x, near, far, y, storey, window, frame, p.pick("window") if p.chance(0.2) else glass)
        p.face(_upright(p, x, near, far, height - 0.35, height), "building", darker(front, 0.8), material)
    if shop is None:
        z = cuts[-1] + 0.45 * (cuts[-2] - cuts[-1])
        p.face(_upright(p, x, z, z + 1.1, 0, 2.2), "building", darker(frame, 0.6), "wood")


def _window(
    p: Painter, x: float, near: float, far: float, y: float, storey: float, share: tuple[float, float],
    frame: Colour, glass: Colour,
) -> None:  # fmt: skip
    width, tall = share[0] * (far - near), share[1] * storey
    z0 = near + (far - near - width) / 2
    y0 = y + 0.28 * storey
    p.face(_upright(p, x, z0, z0 + width, y0 - 0.12, y0 + tall + 0.12), "building", frame)
    rim = 0.1 * width
    p.face(_upright(p, x, z0 + rim, z0 + width - rim, y0, y0 + tall), "building", glass)


def _end_wall(
    p: Painter, x: float, z: float, height: float, deep: float, colour: Colour, glass: Colour, storey: float,
    storeys: int, material: str,
) -> None:  # fmt: skip
    at = p.camera.road_x(x, z)
    p.face(_across(at, at + deep, z, 0, height), "building", colour, material)
    for level in range(storeys):
        for column in (0.25, 0.6):
            x0 = at + deep * column
            p.face(_across(x0, x0 + deep * 0.13, z, level * storey + 1, level * storey + 2.2), "building", glass)


def _roof(p: Painter, x: float, z0: float, z1: float, height: float, deep: float) -> None:
    near, far = p.camera.road_x(x, max(z0, NEAR)), p.camera.road_x(x, z1)
    ridge, z0 = height + abs(deep) * 0.35, max(z0, NEAR)
    colour = p.lit(p.pick("roof"), (0, 1, 0))
    eaves = -0.06 * deep
    for k in range(6):  # in stretches, for the haze
        a, b = (z1 + (z0 - z1) * k / 6, z1 + (z0 - z1) * (k + 1) / 6)
        xa, xb = (far + (near - far) * k / 6, far + (near - far) * (k + 1) / 6)
        slope = [(xa + eaves, height, a), (xb + eaves, height, b), (xb + deep / 2, ridge, b), (xa + deep / 2, ridge, a)]
        p.face(slope, "building", colour, "roof")
    gable = [(near, height, z0), (near + deep, height, z0), (near + deep / 2, ridge, z0)]
    p.face(gable, "building", p.lit(p.pick("building"), (0, 0, -1)), "plaster")


def wall(p: Painter, x: float, z0: float, z1: float, height: float) -> None:
    """A free-standing wall with a coping and piers."""
    sign = 1 if x > 0 else -1
    colour = p.pick("wall")
    front = p.lit(colour, (-sign, 0, 0))
    material = "brick" if p.chance(0.5) else "plaster"
    z0 = max(z0, NEAR)
    at = p.camera.road_x(x, z0)
    p.face(_across(at, at + sign * 0.4, z0, 0, height), "wall", p.lit(colour, (0, 0, -1)), material)
    cuts = np.linspace(z1, z0, max(2, round((z1 - z0) / 3) + 1)).tolist()
    for far, near in pairwise(cuts):
        p.face(_upright(p, x, near, far, 0, height), "wall", front, material)
        p.face(_upright(p, x, near, near + 0.35, 0, height), "wall", darker(front, 0.86), material)
        p.face(_upright(p, x, near, far, height - 0.16, height), "wall", darker(front, 1.18), "plaster")


def fence(p: Painter, x: float, z0: float, z1: float, height: float) -> None:
    """A fence of boards, of bars, or of wire between posts. What shows through it is labelled fence too."""
    sign = 1 if x > 0 else -1
    colour = p.lit(p.pick("fence"), (-sign, 0, 0))
    kind = ("boards", "bars", "wire")[p.rng.integers(3)]
    step = {"boards": 0.5, "bars": 0.45, "wire": 2.5}[kind]
    z0 = max(z0, NEAR)
    cuts = np.linspace(z1, z0, max(2, round((z1 - z0) / step) + 1)).tolist()
    for far, near in pairwise(cuts):
        if not _in_view(p, x, near, far):
            continue
        field = _upright(p, x, near, far, 0.05, height)
        if kind == "boards":
            p.face(field, "fence", darker(colour, p.uniform((0.86, 1.1))), "wood")
            p.face(_upright(p, x, near, near + 0.07, 0.05, height), "fence", darker(colour, 0.55), "wood")
            continue
        p.face(field, "fence", None, "metal")
        p.canvas.tint([p.camera.project(field)], colour, 0.35 if kind == "wire" else 0.2)
        at = p.camera.road_x(x, near)
        p.bar((at, 0, near), (at, height, near), 0.09 if kind == "wire" else 0.06, "fence", colour, "metal", least=1.2)
        levels = (0.2, 0.95) if kind == "bars" else (0.3, 0.65, 0.98)
        for level in levels:
            there = p.camera.road_x(x, far)
            p.bar((at, height * level, near), (there, height * level, far), 0.06, "fence", colour, "metal", least=1.0)
