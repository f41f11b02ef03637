"""What is looked at before a run: every file, whether there is something to learn from, and thresholds that fit."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from own_files import ONE_STEP, Own
from PIL import Image
from tiny_files import save_grey, save_image
from trained_runs import Command, assert_one_line, commands_in

import benchmarks.check_data
from benchmarks.config.keys import get_config
from benchmarks.config.label_space import scoring
from benchmarks.config.protocol_file import protocols
from benchmarks.config.run import Run
from benchmarks.config.run_id import run_id
from benchmarks.config.spec import RunSpec
from benchmarks.core.errors import ConfigError
from benchmarks.data.data_checks import check_files
from benchmarks.data.from_config import data_root, training_set, validation_set
from benchmarks.engine.build import build_student
from benchmarks.engine.runner import RunWatcher, run_one
from benchmarks.evaluation.evaluator import evaluate
from benchmarks.evaluation.inference import predict_image, smallest_side
from datasets.base.errors import DataError
from methods.base.errors import MethodError
from methods.framework.recipes import parse

CPU = torch.device("cpu")


@pytest.fixture
def own(tmp_path: Path) -> Own:
    return Own(tmp_path / "mine")


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> Command:
    return functools.partial(commands_in(tmp_path, monkeypatch, capfd), benchmarks.check_data)


def last(own: Own, domain: str) -> Path:
    """The last file of a folder, which a check of the first does not open."""
    return own.folder / domain


# Files


def wrong_size(own: Own) -> str:
    save_grey(last(own, "camera/2_label.png"), np.full((20, 20), 2))
    return "2_label.png: expected the size of its image, 40x32, found 20x20"


def all_of_another_size(own: Own) -> str:
    for path in (own.folder / "game/labels/a").glob("*.png"):
        save_grey(path, np.full((20, 20), 7))
    return "0.png: expected the size of its image, 40x32, found 20x20 (2 more: benchmarks/check_data.py lists all)"


def print_colours(own: Own) -> str:
    Image.new("CMYK", (40, 32)).save(last(own, "camera/2_rgb.png").with_suffix(".tif"))
    last(own, "camera/2_rgb.png").unlink()
    last(own, "camera/2_rgb.png").with_suffix(".tif").rename(last(own, "camera/2_rgb.png"))
    return "2_rgb.png: expected an RGB image, found mode CMYK"


def colour_label(own: Own) -> str:
    save_image(last(own, "game/labels/a/2.png"), (40, 32))
    return "2.png: expected a label of 8 bits a pixel"


def no_room_for_the_crop(own: Own) -> str:
    save_image(last(own, "game/images/a/2.png"), (30, 30))
    save_grey(last(own, "game/labels/a/2.png"), np.full((30, 30), 11))
    return "2.png: image is 30x30 (read as 30x30), expected at least the crop, 32x32"


def cut(own: Own) -> str:
    last(own, "camera/2_rgb.png").write_bytes(b"")
    return "2_rgb.png"


FAULTS: list[Callable[[Own], str]] = [
    wrong_size, all_of_another_size, print_colours, colour_label, no_room_for_the_crop, cut
]  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_file_that_cannot_be_used_is_named_before_training(own: Own, fault: Callable[[Own], str]) -> None:
    own.check()
    expected = fault(own)
    cfg = own.resolve()
    with pytest.raises(DataError) as caught:
        check_files(cfg, parse("dacs"))
    assert expected in str(caught.value) and "\n" not in str(caught.value)


def test_a_source_label_of_another_size_is_told_of_and_skipped(own: Own, caplog: pytest.LogCaptureFixture) -> None:
    save_grey(last(own, "game/labels/a/2.png"), np.full((20, 20), 11))
    own.check()
    assert "DATA.SOURCE: 1 of 3 skipped in training: " in caplog.text


# Something to learn from


@pytest.mark.parametrize("role", ["SOURCE", "VAL"])
def test_labels_without_a_pixel_of_a_class_are_an_error_with_the_ids_found(own: Own, role: str) -> None:
    """All ignored: by 255 in the files, or by a table of other ids."""
    files = sorted(own.folder.glob("game/labels/a/*.png" if role == "SOURCE" else "camera/*_label.png"))
    for path in files:
        save_grey(path, np.full((32, 40), 255))
    assert own.line() == (
        f"DATA.{role}: no pixel of 3 labels is of a class (ids 255 in 3 of 3 labels), expected labels of ground, "
        f"house, sky: DATA.{role}.IDS says which id is which class"
    )
    for path in files:
        save_grey(path, np.full((32, 40), (0, 99)[path == files[0]]))
    own.data[role]["IDS"] = {5: "ground", "others": "ignore"}
    assert "(ids 0, 99 in 3 of 3 labels)" in own.line()


def test_a_class_that_never_occurs_is_a_warning_by_name(own: Own, caplog: pytest.LogCaptureFixture) -> None:
    """A mask of 0 and 255, too: its foreground is ignored."""
    own.check()
    assert "DATA.SOURCE: no label has a pixel of sky (ids 7, 8, 11 in 3 of 3 labels): they cannot be learned" in (
        caplog.text
    )
    assert "DATA.VAL" not in caplog.text
    caplog.clear()
    mask = np.zeros((32, 40))
    mask[:, 20:] = 255
    for path in own.folder.glob("camera/*_label.png"):
        save_grey(path, mask)
    own.check()
    assert "DATA.VAL: no label has a pixel of house, sky (ids 0, 255 in 3 of 3 labels): no mean counts them" in (
        caplog.text
    )


def test_a_record_says_which_classes_the_validation_labels_lack(own: Own, tmp_path: Path) -> None:
    for path in own.folder.glob("camera/*_label.png"):
        save_grey(path, np.full((32, 40), 1))
    record = run_one(Run.at(tmp_path / "run", own.resolve("source-only", **ONE_STEP)), RunWatcher()).content
    assert record["validation"] == {
        "labelled_pixels": {"ground": 0, "house": 3 * 32 * 40, "sky": 0},
        "left_out": {"3": ["ground", "sky"]},
    }
    student = record["result"]["student"]
    assert student["miou"] == student["miou_by_classes"]["3"] == student["iou"]["house"]
    assert json.loads((tmp_path / "run/record.json").read_text())["validation"] == record["validation"]


# Rare class sampling


def test_own_protocols_get_the_thresholds_by_area_unless_they_set_them(own: Own) -> None:
    """Of labels of 40x32: 3000 of GTA's 1914x1052 are 1.9; of crops of 32x32: 1500 of 512x512 are 5.9."""
    cfg = own.resolve("daformer")
    assert (cfg.SAMPLING.BY_AREA, cfg.SAMPLING.MIN_PIXELS, cfg.SAMPLING.MIN_CROP_PIXELS) == (True, 3000, 6)
    batches = training_set(cfg, parse("daformer"), data_root(cfg))
    assert batches[0]["source"]["labels"].shape == (2, 32, 32)
    label = np.full((32, 40), 7)
    label[0, :2] = 11
    for number in range(3):
        save_grey(own.folder / f"game/labels/a/{number}.png", label)
    training_set(cfg, parse("daformer"), data_root(cfg))  # 2 pixels are not more than 2, with a warning
    own.values["SAMPLING"] = {"MIN_PIXELS": 50}
    cfg = own.resolve("daformer", **{"SAMPLING.MIN_CROP_PIXELS": 9})
    assert (cfg.SAMPLING.BY_AREA, cfg.SAMPLING.MIN_PIXELS, cfg.SAMPLING.MIN_CROP_PIXELS) == (False, 50, 9)
    assert round(1500 / 16) == own.resolve("hrda", **{"INPUT.CROP": (128, 128)}).SAMPLING.MIN_CROP_PIXELS


