"""One street scene: the plan, the ground, then what stands and moves in the street from far to near."""

import numpy as np

from datasets.streets import ground, parcels, plants
from datasets.streets.camera import NEAR, Camera
from datasets.streets.canvas import Canvas
from datasets.streets.painter import Painter
from datasets.streets.placing import Street
from datasets.streets.plan import Lot, draw_camera, draw_layout, draw_lots
from datasets.streets.style import Style


def draw_scene(
    style: Style, rng: np.random.Generator, width: int, height: int, guests: frozenset[str]
) -> tuple[Canvas, Camera]:
    """Paints one scene of `width` x `height` pixels in which every one of `guests` (keys of `Style.guests`) appears."""
    layout = draw_layout(style, rng, guests)
    leading = [x for x in layout.lanes if x > 0]
    lane = leading[int(rng.integers(len(leading)))]
    camera = draw_camera(style, rng, width, height, lane + float(rng.uniform(-0.3, 0.3)))
    p = Painter(camera, Canvas(width, height), style, rng)
    plots = draw_lots(p, layout, guests)

    ground.draw_sky(p)
    ground.draw_skyline(p)
    ground.draw_ground(p, layout)
    for lot in plots:
        if lot.kind != "building" and lot.grassy:
            outer = lot.x + np.sign(lot.x) * 60
            ground.strip(p, lot.x, outer, lot.z0, lot.z1, "terrain", p.pick("terrain"), "grass")
    _cast_shadows(p, plots)

    street = Street(p, layout)
    for lot in plots:
        street.add(lot.z1, _draw_lot, p, lot)
    street.fill(guests)
    street.paint()
    if style.ego_vehicle:
        ground.draw_ego_vehicle(p)
        ground.draw_frame(p)
    return p.canvas, camera


def _cast_shadows(p: Painter, plots: list[Lot]) -> None:
    """Shadows of the buildings on the street."""
    reach = 0.55 * p.style.building_height[1]
    dx, dz = -p.sun[0] * reach, -p.sun[2] * reach
    patches = []
    for lot in plots:
        if lot.kind == "building" and lot.x * dx < 0:
            near, far = p.camera.road_x(lot.x, lot.z0), p.camera.road_x(lot.x, lot.z1)
            corners = ((near, lot.z0), (far, lot.z1), (far + dx, lot.z1 + dz), (near + dx, lot.z0 + dz))
            patches.append([(x, max(z, NEAR)) for x, z in corners])
    if patches:
        p.shadow(*patches)


def _draw_lot(p: Painter, lot: Lot) -> None:
    """What stands on a lot, from the back to the edge of the sidewalk."""
    sign = 1 if lot.x > 0 else -1
    tall = p.uniform(p.style.building_height)
    if lot.kind == "building":
        parcels.building(p, lot.x, lot.z0, lot.z1, tall)
        return
    if lot.kind != "trees" and p.chance(0.45):
        parcels.building(p, lot.x + sign * p.uniform((5, 12)), lot.z0 + 1, lot.z1, 0.6 * tall)
    most = {"trees": 5, "grass": 1}.get(lot.kind, 2)
    count = int(p.rng.integers(0, most + 1))
    for z in sorted((p.uniform((lot.z0, lot.z1)) for _ in range(count)), reverse=True):
        if z > 5:
            away = p.uniform((1, 12) if lot.kind == "trees" else (1.5, 4.5))
            plants.tree(p, p.camera.road_x(lot.x + sign * away, z), z, p.uniform((5, 12)))
    if lot.kind == "wall":
        parcels.wall(p, lot.x, lot.z0, lot.z1, p.uniform((1.2, 2.8)))
    elif lot.kind == "fence":
        parcels.fence(p, lot.x, lot.z0, lot.z1, p.uniform((1.1, 2.2)))
    elif lot.kind == "hedge":
        plants.hedge(p, lot.x, max(lot.z0, 2.5), lot.z1, p.uniform((0.9, 2.2)))
    elif p.chance(0.5):
        z = p.uniform((max(lot.z0, 5), max(lot.z1, 6)))
        plants.bush(p, p.camera.road_x(lot.x + sign * p.uniform((0.5, 3)), z), z, p.uniform((0.8, 2.0)))
