"""A list of data sets at DATA.SOURCE or DATA.TARGET: the sections it fills, ids, classes, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from detectron2.config import CfgNode

from ablations.sweep.grid_checks import check_keys
from benchmarks.config.data_lists import without_lists
from benchmarks.config.former_ids import former_ids
from benchmarks.config.keys import flatten
from benchmarks.config.label_space import labelled_classes, reported, roles_of
from benchmarks.config.overrides import parse_pairs
from benchmarks.config.run_id import decisive, run_id
from benchmarks.config.spec import RunSpec
from benchmarks.core.errors import ConfigError
from benchmarks.data.from_config import labelled_view
from datasets.classes.label_space import CITYSCAPES
from methods.base.errors import MethodError

BOTH = "gta+synthia-cityscapes"


def resolved(protocol: str = "gta-cityscapes", method: str = "dacs", **overrides: Any) -> CfgNode:
    given = {key.replace("__", "."): value for key, value in overrides.items()}
    return RunSpec(protocol, method, overrides=given).resolve()


@pytest.mark.parametrize("method", ["source-only", "daformer", "hrda"])
def test_a_list_of_one_is_the_same_run(method: str) -> None:
    plain = resolved(method=method)
    for source in ("gta", ["gta"], [{"LAYOUT": "gta", "FOLDER": "gta"}]):
        listed = resolved(method=method, DATA__SOURCE=source, DATA__TARGET=[{"LAYOUT": "cityscapes", "WEIGHT": 3}])
        assert run_id(listed) == run_id(plain)  # the weight of the only one decides nothing
        assert former_ids(listed) == former_ids(plain) != []
        same = {key: value for key, value in flatten(listed).items() if key != "DATA.TARGET.WEIGHT"}
        assert same.items() <= flatten(plain).items()


def test_a_list_fills_the_sections_in_its_order() -> None:
    cfg = resolved(BOTH)
    assert roles_of(cfg, "SOURCE") == ["SOURCE", "SOURCE_2"] and roles_of(cfg, "TARGET") == ["TARGET"]
    assert (cfg.DATA.SOURCE.LAYOUT, cfg.DATA.SOURCE.FOLDER) == ("gta", "gta")
    assert (cfg.DATA.SOURCE_2.LAYOUT, cfg.DATA.SOURCE_2.FOLDER) == ("synthia", "synthia")
    assert decisive(cfg).keys() - decisive(resolved()).keys() == {
        f"DATA.SOURCE_2.{key}" for key in ("LAYOUT", "FOLDER", "SCALE")
    }
    for method, whole in (("dacs", (1280, 760)), ("hrda", (2560, 1520))):  # as under synthia-cityscapes
        assert labelled_view(resolved(BOTH, method), "SOURCE_2").seen(1280, 760) == whole
        assert labelled_view(resolved(BOTH, method), "SOURCE").resize == resolved(method=method).INPUT.SOURCE_RESIZE
    ids = {run_id(resolved(BOTH, DATA__SOURCE_2__WEIGHT=weight)) for weight in (1.0, 2.0)}
    assert len({*ids, run_id(resolved())}) == 3
    data = resolved(BOTH, DATA__SOURCE=["dark-zurich", "mapillary-2.0", "wilddash2"]).DATA
    nodes = [data.SOURCE, data.SOURCE_2, data.SOURCE_3]
    assert [(node.FOLDER, node.SPLIT) for node in nodes] == [
        ("dark_zurich", "train"), ("mapillary", "training"), ("wilddash2", "public")
    ]  # fmt: skip


def test_a_shorter_list_takes_the_place_of_a_longer_one() -> None:
    given = parse_pairs(["DATA.SOURCE", "[synthia]", "INPUT.SOURCE_RESIZE", "1280x760"])
    alone = RunSpec(BOTH, "dacs", overrides=given).resolve()
    alone.defrost()
    alone.PROTOCOL = "synthia-cityscapes"
    assert run_id(alone) == run_id(resolved("synthia-cityscapes"))


def test_lists_are_read_from_files_with_ids_as_mappings(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(
        "DATA:\n  CLASSES: [road, car, sky]\n  SOURCE:\n"
        "    - {LAYOUT: folders, IMAGES: a, LABELS: b, IDS: {7: road, 8: car, others: ignore}, WEIGHT: 2}\n"
        "    - {LAYOUT: folders, IMAGES: c, LABELS: d}\n"
        "  TARGET: {LAYOUT: folders, IMAGES: e}\n  VAL: {LAYOUT: folders, IMAGES: e, LABELS: f}\n"
        "NETWORK: daformer-lite0\n"
    )
    cfg = resolved(str(file))
    assert cfg.DATA.SOURCE.IDS == ("7=road", "8=car", "others=ignore")
    assert (cfg.DATA.SOURCE.WEIGHT, cfg.DATA.SOURCE_2.WEIGHT) == (2.0, 1.0)
    assert labelled_classes(cfg, "SOURCE") == (0, 1) and labelled_classes(cfg, "SOURCE_2") == (0, 1, 2)
    assert reported(cfg) == (3,)


def test_classes_are_those_of_the_source_that_labels_most() -> None:
    assert (reported(resolved(BOTH)), resolved(BOTH).TEST.CLASSES) == ((19,), 19)
    swapped = resolved(DATA__SOURCE=["synthia", "gta"])
    assert reported(swapped) == (19,)
    assert labelled_classes(swapped, "SOURCE") == CITYSCAPES.class_sets[16]
    assert labelled_classes(swapped, "SOURCE_2") == CITYSCAPES.class_sets[19]
    assert reported(resolved(DATA__SOURCE=["synthia", {"LAYOUT": "synthia", "FOLDER": "more"}])) == (16, 13)
    with pytest.raises(ConfigError, match=r"TEST\.CLASSES is 16, expected 19: .* source of layout gta and synthia"):
        resolved(BOTH, TEST__CLASSES=16)


def test_margins_are_checked_where_they_count() -> None:
    small = [{"LAYOUT": "cityscapes"}, {"LAYOUT": "acdc", "SCALE": 0.25}]
    with pytest.raises(ConfigError, match="margins that leave something of target images of 256x128"):
        resolved(method="daformer", DATA__TARGET=small)
    with pytest.raises(ConfigError, match=r"TARGET_2\.SCALE is 0\.25, which is of INPUT\.TARGET_RESIZE: expected"):
        resolved(DATA__TARGET=small, INPUT__TARGET_RESIZE=[])
    cfg = resolved(method="daformer", DATA__TARGET=[small[0], {**small[1], "MARGINS": False}])
    assert roles_of(cfg, "TARGET") == ["TARGET", "TARGET_2"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (["gata"], "KEY VALUE: DATA.SOURCE: 'gata': unknown data set; did you mean 'gta'?"),
        ([], "KEY VALUE: DATA.SOURCE is [], expected a list of 1 to 5 data sets, such as [gta, synthia]"),
        (["gta"] * 6, "expected a list of 1 to 5 data sets"),
        (7, "KEY VALUE: DATA.SOURCE is 7, expected a list of 1 to 5 data sets"),
        (["gta", 3], "KEY VALUE: DATA.SOURCE: 3: expected the name of a data set, or keys such as {LAYOUT: gta"),
        ([{"LAYOUT": "gta", "WIEGHT": 1}], "KEY VALUE: DATA.SOURCE: unknown key 'WIEGHT'; did you mean 'WEIGHT'?"),
        ([{"LAYOUT": "gta", "WEIGHT": 0}], "DATA.SOURCE.WEIGHT is 0.0, expected a finite number above 0"),
        ([{"LAYOUT": "gta", "SCALE": 0}], "DATA.SOURCE.SCALE is 0.0, expected a finite number above 0"),
        (["gta", {"FOLDER": "x"}], "DATA.SOURCE_2.FOLDER is 'x', and DATA.SOURCE_2 has no LAYOUT: expected one of"),
        ([{"LAYOUT": "gta", "IDS": {"a": "road"}}], "'a' is no id, expected a whole number, or others"),
    ],
)
def test_what_is_no_list_is_refused_in_one_line(value: Any, expected: str) -> None:
    with pytest.raises((ConfigError, MethodError)) as caught:
        resolved(DATA__SOURCE=value)
    assert expected in str(caught.value) and "\n" not in str(caught.value)


def test_grids_and_other_keys_pass() -> None:
    check_keys({"DATA.SOURCE": ["gta", "synthia"]}, "mine.yaml: sources")
    with pytest.raises(ConfigError, match=r"mine\.yaml: sources: DATA\.SOURCE: 'gat': unknown data set; did you mean"):
        check_keys({"DATA.SOURCE": ["gat"]}, "mine.yaml: sources")
    assert without_lists({"SOLVER.ITERS": 3, "DATA.VAL": "x"}, "") == {"SOLVER.ITERS": 3, "DATA.VAL": "x"}
