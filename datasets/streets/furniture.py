"""Street furniture: lamp posts, traffic signs and lights on their poles, bollards, and void things such as bins."""

import numpy as np

from datasets.streets.canvas import Colour, darker
from datasets.streets.painter import Painter, Place

_LIT = {"red": (250, 60, 50), "amber": (252, 180, 50), "green": (70, 236, 130)}
_UNLIT = {"red": (84, 26, 24), "amber": (84, 64, 22), "green": (22, 70, 44)}


def lamp_post(p: Painter, x: float, z: float, inwards: int) -> None:
    """A lamp post whose arm reaches over the road (`inwards` is 1 to the right, -1 to the left)."""
    colour, tall = p.pick("pole"), p.uniform((5.5, 9))
    _post(p, x, z, tall, 0.16, colour)
    reach = inwards * p.uniform((0.6, 2.2))
    p.bar((x, tall, z), (x + reach, tall + 0.25, z), 0.1, "pole", colour, "metal", least=2.0)
    p.panel((x + reach, tall + 0.2, z), 0.7, 0.18, "pole", darker(colour, 1.3), "metal")


def _post(p: Painter, x: float, z: float, tall: float, width: float, colour: Colour) -> None:
    p.shadow([(x - width, z - 0.1), (x + width, z - 0.1), (x + width, z + 0.2), (x - width, z + 0.2)], alpha=0.4)
    p.bar((x, 0, z), (x, tall, z), width, "pole", colour, "metal", least=2.4)
    p.bar((x, 0, z), (x, 0.6, z), width * 1.5, "pole", darker(colour, 0.85), "metal", least=2.8)


def bollard(p: Painter, x: float, z: float) -> None:
    """A short post that keeps cars off the sidewalk."""
    p.bar((x, 0, z), (x, 0.95, z), 0.17, "pole", p.pick("pole"), "metal", least=2.2)


def traffic_sign(p: Painter, x: float, z: float) -> None:
    """One or two signs on a pole: prohibition, warning, command, priority or direction."""
    colour, tall = p.pick("pole"), p.uniform((2.3, 3.2))
    _post(p, x, z, tall + 0.1, 0.09, colour)
    for level in range(2 if p.chance(0.3) else 1):
        _plate(p, x, tall - 0.1 - 0.75 * level, z - 0.02, int(p.rng.integers(5)), p.uniform((0.32, 0.45)))


def direction_board(p: Painter, x: float, z: float) -> None:
    """A large board on two posts beside the road."""
    colour = p.pick("pole")
    wide, tall, low = p.uniform((2.0, 3.6)), p.uniform((1.1, 1.8)), p.uniform((1.6, 2.4))
    for dx in (-0.35 * wide, 0.35 * wide):
        _post(p, x + dx, z, low + tall, 0.1, colour)
    back = p.pick("sign blue") if p.chance(0.5) else p.pick("sign yellow")
    ink = p.pick("sign white") if back[2] > 120 else (30, 30, 32)
    p.panel((x, low + tall / 2, z - 0.02), wide, tall, "traffic sign", ink, "plain")
    p.panel((x, low + tall / 2, z - 0.02), wide * 0.94, tall * 0.9, "traffic sign", back, "plain")
    for row in (0.3, 0.65):
        p.panel((x - 0.1 * wide, low + tall * row, z - 0.03), wide * 0.5, tall * 0.13, "traffic sign", ink)


def _plate(p: Painter, x: float, y: float, z: float, kind: int, radius: float) -> None:
    red, blue, yellow, white = (p.pick(f"sign {name}") for name in ("red", "blue", "yellow", "white"))
    label = "traffic sign"
    if kind == 0:
        p.disc((x, y, z), radius, label, red)
        p.disc((x, y, z), radius * 0.7, label, white)
        p.panel((x, y, z), radius * 0.5, radius * 0.5, label, (30, 30, 32))
    elif kind == 1:
        for size, colour in ((1.2, red), (0.75, white)):
            p.face(_polygon(x, y, z, size * radius, 3), label, colour)
        p.panel((x, y - 0.05, z), radius * 0.16, radius * 0.5, label, (30, 30, 32))
    elif kind == 2:
        p.disc((x, y, z), radius, label, blue)
        half, rise = radius * 0.5, radius * 0.3
        p.bar((x - half, y - rise, z), (x + half, y + rise, z), radius * 0.25, label, white)
    elif kind == 3:
        for size, colour in ((1.2, white), (0.85, yellow)):
            p.face(_polygon(x, y, z, size * radius, 4), label, colour)
    else:
        p.panel((x, y, z), radius * 2, radius * 2, label, blue)
        p.panel((x, y - radius * 0.1, z), radius * 0.7, radius * 1.2, label, white)


def _polygon(x: float, y: float, z: float, radius: float, corners: int) -> list[Place]:
    """A regular polygon that stands on an edge (3 corners) or on a corner (4)."""
    angles = 2 * np.pi * np.arange(corners) / corners
    return [(x + radius * float(np.sin(a)), y + radius * float(np.cos(a)), z) for a in angles]


def traffic_light(p: Painter, x: float, z: float, inwards: int) -> None:
    """A traffic light on a pole; sometimes a second one hangs over the road."""
    colour, tall = p.pick("pole"), p.uniform((3.0, 3.6))
    box = p.pick("signal box")
    lit = ("red", "amber", "green")[p.rng.choice(3, p=(0.45, 0.15, 0.4))]
    if p.chance(0.4):
        high, reach = p.uniform((5.2, 6.0)), inwards * p.uniform((2.0, 4.5))
        _post(p, x, z, high, 0.18, colour)
        p.bar((x, high, z), (x + reach, high, z), 0.14, "pole", colour, "metal", least=2.0)
        _signal(p, x + reach, high - 0.2, z - 0.02, box, lit)
    else:
        _post(p, x, z, tall, 0.14, colour)
    _signal(p, x, tall - 0.3, z - 0.02, box, lit)


def _signal(p: Painter, x: float, y: float, z: float, box: Colour, lit: str) -> None:
    p.panel((x, y, z), 0.5, 1.3, "traffic light", box, "plain")
    for step, name in enumerate(("red", "amber", "green")):
        colour = _LIT[name] if name == lit else _UNLIT[name]
        p.disc((x, y + 0.4 - 0.4 * step, z), 0.17, "traffic light", colour)


def bin_or_box(p: Painter, x: float, z: float) -> None:
    """A bin, a junction box or an advertising column: `static` or `dynamic`, both void."""
    colour = p.pick("bin")
    kind = p.rng.integers(3)
    p.shadow([(x - 0.5, z - 0.3), (x + 0.5, z - 0.3), (x + 0.5, z + 0.4), (x - 0.5, z + 0.4)], alpha=0.45)
    if kind == 0:
        p.panel((x, 0.55, z), 0.6, 1.1, "dynamic", colour, "metal")
        p.panel((x, 1.1, z), 0.68, 0.1, "dynamic", darker(colour, 0.7), "metal")
    elif kind == 1:
        p.panel((x, 0.6, z), 1.0, 1.2, "static", p.lit(colour, (0, 0, -1)), "metal")
        p.panel((x, 1.2, z), 1.06, 0.08, "static", darker(colour, 1.3), "metal")
    else:
        p.panel((x, 1.4, z), 1.1, 2.8, "static", p.pick("shop"), "plaster")
        p.panel((x, 1.6, z), 0.9, 1.7, "static", p.pick("shirt"), "plain")
        p.panel((x, 2.85, z), 1.25, 0.2, "static", darker(colour, 0.8), "metal")
