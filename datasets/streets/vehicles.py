"""Cars, trucks, buses and trains: side profiles drawn out to a width, seen from any side."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from datasets.streets.canvas import Colour, darker
from datasets.streets.painter import Painter, Place, unit_circle

Profile = tuple[tuple[float, float], ...]  # (s, y): metres ahead of the middle, metres above the ground; rear to front

CAR_PROFILES: dict[str, Profile] = {
    "saloon": (
        (-2.2, 0.3), (-2.25, 0.9), (-1.6, 1.0), (-1.0, 1.42), (0.25, 1.45), (1.0, 0.98), (2.05, 0.82), (2.2, 0.3),
    ),
    "hatchback": ((-1.9, 0.3), (-1.95, 0.95), (-1.6, 1.45), (0.2, 1.5), (0.95, 1.0), (1.8, 0.85), (1.95, 0.3)),
    "estate": ((-2.3, 0.3), (-2.32, 0.95), (-2.0, 1.45), (0.2, 1.5), (1.0, 1.0), (2.1, 0.85), (2.25, 0.3)),
    "off-roader": ((-2.2, 0.45), (-2.25, 1.1), (-2.05, 1.75), (0.35, 1.8), (0.95, 1.2), (2.1, 1.08), (2.2, 0.45)),
    "van": ((-2.4, 0.4), (-2.4, 1.95), (1.0, 2.0), (1.75, 1.2), (2.35, 1.0), (2.4, 0.4)),
}  # fmt: skip

_CIRCLE = unit_circle(np.linspace(0, 2 * np.pi, 16, endpoint=False))


@dataclass(frozen=True)
class Body:
    """A profile standing at (x, z), `heading` radians clockwise from straight ahead, `width` metres wide."""

    profile: Profile
    x: float
    z: float
    heading: float
    width: float

    def at(self, s: float, y: float, t: float) -> Place:
        """World place s metres ahead of the middle, y up, t to the right."""
        sin, cos = self._turned
        return self.x + s * sin + t * cos, y, self.z + s * cos - t * sin

    @cached_property
    def _turned(self) -> tuple[float, float]:
        """Sine and cosine of the heading."""
        return float(np.sin(self.heading)), float(np.cos(self.heading))

    def direction(self, s: float, y: float, t: float) -> Place:
        """World direction of a body direction."""
        x, _, z = self.at(s, y, t)
        return x - self.x, y, z - self.z

    @property
    def length(self) -> tuple[float, float]:
        """s of the rear and of the front end."""
        along = [s for s, _ in self.profile]
        return min(along), max(along)

    def footprint(self, margin: float = 0.15) -> list[tuple[float, float]]:
        """(x, z) corners on the ground."""
        s0, s1 = self.length
        half = self.width / 2 + margin
        corners = ((s0 - margin, -half), (s1 + margin, -half), (s1 + margin, half), (s0 - margin, half))
        places = [self.at(s, 0, t) for s, t in corners]
        return [(x, max(z, 1.0)) for x, _, z in places]

    def nearest(self) -> float:
        """Depth in metres of the nearest corner."""
        return min(z for _, z in self.footprint(0.0))


def _sees(p: Painter, place: Place, normal: Place) -> bool:
    eye = (p.camera.x, p.camera.elevation, 0.0)
    return sum((e - c) * n for e, c, n in zip(eye, place, normal, strict=True)) > 0


def _hull(p: Painter, body: Body, label: str, colours: dict[int, Colour], paint: Colour) -> tuple[int, bool, bool]:
    """Paints the visible faces. `colours` overrides the paint of profile edges by index.

    Returns the visible side (-1 left, 1 right) and whether the rear and the front are visible.
    """
    half = body.width / 2
    faces = []
    for i, ((s0, y0), (s1, y1)) in enumerate(zip(body.profile, (*body.profile[1:], body.profile[0]), strict=True)):
        if y0 == y1 == min(y for _, y in body.profile):
            continue  # the floor
        size = float(np.hypot(s1 - s0, y1 - y0)) or 1.0
        normal = body.direction((y0 - y1) / size, (s1 - s0) / size, 0)  # profiles run clockwise: up and to the front
        middle = body.at((s0 + s1) / 2, (y0 + y1) / 2, 0)
        if _sees(p, middle, normal):
            quad = [body.at(s0, y0, -half), body.at(s1, y1, -half), body.at(s1, y1, half), body.at(s0, y0, half)]
            distance = (middle[0] - p.camera.x) ** 2 + middle[2] ** 2
            faces.append((distance, quad, p.lit(colours.get(i, paint), normal)))
    for _, quad, colour in sorted(faces, key=lambda face: -face[0]):
        p.face(quad, label, colour, "metal")
    right = body.direction(0, 0, 1)
    side = 1 if _sees(p, body.at(0, 1, half), right) else -1
    if _sees(p, body.at(0, 1, side * half), (side * right[0], 0, side * right[2])):
        normal = (side * right[0], 0.0, side * right[2])
        p.face([body.at(s, y, side * half) for s, y in body.profile], label, p.lit(paint, normal), "metal")
    s0, s1 = body.length
    ahead = body.direction(1, 0, 0)
    behind = (-ahead[0], 0.0, -ahead[2])
    return side, _sees(p, body.at(s0, 1, 0), behind), _sees(p, body.at(s1, 1, 0), ahead)


def _side_quad(
    p: Painter, body: Body, side: int, box: tuple[float, float, float, float], label: str, colour: Colour
) -> None:
    """A rectangle s0, y0, s1, y1 on the visible side."""
    s0, y0, s1, y1 = box
    t = side * body.width / 2
    p.face([body.at(s0, y0, t), body.at(s1, y0, t), body.at(s1, y1, t), body.at(s0, y1, t)], label, colour)


def _end_quad(
    p: Painter, body: Body, s: float, box: tuple[float, float, float, float], label: str, colour: Colour
) -> None:
    """A rectangle t0, y0, t1, y1 on the front or rear end at s."""
    t0, y0, t1, y1 = box
    p.face([body.at(s, y0, t0), body.at(s, y0, t1), body.at(s, y1, t1), body.at(s, y1, t0)], label, colour)


def _wheel(p: Painter, body: Body, s: float, t: float, radius: float, label: str, tyre: Colour, hub: Colour) -> None:
    for reach, colour in ((radius, tyre), (0.55 * radius, hub)):
        p.face([body.at(s + reach * cos, radius + reach * sin, t) for cos, sin in _CIRCLE], label, colour)


def _far_wheels(p: Painter, body: Body, axles: tuple[float, ...], radius: float, label: str) -> None:
    """What shows of the wheels under the hull, to be painted before it: discs on the far side, treads at both ends."""
    tyre, side = p.pick("tyre"), _near_side(p, body)
    for s in axles:
        _wheel(p, body, s, -side * (body.width / 2 - 0.05), radius, label, tyre, tyre)
        for sign in (-1, 1):
            outer, inner = sign * body.width / 2, sign * (body.width / 2 - 0.24)
            tread = ((outer, 0), (inner, 0), (inner, 2 * radius), (outer, 2 * radius))
            p.face([body.at(s, y, t) for t, y in tread], label, tyre, "plain")


def _near_wheels(p: Painter, body: Body, axles: tuple[float, ...], radius: float, label: str) -> None:
    """The wheels of the visible side, to be painted after the hull."""
    tyre, hub, side = p.pick("tyre"), p.pick("hub"), _near_side(p, body)
    for s in axles:
        _wheel(p, body, s, side * (body.width / 2 + 0.02), radius, label, tyre, hub)


def _shade_below(p: Painter, body: Body) -> None:
    p.shadow(body.footprint(), alpha=0.62)


def _near_side(p: Painter, body: Body) -> int:
    right = body.direction(0, 0, 1)
    return 1 if _sees(p, (body.x, 1.0, body.z), right) else -1


def car(p: Painter, x: float, z: float, heading: float) -> None:
    """A car of one of five shapes."""
    kind = str(p.rng.choice(list(CAR_PROFILES), p=(0.3, 0.27, 0.18, 0.15, 0.1)))
    scale = p.uniform((0.94, 1.06))
    profile = tuple((s * scale, y * scale) for s, y in CAR_PROFILES[kind])
    body = Body(profile, x, z, heading, 1.78 * scale)
    if body.nearest() < 2.5:
        return
    paint, glass = p.pick("car"), p.pick("glass")
    _shade_below(p, body)
    s0, s1 = body.length
    axles, radius = (s0 + 0.85, s1 - 0.85), 0.33 * scale
    _far_wheels(p, body, axles, radius, "car")
    top = max(y for _, y in profile)
    roof = [i for i in range(len(profile) - 1) if min(profile[i][1], profile[i + 1][1]) > 0.93 * top]
    slopes = {roof[0] - 1: glass, roof[-1] + 1: glass} if kind != "van" else {roof[-1] + 1: glass}
    side, rear, front = _hull(p, body, "car", slopes, paint)
    sill = profile[1][1] if kind != "van" else 1.2 * scale
    rear_top, front_top = profile[roof[0]][0], profile[roof[-1] + 1][0]
    dark = darker(paint, 0.7)
    t = side * body.width / 2
    low_front = front_top + (0.5 if kind != "van" else 0.55) * scale
    low, high = sill + 0.03, top - 0.1
    window = [(rear_top - 0.05, low), (rear_top + 0.12, high), (front_top, high), (low_front, low)]
    p.face([body.at(s, y, t) for s, y in window], "car", glass)
    for s in (rear_top + 0.4 * (front_top - rear_top), front_top - 0.05):
        _side_quad(p, body, side, (s - 0.05, 0.4, s + 0.05, top - 0.1), "car", dark)
    _side_quad(p, body, side, (s0 + 0.1, profile[0][1], s1 - 0.1, profile[0][1] + 0.12), "car", darker(paint, 0.5))
    _near_wheels(p, body, axles, radius, "car")
    half = body.width / 2
    if rear:
        if kind == "van":
            _end_quad(p, body, s0, (-half * 0.8, 1.2 * scale, half * 0.8, 1.75 * scale), "car", glass)
        _ends(p, body, s0, min(profile[1][1], 1.15 * scale), p.pick("sign red"), "car")
    elif front:
        _ends(p, body, s1, profile[-2][1], (236, 236, 220), "car")


def _ends(p: Painter, body: Body, s: float, top: float, lamp: Colour, label: str) -> None:
    """Lamps, bumper and licence plate of the visible end."""
    half = body.width / 2
    _end_quad(p, body, s, (-half, 0.3, half, 0.48), label, (44, 44, 48))
    for sign in (-1, 1):
        _end_quad(p, body, s, (sign * half, top - 0.3, sign * (half - 0.36), top - 0.08), label, lamp)
    plate = "license plate" if label == "car" else label
    _end_quad(p, body, s, (-0.28, 0.5, 0.28, 0.63), plate, (226, 224, 206))


def _box(s0: float, s1: float, y0: float, y1: float, slant: float = 0.0) -> Profile:
    return (s0, y0), (s0, y1), (s1 - slant, y1), (s1, y0 + 0.45 * (y1 - y0)), (s1, y0)


def truck(p: Painter, x: float, z: float, heading: float) -> None:
    """A lorry: a cab and a box or a flat bed behind it."""
    long = p.uniform((4.0, 7.0))
    cab = Body(_box(long / 2 - 0.1, long / 2 + 2.0, 0.5, p.uniform((2.6, 3.1)), 0.35), x, z, heading, 2.4)
    cargo = Body(_box(-long / 2, long / 2 - 0.3, 1.0, p.uniform((3.0, 3.9))), x, z, heading, 2.5)
    bed = Body(_box(-long / 2, long / 2, 0.6, 1.05), x, z, heading, 2.3)
    if min(cab.nearest(), cargo.nearest()) < 4:
        return
    paint, load, glass = p.pick("truck"), p.pick("cargo"), p.pick("glass")
    _shade_below(p, Body(_box(-long / 2, long / 2 + 2, 0, 1), x, z, heading, 2.4))
    axles = (-long / 2 + 0.9, -long / 2 + 2.0, long / 2 + 1.0)
    _far_wheels(p, bed, axles, 0.5, "truck")
    leads = cab.at(long / 2 + 1, 0, 0)[2] > cab.at(-long / 2, 0, 0)[2]  # the cab is the farther end
    if leads:
        _cab(p, cab, paint, glass)
    _hull(p, bed, "truck", {}, (60, 60, 64))
    side, rear, _ = _hull(p, cargo, "truck", {}, load)
    s0, s1 = cargo.length
    top = max(y for _, y in cargo.profile)
    for s in np.linspace(s0, s1, 5)[1:-1]:
        _side_quad(p, cargo, side, (s - 0.05, 1.05, s + 0.05, top - 0.05), "truck", darker(load, 0.8))
    if p.chance(0.5):
        _side_quad(p, cargo, side, (s0 + 0.6, 1.6, s1 - 0.8, 2.4), "truck", p.pick("cargo"))
    if rear:
        _end_quad(p, cargo, s0, (-0.05, 1.0, 0.05, top - 0.1), "truck", darker(load, 0.6))
        for sign in (-1, 1):
            _end_quad(p, bed, s0, (sign * 1.1, 0.65, sign * 0.7, 0.9), "truck", p.pick("sign red"))
    if not leads:
        _cab(p, cab, paint, glass)
    _near_wheels(p, bed, axles, 0.5, "truck")


def _cab(p: Painter, cab: Body, paint: Colour, glass: Colour) -> None:
    side, _, front = _hull(p, cab, "truck", {2: glass}, paint)
    s0, s1 = cab.length
    _side_quad(p, cab, side, (s0 + 0.9, 1.6, s1 - 0.35, 2.3), "truck", glass)
    if front:
        _end_quad(p, cab, s1, (-0.9, 0.8, 0.9, 1.25), "truck", darker(paint, 0.5))
        for sign in (-1, 1):
            _end_quad(p, cab, s1, (sign * 1.15, 0.6, sign * 0.8, 0.85), "truck", (236, 236, 220))


def bus(p: Painter, x: float, z: float, heading: float) -> None:
    """A city bus: one box, a band of windows, doors, a destination sign."""
    _coach(p, x, z, heading, "bus", p.uniform((9.5, 12.5)), 2.55, 3.1, 0.35, wheels=0.5)


def train(p: Painter, x: float, z: float, heading: float, length: float) -> None:
    """A tram of several cars, its skirt down to the rails and a pantograph on its roof."""
    _coach(p, x, z, heading, "train", length, 2.45, 3.5, 0.2, wheels=0.0)


def _coach(
    p: Painter, x: float, z: float, heading: float, label: str, length: float, width: float, top: float, floor: float,
    wheels: float,
) -> None:  # fmt: skip
    half = length / 2
    nose = 0.75 if label == "train" else 0.25
    waist = floor + 0.4 * (top - floor)
    roof = half - nose
    profile: Profile = ((-half, floor), (-half, waist), (-roof, top), (roof, top), (half, waist), (half, floor))
    body = Body(profile, x, z, heading, width)
    if body.nearest() < 4:
        return
    paint, second, glass = p.pick(label), p.pick(label), p.pick("glass")
    _shade_below(p, body)
    axles = (-half + 2.4, half - 2.6)
    if wheels:
        _far_wheels(p, body, axles, wheels, label)
    side, rear, front = _hull(p, body, label, {1: glass, 3: glass}, paint)
    t = side * width / 2
    _side_quad(p, body, side, (-half, floor, half, floor + 0.28 * (top - floor)), label, darker(second, 0.9))
    pane, high = 1.5, top - 0.45
    for s in np.arange(-half + nose + 0.2, half - nose - 0.2 - pane, pane + 0.18):
        _side_quad(p, body, side, (s, waist, s + pane, high), label, glass)
    for share in (-0.55, 0.1, 0.75) if label == "bus" else (-0.75, -0.25, 0.25, 0.75):
        s = share * half
        _side_quad(p, body, side, (s - 0.6, floor + 0.1, s + 0.6, high), label, darker(glass, 1.25))
        p.bar(body.at(s, floor + 0.1, t), body.at(s, high, t), 0.08, label, darker(paint, 0.6))
    if label == "train":
        for s in np.linspace(-half, half, max(2, round(length / 8)) + 1)[1:-1]:  # bellows between the cars
            _side_quad(p, body, side, (s - 0.35, floor, s + 0.35, top - 0.05), label, (52, 52, 56))
        arm = [body.at(-0.8, top, 0), body.at(0.4, top + 0.7, 0), body.at(-0.5, top + 1.4, 0)]
        p.limb(arm, 0.1, label, (50, 50, 54), "metal")
    else:
        _near_wheels(p, body, axles, wheels, label)
    if rear or front:
        s = -half if rear else half
        _end_quad(p, body, s, (-width * 0.3, floor + 0.12, width * 0.3, floor + 0.4), label, darker(paint, 0.55))
        lamp = p.pick("sign red") if rear else (236, 236, 220)
        for sign in (-1, 1):
            _end_quad(p, body, s, (sign * width * 0.46, floor + 0.5, sign * width * 0.3, floor + 0.8), label, lamp)
        inner = s + (nose * 0.85 if rear else -nose * 0.85)
        sign_colour = (250, 190, 60) if label == "bus" else (240, 236, 200)
        _end_quad(p, body, inner, (-width * 0.3, top - 0.42, width * 0.3, top - 0.12), label, sign_colour)
