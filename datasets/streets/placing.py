"""Who and what is in the street, and where: placed without collisions, painted from far to near."""

from collections.abc import Callable

import numpy as np

from datasets.streets import furniture, people, plants, vehicles
from datasets.streets.painter import Painter
from datasets.streets.plan import Layout

Draw = Callable[..., None]


class Street:
    """Collects what stands in a street and paints it in the order of depth.

    x is metres right of the road's centre line, z metres ahead. Whatever is placed is drawn by a function that takes
    the painter, world x, z, and what else was given.
    """

    def __init__(self, p: Painter, layout: Layout) -> None:
        self.p, self.layout = p, layout
        self._items: list[tuple[float, Draw, tuple[object, ...]]] = []
        self._taken: list[tuple[float, float, float, float]] = []  # x0, x1, z0, z1 on the road
        self._screens: list[tuple[float, float, float]] = []  # x, z0, z1 of long vehicles: they hide what is outside

    def add(self, z: float, draw: Draw, *given: object) -> None:
        """Has `draw(*given)` called between what is farther and what is nearer than z."""
        self._items.append((z, draw, given))

    def paint(self) -> None:
        """Paints all, from far to near."""
        for _, draw, given in sorted(self._items, key=lambda item: -item[0]):
            draw(*given)

    def fill(self, guests: frozenset[str]) -> None:
        """Places everything; those of `guests` that are large come first, while there is room."""
        self._place_large(guests)
        self._place_two_wheelers(guests)
        self._place_cars()
        self._place_rows()
        self._place_furniture(guests)
        self._place_people(guests)

    # Places --------------------------------------------------------------------------------------------------------
    def _stand(self, x: float, z: float, draw: Draw, *given: object) -> None:
        """Puts something at (x, z), unless a long vehicle hides it (or it would be painted over that vehicle)."""
        for screen, z0, z1 in self._screens:
            if screen * x > 0 and abs(x) > abs(screen) and z0 < z < z1:
                return
        self.add(z, draw, self.p, self.p.camera.road_x(x, z), z, *given)

    def _stand_long(self, x: float, z: float, length: float, draw: Draw, *given: object) -> None:
        self._screens.append((x, z - length / 2, z + length / 2))
        self.add(z + length / 2, draw, self.p, self.p.camera.road_x(x, z), z, *given)

    def _claim(self, x: float, z: float, half_width: float, half_length: float) -> bool:
        """Reserves a place on the road; False if something is there, or if it is too close to the camera."""
        x0, x1, z0, z1 = x - half_width, x + half_width, z - half_length - 0.8, z + half_length + 0.8
        if z - half_length < (6 if abs(x - self.p.camera.x) < 2 else 3):
            return False
        if any(x0 < right and x1 > left and z0 < far and z1 > near for left, right, near, far in self._taken):
            return False
        self._taken.append((x0, x1, z0, z1))
        return True

    def _heading(self, x: float, z: float) -> float:
        """Radians: along the lane at x, in its driving direction, following the bend."""
        return self.p.camera.bend * z + (0.0 if x > 0 else np.pi) + 0.02 * self.p.rng.normal()

    def _lane(self) -> float:
        lanes = [x for x in self.layout.lanes if x != self.layout.rails] or [self.layout.lanes[-1]]
        return lanes[int(self.p.rng.integers(len(lanes)))]

    def _side(self) -> int:
        return int(self.p.rng.integers(2))

    def _turn(self) -> int:
        """1 or -1."""
        return 1 if self.p.chance(0.5) else -1

    def _depth(self, low: float, high: float, x: float | None = None) -> float:
        """A depth, more often near than far; with x, one at which that place is in the picture."""
        if x is not None:
            low = max(low, 1.15 * self.p.camera.enters(x))
            high = max(low + 2, high)
        return low + (high - low) * float(self.p.rng.random()) ** 1.6

    # What is placed ------------------------------------------------------------------------------------------------
    def _place_large(self, guests: frozenset[str]) -> None:
        p = self.p
        if "train" in guests and self.layout.rails is not None:
            length, x = p.uniform((16, 30)), self.layout.rails
            z = self._depth(7, 22) + length / 2
            self._claim(x, z, 1.4, length / 2)
            self._stand_long(x, z, length, vehicles.train, p.camera.bend * z, length)
        for name, draw in (("bus", vehicles.bus), ("truck", vehicles.truck)):
            if name not in guests and not p.chance(0.04):
                continue
            for _ in range(8):
                x, z = self._lane(), self._depth(9, 32) + 5
                if self._claim(x, z, 1.4, 6):
                    self._stand_long(x, z, 12, draw, self._heading(x, z))
                    break

    def _place_two_wheelers(self, guests: frozenset[str]) -> None:
        p = self.p
        wanted: list[tuple[Draw, bool]] = []  # what, and whether it is ridden
        if "rider" in guests:
            wanted.append((people.bicycle if p.chance(0.65) else people.motorcycle, True))
        if "bicycle" in guests:
            wanted += [(people.bicycle, p.chance(0.4))] * int(p.rng.integers(1, 4))
        if "motorcycle" in guests:
            wanted += [(people.motorcycle, p.chance(0.5))] * int(p.rng.integers(1, 3))
        for draw, ridden in wanted:
            for _ in range(6):
                side = self.layout.sides[self._side()]
                if not ridden:  # parked on the sidewalk
                    x = side.sign * p.uniform((side.verge + 0.5, side.sidewalk - 0.4))
                    z, heading = self._depth(5, 15, x), self._turn() * p.uniform((0.5, 1.7))
                elif p.chance(0.25):  # crosses the road
                    x = p.uniform((-side.road, side.road))
                    z, heading = self._depth(5, 15, x), self._turn() * np.pi / 2
                else:
                    x = side.sign * (side.parking - p.uniform((0.7, 1.6)))
                    z = self._depth(5, 15, x)
                    heading = self._heading(x, z) + 0.15 * p.rng.normal()
                if self._claim(x, z, 0.5, 0.9):
                    self._stand(x, z, draw, heading, ridden)
                    break

    def _place_cars(self) -> None:
        p = self.p
        for side in self.layout.sides:
            if side.parking == side.road:
                continue
            x = side.sign * (side.road - 1.05)
            for z in np.arange(p.uniform((2, 8)), 90, 5.8).tolist():
                free = p.chance(p.style.parked_cars) and not self.layout.crosses(z - 4, z + 4)
                if free and self._claim(x, z, 0.9, 2.2):
                    self._stand(x, z, vehicles.car, self._heading(x, z))
        for _ in range(int(p.rng.poisson(p.style.traffic))):
            if self.layout.crossing is not None and p.chance(0.3):
                (z0, z1), turn = self.layout.crossing, self._turn()
                x, z = p.uniform((-14, 14)), (z0 + z1) / 2 - turn * (z1 - z0) / 4
                heading, half = turn * np.pi / 2, (2.3, 1.0)
            else:
                x, z = self._lane(), self._depth(6, 70)
                heading, half = self._heading(x, z), (1.0, 2.3)
            if self._claim(x, z, *half):
                self._stand(x, z, vehicles.car, heading)

    def _place_rows(self) -> None:
        """Lamp posts and trees at regular distances."""
        p, layout = self.p, self.layout
        for side in layout.sides:
            if p.chance(0.6):
                for z in np.arange(p.uniform((4, 20)), 110, p.uniform((16, 28))).tolist():
                    if not layout.crosses(z - 1, z + 1):
                        self._stand(side.sign * (side.verge + 0.4), z, furniture.lamp_post, -side.sign)
            if p.chance(p.style.street_trees):
                x = (side.road + side.verge) / 2 if side.verge > side.road else side.verge + 0.7
                for z in np.arange(p.uniform((6, 14)), 110, p.uniform((7, 13))).tolist():
                    if not layout.crosses(z - 2, z + 2):
                        self._stand(side.sign * x, z, plants.tree, p.uniform((4.5, 9)))

    def _place_furniture(self, guests: frozenset[str]) -> None:
        p, layout = self.p, self.layout
        things = (furniture.traffic_sign, furniture.bollard, furniture.bin_or_box, furniture.bollard)
        for side in layout.sides:
            for _ in range(int(p.rng.poisson(p.style.street_furniture))):
                thing, z = things[int(p.rng.integers(len(things)))], self._depth(6, 50)
                if not layout.crosses(z - 1, z + 1):
                    self._stand(side.sign * (side.verge + p.uniform((0.3, 1.2))), z, thing)
        if "traffic sign" in guests:
            for _ in range(int(p.rng.integers(1, 4))):
                side = layout.sides[self._side()]
                thing = furniture.direction_board if p.chance(0.3) else furniture.traffic_sign
                x = side.sign * (side.verge + 0.6)
                self._stand(x, self._depth(8, 22, x), thing)
        if "traffic light" in guests:
            stop = self._depth(7, 15)
            if layout.crossing is not None and layout.crossing[0] < 20:
                stop = layout.crossing[0] - 1
            for side in layout.sides:
                x = side.sign * (side.verge + 0.5)
                self._stand(x, max(stop, 1.1 * p.camera.enters(x)), furniture.traffic_light, -side.sign)

    def _place_people(self, guests: frozenset[str]) -> None:
        p = self.p
        ranges = [(5.0, 45.0)] * int(p.rng.poisson(p.style.pedestrians))
        if "person" in guests:
            ranges += [(5.0, 13.0)] * int(p.rng.integers(1, 4))
        for bounds in ranges:
            side = self.layout.sides[self._side()]
            x = side.sign * p.uniform((side.verge + 0.4, side.sidewalk - 0.3))
            if p.chance(0.12):
                x = p.uniform((-side.road, side.road))  # crosses the road
            z = self._depth(*bounds, x)
            if abs(x) < side.road and not self._claim(x, z, 0.4, 0.4):
                continue
            for k in range(2 if p.chance(0.25) else 1):
                self._stand(x + 0.6 * k, z + 0.1 * k, people.person)
