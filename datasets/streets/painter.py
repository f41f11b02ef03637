"""Painting of world shapes: a camera, a canvas, the light and the draws of one scene."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from datasets.streets.camera import Camera
from datasets.streets.canvas import Canvas, Colour, Points
from datasets.streets.style import Range, Style

_ANGLES = np.linspace(0.0, 2 * np.pi, 20, endpoint=False)
_CIRCLE = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], axis=1)
Place = tuple[float, float, float]


def unit_circle(angles: npt.NDArray[np.float64]) -> list[tuple[float, float]]:
    """Cosine and sine of each of some angles in radians."""
    return [(float(np.cos(angle)), float(np.sin(angle))) for angle in angles]


class Painter:
    """What every drawing function gets: it paints shapes given in metres, lit and in the style's colours."""

    def __init__(self, camera: Camera, canvas: Canvas, style: Style, rng: np.random.Generator) -> None:
        self.camera, self.canvas, self.style, self.rng = camera, canvas, style, rng
        azimuth = self.uniform(style.sun_azimuth)
        self.sun = np.array([np.sin(azimuth) * 0.75, 0.6, -np.cos(azimuth) * 0.75])  # towards the sun

    # Draws ---------------------------------------------------------------------------------------------------------
    def uniform(self, bounds: Range) -> float:
        """A number between two bounds."""
        low, high = bounds
        return low + (high - low) * self.rng.random()  # what rng.uniform draws, in a third of its time

    def chance(self, probability: float) -> bool:
        """True with a probability."""
        return bool(self.rng.random() < probability)

    def pick(self, surface: str) -> Colour:
        """A colour of the style's palette for `surface`, jittered in lightness and a little in hue."""
        base = self.style.palette[surface][self.rng.integers(len(self.style.palette[surface]))]
        jitter = self.style.colour_jitter
        lightness = 1 + jitter * self.rng.standard_normal()
        hues = self.rng.standard_normal(3).tolist()
        red, green, blue = (
            min(255.0, max(4.0, value * lightness + 60 * jitter * hue)) for value, hue in zip(base, hues, strict=True)
        )
        return red, green, blue

    # Light ---------------------------------------------------------------------------------------------------------
    def lit(self, colour: Colour, normal: Place) -> Colour:
        """`colour` of a face with the outward unit `normal`."""
        facing = float(np.dot(self.sun, normal))
        factor = 1 + self.style.relief * (0.55 * facing if facing > 0 else 0.45 * facing)
        red, green, blue = (min(255.0, value * factor) for value in colour)
        return red, green, blue

    # Shapes --------------------------------------------------------------------------------------------------------
    def face(
        self, corners: Sequence[Place], label: str | None, colour: Colour | None, material: str = "plain"
    ) -> None:
        """A polygon of world points (x, y, z), at the mean depth of its corners."""
        depth = _total([z for _, _, z in corners]) / len(corners)
        self.canvas.fill(self.camera.project(corners), label, colour, material, depth)

    def ground(
        self, corners: Sequence[tuple[float, float]], label: str | None, colour: Colour, material: str
    ) -> None:
        """A polygon of (x, z) points on the ground; the ground's own depth stays."""
        world = [(x, 0.0, z) for x, z in corners]
        self.canvas.fill(self.camera.project(world), label, colour, material, None)

    def shadow(self, *patches: Sequence[tuple[float, float]], alpha: float | None = None) -> None:
        """Darkens (x, z) polygons on the ground, by default as much as the style's cast shadows."""
        outlines = [self.camera.project([(x, 0.0, z) for x, z in patch]) for patch in patches]
        self.canvas.tint(outlines, (8, 8, 14), self.style.shadow if alpha is None else alpha)

    def bar(
        self, start: Place, end: Place, width: float, label: str | None, colour: Colour, material: str = "plain",
        least: float = 0.0,
    ) -> None:  # fmt: skip
        """A straight bar `width` metres thick, at least `least` pixels of the canvas."""
        (x0, y0), (x1, y1) = self.camera.project([start, end])
        near, far = (max(width * self.camera.scale(z), least) / 2 for z in (start[2], end[2]))
        right, down = x1 - x0, y1 - y0
        length = float(np.hypot(right, down)) or 1.0
        right, down = right / length, down / length
        quad = [
            (x0 - down * near, y0 + right * near), (x1 - down * far, y1 + right * far),
            (x1 + down * far, y1 - right * far), (x0 + down * near, y0 - right * near),
        ]  # fmt: skip
        self.canvas.fill(quad, label, colour, material, (start[2] + end[2]) / 2)

    def limb(self, joints: Sequence[Place], width: float, label: str, colour: Colour, material: str = "cloth") -> None:
        """A chain of bars with round joints."""
        for start, end in pairwise(joints):
            self.bar(start, end, width, label, colour, material, least=1.6)
        for joint in joints:
            self.disc(joint, width / 2, label, colour, material)

    def disc(
        self, centre: Place, radius: float, label: str | None, colour: Colour | None, material: str = "plain",
        squash: float = 1.0, rough: float = 0.0,
    ) -> None:  # fmt: skip
        """A round shape that faces the camera; `squash` scales its height, `rough` (0..1) makes its outline uneven."""
        self.canvas.fill(self.outline(centre, radius, squash, rough), label, colour, material, centre[2])

    def outline(self, centre: Place, radius: float, squash: float, rough: float) -> Points:
        """Pixels (20, 2) of the outline that `disc` fills."""
        reach = radius * self.camera.scale(centre[2])
        circle = _CIRCLE * np.array((reach, squash * reach))
        if rough > 0:
            circle *= 1 + rough * (2 * self.rng.random((len(circle), 1)) - 1)
        circle += np.array(self.camera.project([centre]))
        return circle

    def panel(
        self, centre: Place, width: float, height: float, label: str, colour: Colour, material: str = "plain"
    ) -> None:
        """An upright rectangle that faces the camera."""
        x, y, z = centre
        x0, x1, y0, y1 = x - width / 2, x + width / 2, y - height / 2, y + height / 2
        self.face([(x0, y0, z), (x1, y0, z), (x1, y1, z), (x0, y1, z)], label, colour, material)


def _total(values: list[float]) -> float:
    """The sum, added as numpy adds, so that pictures keep their bytes; Python's own differs between its versions."""
    if len(values) >= 8:  # numpy adds in pairs
        return float(np.array(values).sum())
    total = 0.0
    for value in values:
        total += value
    return total
