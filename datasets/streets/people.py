"""People on foot, bicycles, motorcycles and their riders."""

from itertools import pairwise

import numpy as np

from datasets.streets.canvas import Colour, darker
from datasets.streets.painter import Painter, Place, unit_circle
from datasets.streets.vehicles import Body

_CIRCLE = unit_circle(np.linspace(0.0, 2 * np.pi, 18, endpoint=False))


def person(p: Painter, x: float, z: float) -> None:
    """Someone standing or walking, seen from the front, the back or the side."""
    tall = p.uniform((1.5, 1.9)) * (0.65 if p.chance(0.1) else 1.0)
    shirt, trousers, skin, hair = p.pick("shirt"), p.pick("trousers"), p.pick("skin"), p.pick("hair")
    sideways = p.chance(0.5)
    stride = p.uniform((0.04, 0.2)) * tall
    wide = (0.16 if sideways else 0.24) * tall * p.uniform((0.9, 1.15))
    turn = 1 if p.chance(0.5) else -1
    hip, shoulder, neck = 0.5 * tall, 0.82 * tall, 0.86 * tall
    p.shadow([(x + 0.35 * cos, z + 0.25 * sin) for cos, sin in _CIRCLE], alpha=0.45)
    apart = stride if sideways else 0.07 * tall
    for leg in (-1, 1):
        lift = 0.05 * tall if leg == turn else 0.0
        foot = x + leg * apart
        joints = [(x + leg * 0.04 * tall, hip, z), (x + leg * apart * 0.6, hip / 2 + lift, z), (foot, lift, z)]
        p.limb(joints, 0.095 * tall, "person", darker(trousers, 0.85 if leg < 0 else 1.05))
    swing = p.uniform((-0.12, 0.18)) * tall
    coat = hip * (0.75 if p.chance(0.3) else 0.98)
    torso = [(x - wide * 0.42, coat, z), (x + wide * 0.42, coat, z), (x + wide * 0.5, shoulder, z),
             (x + wide * 0.22, neck, z), (x - wide * 0.22, neck, z), (x - wide * 0.5, shoulder, z)]  # fmt: skip
    p.face(torso, "person", shirt, "cloth")
    for arm in (-1, 1):
        root = x + (arm * wide * 0.5 if not sideways else 0)
        hand = root + (arm * swing if sideways else arm * 0.05 * tall)
        joints = [(root, shoulder - 0.03 * tall, z), ((root + hand) / 2 + 0.01, 0.64 * tall, z), (hand, 0.5 * tall, z)]
        p.limb(joints, 0.07 * tall, "person", darker(shirt, 0.82))
        p.disc((hand, 0.48 * tall, z), 0.035 * tall, "person", skin)
    if p.chance(0.3):
        p.panel((x - turn * wide * 0.5, 0.66 * tall, z), 0.16 * tall, 0.24 * tall, "person", p.pick("shirt"), "cloth")
    _head(p, (x + (turn * 0.02 * tall if sideways else 0), 0.93 * tall, z), 0.068 * tall, "person", skin, hair)


def _head(p: Painter, centre: Place, radius: float, label: str, skin: Colour, hair: Colour) -> None:
    x, y, z = centre
    p.disc((x, y + 0.25 * radius, z), radius * 1.08, label, hair, "cloth", squash=1.1)
    if p.chance(0.6):  # a face, or the back of a head
        p.disc((x, y - 0.2 * radius, z), radius * 0.85, label, skin, "cloth", squash=1.1)


def _ring(
    p: Painter, body: Body, s: float, radius: float, thick: float, label: str, colour: Colour, see_through: bool
) -> None:
    """A wheel in the plane of the body, its tyre `thick` metres wide; the label fills it, as in Cityscapes."""
    outer = [body.at(s + radius * cos, radius * (1 + sin), 0) for cos, sin in _CIRCLE]
    if see_through:
        p.face(outer, label, None, "metal")
        p.canvas.tint([p.camera.project(outer)], colour, 0.3)
    else:
        p.face(outer, label, darker(colour, 1.8), "metal")
    for a, b in zip(outer, [*outer[1:], outer[0]], strict=True):
        p.bar(a, b, thick, label, colour, "plain", least=1.6)


