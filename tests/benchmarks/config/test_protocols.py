"""The published protocols: settings, the class sets they report, and runs on tiny files in each one's folders."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from detectron2.config import CfgNode
from tiny_published import write_published

from benchmarks.config.label_space import reported, scoring
from benchmarks.config.run import Run
from benchmarks.config.run_id import run_folder
from benchmarks.config.spec import RunSpec
from benchmarks.core.errors import ConfigError
from benchmarks.data import from_config as data
from benchmarks.data.from_config import data_root, training_set, validation_set
from benchmarks.engine.runner import RunWatcher, run_one
from benchmarks.launch.compare import compare_methods
from datasets.base.errors import DataError
from methods.framework.recipes import parse

SMALL: dict[str, Any] = {
    "INPUT.CROP": (32, 32),
    "INPUT.SOURCE_RESIZE": (48, 48),
    "INPUT.TARGET_RESIZE": (48, 48),
    "INPUT.MAX_CLASS_SHARE": 1.0,
    "TEST.RESIZE": (48, 32),
    "SOLVER.ITERS": 2,
    "SOLVER.WARMUP_ITERS": 1,
    "SOLVER.BATCH": 2,
    "WEIGHTS": "none",
    "DEVICE": "cpu",
    "NUM_WORKERS": 0,
}
PUBLISHED = ["gta-cityscapes", "synthia-cityscapes", "cityscapes-acdc", "cityscapes-darkzurich"]


def resolved(protocol: str, method: str = "dacs", **overrides: Any) -> CfgNode:
    return RunSpec(protocol, method, overrides=overrides).resolve()


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_published(tmp_path_factory.mktemp("data"))


# Settings


@pytest.mark.parametrize(
    ("protocol", "source", "target", "test", "sets"),
    [
        ("gta-cityscapes", (1280, 720), (1024, 512), (1024, 512), (19,)),
        ("synthia-cityscapes", (1280, 760), (1024, 512), (1024, 512), (16, 13)),
        ("cityscapes-acdc", (1024, 512), (960, 540), (960, 540), (19,)),
        ("cityscapes-darkzurich", (1024, 512), (960, 540), (960, 540), (19,)),
    ],
)
def test_sizes_and_class_sets_are_the_published_ones(
    protocol: str, source: tuple[int, int], target: tuple[int, int], test: tuple[int, int], sets: tuple[int, ...]
) -> None:
    """As in the public settings of DAFormer and MIC, mmseg/configs/_base_/datasets/uda_*_512x512.py."""
    cfg = resolved(protocol)
    assert (source, target, test) == (cfg.INPUT.SOURCE_RESIZE, cfg.INPUT.TARGET_RESIZE, cfg.TEST.RESIZE)
    assert (cfg.INPUT.CROP, cfg.INPUT.MAX_CLASS_SHARE, cfg.SOLVER.BATCH) == ((512, 512), 0.75, 2)
    assert (cfg.SOLVER.ITERS, cfg.SOLVER.WARMUP_ITERS, cfg.TEST.PERIOD) == (40000, 1500, 4000)
    assert (cfg.TEST.CLASSES, scoring(cfg).class_sets) == (sets[0], sets)
    assert cfg.DATA.VAL.SPLIT == "val" and cfg.DATA.TARGET.SPLIT == cfg.DATA.SOURCE.SPLIT == "train"


@pytest.mark.parametrize(
    ("protocol", "classes", "line"),
    [
        ("gta-cityscapes", 16, "TEST.CLASSES is 16, expected 19: the classes that a source of layout gta labels"),
        ("gta-cityscapes", 13, "TEST.CLASSES is 13, expected 19: the classes that a source of layout gta labels"),
        ("cityscapes-acdc", 16, "TEST.CLASSES is 16, expected 19: "),
        ("synthia-cityscapes", 19, "TEST.CLASSES is 19, expected 16 or 13: "),
        ("streets", 16, "TEST.CLASSES is 16, expected 19: "),
    ],
)
def test_a_class_set_that_the_source_is_not_reported_on_is_refused(protocol: str, classes: int, line: str) -> None:
    with pytest.raises(ConfigError) as caught:
        resolved(protocol, **{"TEST.CLASSES": classes})
    assert str(caught.value).startswith(line)


def test_thirteen_classes_can_be_the_headline() -> None:
    assert scoring(resolved("synthia-cityscapes", **{"TEST.CLASSES": 13})).class_sets == (13, 16)
    assert reported(resolved("synthia-cityscapes")) == (16, 13)


# Data


@pytest.mark.parametrize("protocol", PUBLISHED)
def test_images_of_every_published_protocol(root: Path, protocol: str) -> None:
    cfg = resolved(protocol, **SMALL, **{"DATA.ROOT": str(root)})
    batch = training_set(cfg, parse("dacs"), data_root(cfg))[0]
    assert batch["source"]["labels"].shape == (2, 32, 32) and batch["target"]["images"].shape == (2, 3, 32, 32)
    val = validation_set(cfg, data_root(cfg))
    assert len(val) == (12 if protocol == "cityscapes-acdc" else 3)
    assert val[0]["image"].shape == (3, 32, 48) and val[0]["label"].shape == (64, 96)
    assert set(val[0]["label"].unique().tolist()) <= {*range(19), 255}


def test_one_condition_of_acdc(root: Path) -> None:
    cfg = resolved("cityscapes-acdc", **SMALL, **{"DATA.ROOT": str(root), "DATA.VAL.CONDITIONS": ["night"]})
    val = validation_set(cfg, data_root(cfg))
    assert [Path(val[i]["file_name"]).parts[-4] for i in range(len(val))] == ["night"] * 3


def test_target_only_learns_from_acdcs_labels_and_says_that_dark_zurich_has_none(root: Path) -> None:
    cfg = resolved("cityscapes-acdc", "target-only", **SMALL, **{"DATA.ROOT": str(root)})
    assert training_set(cfg, parse("target-only"), root)[0]["source"]["labels"].shape == (2, 32, 32)
    cfg = resolved("cityscapes-darkzurich", "target-only", **SMALL, **{"DATA.ROOT": str(root)})
    with pytest.raises(DataError) as caught:
        training_set(cfg, parse("target-only"), root)
    assert str(caught.value) == (
        "target-only learns from target labels, but Dark Zurich has no labels of split 'train': it cannot be used as "
        "labelled"
    )


@pytest.mark.parametrize(
    ("protocol", "folder", "relative"),
    [
        ("cityscapes-acdc", "acdc/rgb_anon", "fog/test/GP01/GP01_fog_000000_rgb_anon.png"),
        ("cityscapes-darkzurich", "dark_zurich/rgb_anon/test", "night/GOPR1/GOPR1_frame_000000_rgb_anon.png"),
    ],
)
def test_images_for_the_test_server_have_no_label(root: Path, protocol: str, folder: str, relative: str) -> None:
    items = data.test_set(resolved(protocol, **{"DATA.ROOT": str(root)}), "test")
    stem = Path(relative).name.removesuffix("_rgb_anon.png")
    assert items[0] == {"file_name": f"{root / folder}/{relative}", "image_id": stem, "relative": relative}
    assert len({item["relative"] for item in items}) == len(items) == (12 if "acdc" in protocol else 3)
    with pytest.raises(DataError, match="has no split 'testing'"):
        data.test_set(resolved(protocol, **{"DATA.ROOT": str(root)}), "testing")


# Runs


@pytest.mark.slow
@pytest.mark.parametrize("protocol", ["cityscapes-acdc", "cityscapes-darkzurich"])
def test_two_steps_on_adverse_conditions(root: Path, tmp_path: Path, protocol: str) -> None:
    cfg = RunSpec(protocol, "dacs", "daformer-lite0", overrides={**SMALL, "DATA.ROOT": str(root)}).resolve()
    record = run_one(Run.at(run_folder(tmp_path, cfg), cfg), RunWatcher()).content
    assert record["status"] == "finished", record["reason"]
    assert list(record["result"]["student"]["miou_by_classes"]) == ["19"]


def test_the_table_of_synthia_has_both_class_sets(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    overrides = {**SMALL, "DATA.ROOT": str(root)}
    spec = RunSpec("synthia-cityscapes", "source-only", "daformer-lite0", overrides=overrides)
    assert compare_methods([Run.of(spec, tmp_path)], tmp_path, force=False, quick=False) == 0
    printed = capsys.readouterr().out
    assert "synthia-cityscapes, daformer-lite0, 16 and 13 classes." in printed
    head = next(line for line in printed.splitlines() if line.lstrip().startswith("method"))
    record = json.loads(next(tmp_path.rglob("record.json")).read_text())
    student, pixels = record["result"]["student"], record["validation"]["labelled_pixels"]
    iou, without = student["iou"], {"terrain", "truck", "train"}
    heads: list[str] = []
    for size, left_out in ((16, without), (13, without | {"wall", "fence", "pole"})):
        known = [value for name, value in iou.items() if name not in left_out and pixels[name]]
        heads.append(f"mIoU ({len(known)} of {size})")  # few classes are in two small images
        assert student["miou_by_classes"][str(size)] == pytest.approx(sum(known) / len(known))
    (table,) = tmp_path.glob("synthia-cityscapes-daformer-lite0-*.md")
    markdown = table.read_text()
    assert all(each in head and each in markdown for each in heads)
