"""Further sets of images: found by name, scaled by their short side, scored by condition, and read back for tables."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from detectron2.config import CfgNode
from record_files import write_record
from tiny_files import acdc, message, save_grey, save_image

from benchmarks.config.label_space import Scoring
from benchmarks.config.metrics import METRICS, Metric
from benchmarks.config.spec import RunSpec
from benchmarks.core.errors import ConfigError
from benchmarks.data.from_config import data_root, validation_set
from benchmarks.data.further_sets import further_sets
from benchmarks.evaluation.elsewhere import score_elsewhere
from benchmarks.evaluation.evaluator import evaluate
from datasets.base.framing import by_short_side
from datasets.batches.evaluation_set import EvaluationSet
from datasets.classes.label_space import CITYSCAPES
from datasets.sets.layouts import LAYOUTS
from methods.networks import Encoder, Segmentor
from results.records.record import Record, read_record
from results.records.scores import Scores, lower_is_better
from results.tables.frame import from_folders
from results.tables.methods_table import methods_table

ALL, CPU = Scoring(CITYSCAPES, (19, 16)), torch.device("cpu")


def resolved(also: list[str], **changed: Any) -> CfgNode:
    return RunSpec("cityscapes-acdc", "dacs", overrides={"TEST.ALSO": also} | changed).resolve()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """ACDC in two images a condition, whose only class is the condition's number, and one image of BDD100K."""
    acdc(tmp_path / "acdc", "fog", "night", "rain", "snow")
    save_image(tmp_path / "bdd100k/images/10k/val/a.jpg", (24, 16))
    save_grey(tmp_path / "bdd100k/labels/sem_seg/masks/val/a.png", np.full((16, 24), 13))
    return tmp_path


class Blank(Encoder):
    def __init__(self) -> None:
        super().__init__()
        self.channels, self.strides = (3,), (1,)

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        return [images]


class Always(torch.nn.Module):
    """Predicts one class everywhere."""

    def __init__(self, train_id: int) -> None:
        super().__init__()
        self.train_id = train_id

    def forward(self, features: list[torch.Tensor]) -> torch.Tensor:
        logits = torch.zeros(1, 19, *features[0].shape[-2:])
        logits[:, self.train_id] = 1
        return logits


def always(train_id: int) -> Segmentor:
    return Segmentor("fake", Blank(), Always(train_id))


@pytest.mark.parametrize(
    ("size", "expected"),
    [((1280, 720), (960, 540)), ((4032, 3024), (720, 540)), ((1080, 1920), (540, 960)), ((8, 6), (720, 540))],
)
def test_images_are_scaled_by_their_short_side(size: tuple[int, int], expected: tuple[int, int]) -> None:
    assert by_short_side(*size, 960, 540) == expected


@pytest.mark.usefixtures("streets_cache")
def test_of_the_embedded_benchmark_validation_images_alone_are_drawn_as_large_as_the_runs() -> None:
    small = {"SIZE": (96, 48), "SOURCE_IMAGES": 5, "TARGET_IMAGES": 4, "VAL_IMAGES": 3, "SEED": 2}
    small = {f"DATA.STREETS.{key}": value for key, value in small.items()} | {"INPUT.CROP": (48, 48)}
    cfg = RunSpec("streets", "dacs", overrides=small | {"TEST.ALSO": ["streets-rain"]}).resolve()
    (rain,) = further_sets(cfg, Path("/nowhere"))
    whole = RunSpec("streets-rain", "dacs", overrides=small).resolve()
    expected = validation_set(whole, data_root(whole))
    assert len(rain.images) == len(expected) == 3
    for found, item in zip(rain.images, expected, strict=True):
        assert torch.equal(found["image"], item["image"]) and torch.equal(found["label"], item["label"])
    assert [folder for folder in data_root(whole).parent.iterdir() if "-1-1-3-s2-rain" in folder.name]


def test_sets_are_found_by_name_below_the_root(root: Path) -> None:
    cfg = resolved(["acdc", "bdd100k"], **{"TEST.RESIZE": (96, 32)})
    acdc_set, bdd = further_sets(cfg, root)
    assert (acdc_set.name, bdd.name, bdd.short_side) == ("acdc", "bdd100k", 32)
    assert acdc_set.conditions == ("fog",) * 2 + ("night",) * 2 + ("rain",) * 2 + ("snow",) * 2
    assert bdd.conditions == ("",)
    item = bdd.images[0]
    assert item["image"].shape == (3, 32, 48) and item["label"].shape == (16, 24)
    assert further_sets(resolved(["bdd100k"], **{"DATA.ROOT": str(root)}), Path("/nowhere"))[0].images[0]
    assert message(lambda: further_sets(resolved(["muses"]), root)).startswith(f"{root}/muses/frame_camera/val/clear")


