"""Layouts of the downloads, on tiny files in their folders."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_files import acdc, cityscapes, gta, message, save_grey, save_image, save_synthia

from datasets.labels import LABEL_IDS, SYNTHIA_IDS, TRAIN_IDS
from datasets.layouts import LAYOUTS
from datasets.reading import read_pair


def test_gta_layout(tmp_path: Path) -> None:
    gta(tmp_path)
    (tmp_path / "images/._00001.png").write_bytes(b"")
    (tmp_path / "images/readme.txt").write_text("")
    items = LAYOUTS["gta"].scan(tmp_path, "train", labelled=True)
    assert [item["image_id"] for item in items] == ["00001", "00002", "00003"]
    assert items[1] == {
        "file_name": f"{tmp_path}/images/00002.png",
        "sem_seg_file_name": f"{tmp_path}/labels/00002.png",
        "image_id": "00002",
        "relative": "00002.png",
        "label_encoding": LABEL_IDS,
    }
    assert (read_pair(items[1])[1] == 0).all()


def test_cityscapes_layout(tmp_path: Path) -> None:
    cityscapes(tmp_path, "val")
    items = LAYOUTS["cityscapes"].scan(tmp_path, "val", labelled=True)
    stems = ["aachen_000000_000007", "aachen_000000_000019", "ulm_000000_000007", "ulm_000000_000019"]
    assert [item["image_id"] for item in items] == stems
    assert items[3] == {
        "file_name": f"{tmp_path}/leftImg8bit/val/ulm/ulm_000000_000019_leftImg8bit.png",
        "sem_seg_file_name": f"{tmp_path}/gtFine/val/ulm/ulm_000000_000019_gtFine_labelIds.png",
        "image_id": "ulm_000000_000019",
        "relative": "ulm/ulm_000000_000019_leftImg8bit.png",
        "label_encoding": LABEL_IDS,
    }
    assert (read_pair(items[3])[1] == 13).all()


def test_synthia_layout(tmp_path: Path) -> None:
    save_image(tmp_path / "RGB/0000000.png")
    save_synthia(tmp_path / "GT/LABELS/0000000.png", np.full((6, 8), 21))
    (item,) = LAYOUTS["synthia"].scan(tmp_path, "train", labelled=True)
    assert item["label_encoding"] == SYNTHIA_IDS
    assert (read_pair(item)[1] == 3).all()


def test_acdc_layout_has_all_four_conditions(tmp_path: Path) -> None:
    acdc(tmp_path, "fog", "night", "rain", "snow")
    items = LAYOUTS["acdc"].scan(tmp_path, "val", labelled=True)
    assert len(items) == 8
    assert items[3] == {
        "file_name": f"{tmp_path}/rgb_anon/night/val/GP010476/GP010476_frame_000001_rgb_anon.png",
        "sem_seg_file_name": f"{tmp_path}/gt/night/val/GP010476/GP010476_frame_000001_gt_labelTrainIds.png",
        "image_id": "GP010476_frame_000001",
        "relative": "night/val/GP010476/GP010476_frame_000001_rgb_anon.png",
        "label_encoding": TRAIN_IDS,
    }
    assert [int(read_pair(item)[1].max()) for item in items] == [0, 0, 1, 1, 2, 2, 3, 3]
    chosen = LAYOUTS["acdc"].scan(tmp_path, "val", True, conditions=("snow", "fog"))
    assert [item["relative"].split("/")[0] for item in chosen] == ["snow", "snow", "fog", "fog"]


def test_a_condition_that_is_missing_or_unknown_is_named(tmp_path: Path) -> None:
    acdc(tmp_path, "fog", "night", "rain")
    line = message(lambda: LAYOUTS["acdc"].scan(tmp_path, "val", True))
    assert line.startswith(f"{tmp_path}/rgb_anon/snow/val: no such folder")
    assert "rgb_anon/{fog,night,rain,snow}/{train,val,test}/<sequence>/*_rgb_anon.png" in line
    line = message(lambda: LAYOUTS["acdc"].scan(tmp_path, "val", True, conditions=("nite",)))
    assert line.startswith("unknown condition of ACDC 'nite': did you mean 'night'?")
    assert "not sorted by condition" in message(lambda: LAYOUTS["gta"].scan(tmp_path, "train", True, ("fog",)))


def test_dark_zurich_layout_is_of_its_nights_and_has_labels_for_validation_alone(tmp_path: Path) -> None:
    for split, condition in (("train", "night"), ("train", "day"), ("val", "night"), ("test", "night")):
        save_image(tmp_path / f"rgb_anon/{split}/{condition}/GOPR0356/GOPR0356_frame_000321_rgb_anon.png")
    save_grey(tmp_path / "gt/val/night/GOPR0356/GOPR0356_frame_000321_gt_labelTrainIds.png", np.full((6, 8), 18))
    layout = LAYOUTS["dark-zurich"]
    (item,) = layout.scan(tmp_path, "val", labelled=True)
    assert (read_pair(item)[1] == 18).all()
    assert item["relative"] == "night/GOPR0356/GOPR0356_frame_000321_rgb_anon.png"
    for split in ("train", "test"):
        (item,) = layout.scan(tmp_path, split, labelled=False)
        assert item["file_name"] == f"{tmp_path}/rgb_anon/{split}/{item['relative']}"
        line = message(lambda s=split: layout.scan(tmp_path, s, True))  # type: ignore[misc]
        assert line.startswith(f"Dark Zurich has no labels of split '{split}'")


def test_unlabelled_scan_needs_no_label_folder(tmp_path: Path) -> None:
    save_image(tmp_path / "leftImg8bit/test/bonn/bonn_000000_000019_leftImg8bit.png")
    (item,) = LAYOUTS["cityscapes"].scan(tmp_path, "test", labelled=False)
    assert sorted(item) == ["file_name", "image_id", "relative"]
    assert "no labels of split 'test'" in message(lambda: LAYOUTS["cityscapes"].scan(tmp_path, "test", True))


def test_missing_label_names_the_file(tmp_path: Path) -> None:
    gta(tmp_path)
    (tmp_path / "labels/00002.png").unlink()
    line = message(lambda: LAYOUTS["gta"].scan(tmp_path, "train", True))
    assert line.startswith(f"{tmp_path}/labels/00002.png: no such file")


@pytest.mark.parametrize(
    ("layout", "folder", "expected", "download"),
    [
        ("gta", "images", "images/*.png and labels/*.png", "Playing for Data"),
        ("synthia", "RGB", "RGB/*.png and GT/LABELS/*.png", "SYNTHIA-RAND-CITYSCAPES"),
        (
            "cityscapes",
            "leftImg8bit/train",
            "leftImg8bit/{train,val,test}/<city>/*_leftImg8bit.png and "
            "gtFine/{train,val,test}/<city>/*_gtFine_labelIds.png",
            "gtFine_trainvaltest.zip",
        ),
    ],
)
def test_missing_folder_tells_layout_and_download(
    tmp_path: Path, layout: str, folder: str, expected: str, download: str
) -> None:
    line = message(lambda: LAYOUTS[layout].scan(tmp_path, "train", False))
    assert line.startswith(f"{tmp_path / folder}: no such folder, expected {expected}")
    assert download in line
    (tmp_path / folder).mkdir(parents=True)
    assert message(lambda: LAYOUTS[layout].scan(tmp_path, "train", False)).startswith(
        f"{tmp_path / folder}: holds no image"
    )


def test_missing_label_folder_and_split_are_named(tmp_path: Path) -> None:
    save_image(tmp_path / "images/00001.png")
    assert message(lambda: LAYOUTS["gta"].scan(tmp_path, "train", True)).startswith(f"{tmp_path / 'labels'}: no such")
    assert "has no split 'val'" in message(lambda: LAYOUTS["gta"].scan(tmp_path, "val", True))


def test_scan_lists_each_folder_once_and_opens_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cityscapes(tmp_path)
    listed: list[str] = []
    scandir = os.scandir

    def counted(path: Any) -> Any:
        listed.append(str(path))
        return scandir(path)

    def forbidden(*_: Any, **__: Any) -> Any:
        raise AssertionError("a scan must not touch single files")

    monkeypatch.setattr(os, "scandir", counted)
    for name in ("open", "exists", "is_file", "stat"):
        monkeypatch.setattr(Path, name, forbidden)
    LAYOUTS["cityscapes"].scan(tmp_path, "train", labelled=True)
    folders = [
        "leftImg8bit/train",
        *(f"{kind}/train/{c}" for kind in ("gtFine", "leftImg8bit") for c in ("aachen", "ulm")),
    ]
    assert sorted(listed) == sorted(str(tmp_path / folder) for folder in folders)
