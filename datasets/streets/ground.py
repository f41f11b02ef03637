"""Sky, skyline and everything that lies flat: road, markings, kerbs, sidewalks, verges, crossings, rails."""

from itertools import pairwise

import numpy as np

from datasets.streets.camera import NEAR
from datasets.streets.canvas import FAR, Colour, darker
from datasets.streets.painter import Painter
from datasets.streets.plan import Layout
from datasets.streets.plants import bush

HORIZON_Z = 320.0  # metres; strips of ground end here
_STEPS = [*np.geomspace(NEAR, 200, 24).tolist(), HORIZON_Z]


def draw_sky(p: Painter) -> None:
    """A gradient, clouds, and the sky's depth and label on the whole canvas."""
    canvas = p.canvas
    top, low = np.asarray(p.pick("sky top")), np.asarray(p.pick("sky low"))
    ramp = np.clip(np.arange(canvas.height) / max(p.camera.horizon, 1), 0, 1)[:, None, None]
    canvas.colour[:] = (top + (low - top) * ramp).astype(np.uint8)
    whole = np.array([[-1, -1], [canvas.width, -1], [canvas.width, canvas.height], [-1, canvas.height]], float)
    canvas.fill(whole, "sky", None, "sky", FAR)
    for _ in range(int(p.rng.integers(0, 7))):
        centre = np.array([p.uniform((0, canvas.width)), p.uniform((0, 0.85)) * p.camera.horizon])
        size, colour = p.uniform((0.02, 0.06)) * canvas.width, p.pick("cloud")
        for _ in range(int(p.rng.integers(4, 9))):
            middle = centre + p.rng.normal(size=2) * (1.4 * size, 0.3 * size)
            angle = np.linspace(0, 2 * np.pi, 24)
            puff = middle + size * p.uniform((0.4, 0.9)) * np.stack([np.cos(angle), 0.5 * np.sin(angle)], axis=1)
            canvas.tint([puff.tolist()], colour, 0.35)


