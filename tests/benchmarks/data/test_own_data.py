"""Data sets of a user's own: the shipped examples run, and each mistake in a protocol's file is one line."""

from __future__ import annotations

import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from detectron2.config import CfgNode
from own_files import Own
from tiny_files import save_grey

import datasets.streets
from benchmarks.config.keys import flatten, get_config
from benchmarks.config.overrides import apply
from benchmarks.config.run import Run
from benchmarks.config.run_id import run_folder, run_id
from benchmarks.config.spec import RunSpec
from benchmarks.core.checkout import ROOT
from benchmarks.core.errors import ConfigError
from benchmarks.data.data_checks import check_data
from benchmarks.data.from_config import data_root, training_set, validation_set
from benchmarks.engine.runner import RunWatcher, run_one
from datasets.base.errors import DataError
from datasets.classes.label_space import CITYSCAPES, own_space, palette
from datasets.classes.labels import TRAIN_IDS
from datasets.files.reading import read_pair
from datasets.sets.folders import scan_folders
from methods.framework.recipes import parse

EXAMPLES = ROOT / "examples/own_data"
FIVE = ["ground", "structure", "nature", "sky", "traffic"]
QUICK = {"SOLVER.ITERS": 2, "SOLVER.BATCH": 2, "INPUT.CROP": (64, 64), "WEIGHTS": "none", "DEVICE": "cpu"}
QUICK |= {"NUM_WORKERS": 0, "SOLVER.WARMUP_ITERS": 1}


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The examples as shipped, with a few drawn images."""
    folder = tmp_path_factory.mktemp("own") / "examples"
    shutil.copytree(EXAMPLES, folder, ignore=shutil.ignore_patterns("data", "__pycache__"))
    datasets.streets.write(folder / "data", size=(128, 64), source_images=4, target_images=4, val_images=2, workers=1)
    return folder


def resolved(path: Path, method: str = "dacs", **overrides: Any) -> CfgNode:
    return RunSpec(str(path), method, overrides=QUICK | overrides).resolve()


# The examples


@pytest.mark.slow
@pytest.mark.parametrize("name", ["folders", "registered"])
def test_the_example_runs_for_two_steps(examples: Path, tmp_path: Path, name: str) -> None:
    cfg = resolved(examples / f"{name}.yaml", "dacs+mrm", **{"TERMS.MRM.DIM": 32, "TERMS.MRM.HEADS": 2})
    folder = run_folder(tmp_path, cfg)
    assert folder.parent == tmp_path / name / "dacs+mrm/daformer-lite0"
    record = run_one(Run.at(folder, cfg), RunWatcher()).content
    assert record["status"] == "finished", record["reason"]
    assert record["spec"]["protocol"] == name
    assert (record["classes"], record["class_sets"]) == (5, [5])
    student = record["result"]["student"]
    assert list(student["iou"]) == FIVE
    assert list(student["miou_by_classes"]) == ["5"]
    reread = get_config()
    apply(reread, flatten(CfgNode(yaml.safe_load((folder / "config.yaml").read_text()))), "config.yaml")
    assert reread == cfg and run_id(reread) == run_id(cfg)


@pytest.mark.slow
def test_both_examples_are_the_same_data(examples: Path) -> None:
    """One maps ids as it reads, the other converts the files: pixel by pixel the same."""
    cfgs = [resolved(examples / f"{name}.yaml") for name in ("folders", "registered")]
    sets = [training_set(cfg, parse("dacs"), data_root(cfg))[0] for cfg in cfgs]
    for domain, key in (("source", "images"), ("source", "labels"), ("target", "images")):
        assert (sets[0][domain][key] == sets[1][domain][key]).all()
    assert set(sets[0]["source"]["labels"].unique().tolist()) <= {0, 1, 2, 3, 4, 255}
    vals = [validation_set(cfg, data_root(cfg)) for cfg in cfgs]
    assert len(vals[0]) == len(vals[1]) == 2
    for i in range(2):
        assert (vals[0][i]["label"] == vals[1][i]["label"]).all() and (vals[0][i]["image"] == vals[1][i]["image"]).all()


def test_the_examples_have_the_rare_class_statistics_of_five_classes(examples: Path) -> None:
    cfg = resolved(examples / "folders.yaml", **{"SAMPLING.RARE_CLASSES": True, "SAMPLING.MIN_PIXELS": 10})
    assert training_set(cfg, parse("dacs"), data_root(cfg))[3]["source"]["labels"].shape == (2, 64, 64)


# A protocol's file


@pytest.fixture
def own(tmp_path: Path) -> Own:
    return Own(tmp_path / "mine")


def test_labels_are_read_in_the_classes_of_the_file(own: Own) -> None:
    cfg = own.resolve()
    source = training_set(cfg, parse("dacs"), data_root(cfg))
    found = [source[i]["source"]["labels"].unique().tolist() for i in range(2)]
    assert set().union(*found) == {0, 1}
    val = validation_set(cfg, data_root(cfg))
    assert [val[i]["label"].unique().tolist() for i in range(3)] == [[0], [1], [2]]
    assert [val[i]["image_id"] for i in range(3)] == ["0_rgb", "1_rgb", "2_rgb"]
    assert (cfg.PROTOCOL, cfg.TEST.CLASSES) == ("mine", 3)


def test_target_only_reads_the_targets_labels(own: Own) -> None:
    line = own.line("target-only")
    assert line == (
        "target-only learns from target labels, but DATA.TARGET.LABELS is empty, expected the folder or pattern of the "
        "labels"
    )
    own.data["TARGET"]["LABELS"] = "*_label.png"
    own.check("target-only")


def test_the_id_depends_on_the_content_and_not_on_where_the_file_lies(own: Own, tmp_path: Path) -> None:
    before = run_id(own.resolve())
    moved = Own(tmp_path / "elsewhere")
    ids = moved.data["SOURCE"]["IDS"]
    moved.data["SOURCE"]["IDS"] = dict(reversed(ids.items()))
    moved.data["COLOURS"] = ["#000000", "#112233", "#ffffff"]
    moved.values["DESCRIPTION"] = "mine"
    assert run_id(moved.resolve()) == before
    assert run_id(moved.resolve(**{"DATA.ROOT": str(own.folder)})) == before
    ids[12] = "sky"
    moved.data["SOURCE"]["IDS"] = ids
    assert run_id(moved.resolve()) != before


def test_data_root_takes_the_place_of_the_files_folder(own: Own, tmp_path: Path) -> None:
    path = own.write()
    (tmp_path / "away").mkdir()
    away = path.rename(tmp_path / "away/mine.yaml")
    cfg = RunSpec(str(away), "dacs").resolve()
    with pytest.raises(DataError, match="away/game/images: cannot be listed"):
        check_data(cfg, parse("dacs"))
    check_data(RunSpec(str(away), "dacs", overrides={"DATA.ROOT": str(own.folder)}).resolve(), parse("dacs"))


@pytest.mark.parametrize("method", ["daformer", "hrda+mic"])
@pytest.mark.parametrize(("key", "value"), [("THINGS", ["house"]), ("IGNORED_ROWS", [3, 5])])
def test_what_recipes_make_of_data_is_the_same_by_pair_and_by_file(
    own: Own, method: str, key: str, value: list[Any]
) -> None:
    own.values["INPUT"]["TARGET_RESIZE"] = [40, 32]
    plain, by_pair = own.resolve(method), own.resolve(method, **{f"DATA.{key}": value})
    last = own.resolve(
        method, **{f"DATA.{key}": value, "TERMS.FEATURE_DISTANCE.CLASSES": [2], "INPUT.TARGET_MARGINS": [1, 0, 0]}
    )
    own.data[key] = value
    assert by_pair == own.resolve(method)
    assert (plain.TERMS.FEATURE_DISTANCE.CLASSES, tuple(plain.INPUT.TARGET_MARGINS)) == ((), (0, 0, 0))
    if key == "THINGS":
        assert by_pair.TERMS.FEATURE_DISTANCE.CLASSES == (1,)
    else:
        margins = {"daformer": (3, 5, 0), "hrda+mic": (6, 10, 6)}
        assert tuple(by_pair.INPUT.TARGET_MARGINS) == margins[method]
    assert (last.TERMS.FEATURE_DISTANCE.CLASSES, last.INPUT.TARGET_MARGINS) == ((2,), (1, 0, 0))


@pytest.mark.parametrize("rows", [[3], [3, 5, 7], [-1, 2]])
def test_rows_that_are_none_are_told_before_a_recipe_counts_on_them(own: Own, rows: list[int]) -> None:
    own.values["INPUT"]["TARGET_RESIZE"] = [40, 32]
    with pytest.raises(ConfigError, match=r"^DATA\.IGNORED_ROWS is \(.*\), expected pixels at top, bottom$"):
        own.resolve("hrda", **{"DATA.IGNORED_ROWS": rows})
    own.data["IGNORED_ROWS"] = rows
    with pytest.raises(ConfigError, match=r"^DATA\.IGNORED_ROWS is \(.*\), expected pixels at top, bottom$"):
        own.resolve("hrda")


def test_a_published_layout_in_own_classes(own: Own) -> None:
    (own.folder / "game/images/a").rename(own.folder / "gta_images")
    (own.folder / "gta_images").rename(own.folder / "game/gta")
    shutil.copytree(own.folder / "game/gta", own.folder / "gta/images")
    shutil.copytree(own.folder / "game/labels/a", own.folder / "gta/labels")
    ids = own.data["SOURCE"]["IDS"]
    own.data["SOURCE"] = {"LAYOUT": "gta", "FOLDER": "gta", "IDS": ids}
    own.check()
    del own.data["SOURCE"]["IDS"]
    assert own.line() == "DATA.SOURCE.IDS: GTA5 does not store DATA.CLASSES, expected each id with its class"


def change(path: str, value: Any) -> Callable[[Own], None]:
    """Sets ``DATA.SOURCE.IDS`` and the like in the file; None takes the key away."""

    def apply_to(own: Own) -> None:
        node = own.values
        *above, last = path.split(".")
        for key in above:
            node = node[key]
        node[last] = value
        if value is None:
            del node[last]

    return apply_to


@pytest.mark.parametrize(
    ("mistake", "expected"),
    [
        (change("DATA.SOURCE.IDS", {7: "gruond"}), "DATA.SOURCE.IDS: unknown class 'gruond': did you mean 'ground'?"),
        (change("DATA.SOURCE.IDS", {"seven": "ground"}), "mine.yaml: DATA.SOURCE.IDS: 'seven' is no id, expected"),
        (change("DATA.SOURCE.IDS", {7: True}), "mine.yaml: DATA.SOURCE.IDS: 7 is True, expected a class name"),
        (change("DATA.SOURCE.IDS", {300: "ground"}), "DATA.SOURCE.IDS: '300=ground': expected an id from 0 to 255"),
        (change("DATA.SOURCE.IDS", {-1: "ground"}), "DATA.SOURCE.IDS: '-1=ground': expected an id from 0 to 255"),
        (change("DATA.SOURCE.IDS", "7"), "DATA.SOURCE.IDS is '7', expected a mapping from ids to classes"),
        (change("DATA.SOURCE.IDS", [7, 8]), "DATA.SOURCE.IDS is [7, 8], expected a mapping from ids to classes"),
        (change("DATA.COLOURS", ["#000000"]), "DATA.COLOURS: expected 3 colours, one a class, found 1"),
        (change("DATA.COLOURS", [804080, 1, 2]), "DATA.COLOURS is [804080, 1, 2], expected a list of words (in quotes"),
        (change("DATA.COLOURS", ["red", "a", "b"]), "DATA.COLOURS: 'red' is no colour, expected one such as '#804080'"),
        (change("DATA.THINGS", ["house", "car"]), "DATA.THINGS: unknown class 'car'"),
        (change("DATA.CLASSES", ["ground"]), "DATA.CLASSES: expected 2 to 254 class names, found 1"),
        (change("DATA.CLASSES", ["ground", "house", "ground"]), "DATA.CLASSES: 'ground' is named twice"),
        (change("DATA.CLASSES", ["ground", "house", "ignore"]), "DATA.CLASSES: 'ignore' cannot be the name of a class"),
        (change("DATA.CLASSES", ["ground", "house", True]), "expected a list of words"),
        (change("DATA.CLASSES", None), "DATA.SOURCE.IDS: unknown class 'ground'"),
        (change("DATA.CLASES", ["a", "b"]), "unknown key DATA.CLASES; did you mean DATA.CLASSES?"),
        (change("DATA.TARGET", None), "DATA.TARGET has no LAYOUT, expected the images to adapt to"),
        (change("DATA.TARGET.LAYOUT", "folder"), "unknown layout 'folder': did you mean 'folders'?"),
        (change("DATA.TARGET.IMAGES", None), "DATA.TARGET.IMAGES is '', which LAYOUT folders needs"),
        (change("DATA.TARGET.NAME", "mine"), "DATA.TARGET.NAME is 'mine', which LAYOUT registered needs"),
        (change("DATA.VAL.LABELS", None), "DATA.VAL.LABELS is empty, expected the folder or pattern of the labels"),
        (change("DATA.SOURCE.IMAGES", "img"), "/game/img: cannot be listed (No such file or directory), expected the"),
        (change("DATA.SOURCE.IMAGES", "/game"), "DATA.SOURCE.IMAGES is '/game', expected a folder or a pattern below"),
        (change("DATA.SOURCE.IMAGES", "images/**"), "DATA.SOURCE.IMAGES is 'images/**', expected a folder or"),
        (change("DATA.VAL.IMAGES", "*.jpg"), "/camera: holds no file that DATA.VAL.IMAGES, '*.jpg', describes"),
        (change("DATA.VAL.IMAGES", "**/*_rgb.png"), "expected as many stars as in DATA.VAL.IMAGES"),
        (change("TEST", {"CLASSES": 19}), "TEST.CLASSES is 19, expected 3: as many as DATA.CLASSES"),
        (change("NETWORK", "daformer"), "unknown network 'daformer'"),
    ],
)
def test_a_mistake_is_one_line(own: Own, mistake: Callable[[Own], None], expected: str) -> None:
    own.check()
    mistake(own)
    assert expected in own.line()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, "mine.yaml: no such file, expected a protocol in YAML"),
        ("NETWORK: [", "mine.yaml: expected YAML, found while parsing"),
        ("- dacs", "mine.yaml: expected keys and values such as NETWORK: daformer-lite0, found ['dacs']"),
        ("", "mine.yaml: expected keys and values"),
        ("7: 8", "mine.yaml: 7 is no key, expected a word"),
        ("SOLVER: {ITERS: }", "SOLVER.ITERS is None, expected a whole number"),
        ("SOLVER: 7", "unknown key SOLVER"),
        ("PROTOCOL_FILE: 2024-13-45", "mine.yaml: expected YAML, found month must be in"),
    ],
)
def test_a_file_that_is_none_is_told_in_one_line(tmp_path: Path, text: str | None, expected: str) -> None:
    path = tmp_path / "mine.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        RunSpec(str(path), "dacs").resolve()
    assert expected in str(caught.value) and "\n" not in str(caught.value)


def test_a_file_named_as_a_shipped_protocol_is_refused(own: Own) -> None:
    path = own.write("gta-cityscapes.yaml")
    with pytest.raises(ConfigError, match="a protocol of that name ships"):
        RunSpec(str(path), "dacs").resolve()


def test_an_image_without_label_and_an_id_out_of_the_table_are_named(own: Own) -> None:
    save_grey(own.folder / "game/labels/a/2.png", np.full((32, 40), 99))
    cfg = own.resolve()
    batches = training_set(cfg, parse("dacs"), data_root(cfg))
    with pytest.raises(DataError, match=r"game/labels/a/2.png: class ids 99 belong to no class, expected 7 to 8"):
        [batches[i] for i in range(2)]
    own.data["SOURCE"]["IDS"]["others"] = "ignore"
    cfg = own.resolve()
    batches = training_set(cfg, parse("dacs"), data_root(cfg))
    assert {255} <= {int(batches[i]["source"]["labels"].max()) for i in range(2)}
    (own.folder / "game/labels/a/1.png").unlink()
    assert own.line() == (
        f"{own.folder}/game/images/a/1.png: no label, expected one of the same name in {own.folder}/game/labels"
    )


# Folders


def test_pairs_by_folder_and_by_pattern(tmp_path: Path) -> None:
    for name in ("left/1.JPG", "left/b/2.png", "left/.hidden/3.png", "left/._4.png", "left/notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    for name in ("right/1.png", "right/b/2.png", "right/5.png", "left/b/2_l.tif"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "left/b/2_l.tif").unlink()
    items = scan_folders(tmp_path, "left/", "right", TRAIN_IDS, "DATA.VAL")
    assert items == [
        {
            "file_name": f"{tmp_path}/left/{image}",
            "image_id": Path(image).stem,
            "relative": image,
            "sem_seg_file_name": f"{tmp_path}/right/{label}",
            "label_encoding": TRAIN_IDS,
        }
        for image, label in (("1.JPG", "1.png"), ("b/2.png", "b/2.png"))
    ]
    assert pickle.loads(pickle.dumps(items)) == items
    (item,) = scan_folders(tmp_path, "*/b/*.png", "*/b/*.png", TRAIN_IDS, "DATA.VAL")[:1]
    assert (item["relative"], item["sem_seg_file_name"]) == ("left/b/2.png", item["file_name"])
    assert [item["relative"] for item in scan_folders(tmp_path, ".", "", None, "DATA.VAL")] == [
        "left/1.JPG", "left/b/2.png", "right/1.png", "right/5.png", "right/b/2.png",
    ]  # fmt: skip
    (tmp_path / "left/1.png").touch()
    with pytest.raises(DataError, match=r"left/1.png: there is left/1.JPG too, expected one file of a name"):
        scan_folders(tmp_path, "left", "right", TRAIN_IDS, "DATA.VAL")


# Label spaces


def test_own_colours_and_things() -> None:
    space = own_space(("a", "b", "c"), ("#ff0080", "000000", "#0A0b0C"), ("c", "a"))
    assert space.colours == ((255, 0, 128), (0, 0, 0), (10, 11, 12))
    assert space.things == (0, 2)
    assert space.class_sets == {3: (0, 1, 2)}


def test_colours_that_are_not_given_are_pascal_vocs() -> None:
    # aeroplane, bicycle, bird, boat, ..., tvmonitor (20), as printed by the devkit
    assert palette(4) == ((128, 0, 0), (0, 128, 0), (128, 128, 0), (0, 0, 128))
    assert palette(20)[-1] == (0, 64, 128)
    assert len(set(palette(254))) == 254


def test_an_items_label_is_what_the_file_says_after_a_worker_got_it(own: Own) -> None:
    cfg = own.resolve()
    items = training_set(cfg, parse("dacs"), data_root(cfg))._source.pools[0].items
    copies = pickle.loads(pickle.dumps(items))
    assert [read_pair(item)[1].max() for item in copies] == [0, 0, 1]
    assert CITYSCAPES.names[0] == "road"  # untouched by other spaces
