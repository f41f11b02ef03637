"""Layouts of the downloads, on tiny files in their folders."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_files import acdc, cityscapes, gta, message, save_grey, save_image, save_palette, save_synthia

from datasets.classes.labels import LABEL_IDS, SYNTHIA_IDS, TRAIN_IDS
from datasets.files.reading import read_pair
from datasets.sets.layouts import LAYOUTS


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


def test_bdd100k_layout_reads_the_masks_of_train_ids(tmp_path: Path) -> None:
    save_image(tmp_path / "images/10k/val/7d06fefd-f7be05a6.jpg")
    save_grey(tmp_path / "labels/sem_seg/masks/val/7d06fefd-f7be05a6.png", np.full((6, 8), 13))
    save_image(tmp_path / "labels/sem_seg/colormaps/val/7d06fefd-f7be05a6.png")
    (item,) = LAYOUTS["bdd100k"].scan(tmp_path, LAYOUTS["bdd100k"].scored, labelled=True)
    assert item["image_id"] == "7d06fefd-f7be05a6" and (read_pair(item)[1] == 13).all()
    assert "no labels of split 'test'" in message(lambda: LAYOUTS["bdd100k"].scan(tmp_path, "test", True))


def test_urbansyn_layout_pairs_by_number_and_19_is_none(tmp_path: Path) -> None:
    for number in ("0001", "0010"):
        save_image(tmp_path / f"rgb/rgb_{number}.png", (20, 4))
        save_grey(tmp_path / f"ss/ss_{number}.png", [range(20)] * 4)
        save_image(tmp_path / f"ss_color/ss_color_{number}.png", (20, 4))
    save_image(tmp_path / "rgb/preview.png")
    layout = LAYOUTS["urbansyn"]
    items = layout.scan(tmp_path, "train", labelled=True)
    assert [item["image_id"] for item in items] == ["0001", "0010"]
    assert items[1]["sem_seg_file_name"] == f"{tmp_path}/ss/ss_0010.png"
    assert read_pair(items[0])[1][0].tolist() == [*range(19), 255]
    (tmp_path / "ss/ss_0010.png").unlink()
    assert message(lambda: layout.scan(tmp_path, "train", True)).startswith(f"{tmp_path}/ss/ss_0010.png: no such file")
    line = message(lambda: layout.scan(tmp_path / "elsewhere", "train", True))
    assert "expected rgb/rgb_*.png and ss/ss_*.png of UrbanSyn" in line


def test_synscapes_layout_has_cityscapes_ids_and_images_at_their_own_size(tmp_path: Path) -> None:
    for number in (1, 2, 10):
        save_image(tmp_path / f"img/rgb/{number}.png", (8, 6))
        save_image(tmp_path / f"img/rgb-2k/{number}.png", (16, 12))
        save_grey(tmp_path / f"img/class/{number}.png", [[7, 8, 11, 33, 0, 4, 255, 26]] * 6)
    items = LAYOUTS["synscapes"].scan(tmp_path, "train", labelled=True)
    assert [item["image_id"] for item in items] == ["1", "10", "2"]
    image, label = read_pair(items[0])
    assert image.shape == (6, 8, 3) and label[0].tolist() == [0, 1, 2, 18, 255, 255, 255, 13]


def vistas(root: Path, labels: str, config: str, names: list[str]) -> Path:
    """One validation image whose label has each class of the list in a column, and the list as the download has it."""
    save_image(root / "validation/images/_1Gn_xkw7sa_i9GU4mkxxQ.jpg", (len(names), 3))
    save_palette(root / f"validation/{labels}/_1Gn_xkw7sa_i9GU4mkxxQ.png", [range(len(names))] * 3)
    about = {"readable": "", "color": [0, 0, 0], "evaluate": True, "instances": False}
    listed = [{"name": name, **about} for name in names]
    (root / config).write_text(json.dumps({"labels": listed, "version": "1.2", "mapping": "public"}))
    return root


VISTAS_1 = {
    "animal--bird": 255, "construction--barrier--curb": 1, "construction--barrier--fence": 4,
    "construction--barrier--guard-rail": 255, "construction--barrier--wall": 3, "construction--flat--bike-lane": 255,
    "construction--flat--crosswalk-plain": 255, "construction--flat--road": 0, "construction--flat--sidewalk": 1,
    "construction--structure--building": 2, "human--person": 11, "human--rider--bicyclist": 12,
    "human--rider--motorcyclist": 12, "human--rider--other-rider": 12, "marking--crosswalk-zebra": 255,
    "marking--general": 0, "nature--sky": 10, "nature--terrain": 9, "nature--vegetation": 8, "object--manhole": 0,
    "object--street-light": 255, "object--support--pole": 5, "object--support--traffic-sign-frame": 255,
    "object--support--utility-pole": 5, "object--traffic-light": 6, "object--traffic-sign--back": 255,
    "object--traffic-sign--front": 7, "object--vehicle--bicycle": 18, "object--vehicle--bus": 15,
    "object--vehicle--car": 13, "object--vehicle--motorcycle": 17, "object--vehicle--on-rails": 16,
    "object--vehicle--truck": 14, "void--ego-vehicle": 255, "void--unlabeled": 255,
}  # fmt: skip
VISTAS_2 = {name: train_id for name, train_id in VISTAS_1.items() if name not in (
    "human--person", "marking--crosswalk-zebra", "marking--general", "object--traffic-light")} | {
    "human--person--individual": 11, "human--person--person-group": 11, "marking--continuous--dashed": 0,
    "marking--discrete--arrow--left": 0, "marking--discrete--crosswalk-zebra": 255,
    "marking-only--discrete--crosswalk-zebra": 255, "object--traffic-light--pedestrians": 6,
    "object--traffic-sign--direction-front": 7, "object--traffic-sign--direction-back": 255,
}  # fmt: skip


@pytest.mark.parametrize(
    ("layout", "labels", "config", "classes"),
    [
        ("mapillary", "labels", "config.json", VISTAS_1),  # the download of 1.2
        ("mapillary", "v1.2/labels", "config_v1.2.json", VISTAS_1),  # that of 2.0
        ("mapillary-2.0", "v2.0/labels", "config_v2.0.json", VISTAS_2),
    ],
)
def test_mapillary_has_the_classes_of_its_own_list(
    tmp_path: Path, layout: str, labels: str, config: str, classes: dict[str, int]
) -> None:
    names = sorted(classes, reverse=True)  # an id is a place in the list, whatever it is in a usual one
    vistas(tmp_path, labels, config, names)
    found = LAYOUTS[layout]
    (item,) = found.scan(tmp_path, found.scored, labelled=True, encoding=found.label_encoding)
    assert read_pair(item)[1][0].tolist() == [classes[name] for name in names]
    own = TRAIN_IDS
    assert found.scan(tmp_path, found.scored, labelled=True, encoding=own)[0]["label_encoding"] == own


def test_mapillary_in_colours_is_refused_by_name(tmp_path: Path) -> None:
    vistas(tmp_path, "labels", "config.json", names := sorted(VISTAS_1))
    label = save_image(tmp_path / "validation/labels/_1Gn_xkw7sa_i9GU4mkxxQ.png", (len(names), 3))
    (item,) = LAYOUTS["mapillary"].scan(tmp_path, "validation", labelled=True)
    line = message(lambda: read_pair(item))
    expected = "a label of 8 bits a pixel, grey or palette"
    assert line == f"{label}: expected {expected}, found mode RGB (colours, which are no ids)"


def test_mapillary_without_a_list_of_its_classes_is_told(tmp_path: Path) -> None:
    layout, file = LAYOUTS["mapillary"], vistas(tmp_path, "labels", "config.json", sorted(VISTAS_1)) / "config.json"

    def told() -> str:
        return message(lambda: layout.scan(tmp_path, "validation", True))

    file.write_text("[1]")
    assert told().startswith(f"{file}: damaged (TypeError")
    vistas(tmp_path, "labels", "config.json", [name for name in VISTAS_1 if "terrain" not in name])
    assert "none of them terrain" in told()
    file.unlink()
    assert told().startswith(f"{tmp_path}/config_v1.2.json: cannot be read (No such file")


def test_wilddash_layout_has_cityscapes_ids_and_further_ones_that_count_for_nothing(tmp_path: Path) -> None:
    save_image(tmp_path / "images/at0000_100000.jpg", (5, 3))
    save_grey(tmp_path / "labels/at0000_100000.png", [[7, 33, 34, 35, 38]] * 3)
    layout = LAYOUTS["wilddash2"]
    (item,) = layout.scan(tmp_path, layout.scored, labelled=True)
    assert read_pair(item)[1][0].tolist() == [0, 18, 255, 255, 255]


def test_muses_layout_has_its_weathers_by_day_and_night(tmp_path: Path) -> None:
    for number, (weather, time) in enumerate([("clear", "day"), ("clear", "night"), ("fog", "day"), ("rain", "night"),
                                              ("snow", "day")]):  # fmt: skip
        stem = f"val/{weather}/{time}/REC{number:04d}_frame_079714"
        save_image(tmp_path / f"frame_camera/{stem}_frame_camera.png")
        save_grey(tmp_path / f"gt_semantic/{stem}_gt_labelTrainIds.png", np.full((6, 8), number))
        save_grey(tmp_path / f"gt_semantic/{stem}_gt_labelIds.png", np.full((6, 8), 26))
    items = LAYOUTS["muses"].scan(tmp_path, "val", labelled=True)
    assert [int(read_pair(item)[1].max()) for item in items] == [0, 1, 2, 3, 4]
    (item,) = LAYOUTS["muses"].scan(tmp_path, "val", True, conditions=("rain",))
    assert item["relative"] == "rain/night/REC0003_frame_079714_frame_camera.png"


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