def bicycle(p: Painter, x: float, z: float, heading: float, ridden: bool) -> None:
    """A bicycle, with its rider if `ridden`."""
    body = Body(((-0.9, 0), (0.9, 1)), x, z, heading, 0.5)
    if body.nearest() < 2.5:
        return
    frame, tyre = p.pick("bicycle"), p.pick("tyre")
    p.shadow(body.footprint(0.05), alpha=0.4)
    ends = sorted((-0.55, 0.55), key=lambda s: -body.at(s, 0, 0)[2])
    for s in ends:
        _ring(p, body, s, 0.35, 0.07, "bicycle", tyre, see_through=True)
    spine = ([(-0.55, 0.35), (-0.15, 0.35), (-0.28, 0.85), (-0.55, 0.35)], [(-0.15, 0.35), (0.38, 0.82), (-0.24, 0.78)],
             [(0.55, 0.35), (0.36, 0.98)])  # fmt: skip
    for tubes in spine:
        for (s0, y0), (s1, y1) in pairwise(tubes):
            p.bar(body.at(s0, y0, 0), body.at(s1, y1, 0), 0.075, "bicycle", frame, "metal", least=1.8)
    p.bar(body.at(0.36, 1.0, -0.26), body.at(0.36, 1.0, 0.26), 0.06, "bicycle", tyre, "metal", least=1.6)
    p.bar(body.at(-0.42, 0.9, 0), body.at(-0.16, 0.9, 0), 0.09, "bicycle", tyre, "cloth", least=1.8)
    if ridden:
        rider(p, body, seat=(-0.28, 0.95), pedal=(-0.1, 0.22), grip=(0.36, 1.02))


def motorcycle(p: Painter, x: float, z: float, heading: float, ridden: bool) -> None:
    """A motorcycle or a scooter, with its rider if `ridden`."""
    body = Body(((-1.1, 0), (1.1, 1)), x, z, heading, 0.7)
    if body.nearest() < 2.5:
        return
    paint, tyre, dark = p.pick("motorcycle"), p.pick("tyre"), (40, 40, 44)
    p.shadow(body.footprint(0.1), alpha=0.5)
    away = body.at(1, 0, 0)[2] > body.z
    for s in (0.75, -0.7) if away else (-0.7, 0.75):
        _ring(p, body, s, 0.33, 0.16, "motorcycle", tyre, see_through=False)
    label = "motorcycle"
    p.limb([body.at(-0.65, 0.33, 0), body.at(0.1, 0.4, 0), body.at(0.45, 0.55, 0)], 0.34, label, dark, "metal")
    p.limb([body.at(0.75, 0.33, 0), body.at(0.5, 1.0, 0)], 0.12, label, darker(dark, 1.8), "metal")
    p.limb([body.at(-0.85, 0.82, 0), body.at(-0.1, 0.76, 0)], 0.26, label, dark, "cloth")
    p.limb([body.at(-0.05, 0.8, 0), body.at(0.4, 0.88, 0)], 0.36, label, paint, "metal")
    p.limb([body.at(-0.9, 0.75, 0), body.at(-0.6, 0.72, 0)], 0.2, label, paint, "metal")
    p.limb([body.at(0.5, 1.04, -0.36), body.at(0.55, 1.02, 0), body.at(0.5, 1.04, 0.36)], 0.08, label, dark, "metal")
    if ridden:
        rider(p, body, seat=(-0.2, 0.92), pedal=(0.05, 0.35), grip=(0.48, 1.06))
    if away:
        p.disc(body.at(-1.0, 0.78, 0), 0.09, label, p.pick("sign red"))
    else:
        p.disc(body.at(0.68, 0.95, 0), 0.14, label, (238, 236, 214))


def rider(
    p: Painter, body: Body, seat: tuple[float, float], pedal: tuple[float, float], grip: tuple[float, float]
) -> None:
    """The one who sits on `body`; seat, pedal and grip are (s, y) on it."""
    shirt, trousers, skin = p.pick("shirt"), p.pick("trousers"), p.pick("skin")
    hat = p.pick("helmet") if p.chance(0.7) else p.pick("hair")
    lean = p.uniform((0.12, 0.35))
    (s0, y0), shoulder = seat, (seat[0] + lean, seat[1] + 0.5)
    for t in sorted((-0.13, 0.13), key=lambda t: -body.at(0, 0, t)[2]):
        lift = 0.2 if t > 0 else 0.0
        knee = (s0 + 0.4, (y0 + pedal[1]) / 2 + 0.12 + lift / 2)
        joints = [body.at(s0, y0, t * 0.6), body.at(*knee, t * 1.2), body.at(pedal[0], pedal[1] + lift, t)]
        p.limb(joints, 0.16, "rider", darker(trousers, 0.9 if t < 0 else 1.05))
    waist = (s0 + shoulder[0]) / 2, (y0 + shoulder[1]) / 2
    p.limb([body.at(s0, y0, 0), body.at(*waist, 0), body.at(*shoulder, 0)], 0.34, "rider", shirt)
    p.limb([body.at(*shoulder, -0.2), body.at(*shoulder, 0.2)], 0.16, "rider", shirt)
    for t in sorted((-0.2, 0.2), key=lambda t: -body.at(0, 0, t)[2]):
        elbow = ((shoulder[0] + grip[0]) / 2, (shoulder[1] + grip[1]) / 2 - 0.08)
        joints = [body.at(*shoulder, t), body.at(*elbow, t * 1.5), body.at(*grip, t * 1.2)]
        p.limb(joints, 0.11, "rider", darker(shirt, 0.85))
    _head(p, body.at(shoulder[0] + 0.1, shoulder[1] + 0.25, 0), 0.13, "rider", skin, hat)
