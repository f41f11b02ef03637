"""Where the original downloads keep their files: a folder is scanned as it was unpacked, nothing is converted."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets.base.errors import DataError, unknown_name
from datasets.classes.labels import GREY, LABEL_IDS, SYNTHIA_IDS, TRAIN_IDS, URBANSYN_IDS, WILDDASH_IDS, LabelEncoding
from datasets.classes.mapillary import encoding_by_names


@dataclass(frozen=True)
class Layout:
    """How one data set lies on disk; `{split}` and `{condition}` in a folder stand for their names."""

    title: str
    download: str  # the archives to unpack, and where they come from
    splits: tuple[str, ...]
    unlabelled_splits: tuple[str, ...]  # splits without labels, or with blank ones
    image_folder: str
    label_folder: str
    image_suffix: str  # an image is <image_prefix><stem><image_suffix>, its label likewise
    label_suffix: str
    label_encoding: LabelEncoding
    image_prefix: str = ""
    label_prefix: str = ""
    grouped_by: str = ""  # what the files lie in one more folder of: "city", "sequence"
    conditions: tuple[str, ...] = ()  # of weather or daytime, where they have folders of their own
    default_conditions: tuple[str, ...] = ()
    class_sets: tuple[int, ...] = (19,)  # that what learns from these labels is scored on, the usual one first
    scored: str = "val"  # the split that methods are compared on
    folder: str = ""  # that it lies in, below the folder of all; "": as its name, with "_"
    former_label_folder: str = ""  # where an earlier download has the labels
    class_files: tuple[str, ...] = ()  # JSON that says which id is which class, in place of `label_encoding`; the first

    def scan(
        self,
        folder: Path,
        split: str,
        labelled: bool,
        conditions: Sequence[str] = (),
        encoding: LabelEncoding | None = None,
    ) -> list[dict[str, Any]]:
        """The images of `split` in detectron2's form, sorted by condition and name.

        Each is `{"file_name", "image_id", "relative"}`, the last its path below the folder of all images of the split,
        and `{"sem_seg_file_name", "label_encoding"}` too where `labelled`. `conditions`: which of the layout's, by
        default those of the published protocols. `encoding`: in place of the layout's own.
        Folders are listed, once each, and no file is opened: a network disk holds 25 thousand of them.
        Raises `DataError` for a split or condition that the data set lacks, a missing or empty folder, an image
        without its label.
        """
        if split not in self.splits:
            raise DataError(f"{self.title} has no split {split!r}, expected one of {', '.join(self.splits)}")
        if labelled and split in self.unlabelled_splits:
            raise DataError(f"{self.title} has no labels of split {split!r}: it cannot be used as labelled")
        if conditions and not self.conditions:
            raise DataError(f"{self.title} is not sorted by condition, found {', '.join(conditions)}")
        if labelled and self.class_files and encoding in (None, self.label_encoding):
            files = [Path(folder, name) for name in self.class_files]
            encoding = encoding_by_names(files, self.label_encoding.name)
        items: list[dict[str, Any]] = []
        for condition in conditions or self.default_conditions or ("",):
            if condition and condition not in self.conditions:
                raise unknown_name(f"condition of {self.title}", condition, self.conditions)
            items += self._scan(folder, split, condition, labelled, encoding or self.label_encoding)
        return items

    def _scan(
        self, folder: Path, split: str, condition: str, labelled: bool, encoding: LabelEncoding
    ) -> Iterator[dict[str, Any]]:
        images = Path(folder, self.image_folder.format(split=split, condition=condition))
        labels = Path(folder, self.label_folder.format(split=split, condition=condition))
        if self.former_label_folder and not labels.is_dir():
            labels = Path(folder, self.former_label_folder.format(split=split))
        above = self.image_folder.partition("{condition}")[0].format(split=split)
        empty = True
        for group in self._groups(images):
            present = self._listed(labels / group) if labelled else set()
            for name in sorted(self._listed(images / group)):
                if not (name.startswith(self.image_prefix) and name.endswith(self.image_suffix)):
                    continue
                empty = False
                image = images / group / name
                stem = name.removeprefix(self.image_prefix).removesuffix(self.image_suffix)
                item: dict[str, Any] = {
                    "file_name": str(image),
                    "image_id": stem,
                    "relative": image.relative_to(Path(folder, above)).as_posix(),
                }
                if labelled:
                    label = self.label_prefix + stem + self.label_suffix
                    if label not in present:
                        raise DataError(f"{labels / group / label}: no such file, the label of {image}")
                    item |= {"sem_seg_file_name": str(labels / group / label), "label_encoding": encoding}
                yield item
        if empty:
            raise DataError(f"{images}: holds no image, {self._expected()}")

    def _groups(self, images: Path) -> list[str]:
        return sorted(self._listed(images, folders=True)) if self.grouped_by else [""]

    def _listed(self, folder: Path, folders: bool = False) -> set[str]:
        try:
            return set(_names(folder, folders))
        except FileNotFoundError:
            raise DataError(f"{folder}: no such folder, {self._expected()}") from None
        except OSError as error:
            raise DataError(f"{folder}: cannot be listed ({error.strerror}), {self._expected()}") from error

    def _expected(self) -> str:
        group = f"<{self.grouped_by}>/" if self.grouped_by else ""
        split, condition = _choice(self.splits), _choice(self.conditions)
        images = self.image_folder.format(split=split, condition=condition)
        labels = self.label_folder.format(split=split, condition=condition)
        image = f"{images}/{group}{self.image_prefix}*{self.image_suffix}"
        label = f"{labels}/{group}{self.label_prefix}*{self.label_suffix}"
        return f"expected {image} and {label} of {self.title} ({self.download})"


def _choice(names: Sequence[str]) -> str:
    return "{" + ",".join(names) + "}" if len(names) > 1 else "".join(names)


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
        label_encoding=LABEL_IDS,
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
        label_encoding=SYNTHIA_IDS,
        class_sets=(16, 13),
    ),
    # Gomez et al., arXiv 2312.12176. Of its labels the download has colours, instances and depth besides.
    "urbansyn": Layout(
        title="UrbanSyn",
        download="the folders rgb and ss of UrbanSyn/UrbanSyn on the Hugging Face hub",
        splits=("train",),
        unlabelled_splits=(),
        image_folder="rgb",
        label_folder="ss",
        image_suffix=".png",
        label_suffix=".png",
        label_encoding=URBANSYN_IDS,
        image_prefix="rgb_",
        label_prefix="ss_",
    ),
    # Wrenninge and Unger, arXiv 1810.08705. Images are also there enlarged (rgb-2k), which are not read.
    "synscapes": Layout(
        title="Synscapes",
        download="the archive of Synscapes, whose folder img lies in it",
        splits=("train",),
        unlabelled_splits=(),
        image_folder="img/rgb",
        label_folder="img/class",
        image_suffix=".png",
        label_suffix=".png",
        label_encoding=LABEL_IDS,
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
        label_encoding=LABEL_IDS,
        grouped_by="city",
    ),
    # Sakaridis et al., ICCV 2021. Beside each split lies one of reference images in good weather (train_ref), not used.
    "acdc": Layout(
        title="ACDC",
        download="rgb_anon_trainvaltest.zip and gt_trainval.zip",
        splits=("train", "val", "test"),
        unlabelled_splits=("test",),
        image_folder="rgb_anon/{condition}/{split}",
        label_folder="gt/{condition}/{split}",
        image_suffix="_rgb_anon.png",
        label_suffix="_gt_labelTrainIds.png",
        label_encoding=TRAIN_IDS,
        grouped_by="sequence",
        conditions=("fog", "night", "rain", "snow"),
        default_conditions=("fog", "night", "rain", "snow"),
    ),
    # Sakaridis et al., ICCV 2019. Methods adapt to its nights; twilight and day have folders for training alone.
    "dark-zurich": Layout(
        title="Dark Zurich",
        download="Dark_Zurich_train_anon.zip, Dark_Zurich_val_anon.zip and Dark_Zurich_test_anon_withoutGt.zip",
        splits=("train", "val", "test"),
        unlabelled_splits=("train", "test"),
        image_folder="rgb_anon/{split}/{condition}",
        label_folder="gt/{split}/{condition}",
        image_suffix="_rgb_anon.png",
        label_suffix="_gt_labelTrainIds.png",
        label_encoding=TRAIN_IDS,
        grouped_by="sequence",
        conditions=("night", "twilight", "day"),
        default_conditions=("night",),
    ),
    # Yu et al., CVPR 2020. Of its labels the download has colours and polygons besides; `masks` are of train ids.
    "bdd100k": Layout(
        title="BDD100K",
        download="bdd100k_images_10k.zip and bdd100k_sem_seg_labels_trainval.zip",
        splits=("train", "val", "test"),
        unlabelled_splits=("test",),
        image_folder="images/10k/{split}",
        label_folder="labels/sem_seg/masks/{split}",
        image_suffix=".jpg",
        label_suffix=".png",
        label_encoding=TRAIN_IDS,
    ),
    "mapillary": Layout(
        title="Mapillary Vistas 1.2",
        download="mapillary-vistas-dataset_public_v1.2.zip, or that of v2.0, which has the labels of both",
        splits=("training", "validation", "testing"),
        unlabelled_splits=("testing",),
        image_folder="{split}/images",
        label_folder="{split}/v1.2/labels",
        image_suffix=".jpg",
        label_suffix=".png",
        label_encoding=LabelEncoding.of(GREY, {}, name="mapillary-1.2"),
        scored="validation",
        former_label_folder="{split}/labels",
        class_files=("config_v1.2.json", "config.json"),
    ),
    "mapillary-2.0": Layout(
        title="Mapillary Vistas 2.0",
        download="mapillary-vistas-dataset_public_v2.0.zip",
        splits=("training", "validation", "testing"),
        unlabelled_splits=("testing",),
        image_folder="{split}/images",
        label_folder="{split}/v2.0/labels",
        image_suffix=".jpg",
        label_suffix=".png",
        label_encoding=LabelEncoding.of(GREY, {}, name="mapillary-2.0"),
        scored="validation",
        folder="mapillary",
        class_files=("config_v2.0.json",),
    ),
    # Zendel et al., CVPR 2022. Only the public part has labels, in one folder.
    "wilddash2": Layout(
        title="WildDash 2",
        download="wd_public_02.zip",
        splits=("public",),
        unlabelled_splits=(),
        image_folder="images",
        label_folder="labels",
        image_suffix=".jpg",
        label_suffix=".png",
        label_encoding=WILDDASH_IDS,
        scored="public",
    ),
    # Broedermann et al., ECCV 2024. Of its labels the download has ids and colours besides.
    "muses": Layout(
        title="MUSES",
        download="the frame camera's images and the semantic labels, unpacked into one folder",
        splits=("train", "val", "test"),
        unlabelled_splits=("test",),
        image_folder="frame_camera/{split}/{condition}",
        label_folder="gt_semantic/{split}/{condition}",
        image_suffix="_frame_camera.png",
        label_suffix="_gt_labelTrainIds.png",
        label_encoding=TRAIN_IDS,
        grouped_by="day or night",
        conditions=("clear", "fog", "rain", "snow"),
        default_conditions=("clear", "fog", "rain", "snow"),
    ),
}
