"""What the predict command does: label maps and overlays of images, and the files for a test server."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from detectron2.config import CfgNode

from benchmarks.cli.progress import Progress
from benchmarks.config.label_space import label_space
from benchmarks.core.errors import ConfigError
from benchmarks.data import from_config as data
from benchmarks.evaluation.inference import upsampled_classes
from benchmarks.trained.image_files import output_names
from benchmarks.trained.opened_run import Predictor
from benchmarks.trained.pictures import label_map, overlay, save_png
from benchmarks.trained.server_files import check_names, write_server_files
from datasets.base.framing import fitted
from datasets.batches.augmentation import resizing
from datasets.files.picture_file import MAX_PIXELS
from datasets.files.reading import read_image

SMALLEST = 64
"""Pixels along a side that every network takes; kernels of some do not fit the coarsest feature of less."""


def predict_images(
    predictor: Predictor, cfg: CfgNode, images: Sequence[Path], output: Path, max_pixels: int = MAX_PIXELS
) -> None:
    """Write a label map and an overlay of each image, at its own size and as a viewer shows it, below ``output``.

    Raises:
        ConfigError or DataError: an image that cannot be read or is of a size that the network does not take, or a
            picture that cannot be written, or of more than ``max_pixels`` pixels.
    """
    colours, names = label_space(cfg).colours, output_names(images)
    with Progress("predicting", len(images), "images") as progress:
        for path, name in zip(images, names, strict=True):
            image = read_image(path, max_pixels)
            train_ids = _classes(predictor, image, tuple(cfg.TEST.RESIZE), path)
            save_png(label_map(train_ids, colours), output / "labels" / f"{name}.png")
            save_png(overlay(image, train_ids, colours), output / "overlays" / f"{name}.png")
            progress.advance()
    print(f"{len(images)} predicted: {output / 'labels'} (palette PNGs, values are train ids), {output / 'overlays'}")


def predict_split(predictor: Predictor, cfg: CfgNode, split: str, output: Path) -> None:
    """Write what the test server of the target takes of a split into ``output``.

    Raises:
        ConfigError or DataError: a split or an image that is not there, a size that the network does not take, or a
            file that cannot be written.
    """
    items = data.test_set(cfg, split)
    names = [Path(item["relative"]).name for item in items]
    check_names(names)
    with Progress(f"predicting {split}", len(items), "images") as progress:
        for item, name in zip(items, names, strict=True):
            image = read_image(item["file_name"])
            # Exactly the protocol's size, as in an evaluation.
            logits = predictor(resized(image, tuple(cfg.TEST.RESIZE)), (image.shape[0], image.shape[1]))
            write_server_files(logits, name, cfg.DATA.VAL.LAYOUT, output)
            progress.advance()
    print(f"{len(items)} images of {split} predicted; the server takes the contents of {output} in one zip")


def input_size(resize: tuple[int, ...], width: int, height: int) -> tuple[int, ...]:
    """The (width, height) that an image of any size is brought to; () for as it is.

    An image of the protocol's aspect is brought to TEST.RESIZE, as in an evaluation. Another keeps its aspect and gets
    as many pixels: objects are then about as large as the network knows them. The published sizes agree: MIC tests
    2048 x 1024 (Cityscapes) at 1024 x 512 and 1920 x 1080 (ACDC, Dark Zurich) at 960 x 540; here the former makes the
    latter 965 x 543.
    """
    if not resize or fitted(width, height, resize[0], resize[1]) == resize:
        return resize
    scale = (resize[0] * resize[1] / (width * height)) ** 0.5
    return max(1, round(width * scale)), max(1, round(height * scale))


def _classes(predictor: Predictor, image: np.ndarray, resize: tuple[int, ...], path: Path) -> np.ndarray:
    """Train ids, uint8 (H, W); where the network's input is too small, its borders are repeated for it."""
    pixels = resized(image, input_size(resize, image.shape[1], image.shape[0]))
    own, (height, width) = (image.shape[0], image.shape[1]), pixels.shape[1:]
    if predictor.windows is None and height * width > MAX_PIXELS:
        raise ConfigError(f"{path}: {width}x{height} pixels are too many at once, expected --window, as 1024x1024")
    try:
        if min(height, width) >= SMALLEST:
            return predictor.classes(pixels, own).cpu().numpy()
        borders = ((0, 0), (0, max(0, SMALLEST - height)), (0, max(0, SMALLEST - width)))
        padded = torch.from_numpy(np.pad(pixels.numpy(), borders, mode="edge"))
        logits = predictor(padded, (padded.shape[1], padded.shape[2]))[:, :height, :width]
        return upsampled_classes(logits, own).cpu().numpy()
    except ConfigError as error:
        if predictor.windows is not None:
            raise
        raise ConfigError(f"{error}; --window, as 1024x1024, predicts it in parts") from error


def resized(image: np.ndarray, size: tuple[int, ...]) -> torch.Tensor:
    """Image uint8 (H, W, 3) -> uint8 (3, h, w), resized as an evaluation does; ``size`` is (width, height) or ().

    Without a size it is a view: a very large image is there once.
    """
    if size:
        image = np.array(resizing(image.shape[1], image.shape[0], size[0], size[1]).apply_image(image))
    return torch.from_numpy(image).permute(2, 0, 1)
