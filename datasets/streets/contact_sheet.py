"""A contact sheet of a drawn data set: rows with names, and a legend of the classes."""

import textwrap
from pathlib import Path

import numpy as np
from cityscapesscripts.helpers.labels import labels as cityscapes_labels
from PIL import Image, ImageDraw, ImageFont

from datasets.base.errors import DataError

COLUMNS = 4
GAP = 4  # pixels between the pictures
HEAD = 64  # pixels left of the pictures, for the rows' names
ROWS = ("source\nimages", "source\nlabels", "target\nimages", "target\nlabels")
VOID = (
    "void: in none of the 19 classes, neither learned nor scored (parking, rails, bins, licence plates of the source, "
    "and the own car and the frame of the target's images)"
)
_CONSIDERED = 60  # labels of a domain that are looked at
_CLASSES = [label for label in cityscapes_labels if label.trainId in range(19)]
_FONT, _LETTER, _SWATCH, _LINE, _ENTRY = 13, 7, 12, 20, 125  # pixels


def write_sheet(file: Path, root: Path) -> None:
    """Writes a picture of the data set in `root`: a row of source images, of their labels, of target images, of theirs.

    Of the first labels of each domain, those with the most classes are shown. Below is a legend of the 19 classes and
    of void, which all other labels are drawn as. Raises DataError if `root` holds no data set with enough images, or if
    `file` cannot be written.
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
    try:
        _sheet(rows).save(file, format="PNG", optimize=True)
    except OSError as error:
        raise DataError(f"{file}: cannot be written: {error.strerror or error}") from error


def _sheet(rows: list[list[np.ndarray]]) -> Image.Image:
    """The rows of pictures, uint8 (H, W, 3), with their names at the left and the legend below."""
    height, width, _ = rows[0][0].shape
    across, down = HEAD + COLUMNS * (width + GAP) - GAP, len(rows) * (height + GAP)
    entries = max(1, (across - HEAD) // _ENTRY)  # in a line of the legend
    lines, void = -(-len(_CLASSES) // entries), textwrap.wrap(VOID, (across - HEAD - _LINE) // _LETTER)
    sheet = Image.new("RGB", (across, down + (lines + len(void)) * _LINE + GAP), "white")
    pen, font = ImageDraw.Draw(sheet), _font()
    for y, row in enumerate(rows):
        top = y * (height + GAP)
        pen.text((HEAD - 6, top + height / 2), ROWS[y], "black", font, anchor="rm", align="right")
        for x, picture in enumerate(row):
            sheet.paste(Image.fromarray(picture), (HEAD + x * (width + GAP), top))
    for index, label in enumerate(_CLASSES):
        y, x = divmod(index, entries)
        _entry(pen, font, (HEAD + x * _ENTRY, down + GAP + y * _LINE), label.color, label.name)
    for index, text in enumerate(void):
        _entry(pen, font, (HEAD, down + GAP + (lines + index) * _LINE), (255, 255, 255) if index else (0, 0, 0), text)
    return sheet


def _entry(
    pen: ImageDraw.ImageDraw, font: ImageFont.FreeTypeFont, at: tuple[int, int], colour: tuple[int, int, int], text: str
) -> None:
    left, top = at
    pen.rectangle((left, top, left + _SWATCH, top + _SWATCH), colour)
    pen.text((left + _SWATCH + 5, top + _SWATCH / 2), text, "black", font, anchor="lm")


def _font() -> ImageFont.FreeTypeFont:
    """The one that Matplotlib brings along: the same everywhere."""
    import matplotlib  # here: drawing a data set does not wait for it

    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans.ttf"), _FONT)


def _ids(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


def _image_of(label: Path) -> Path:
    if label.parent.name == "labels":
        return label.parent.parent / "images" / label.name
    name = label.name.replace("_gtFine_labelIds", "_leftImg8bit")
    return label.parents[3] / "leftImg8bit" / label.parents[1].name / label.parent.name / name


def _colours(ids: np.ndarray) -> np.ndarray:
    """Cityscapes' colours of label ids, uint8 (H, W, 3); black where they are of no class."""
    table = np.zeros((256, 3), np.uint8)
    for label in _CLASSES:
        table[label.id] = label.color
    return table[ids]