def test_protocols_that_ship_keep_thresholds_and_ids() -> None:
    for name in protocols():
        cfg = RunSpec(name, "daformer").resolve()
        assert cfg.SAMPLING.BY_AREA is False
        expected = (49, 94) if name.startswith("streets") else (3000, 6000) if name.endswith("-vfm") else (3000, 1500)
        assert expected == (cfg.SAMPLING.MIN_PIXELS, cfg.SAMPLING.MIN_CROP_PIXELS)
    before, after = RunSpec("gta-cityscapes", "daformer").resolve(), get_config()
    after = before.clone()
    after.defrost()
    after.SAMPLING.BY_AREA = True
    assert run_id(after) != run_id(before)


def test_a_class_left_out_is_told_by_name_with_the_share_that_would_fit(
    own: Own, caplog: pytest.LogCaptureFixture
) -> None:
    label = np.full((32, 40), 7)
    label[0, :9] = 11
    for number in range(3):
        save_grey(own.folder / f"game/labels/a/{number}.png", label)
    cfg = own.resolve("daformer", **{"SAMPLING.MIN_PIXELS": 100})
    training_set(cfg, parse("daformer"), data_root(cfg))
    assert caplog.messages[-1] == (
        "rare class sampling leaves out house (at most 9): no label has more than SAMPLING.MIN_PIXELS = 100 pixels of "
        "it, 7.8% of these labels; the published share of 0.15% would be 2"
    )
    cfg = own.resolve("daformer", **{"SAMPLING.MIN_PIXELS": 3000})
    with pytest.raises(DataError, match=r"1271 pixels of one class, 234.4% of .* share of 0.15% would be 2$"):
        training_set(cfg, parse("daformer"), data_root(cfg))


