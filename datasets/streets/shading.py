"""From a canvas to a photograph: texture, light, haze, lens and sensor of a style."""

from functools import lru_cache
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from datasets.streets.camera import Camera
from datasets.streets.canvas import FAR, MATERIAL_IDS, MATERIALS, Canvas
from datasets.streets.style import Style

Picture = npt.NDArray[Any]  # float32

# How strongly each material's brightness varies where `Style.texture` is 1
_GRAIN = {
    "plain": 0.04, "sky": 0.0, "asphalt": 0.15, "paving": 0.14, "plaster": 0.12, "brick": 0.14, "roof": 0.18,
    "wood": 0.2, "metal": 0.07, "foliage": 0.42, "grass": 0.3, "cloth": 0.14,
}  # fmt: skip
_FLAT = ("asphalt", "paving", "grass")  # materials of the ground: their texture lies flat
_WAVES = (0.12, 0.45, 1.8)  # metres a noise cell
_STAIN_WAVE = 5.0  # metres


def shade(
    canvas: Canvas, camera: Camera, style: Style, rng: np.random.Generator
) -> npt.NDArray[np.uint8]:
    """The picture of a canvas, uint8 RGB (H, W, 3)."""

    def draw(bounds: tuple[float, float]) -> float:
        return float(rng.uniform(*bounds))

    picture = canvas.colour.astype(np.float32) / 255
    picture *= _texture(canvas, camera, style, draw(style.texture), rng)
    if style.uneven > 0:
        picture *= _uneven_light(canvas, style.uneven, rng)
    picture = _haze(picture, canvas, style, draw(style.haze))
    gains = np.exp(style.cast * rng.normal(size=3)) * draw(style.exposure)
    picture = (0.45 + (picture - 0.45) * np.float32(draw(style.contrast))) * gains.astype(np.float32)
    grey = picture.mean(axis=2, keepdims=True)
    picture = grey + (picture - grey) * np.float32(draw(style.saturation))
    if style.streaks[1] > 0:
        picture = _rain(picture, draw(style.streaks), rng)
    return _photograph(picture, draw(style.blur), draw(style.vignette), draw(style.noise), rng)


def _rain(picture: Picture, streaks: float, rng: np.random.Generator) -> Picture:
    """The picture behind falling drops: short bright lines, all slanted alike by the wind."""
    height, width = picture.shape[:2]
    drops, slant = rng.poisson(streaks * height * width / 10_000), rng.normal(0, 0.15)
    veil = np.zeros((height, width), np.float32)
    for x, y, length, light in rng.random((drops, 4)):
        fall = (0.03 + 0.07 * length) * height
        ends = np.rint([x * width, y * height, x * width + slant * fall, y * height + fall]).astype(int).tolist()
        cv2.line(veil, ends[:2], ends[2:], 0.15 + 0.3 * light, 1, cv2.LINE_AA)
    return picture + veil[..., None] * (np.float32(0.85) - picture)


def _photograph(
    picture: Picture, blur: float, vignette: float, noise: float, rng: np.random.Generator
) -> npt.NDArray[np.uint8]:
    height, width = picture.shape[:2]
    if blur > 0:
        picture = cv2.GaussianBlur(picture, (0, 0), blur * width / 1000)
    if vignette > 0:
        across = np.linspace(-1, 1, width, dtype=np.float32)[None, :, None]
        down = np.linspace(-1, 1, height, dtype=np.float32)[:, None, None]
        picture = picture * (1 - vignette * ((across**2 + down**2) / 2) ** 1.5)
    grain = rng.standard_normal((height, width, 1), np.float32) * 0.8
    grain = grain + rng.standard_normal((height, width, 3), np.float32) * 0.6
    light = 0.5 + 0.5 * np.sqrt(np.clip(picture, 0, 1))  # shot noise grows with the light
    picture = picture * 255 + noise * grain * light
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)


