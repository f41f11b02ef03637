"""Label spaces, reading and the catalog, on tiny files in the formats that the data sets ship."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.utils.visualizer import Visualizer
from PIL import Image
from tiny_files import cityscapes, gta, message, save_grey, save_image, save_palette, save_synthia

from benchmarks.core.checkout import ROOT
from datasets.base.randomness import keyed_rng
from datasets.batches.evaluation_set import EvaluationSet
from datasets.classes.label_space import CITYSCAPES, own_space
from datasets.classes.labels import (
    GREY,
    IGNORE,
    LABEL_IDS,
    SYNTHIA,
    SYNTHIA_IDS,
    TRAIN_IDS,
    UNKNOWN,
    LabelEncoding,
    ids_in,
)
from datasets.files.reading import read_image, read_label, read_pair
from datasets.sets.catalog import register
from datasets.sets.layouts import LAYOUTS

# Written out by hand, not taken from a package: the classes in the order of the Cityscapes paper's benchmark.
CLASSES = (
    "road", "sidewalk", "building", "wall", "fence", "pole", "traffic light", "traffic sign", "vegetation", "terrain",
    "sky", "person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle",
)  # fmt: skip
CITYSCAPES_IDS = {
    0: 255, 1: 255, 2: 255, 3: 255, 4: 255, 5: 255, 6: 255, 7: 0, 8: 1, 9: 255, 10: 255, 11: 2, 12: 3, 13: 4, 14: 255,
    15: 255, 16: 255, 17: 5, 18: 255, 19: 6, 20: 7, 21: 8, 22: 9, 23: 10, 24: 11, 25: 12, 26: 13, 27: 14, 28: 15,
    29: 255, 30: 255, 31: 16, 32: 17, 33: 18, 34: 255, 255: 255,
}  # fmt: skip
IDS_OF_SYNTHIA = {
    0: 255, 1: 10, 2: 2, 3: 0, 4: 1, 5: 4, 6: 8, 7: 5, 8: 13, 9: 7, 10: 11, 11: 18, 12: 17, 13: 255, 14: 255, 15: 6,
    16: 9, 17: 12, 18: 14, 19: 15, 20: 16, 21: 3, 22: 255,
}  # fmt: skip


# --- label spaces


def test_classes_are_cityscapes() -> None:
    assert CITYSCAPES.names == CLASSES
    assert CITYSCAPES.colours[0] == (128, 64, 128)
    assert CITYSCAPES.colours[13] == (0, 0, 142)
    assert CITYSCAPES.colours[18] == (119, 11, 32)
    assert CITYSCAPES.things == (6, 7, 11, 12, 13, 14, 15, 16, 17, 18)


def test_class_sets_leave_out_what_synthia_lacks() -> None:
    assert CITYSCAPES.class_sets[19] == tuple(range(19))
    assert CITYSCAPES.class_sets[16] == (0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12, 13, 15, 17, 18)
    assert CITYSCAPES.class_sets[13] == (0, 1, 2, 6, 7, 8, 10, 11, 12, 13, 15, 17, 18)


@pytest.mark.parametrize(
    ("encoding", "ids"),
    [
        (LABEL_IDS, CITYSCAPES_IDS),
        (SYNTHIA_IDS, IDS_OF_SYNTHIA),
        (TRAIN_IDS, {i: i for i in range(19)} | {255: 255}),
    ],
)
def test_tables_map_as_published_and_nothing_else(encoding: LabelEncoding, ids: dict[int, int]) -> None:
    expected = [ids.get(stored, UNKNOWN) for stored in range(256)]
    assert encoding.table.tolist() == expected


# --- reading


def test_image_is_rgb_and_loses_alpha(tmp_path: Path) -> None:
    pixels = np.zeros((2, 3, 4), np.uint8)
    pixels[0, 0] = (10, 20, 30, 40)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    image = read_image(tmp_path / "a.png")
    assert (image.shape, image.dtype) == ((2, 3, 3), np.uint8)
    assert image[0, 0].tolist() == [10, 20, 30]


def test_gta_label_is_the_palette_index_not_its_colour(tmp_path: Path) -> None:
    ids = np.array([list(CITYSCAPES_IDS)])
    save_palette(tmp_path / "a.png", ids)
    with Image.open(tmp_path / "a.png") as stored:
        assert stored.mode == "P"
    label = read_label(tmp_path / "a.png", LABEL_IDS)
    assert label.dtype == np.uint8
    assert label.tolist() == [list(CITYSCAPES_IDS.values())]


def test_cityscapes_label(tmp_path: Path) -> None:
    save_grey(tmp_path / "a.png", [[7, 8, 0], [33, 255, 26]])
    assert read_label(tmp_path / "a.png", LABEL_IDS).tolist() == [[0, 1, 255], [18, 255, 13]]


def test_synthia_class_is_the_red_channel_of_16_bits(tmp_path: Path) -> None:
    save_synthia(tmp_path / "a.png", [list(IDS_OF_SYNTHIA)])
    # byte 24 of a PNG is the bit depth, byte 25 the colour type (2: red, green, blue)
    assert (tmp_path / "a.png").read_bytes()[24:26] == bytes([16, 2])
    with Image.open(tmp_path / "a.png") as lost:
        assert np.asarray(lost)[..., 0].max() == 0  # why Pillow does not read it
    assert read_label(tmp_path / "a.png", SYNTHIA_IDS).tolist() == [list(IDS_OF_SYNTHIA.values())]


def test_train_ids_label(tmp_path: Path) -> None:
    save_grey(tmp_path / "a.png", [[0, 18, 255]])
    assert read_label(tmp_path / "a.png", TRAIN_IDS).tolist() == [[0, 18, 255]]


def test_ids_outside_the_table_are_named(tmp_path: Path) -> None:
    save_grey(tmp_path / "a.png", [[7, 99, 40], [99, 254, 7]])
    line = message(lambda: read_label(tmp_path / "a.png", LABEL_IDS))
    assert str(tmp_path / "a.png") in line
    assert "40, 99, 254" in line
    save_synthia(tmp_path / "s.png", [[3, 23, 255, 700]])
    assert "23, 255, 700 " in message(lambda: read_label(tmp_path / "s.png", SYNTHIA_IDS))
    save_grey(tmp_path / "t.png", np.arange(19, 60)[None])
    assert "19, 20, 21, 22, 23, 24, 25, 26, ..." in message(lambda: read_label(tmp_path / "t.png", TRAIN_IDS))


def test_missing_file_is_named(tmp_path: Path) -> None:
    for call in (
        lambda: read_image(tmp_path / "no.png"),
        lambda: read_label(tmp_path / "no.png", LABEL_IDS),
        lambda: read_label(tmp_path / "no.png", SYNTHIA_IDS),
    ):
        assert message(call).startswith(f"{tmp_path / 'no.png'}: no such file, expected ")


def cut_in_half(contents: bytes) -> bytes:
    return contents[: len(contents) // 2]


def without_end(contents: bytes) -> bytes:
    return contents[:-30]


def with_bad_bytes(contents: bytes) -> bytes:
    middle = len(contents) // 2
    return contents[:middle] + bytes(255 - byte for byte in contents[middle : middle + 8]) + contents[middle + 8 :]


@pytest.mark.parametrize("damage", [cut_in_half, without_end, with_bad_bytes])
@pytest.mark.parametrize("encoding", [None, LABEL_IDS, SYNTHIA_IDS], ids=str)
def test_damaged_file_is_named(
    tmp_path: Path, encoding: LabelEncoding | None, damage: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / "a.png"
    noise = np.random.default_rng(0).integers(0, 20, (40, 40))
    if encoding is None:
        save_image(path, (40, 40))
    elif encoding == LABEL_IDS:
        save_palette(path, noise)
    else:
        save_synthia(path, noise)
    read: Callable[[], Any] = lambda: read_label(path, encoding) if encoding else read_image(path)  # noqa: E731
    read()
    path.write_bytes(damage(path.read_bytes()))
    line = message(read)
    assert line.startswith(f"{path}: damaged (")
    assert "expected" in line


def test_not_an_image_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("<html>quota exceeded</html>")
    for call in (lambda: read_image(tmp_path / "a.png"), lambda: read_label(tmp_path / "a.png", SYNTHIA_IDS)):
        assert message(call).startswith(f"{tmp_path / 'a.png'}: not an image, expected ")
    assert message(lambda: read_image(tmp_path)).startswith(f"{tmp_path}: cannot be read (")


def test_wrong_kind_of_picture_is_refused(tmp_path: Path) -> None:
    save_image(tmp_path / "rgb.png")
    save_palette(tmp_path / "p.png", [[7]])
    assert "found mode RGB" in message(lambda: read_label(tmp_path / "rgb.png", LABEL_IDS))
    assert "found 3 of 8 bits" in message(lambda: read_label(tmp_path / "rgb.png", SYNTHIA_IDS))
    assert cv2.imwrite(str(tmp_path / "deep.png"), np.full((2, 2), 7, np.uint16))
    assert "found mode I" in message(lambda: read_label(tmp_path / "deep.png", LABEL_IDS))
    assert "found 1 of 16 bits" in message(lambda: read_label(tmp_path / "deep.png", SYNTHIA_IDS))


def test_own_encoding_maps_what_it_is_told(tmp_path: Path) -> None:
    save_palette(tmp_path / "a.png", [[0, 7, 8, 255]])
    encoding = LabelEncoding.of(GREY, {7: 1, 0: 0, 8: 1, 255: IGNORE})
    assert encoding == LabelEncoding.of(GREY, {255: IGNORE, 8: 1, 0: 0, 7: 1})  # a key of caches
    assert read_label(tmp_path / "a.png", encoding).tolist() == [[0, 1, 1, 255]]
    line = message(lambda: read_label(tmp_path / "a.png", LabelEncoding.of(GREY, {7: 1, 255: IGNORE})))
    assert line.startswith(f"{tmp_path}/a.png: class ids 0, 8 belong to no class, expected 7, 255, or IDS")
    others = LabelEncoding.of(GREY, {7: 1}, others=IGNORE)
    assert read_label(tmp_path / "a.png", others).tolist() == [[255, 1, 255, 255]]


def test_own_encoding_of_synthias_files(tmp_path: Path) -> None:
    save_synthia(tmp_path / "a.png", [[3, 22, 255]])
    assert read_label(tmp_path / "a.png", LabelEncoding.of(SYNTHIA, {3: 0}, others=1)).tolist() == [[0, 1, 1]]
    assert "ids 22, 255" in message(lambda: read_label(tmp_path / "a.png", LabelEncoding.of(SYNTHIA, {3: 0})))


def test_pair_of_two_sizes_names_label_and_sizes(tmp_path: Path) -> None:
    item = {
        "file_name": str(save_image(tmp_path / "i.png", (8, 6))),
        "sem_seg_file_name": str(save_palette(tmp_path / "l.png", np.full((6, 7), 7))),
        "label_encoding": LABEL_IDS,
    }
    line = message(lambda: read_pair(item))
    assert line == f"{tmp_path / 'l.png'}: expected the size of its image, 8x6, found 7x6"


# --- detectron2's catalogs


def test_registered_data_set_is_read_when_asked_for(tmp_path: Path) -> None:
    scan = partial(LAYOUTS["gta"].scan, tmp_path / "gta", "train", True)
    assert register("segshift_test", scan, CITYSCAPES) == "segshift_test"
    assert "no such folder" in message(lambda: DatasetCatalog.get("segshift_test"))
    gta(tmp_path / "gta")
    items = DatasetCatalog.get("segshift_test")
    assert len(items) == 3
    metadata = MetadataCatalog.get("segshift_test")
    assert tuple(metadata.stuff_classes) == CLASSES
    assert (metadata.ignore_label, metadata.evaluator_type) == (255, "sem_seg")
    visualizer = Visualizer(np.zeros((100, 200, 3), np.uint8), metadata)
    drawn = visualizer.draw_sem_seg(np.full((100, 200), 13), alpha=1.0).get_image()
    assert np.abs(drawn[10, 10].astype(int) - (0, 0, 142)).max() <= 1  # a car's blue


def test_registering_again_replaces(tmp_path: Path) -> None:
    register("segshift_test", partial(LAYOUTS["gta"].scan, gta(tmp_path / "gta"), "train", True), CITYSCAPES)
    second = partial(LAYOUTS["cityscapes"].scan, cityscapes(tmp_path / "cs"), "train", False)
    register("segshift_test", second, own_space(("a", "b"), (), ()))
    items = DatasetCatalog.get("segshift_test")
    assert len(items) == 4
    assert "sem_seg_file_name" not in items[0]
    assert MetadataCatalog.get("segshift_test").stuff_classes == ["a", "b"]


# --- evaluation set


def test_evaluation_image_is_resized_and_label_is_not(tmp_path: Path) -> None:
    items = LAYOUTS["gta"].scan(gta(tmp_path), "train", True)
    as_is, small = EvaluationSet(items, None), EvaluationSet(items, (4, 3))
    assert (len(as_is), len(small)) == (3, 3)
    original = read_image(items[1]["file_name"])
    assert np.array_equal(as_is[1]["image"].numpy(), original.transpose(2, 0, 1))
    item = small[1]
    assert (item["file_name"], item["image_id"]) == (items[1]["file_name"], "00002")
    assert (item["image"].shape, item["image"].dtype) == ((3, 3, 4), torch.uint8)
    assert (item["label"].shape, item["label"].dtype) == ((6, 8), torch.uint8)
    # exact, whatever the aspect; a bilinear reduction keeps the mean of an image about where it was
    assert EvaluationSet(items, (16, 3))[0]["image"].shape == (3, 3, 16)
    assert abs(item["image"].float().mean() - original.mean()) < 10


def test_evaluation_refuses_what_it_cannot_score(tmp_path: Path) -> None:
    items = LAYOUTS["gta"].scan(gta(tmp_path), "train", True)
    save_palette(tmp_path / "labels/00003.png", np.full((6, 9), 7))
    line = message(lambda: EvaluationSet(items, (4, 3))[2])
    assert line == f"{tmp_path}/labels/00003.png: expected the size of its image, 8x6, found 9x6"
    unlabelled = LAYOUTS["gta"].scan(tmp_path, "train", False)
    assert "expected a label to score against" in message(lambda: EvaluationSet(unlabelled, None))
    assert "expected at least one image" in message(lambda: EvaluationSet([], None))
    assert "resize: " in message(lambda: EvaluationSet(items, (0, 3)))


# --- keyed randomness


def test_generator_is_decided_by_its_key() -> None:
    draws = [keyed_rng(3, "source-view", 10, 2).integers(0, 2**63) for _ in range(2)]
    assert draws[0] == draws[1]
    assert keyed_rng(np.int64(3), "source-view", 10, 2).integers(0, 2**63) == draws[0]
    keys: list[tuple[int | str, ...]] = [
        (3, "source-view", 102), (3, "source-view", 2, 10), (3, "target-view", 10, 2), (4, "source-view", 10, 2),
        ("3", "source-view", 10, 2), (3, "source-view", 1, 2), (3, "source-view", 1, 12),
    ]  # fmt: skip
    assert len({draws[0], *(keyed_rng(*key).integers(0, 2**63) for key in keys)}) == len(keys) + 1
    with pytest.raises(TypeError):
        keyed_rng(0.5)  # type: ignore[arg-type]


def test_generator_is_the_same_in_another_process_and_leaves_the_global_one() -> None:
    state = np.random.get_state()[1].tolist()  # type: ignore[index]  # noqa: NPY002
    here = keyed_rng(1, "x", 2).integers(0, 2**63)
    code = "from datasets.base.randomness import keyed_rng; print(keyed_rng(1, 'x', 2).integers(0, 2**63))"
    environment = os.environ | {"PYTHONHASHSEED": "77"}
    root = ROOT
    there = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, cwd=root, env=environment)
    assert int(there.stdout) == here
    assert np.random.get_state()[1].tolist() == state  # type: ignore[index]  # noqa: NPY002


def test_ignore_and_unknown_are_no_classes() -> None:
    assert IGNORE not in range(19)
    assert UNKNOWN not in {*range(19), IGNORE}


def test_ids_in_a_label_are_those_of_its_pixels() -> None:
    label = np.random.default_rng(0).choice([18, 3, 0, 255, 7], (9, 14)).astype(np.uint8)
    assert ids_in(label) == [0, 3, 7, 18, 255] and ids_in(label[:1, :1]) == [label[0, 0]]
