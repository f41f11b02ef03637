"""Registers drawn street scenes with detectron2, as a user registers data: registered.yaml imports this file.

The images are those of folders.yaml, in data/ beside this file; labels are converted once, to data/merged/.
"""

from pathlib import Path

import numpy as np
from detectron2.data import DatasetCatalog, MetadataCatalog
from PIL import Image

DATA = Path(__file__).parent / "data"
CLASSES = {
    "ground": (7, 8),
    "structure": (11, 12, 13, 17, 19, 20),
    "nature": (21, 22),
    "sky": (23,),
    "traffic": (24, 25, 26, 27, 28, 31, 32, 33),
}


def merged(label: Path) -> Path:
    """The label with ids 0 to 4, the places in CLASSES, and 255 where it is none of them."""
    path = DATA / "merged" / label.name
    if not path.exists():
        table = np.full(256, 255, np.uint8)
        for index, ids in enumerate(CLASSES.values()):
            table[list(ids)] = index
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(table[np.array(Image.open(label))]).save(path)
    return path


def game() -> list[dict]:
    """Labelled source images."""
    images = sorted((DATA / "gta/images").glob("*.png"))
    labels = [merged(DATA / "gta/labels" / image.name) for image in images]
    return [
        {"file_name": str(image), "sem_seg_file_name": str(label)} for image, label in zip(images, labels, strict=True)
    ]


def camera(split: str) -> list[dict]:
    """Target images; those for training need no label."""
    items = []
    for image in sorted((DATA / "cityscapes/leftImg8bit" / split).glob("*/*.png")):
        item = {"file_name": str(image)}
        if split == "val":
            stem = image.name.removesuffix("_leftImg8bit.png")
            label = DATA / "cityscapes/gtFine" / split / image.parent.name / f"{stem}_gtFine_labelIds.png"
            item["sem_seg_file_name"] = str(merged(label))
        items.append(item)
    return items


DatasetCatalog.register("my_streets_game", game)
DatasetCatalog.register("my_streets_camera", lambda: camera("train"))
DatasetCatalog.register("my_streets_camera_val", lambda: camera("val"))
for name in ("my_streets_game", "my_streets_camera", "my_streets_camera_val"):
    MetadataCatalog.get(name).set(stuff_classes=list(CLASSES), ignore_label=255)