def draw_skyline(p: Painter) -> None:
    """Blocks and woods far behind the street, so that the horizon is never a bare line."""
    reach = 0.6 * HORIZON_Z * p.camera.width / p.camera.focal
    x = p.camera.x - reach
    while x < p.camera.x + reach:
        width = p.uniform((10, 45))
        z = p.uniform((190, 300))
        if p.chance(0.5):
            height, colour = p.uniform((6, 34)), p.pick("building")
            p.panel((x + width / 2, height / 2, z), width * 1.05, height, "building", colour, "plaster")
            rows = int(height // 6)
            for row in range(rows):
                p.panel((x + width / 2, 4 + 6 * row, z), width * 0.8, 1.8, "building", darker(colour, 0.75), "plaster")
        else:
            for _ in range(5):
                bush(p, x + p.uniform((0, width)), z, p.uniform((5, 14)))
        x += width


def strip(
    p: Painter, x0: float, x1: float, z0: float, z1: float, label: str | None, colour: Colour, material: str
) -> None:
    """A band of ground that follows the road from z0 to z1, between x0 and x1 metres off its centre line."""
    steps = [max(z0, NEAR), *(z for z in _STEPS if z0 < z < z1), z1]
    near = [(p.camera.road_x(x0, z), z) for z in steps]
    far = [(p.camera.road_x(x1, z), z) for z in steps[::-1]]
    p.ground(near + far, label, colour, material)


def draw_ground(p: Painter, layout: Layout) -> None:
    """Everything on the ground plane, from the outside in."""
    camera = p.camera
    rows = np.arange(p.canvas.height) > camera.horizon
    p.canvas.depth[rows] = camera.ground_depth()[rows]
    road, sidewalk, kerb = p.pick("road"), p.pick("sidewalk"), p.pick("kerb")
    for side in layout.sides:
        material = "grass" if side.behind == "terrain" else "paving"
        colour = p.pick("terrain") if side.behind == "terrain" else sidewalk
        reach = side.sign * 400.0
        p.ground([(side.sign * side.road, NEAR), (reach, NEAR), (reach, HORIZON_Z), (side.sign * side.road, HORIZON_Z)],
                 side.behind, colour, material)  # fmt: skip
    if layout.crossing is not None:
        z0, z1 = layout.crossing
        for low, high, name, label, material in (
            (z0 - 2.5, z1 + 2.5, sidewalk, "sidewalk", "paving"), (z0, z1, road, "road", "asphalt"),
        ):  # fmt: skip
            p.ground([(-400, max(low, NEAR)), (400, max(low, NEAR)), (400, high), (-400, high)], label, name, material)
    for side in layout.sides:
        for z0, z1 in _blocks(layout):
            s = side.sign
            strip(p, s * side.verge, s * side.sidewalk, z0, z1, "sidewalk", sidewalk, "paving")
            if side.verge > side.road:
                strip(p, s * side.road, s * side.verge, z0, z1, "terrain", p.pick("terrain"), "grass")
            strip(p, s * side.road, s * (side.road + 0.2), z0, z1, "sidewalk", kerb, "plaster")
    strip(p, -layout.sides[0].road, layout.sides[1].road, NEAR, HORIZON_Z, "road", road, "asphalt")
    parking = p.pick("parking")
    for side in layout.sides:
        if side.parking < side.road:
            for z0, z1 in _blocks(layout):
                strip(p, side.sign * side.parking, side.sign * side.road, z0, z1, "parking", parking, "asphalt")
    if layout.rails is not None:
        strip(p, layout.rails - 1.3, layout.rails + 1.3, NEAR, HORIZON_Z, "rail track", p.pick("rail track"), "asphalt")
        for x in (layout.rails - 0.72, layout.rails + 0.72):
            strip(p, x - 0.07, x + 0.07, NEAR, HORIZON_Z, "rail track", (168, 168, 170), "metal")
    _draw_markings(p, layout)


def _blocks(layout: Layout) -> list[tuple[float, float]]:
    """Stretches of z outside the crossing street."""
    if layout.crossing is None:
        return [(NEAR, HORIZON_Z)]
    z0, z1 = layout.crossing
    return [(NEAR, z0), (z1, HORIZON_Z)] if z0 > NEAR + 0.5 else [(z1, HORIZON_Z)]


def _draw_markings(p: Painter, layout: Layout) -> None:
    """Lane lines, edge lines, zebra crossings: paint only, the label is that of what they are painted on."""
    colour = p.pick("marking")
    borders = [(a + b) / 2 for a, b in pairwise(layout.lanes)]
    solid = p.chance(0.3)
    for border in borders:
        if layout.rails is not None and abs(border - layout.rails) < 1.5:
            continue
        phase = p.uniform((0, 6))
        for z in np.arange(phase - 6, 110, 6.0):
            z1 = z + (6.0 if solid and abs(border) < 0.1 else 3.0)
            if z1 > NEAR and not layout.crosses(z, z1):
                strip(p, border - 0.08, border + 0.08, z, z1, None, colour, "asphalt")
    if p.chance(0.5):
        for side in layout.sides:
            edge = side.sign * (side.parking - 0.25)
            for z0, z1 in _blocks(layout):
                strip(p, edge - 0.07, edge + 0.07, z0, z1, None, colour, "asphalt")
    zebra = None
    if layout.crossing is not None and layout.crossing[0] > 9:
        zebra = layout.crossing[0] - 4.0
    elif p.chance(0.2):
        zebra = p.uniform((9, 30))
    if zebra is not None:
        left, right = -layout.sides[0].parking, layout.sides[1].parking
        for x in np.arange(left + 0.4, right - 0.5, 1.0):
            strip(p, x, x + 0.5, zebra, zebra + 3.0, None, colour, "asphalt")


def draw_ego_vehicle(p: Painter) -> None:
    """The bonnet at the lower edge and the frame outside the region of interest: void in Cityscapes."""
    canvas = p.canvas
    width, height = canvas.width, canvas.height
    angle = np.linspace(np.pi, 2 * np.pi, 40)
    rise = p.uniform((0.06, 0.11)) * height
    arc = np.stack([width * (0.5 + 0.56 * np.cos(angle)), height + rise * np.sin(angle)], axis=1)
    colour = p.pick("bonnet")
    canvas.fill(arc, "ego vehicle", colour, "metal", 1.5)
    shine = np.stack([width * (0.5 + 0.3 * np.cos(angle)), height + 0.75 * rise * np.sin(angle)], axis=1)
    canvas.tint([shine], (170, 178, 186), 0.25)


def draw_frame(p: Painter) -> None:
    """A thin border with the label `out of roi` along the left, right and lower edges; colours stay."""
    canvas = p.canvas
    edge = max(2, round(canvas.width / 256))
    for x0, y0, x1, y1 in (
        (0, 0, edge - 1, canvas.height), (canvas.width - edge, 0, canvas.width, canvas.height),
        (0, canvas.height - edge, canvas.width, canvas.height),
    ):  # fmt: skip
        canvas.fill(np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]], float), "out of roi", None, None, None)
