"""The files that the test servers of the target data sets take.

- Cityscapes (its evaluation script, evalPixelLevelSemanticLabeling.py): a PNG an image, at the image's size, whose
  values are label ids, not train ids; found by the city, sequence and frame that its name begins with.
- ACDC (the rules of its server as quoted by DTBS, and MIC's and VBLC's public instructions): a PNG an image, at the
  image's size, 1920 x 1080, whose values are *train ids*, under the image's name.
- Dark Zurich (its challenge on uncertainty-aware evaluation, as the public code of SePiCo and CIConv writes it): three
  folders, all needed, each with a PNG an image. labelTrainIds: train ids. labelTrainIds_invalid: the same with 255
  where a method declares a pixel invalid. confidence: 16 bits, 0..65535 for a confidence of 0..1.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from cityscapesscripts.helpers.labels import trainId2label
from PIL import Image
from torch import Tensor

from benchmarks.core.errors import ConfigError
from benchmarks.trained.pictures import save_png

LABEL_IDS = np.array([trainId2label[train_id].id for train_id in range(19)], np.uint8)
"""Cityscapes' label id of each train id."""

_CONFIDENCE_STEPS = 65535


def write_server_files(logits: Tensor, name: str, layout: str, folder: Path) -> None:
    """Write what the server of ``layout`` wants of one image.

    Args:
        logits: (K, H, W) at the image's own size.
        name: the image's file name.
        layout: of the target data set; one without a server of its own gets train ids.
        folder: that is to be zipped and handed in.

    Raises:
        ConfigError: a file that cannot be written.
    """
    train_ids = logits.argmax(dim=0).to(torch.uint8).cpu().numpy()
    file = Path(name).with_suffix(".png").name
    if layout == "cityscapes":
        save_png(Image.fromarray(LABEL_IDS[train_ids]), folder / file)
    elif layout == "dark-zurich":
        # No pixel is declared invalid: none of the methods here learns to, and the score is then that of labelTrainIds.
        for part in ("labelTrainIds", "labelTrainIds_invalid"):
            save_png(Image.fromarray(train_ids), folder / part / file)
        confidence = (logits.softmax(dim=0).amax(dim=0) * _CONFIDENCE_STEPS).round().cpu().numpy()
        save_png(Image.fromarray(confidence.astype(np.uint16)), folder / "confidence" / file)
    else:
        save_png(Image.fromarray(train_ids), folder / file)


def check_names(names: Sequence[str]) -> None:
    """Raise ConfigError if two images have one name: servers tell images apart by it."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ConfigError(f"two images are called {name}, expected names that tell them apart")
        seen.add(name)