def test_a_yaml_of_ones_own_gives_its_validation_images(root: Path, tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    data = {"LAYOUT": "bdd100k", "FOLDER": "bdd100k"}
    roles = {"SOURCE": data, "TARGET": data, "VAL": {**data, "SPLIT": "val"}}
    file.write_text(json.dumps({"NETWORK": "daformer-lite0", "DATA": roles}))
    (own,) = further_sets(resolved([str(file)]), Path("/nowhere"))
    assert (own.name, len(own.images), own.short_side) == ("mine", 1, 540)
    file.write_text(json.dumps({"NETWORK": "daformer-lite0", "DATA": {"CLASSES": ["a", "b"]} | {
        role: {"LAYOUT": "folders", "IMAGES": "x", "LABELS": "y"} for role in roles}}))  # fmt: skip
    with pytest.raises(ConfigError, match=r"TEST\.ALSO: .*mine\.yaml: its classes are not those of protocol"):
        further_sets(resolved([str(file)]), root)


@pytest.mark.parametrize(
    ("also", "expected"),
    [
        (["darkzurich"], r"TEST\.ALSO: unknown data set 'darkzurich': did you mean 'dark-zurich'\?"),
        (["gta"], r"TEST\.ALSO: unknown data set 'gta'"),  # all of it is trained on
        (["acdc", "acdc"], r"TEST\.ALSO: acdc is named twice"),
    ],
)
def test_a_set_that_is_none_is_told(also: list[str], expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        resolved(also)


def test_a_set_changes_no_run() -> None:
    from benchmarks.config.run_id import run_id

    assert run_id(resolved(["acdc"])) == run_id(resolved([]))


def test_scores_are_those_of_the_set_and_of_each_condition_alone(root: Path) -> None:
    """Of two models; the class of a condition is the only one that its labels have."""
    models = {"student": always(2), "teacher": always(0)}
    (acdc_set, bdd) = further_sets(resolved(["acdc", "bdd100k"], **{"TEST.RESIZE": (96, 32)}), root)
    found = score_elsewhere(models, [acdc_set, bdd], ALL, CPU, 0)
    assert list(found) == ["acdc", "bdd100k"] and "conditions" not in found["bdd100k"]
    assert (found["acdc"]["images"], found["acdc"]["short_side"]) == (8, 32)
    items = LAYOUTS["acdc"].scan(root / "acdc", "val", True)
    for model, segmentor in models.items():
        whole = evaluate(segmentor, EvaluationSet(items, (96, 32), fit=by_short_side), ALL, CPU, 0)
        assert found["acdc"]["result"][model] == whole.scores.as_json()
    iou = {key: [of[model]["miou"] for model in models] for key, of in found["acdc"]["conditions"].items()}
    assert iou == {"fog": [0, 100], "night": [0, 0], "rain": [100, 0], "snow": [0, 0]}


def test_optional_metrics_are_those_of_a_conditions_own_images(root: Path) -> None:
    scoring = Scoring(CITYSCAPES, (19, 16), ("ECE", "BIoU", "mBIoU"))
    (acdc_set,) = further_sets(resolved(["acdc"], **{"TEST.RESIZE": (96, 32)}), root)
    models = {"student": always(0), "teacher": always(5)}
    found = score_elsewhere(models, [acdc_set], scoring, CPU, 0)["acdc"]
    items = acdc_set.images
    values = set()
    for condition in ("fog", "night", "rain", "snow"):
        files = LAYOUTS["acdc"].scan(root / "acdc", "val", labelled=True, conditions=(condition,))
        own = EvaluationSet(files, (96, 32), fit=by_short_side)
        for model, segmentor in models.items():
            expected = evaluate(segmentor, own, scoring, CPU, 0).scores.as_json()
            assert found["conditions"][condition][model] == expected
            assert set(expected["metrics"]) == {"ECE", "mBIoU"} and "BIoU" in expected["metrics_by_class"]
            values.add(expected["metrics"]["ECE"]["19"])
    whole = evaluate(models["student"], items, scoring, CPU, 0)
    assert found["result"]["student"] == whole.scores.as_json() and whole.counted == {} and len(values) > 1


def test_a_metric_that_fails_on_a_condition_takes_no_other_away(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def shape(label: torch.Tensor, prediction: torch.Tensor, number: int) -> np.ndarray:
        return np.ones(2 if int(label.min()) == 0 else 3)

    monkeypatch.setitem(METRICS, "Shapes", Metric(lambda counts, ids: float(counts.sum()), False, shape))
    (acdc_set,) = further_sets(resolved(["acdc"]), root)
    found = score_elsewhere({"student": always(0)}, [acdc_set], ALL, CPU, 0)["acdc"]
    assert "counted" in found["result"]["student"]["faults"]["Shapes"]
    assert found["result"]["student"]["miou"] is not None
    assert {len(of["student"]["metrics"]) for of in found["conditions"].values()} == {1}


def test_a_set_that_cannot_be_scored_takes_no_other_away(root: Path) -> None:
    sets = further_sets(resolved(["bdd100k", "acdc"]), root)
    (root / "bdd100k/images/10k/val/a.jpg").write_bytes(b"damaged")
    found = score_elsewhere({"student": always(0)}, sets, ALL, CPU, 0)
    assert found["bdd100k"]["fault"].startswith(f"{root}/bdd100k/images/10k/val/a.jpg: not an image")
    assert found["acdc"]["result"]["student"]["miou"] is not None


def also(**by_name: float | None) -> dict[str, Any]:
    return {name: {"images": 1, "result": {model: Scores(value, {"mIoU": {19: value}}).as_json()
            for model in ("student", "teacher")}} for name, value in by_name.items()}  # fmt: skip


def test_tables_have_a_column_for_each_set_its_conditions_and_the_mean_of_sets(tmp_path: Path) -> None:
    acdc_set = also(acdc=40.0)["acdc"] | {"conditions": {"fog": also(x=50.0)["x"]["result"]}}
    content = {"id": "a", "spec": {"protocol": "p", "method": "dacs", "network": "n", "seed": 0}, "oracle": False,
               "classes": 19, "iterations": 1, "max_iterations": 1, "hardware": {"name": "x"}, "precision": "fp32",
               "status": "finished", "result": {"student": Scores(60.0, {"mIoU": {19: 60.0}}).as_json()}}  # fmt: skip
    for name in ("one", "two", "three"):
        (tmp_path / name).mkdir()
    write_record(tmp_path / "one", content | {"also": also(bdd100k=30.0) | {"acdc": acdc_set}})
    write_record(tmp_path / "two", content | {"also": also(bdd100k=20.0)})
    write_record(tmp_path / "three", content)
    frame = from_folders([tmp_path / name for name in ("one", "two", "three")])
    values = {str(key): list(frame[key]) for key in frame if "@" in str(key) and "teacher" not in str(key)}
    assert list(values) == ["miou@acdc_19", "miou@acdc+bdd100k_19", "miou@acdc-fog_19", "miou@bdd100k_19"]
    first = {name: column[0] for name, column in values.items()}
    assert first == {"miou@acdc_19": 40, "miou@acdc+bdd100k_19": 35, "miou@acdc-fog_19": 50, "miou@bdd100k_19": 30}
    assert [value == value and value for value in values["miou@bdd100k_19"]] == [30, 20, False]
    assert list(frame["miou"]) == [60, 60, 60]
    further = {"metrics": {"ECE": {"19": 7.5}}}
    acdc_set["conditions"]["fog"]["student"] |= further
    both = also(bdd100k=30.0) | {"acdc": acdc_set}
    for of in both.values():
        of["result"]["student"] |= further
    write_record(tmp_path / "one", content | {"also": both})
    columns = [str(key) for key in from_folders([tmp_path / "one"]) if "ece" in str(key)]
    assert columns == ["ece@acdc_19", "ece@acdc+bdd100k_19", "ece@acdc-fog_19", "ece@bdd100k_19"]
    assert lower_is_better("ECE@acdc-fog") and not lower_is_better("mIoU@acdc")
    assert "images scaled to the short side" in methods_table(frame.iloc[:1]).notes
    assert "images scaled to the short side" not in methods_table(from_folders([tmp_path / "three"])).notes


def test_a_record_keeps_what_it_says_of_further_sets(tmp_path: Path) -> None:
    record = Record.of({"status": "finished", "classes": 19, "also": also(acdc=None) | {"muses": {"fault": "damaged"}}})
    assert record.also["muses"].fault == "damaged" and record.scores_of("student").means == {"mIoU@acdc": {19: None}}
    write_record(tmp_path, record.content)
    assert read_record(tmp_path) == record
