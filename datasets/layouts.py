"""Where the original downloads keep their files: a folder is scanned as it was unpacked, nothing is converted."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets.errors import DataError


@dataclass(frozen=True)
class Layout:
    """How one data set lies on disk; `{split}` in a folder stands for the split's name."""

    title: str
    download: str  # the archives to unpack, and where they come from
    splits: tuple[str, ...]
    unlabelled_splits: tuple[str, ...]  # splits whose labels are blank
    image_folder: str
    label_folder: str
    image_suffix: str  # an image is <stem><image_suffix>, its label <stem><label_suffix>
    label_suffix: str
    by_city: bool  # whether the files lie in one more folder, of their city
    label_encoding: str  # a key of `labels.TRAIN_ID_TABLES`

    def scan(self, folder: Path, split: str, labelled: bool) -> list[dict[str, Any]]:
        """The images of `split` in detectron2's form, sorted by name.

        Each is `{"file_name", "image_id"}`, and `{"sem_seg_file_name", "label_encoding"}` too where `labelled`.
        Folders are listed, once each, and no file is opened: a network disk holds 25 thousand of them.
        Raises `DataError` for a split that the data set lacks, a missing or empty folder, an image without its label.
        """
        if split not in self.splits:
            raise DataError(f"{self.title} has no split {split!r}, expected one of {', '.join(self.splits)}")
        if labelled and split in self.unlabelled_splits:
            raise DataError(f"{self.title} ships blank labels for split {split!r}: it cannot be used as labelled")
        images = Path(folder, self.image_folder.format(split=split))
        labels = Path(folder, self.label_folder.format(split=split))
        items = []
        for city in self._cities(images):
            present = self._listed(labels / city) if labelled else set()
            for name in sorted(self._listed(images / city)):
                if not name.endswith(self.image_suffix):
                    continue
                stem = name.removesuffix(self.image_suffix)
                item = {"file_name": str(images / city / name), "image_id": stem}
                if labelled:
                    label = stem + self.label_suffix
                    if label not in present:
                        raise DataError(f"{labels / city / label}: no such file, the label of {images / city / name}")
                    item |= {"sem_seg_file_name": str(labels / city / label), "label_encoding": self.label_encoding}
                items.append(item)
        if not items:
            raise DataError(f"{images}: holds no image, {self._expected()}")
        return items

    def _cities(self, images: Path) -> list[str]:
        return sorted(self._listed(images, folders=True)) if self.by_city else [""]

    def _listed(self, folder: Path, folders: bool = False) -> set[str]:
        try:
            return set(_names(folder, folders))
        except FileNotFoundError:
            raise DataError(f"{folder}: no such folder, {self._expected()}") from None
        except OSError as error:
            raise DataError(f"{folder}: cannot be listed ({error.strerror}), {self._expected()}") from error

    def _expected(self) -> str:
        city = "<city>/" if self.by_city else ""
        split = "{" + ",".join(self.splits) + "}" if len(self.splits) > 1 else self.splits[0]
        image = f"{self.image_folder}/{city}*{self.image_suffix}".replace("{split}", split)
        label = f"{self.label_folder}/{city}*{self.label_suffix}".replace("{split}", split)
        return f"expected {image} and {label} of {self.title} ({self.download})"


def _names(folder: Path, folders: bool) -> Iterator[str]:
    with os.scandir(folder) as entries:
        for entry in entries:
            # Archives made on a Mac leave "._00001.png" beside "00001.png".
            if not entry.name.startswith(".") and (not folders or entry.is_dir()):
                yield entry.name


LAYOUTS: Mapping[str, Layout] = {
    "gta": Layout(
        title="GTA5",
        download="*_images.zip and *_labels.zip, parts 1 to 10, of 'Playing for Data'",
        splits=("train",),
        unlabelled_splits=(),
        image_folder="images",
        label_folder="labels",
        image_suffix=".png",
        label_suffix=".png",
        by_city=False,
        label_encoding="label-ids",
    ),
    "synthia": Layout(
        title="SYNTHIA",
        download="SYNTHIA-RAND-CITYSCAPES (CVPR16)",
        splits=("train",),
        unlabelled_splits=(),
        image_folder="RGB",
        label_folder="GT/LABELS",
        image_suffix=".png",
        label_suffix=".png",
        by_city=False,
        label_encoding="synthia",
    ),
    "cityscapes": Layout(
        title="Cityscapes",
        download="leftImg8bit_trainvaltest.zip and gtFine_trainvaltest.zip",
        splits=("train", "val", "test"),
        unlabelled_splits=("test",),
        image_folder="leftImg8bit/{split}",
        label_folder="gtFine/{split}",
        image_suffix="_leftImg8bit.png",
        label_suffix="_gtFine_labelIds.png",
        by_city=True,
        label_encoding="label-ids",
    ),
}
