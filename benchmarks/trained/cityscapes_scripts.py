"""The scores that cityscapesscripts' own evaluation gives: an independent check of ours, on files."""

from __future__ import annotations

import contextlib
import copy
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.core.errors import ConfigError
from benchmarks.trained.pictures import save_png
from benchmarks.trained.server_files import LABEL_IDS
from datasets.classes import labels
from datasets.classes.label_space import CITYSCAPES

_UNLABELLED = 0  # a label id that the evaluation ignores


class LabelIdFiles:
    """Predictions and labels as files of Cityscapes' label ids, in a folder."""

    def __init__(self, folder: Path) -> None:
        """Write to ``folder``, which is made where it does not exist."""
        self._folder = folder
        self.pairs: list[tuple[Path, Path]] = []

    def add(self, item: dict[str, Any], train_ids: np.ndarray, label: np.ndarray) -> None:
        """Write one prediction, uint8 (H, W), train ids.

        ``item`` is the image in detectron2's form. Its label's own file is used where it stores label ids; else
        ``label``, train ids or 255, is written beside the prediction.
        """
        stem = f"{len(self.pairs):06d}"
        prediction = self._folder / f"{stem}_prediction.png"
        save_png(Image.fromarray(LABEL_IDS[train_ids]), prediction)
        truth = Path(item["sem_seg_file_name"])
        if item["label_encoding"] != labels.LABEL_IDS:
            truth = self._folder / f"{stem}_label.png"
            table = np.full(256, _UNLABELLED, np.uint8)
            table[: len(LABEL_IDS)] = LABEL_IDS
            save_png(Image.fromarray(table[label]), truth)
        self.pairs.append((prediction, truth))


def official_iou(pairs: Sequence[tuple[Path, Path]]) -> dict[str, float]:
    """IoU of each class in percent by cityscapesscripts, of (prediction, label) files; NaN for a class that is nowhere.

    Raises:
        ConfigError: cityscapesscripts does not take the files.
    """
    from cityscapesscripts.evaluation import evalPixelLevelSemanticLabeling as evaluation

    settings = copy.copy(evaluation.args)
    settings.evalInstLevelScore, settings.JSONOutput, settings.quiet = False, False, True
    predictions, labels = ([str(path) for path in paths] for paths in zip(*pairs, strict=True))
    told = io.StringIO()
    try:
        with contextlib.redirect_stdout(told):
            scores = evaluation.evaluateImgLists(predictions, labels, settings)["classScores"]
    except SystemExit:  # how it ends on files that it does not take, with a line printed
        raise ConfigError(f"cityscapesscripts: {told.getvalue().strip().removeprefix('ERROR: ')}") from None
    return {name: 100 * float(scores[name]) for name in CITYSCAPES.names}
