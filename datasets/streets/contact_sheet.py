"""A contact sheet of a drawn data set."""

from pathlib import Path

import numpy as np
from cityscapesscripts.helpers.labels import id2label
from PIL import Image

from datasets.errors import DataError

COLUMNS = 4
_GAP = 4  # pixels between the pictures
_CONSIDERED = 60  # labels of a domain that are looked at


def write_sheet(file: Path, root: Path) -> None:
    """Writes a picture of the data set in `root`: a row of source images, of their labels, of target images, of theirs.

    Of the first labels of each domain, those with the most classes are shown. Raises DataError if `root` holds no data
    set with enough images, or if `file` cannot be written.
    """
    source = sorted((root / "gta/labels").glob("*.png"))
    target = sorted((root / "cityscapes/gtFine/train").glob("*/*_gtFine_labelIds.png"))
    rows = []
    for labels in (source, target):
        if len(labels) < COLUMNS:
            raise DataError(f"{root}: holds {len(labels)} images of a domain, expected {COLUMNS} or more")
        step = max(1, len(labels) // _CONSIDERED)
        chosen = sorted(labels[::step], key=lambda path: -len(np.unique(_ids(path))))[:COLUMNS]
        rows.append([np.asarray(Image.open(_image_of(path)).convert("RGB")) for path in chosen])
        rows.append([_colours(_ids(path)) for path in chosen])
    height, width, _ = rows[0][0].shape
    sheet = np.full((4 * height + 3 * _GAP, COLUMNS * width + (COLUMNS - 1) * _GAP, 3), 255, np.uint8)
    for y, row in enumerate(rows):
        for x, picture in enumerate(row):
            top, left = y * (height + _GAP), x * (width + _GAP)
            sheet[top : top + height, left : left + width] = picture
    try:
        Image.fromarray(sheet).save(file, format="PNG", optimize=True)
    except OSError as error:
        raise DataError(f"{file}: cannot be written: {error.strerror or error}") from error


def _ids(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


def _image_of(label: Path) -> Path:
    if label.parent.name == "labels":
        return label.parent.parent / "images" / label.name
    name = label.name.replace("_gtFine_labelIds", "_leftImg8bit")
    return label.parents[3] / "leftImg8bit" / label.parents[1].name / label.parent.name / name


def _colours(ids: np.ndarray) -> np.ndarray:
    """Cityscapes' colours of label ids, uint8 (H, W, 3)."""
    table = np.zeros((256, 3), np.uint8)
    for number, label in id2label.items():
        table[number % 256] = label.color
    table[34] = id2label[-1].color  # a licence plate in GTA's numbering
    return table[ids]