@lru_cache(maxsize=1)
def _noise_tile() -> Picture:
    """Smooth noise (256, 256) that repeats without a seam, mean 0, standard deviation 1; the same in every process."""
    white = np.random.default_rng(19).standard_normal((256, 256))
    frequency = np.hypot(np.fft.fftfreq(256)[:, None], np.fft.fftfreq(256)[None])
    smooth = np.fft.ifft2(np.fft.fft2(white) * np.exp(-((frequency / 0.22) ** 2))).real
    return ((smooth - smooth.mean()) / smooth.std()).astype(np.float32)


def _world(canvas: Canvas, camera: Camera) -> tuple[Picture, Picture, npt.NDArray[np.bool_]]:
    """Metres across and metres up (or, on the ground, ahead) of every pixel, and which pixels are ground."""
    flat = np.isin(canvas.material, [MATERIAL_IDS[name] for name in _FLAT])
    columns = (np.arange(canvas.width, dtype=np.float32) - np.float32(camera.vanish))[None]
    rows = (np.float32(camera.horizon) - np.arange(canvas.height, dtype=np.float32))[:, None]
    metres = canvas.depth / np.float32(camera.focal)
    return columns * metres, np.where(flat, canvas.depth, rows * metres), flat


def _noise(across: Picture, along: Picture, wave: float, rng: np.random.Generator) -> Picture:
    shift = rng.uniform(0, 256, 2).astype(np.float32)
    cells = across * np.float32(1 / wave) + shift[0], along * np.float32(1 / wave) + shift[1]
    return cv2.remap(_noise_tile(), *cells, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)


def _texture(canvas: Canvas, camera: Camera, style: Style, strength: float, rng: np.random.Generator) -> Picture:
    """A factor (H, W, 3) on the colours. What would be finer than the pixels fades with distance."""
    across, along, flat = _world(canvas, camera)
    pixels = np.float32(camera.focal) / canvas.depth  # a metre, in pixels
    pixels = np.where(flat, pixels * np.clip(pixels * np.float32(camera.elevation / camera.focal), 0.1, 1), pixels)
    grain = np.zeros_like(across)
    for wave in _WAVES:
        grain += _noise(across, along, wave, rng) * np.clip(pixels * wave / 1.5, 0, 1)
    amount = np.array([_GRAIN[name] for name in MATERIALS], np.float32)[canvas.material] * np.float32(strength)
    factor = 1 + amount * (grain * np.float32(0.6) - _joints(canvas, across, along, pixels))
    factor = np.clip(factor, 0.25, 2)[..., None]
    if style.stains > 0:
        solid = (canvas.depth < FAR).astype(np.float32)
        dirt = [_noise(across, along, _STAIN_WAVE, rng) for _ in range(3)]
        shared = dirt[0][..., None] * np.float32(0.14) + np.stack(dirt, axis=2) * np.float32(0.05)
        factor = factor * (1 + style.stains * shared * solid[..., None])
    return factor


def _joints(canvas: Canvas, across: Picture, along: Picture, pixels: Picture) -> Picture:
    """1 on the joints between bricks and between paving slabs, 0 elsewhere, faded where they are too fine to see."""
    result = np.zeros_like(across)
    for name, step, both in (("brick", 0.3, False), ("paving", 0.9, True)):
        line = (along % step) < 0.2 * step
        if both:
            line |= (across % step) < 0.1 * step
        hit = line & (canvas.material == MATERIAL_IDS[name])
        result[hit] = 1.8 * np.clip(pixels[hit] * step / 3, 0, 1)
    return result


def _uneven_light(canvas: Canvas, strength: float, rng: np.random.Generator) -> Picture:
    coarse = rng.standard_normal((4, 6)).astype(np.float32)
    field = cv2.resize(coarse, (canvas.width, canvas.height), interpolation=cv2.INTER_CUBIC)
    return np.exp(np.float32(strength) * 0.6 * field)[..., None]


def _haze(picture: Picture, canvas: Canvas, style: Style, density: float) -> Picture:
    """Koschmieder's law: z metres of air let exp(-density z) of a colour through, the rest is airlight."""
    depth = np.where(canvas.depth >= FAR, np.float32(60), canvas.depth)  # the sky keeps most of its own colour
    through = np.exp(-np.float32(density) * depth)[..., None]
    air = np.asarray(style.palette["sky low"][0], np.float32) / 255
    return picture * through + air * (1 - through)
