"""Sizes that fit networks of patches: set where nobody sets them, and told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from detectron2.config import CfgNode

from benchmarks.config.network_sizes import fitted_sizes
from benchmarks.config.remarks import harmful_distances, remarks
from benchmarks.config.run import Run
from benchmarks.config.run_id import run_id
from benchmarks.config.spec import RunSpec
from benchmarks.engine.run_record import initial_record

SIZES = ("CROP", "SOURCE_RESIZE", "TARGET_RESIZE")


def resolved(protocol: str, method: str, network: str | None, **overrides: Any) -> CfgNode:
    return RunSpec(protocol, method, network, overrides=overrides).resolve()


@pytest.mark.parametrize(
    ("protocol", "method", "network", "crop", "source", "target", "test"),
    [
        ("gta-cityscapes", "dacs", "dinov2-b-linear", (518, 518), (1295, 729), (1036, 518), (1036, 518)),
        ("gta-cityscapes", "hrda", "dinov2-s-daformer", (1064, 1064), (2660, 1497), (2128, 1064), (2128, 1064)),
        ("cityscapes-acdc", "dacs", "dinov2-b-linear", (518, 518), (1036, 518), (972, 547), (980, 560)),
        ("streets", "dacs", "dinov2-s-linear", (140, 140), (280, 140), (280, 140), (280, 140)),
        ("streets", "hrda", "dinov2-s-linear", (168, 168), (336, 168), (336, 168), (336, 168)),
        # As they are, images of the target may have no more than the crop's pixels.
        ("gta-cityscapes-vfm", "dacs", None, (1022, 1022), (2620, 1440), (), ()),
        ("gta-cityscapes-vfm", "hrda", "dinov2-b-linear", (1008, 1008), (2620, 1440), (), ()),
        # What fits stays.
        ("gta-cityscapes", "hrda", "dinov3-b-daformer", (1024, 1024), (2560, 1440), (2048, 1024), (2048, 1024)),
        ("gta-cityscapes-vfm", "dacs", "dinov3-l-linear", (1024, 1024), (2620, 1440), (), ()),
        ("cityscapes-acdc", "dacs", "dinov3-b-linear", (512, 512), (1024, 512), (960, 540), (960, 544)),
        ("streets", "dacs", "daformer-lite0", (128, 128), (), (), ()),
    ],
)
def test_crops_and_images_are_enlarged_together(
    protocol: str, method: str, network: str | None, crop: Any, source: Any, target: Any, test: Any
) -> None:
    cfg = resolved(protocol, method, network)
    assert tuple(cfg.INPUT[key] for key in SIZES) == (crop, source, target)
    assert test == cfg.TEST.RESIZE


def test_rows_that_are_ignored_grow_with_the_image() -> None:
    assert resolved("gta-cityscapes", "daformer", "dinov2-b-linear").INPUT.TARGET_MARGINS == (15, 121, 0)
    assert resolved("gta-cityscapes", "daformer", "dinov3-b-linear").INPUT.TARGET_MARGINS == (15, 120, 0)


def test_what_is_set_stays_and_is_told() -> None:
    given = {"INPUT.CROP": (512, 512), "TEST.RESIZE": (1024, 512)}
    cfg = resolved("gta-cityscapes", "dacs", "dinov2-b-linear", **given)
    assert (cfg.INPUT.CROP, cfg.INPUT.TARGET_RESIZE, cfg.TEST.RESIZE) == ((512, 512), (1024, 512), (1024, 512))
    seen = "dinov2-b-linear sees patches of 14x14 pixels: "
    assert fitted_sizes([cfg, cfg]) == [f"{seen}crops of 512x512 are resampled to 518x518"]
    fitting = resolved("gta-cityscapes", "dacs", "dinov2-b-linear")
    assert fitted_sizes([fitting]) == [f"{seen}crops are 518x518, test images 1036x518"]
    assert fitted_sizes([resolved("gta-cityscapes", "dacs", "dinov3-b-linear")]) == []
    assert fitted_sizes([resolved("gta-cityscapes", "dacs", "daformer-mitb5")]) == []


def test_the_record_of_a_run_says_them(tmp_path: Path) -> None:
    line = "dinov2-s-linear sees patches of 14x14 pixels: crops are 140x140, test images 280x140"
    assert initial_record(Run.of(RunSpec("streets", "dacs", "dinov2-s-linear"), tmp_path)).content["sizes"] == line
    assert "sizes" not in initial_record(Run.of(RunSpec("streets", "dacs"), tmp_path)).content


def test_a_window_that_is_set_by_a_protocol_fits_too(tmp_path: Any) -> None:
    data = "{SOURCE: {LAYOUT: gta}, TARGET: {LAYOUT: cityscapes}, VAL: {LAYOUT: cityscapes}}"
    sizes = "INPUT: {CROP: [100, 60]}, TEST: {SLIDING: true, WINDOW: [100, 60]}"
    (tmp_path / "own.yaml").write_text(f"{{NETWORK: dinov2-s-linear, DATA: {data}, {sizes}}}")
    cfg = resolved(str(tmp_path / "own.yaml"), "dacs", None)
    assert (cfg.INPUT.CROP, cfg.TEST.WINDOW) == ((98, 56), (112, 70))


def test_feature_distance_of_a_foundation_network_is_warned_of() -> None:
    line = (
        "daformer holds dinov2-b-vfmuda to its first features, which harms foundation networks (arXiv 2503.10685): "
        "TERMS.FEATURE_DISTANCE.WEIGHT 0 trains without"
    )
    cfg = resolved("gta-cityscapes-vfm", "daformer+mic", None)
    assert harmful_distances([cfg, cfg]) == [line] and line in remarks([cfg])
    for other in (
        resolved("gta-cityscapes-vfm", "dacs+mic", None),
        resolved("gta-cityscapes-vfm", "daformer", "daformer-mitb5"),
        resolved("gta-cityscapes-vfm", "daformer", None, **{"TERMS.FEATURE_DISTANCE.WEIGHT": 0.0}),
        resolved("gta-cityscapes-vfm", "daformer", None, **{"SOLVER.FREEZE_ENCODER": True}),
    ):
        assert harmful_distances([other]) == []


def test_ids_know_of_the_new_keys_only_where_they_are_set() -> None:
    first = resolved("gta-cityscapes", "dacs", "dinov2-b-linear")
    set_to_default = resolved(
        "gta-cityscapes", "dacs", "dinov2-b-linear", **{"SOLVER.LAYER_DECAY": 1.0, "SOLVER.FREEZE_ENCODER": False}
    )
    assert run_id(first) == run_id(set_to_default)
    changes: list[dict[str, Any]] = [{"SOLVER.LAYER_DECAY": 0.9}, {"SOLVER.FREEZE_ENCODER": True}]
    ids = [run_id(resolved("gta-cityscapes", "dacs", "dinov2-b-linear", **change)) for change in changes]
    assert len({run_id(first), *ids}) == 3
    # A frozen encoder has no rates.
    idle = {"SOLVER.FREEZE_ENCODER": True, "SOLVER.ENCODER_LR": 1.0, "SOLVER.LAYER_DECAY": 0.5}
    assert run_id(resolved("gta-cityscapes", "dacs", "dinov2-b-linear", **idle)) == ids[1]
