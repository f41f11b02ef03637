"""Labels as SYNTHIA stores them: 16 bits in three channels, the class in red."""

from pathlib import Path

import cv2
import numpy as np

from datasets.classes.label_space import CITYSCAPES
from datasets.classes.labels import IGNORE, SYNTHIA_IDS
from datasets.classes.labels import LABEL_IDS as STORED

_VOID = 0


def write_label(path: Path, label: np.ndarray) -> None:
    """Writes label ids of Cityscapes, uint8 (H, W), as ids of SYNTHIA: of its 16 classes, all else is void.

    Raises OSError where the file cannot be written.
    """
    pixels = np.zeros((*label.shape, 3), np.uint16)
    pixels[:, :, 2] = _TABLE[label]  # OpenCV has blue first
    written, encoded = cv2.imencode(".png", pixels)
    assert written
    path.write_bytes(encoded.tobytes())


def _table() -> np.ndarray:
    """Label id of Cityscapes -> id of SYNTHIA."""
    of_class = {train_id: stored for stored, train_id in SYNTHIA_IDS.train_ids if train_id != IGNORE}
    labelled = set(CITYSCAPES.class_sets[16])
    return np.array([of_class[t] if t in labelled else _VOID for t in STORED.table.tolist()], np.uint16)


_TABLE = _table()