# Sizes that networks take


@pytest.mark.parametrize("method", ["source-only", "hrda"])
def test_an_image_smaller_than_the_network_takes_is_scored_with_its_border_repeated(own: Own, method: str) -> None:
    crop = {"INPUT.CROP": (64, 64)} if method == "hrda" else {}
    cfg = own.resolve(method, **ONE_STEP, **crop)
    segmentor = build_student(cfg).eval()
    assert smallest_side(segmentor) == {"source-only": 32, "hrda": 64}[method]
    for number in range(3):
        save_image(own.folder / f"camera/{number}_rgb.png", (20, 20), seed=number)
        save_grey(own.folder / f"camera/{number}_label.png", np.full((20, 20), number))
    dataset = validation_set(cfg, data_root(cfg))
    scores = evaluate(segmentor, dataset, scoring(cfg), CPU, 0)
    assert sum(scores.labelled_pixels.values()) == 3 * 400
    image = dataset[0]["image"]
    logits = predict_image(segmentor, image, (20, 20), CPU, None)
    side = smallest_side(segmentor)
    padded = np.pad(image.numpy(), ((0, 0), (0, side - 20), (0, side - 20)), mode="edge")
    whole = predict_image(
        segmentor, torch.from_numpy(padded), (side, side), CPU, None
    )
    np.testing.assert_array_equal(logits.numpy(), whole[:, :20, :20].numpy())


def test_a_crop_whose_context_no_network_takes_is_refused(own: Own) -> None:
    cfg = own.resolve("hrda", **ONE_STEP, **{"INPUT.CROP": (64, 48)})
    with pytest.raises(MethodError, match=r"INPUT.CROP is 64x48, so that its context is 32x24 .* at least 32 pixels"):
        build_student(cfg)


# What is wrong in a protocol


def test_a_data_set_that_is_not_described_is_named(own: Own) -> None:
    del own.data["VAL"]
    assert own.line().startswith("DATA.VAL has no LAYOUT, expected the labelled images that are scored, as one of ")


def test_ids_that_are_a_list_are_refused_with_what_was_expected(own: Own) -> None:
    own.data["SOURCE"]["IDS"] = ["ground", "house"]
    with pytest.raises(ConfigError, match=r"DATA.SOURCE.IDS is \['ground', 'house'\], expected a mapping from ids to"):
        own.resolve()


