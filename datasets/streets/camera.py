"""A pinhole camera above a flat ground plane: from metres to pixels.

World axes: x to the right of the road's centre line, y up from the ground, z ahead of the camera, all in metres.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from datasets.streets.canvas import FAR

NEAR = 1.0  # metres; nothing nearer is drawn


@dataclass(frozen=True)
class Camera:
    """The place that a picture is taken from.

    width, height: canvas size in pixels. focal: in pixels. vanish, horizon: vanishing point of the road, in pixels.
    elevation: of the lens above the ground, x: right of the road's centre line, both in metres.
    bend: curvature of the road in 1/m, positive to the right.
    """

    width: int
    height: int
    focal: float
    vanish: float
    horizon: float
    elevation: float
    x: float
    bend: float

    def reduced(self, factor: int) -> "Camera":
        """The camera of a canvas at 1/factor of the size."""
        pixels = {name: getattr(self, name) / factor for name in ("focal", "vanish", "horizon")}
        return replace(self, width=self.width // factor, height=self.height // factor, **pixels)

    def project(self, points: Iterable[tuple[float, float, float]]) -> list[tuple[float, float]]:
        """Pixels (x, y) of world points (x, y, z)."""
        pixels = []
        for x, y, z in points:
            scale = self.focal / (z if z > NEAR else NEAR)
            pixels.append(((x - self.x) * scale + self.vanish, self.horizon - (y - self.elevation) * scale))
        return pixels

    def scale(self, z: float) -> float:
        """Pixels a metre at depth `z`."""
        return self.focal / max(z, NEAR)

    def road_x(self, x: float, z: float) -> float:
        """World x of a place `x` metres right of the centre line of the (bending) road at depth `z`."""
        return x + 0.5 * self.bend * z * z

    def enters(self, x: float) -> float:
        """Depth in metres beyond which a place x metres right of a straight road's centre line is in the picture."""
        room = self.width - self.vanish if x > self.x else self.vanish
        return self.focal * abs(x - self.x) / max(room, 1.0)

    def ground_depth(self) -> npt.NDArray[np.float32]:
        """Depth in metres (H, 1) at which each pixel row meets the ground; `FAR` at and above the horizon."""
        below = np.arange(self.height) - self.horizon
        depth = self.focal * self.elevation / np.maximum(below, 1e-6)
        return np.where(below > 0, np.minimum(depth, FAR), FAR).astype(np.float32)[:, None]