def test_an_id_of_no_class_is_told_with_those_that_are(own: Own) -> None:
    save_grey(own.folder / "camera/0_label.png", np.full((32, 40), 9))
    assert "class ids 9 belong to no class, expected 0 to 2, 255, or IDS in the protocol" in own.line("source-only")


@pytest.mark.parametrize(
    ("ignored", "expected"),
    [(65535, [[0], [1], [2]]), ([2, 1], [[0], [255], [255]]), (None, [[0], [1], [2]]), (-1, [[0], [1], [2]])],
)
def test_ignored_ids_of_a_registered_data_set(own: Own, ignored: Any, expected: list[list[int]]) -> None:
    name = registered(own, ignored)
    own.data["VAL"] = {"LAYOUT": "registered", "NAME": name}
    cfg = own.resolve()
    val = validation_set(cfg, data_root(cfg))
    assert [val[i]["label"].unique().tolist() for i in range(3)] == expected


@pytest.mark.parametrize("ignored", ["void", 1.5, [None], {"void": 3}])
def test_an_ignored_id_that_is_none_is_one_line(own: Own, ignored: Any) -> None:
    name = registered(own, ignored)
    own.data["VAL"] = {"LAYOUT": "registered", "NAME": name}
    line = own.line()
    assert line.startswith(f"DATA.VAL.NAME: ignore_label of data set {name!r} is ") and "expected an id" in line


def registered(own: Own, ignored: Any) -> str:
    name = f"checks_{own.folder.parent.name}"
    items = [
        {"file_name": str(path), "sem_seg_file_name": str(path).replace("_rgb", "_label")}
        for path in sorted(own.folder.glob("camera/*_rgb.png"))
    ]
    DatasetCatalog.register(name, lambda: items)
    MetadataCatalog.get(name).set(ignore_label=ignored)
    return name


# The command


def test_the_check_decodes_every_file_and_reports(own: Own, command: Command, tmp_path: Path) -> None:
    ended = command("--protocol", str(own.write()), "--workers", "1", "--out", "files.csv")
    assert (ended.code, ended.err) == (0, "")
    for line in (
        "DATA.SOURCE: 3 pairs of image and label",
        "  sizes: 40x32 (3)",
        "  ids: 7 (1280), 8 (1280), 11 (1280)",
        "  ground: 2560 pixels",
        "  no label has a pixel of sky",
        "DATA.TARGET: 3 images",
        "0 problems",
    ):
        assert line in ended.out.splitlines()
    lines = (tmp_path / "files.csv").read_text().splitlines()
    assert len(lines) == 10 and f"SOURCE,{own.folder}/game/images/a/0.png" in lines[1] and ",40,32,7=1280," in lines[1]


def test_the_check_lists_each_problem_and_ends_with_2(own: Own, command: Command) -> None:
    """Damage that no header shows, an id of no class, and a size."""
    cut = own.folder / "camera/1_rgb.png"
    cut.write_bytes(cut.read_bytes()[:-400])
    save_grey(own.folder / "camera/2_label.png", np.full((32, 40), 9))
    save_grey(own.folder / "camera/0_label.png", np.full((20, 20), 0))
    ended = command("--protocol", str(own.write()), "--method", "source-only", "--workers", "1")
    assert ended.code == 2 and "3 problems" in ended.out.splitlines()
    problems = [line for line in ended.out.splitlines() if line.startswith("  problem: ")]
    assert len(problems) == 3
    assert "0_label.png: expected the size of its image, 40x32, found 20x20" in problems[0]
    assert "1_rgb.png: damaged" in problems[1] and "2_label.png: no class has the ids 9" in problems[2]


def test_what_the_check_cannot_begin_with_is_one_line(own: Own, command: Command) -> None:
    assert_one_line(command("--protocol", str(own.write()), "--workers", "0"), "--workers is 0")
    assert_one_line(command("--protocol", "mine.yaml"), "mine.yaml")
