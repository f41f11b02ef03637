"""What settings are chosen by without target labels: measured in runs, by hand on their checkpoints, and refused."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cityscapesscripts.helpers.labels import labels as cityscapes_labels
from conftest import SMALL
from detectron2.config import CfgNode
from measured_runs import MARGINS, config, measured, on_disk
from own_files import ONE_STEP, Own
from PIL import Image
from torch.nn import functional as F
from trained_runs import network, streets_root, trained

from benchmarks.config.former_ids import former_ids
from benchmarks.config.run import Run
from benchmarks.config.run_id import run_id
from benchmarks.config.spec import RunSpec
from benchmarks.core.errors import ConfigError
from benchmarks.data.data_checks import check_data
from benchmarks.data.from_config import confidence_set, data_root, held_out_set, training_set
from benchmarks.engine.runner import RunWatcher, run_one
from benchmarks.evaluation.target_free import confidence
from benchmarks.launch.compare import make_runs
from datasets.base.errors import DataError
from datasets.base.framing import Framing
from datasets.batches.evaluation_set import UnlabelledSet
from methods.framework.recipes import parse
from methods.networks import Segmentor, build_segmentor
from results.tables.frame import from_folders


def files(root: Path, pattern: str) -> list[Path]:
    return sorted(root.glob(pattern))


def image(path: Path, size: tuple[int, int]) -> torch.Tensor:
    """(1, 3, H, W) in [0, 1], resized by Pillow to the (width, height) worked out by hand."""
    pixels = np.asarray(Image.open(path).convert("RGB").resize(size, Image.Resampling.BILINEAR))
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 255


def train_ids(path: Path) -> np.ndarray:
    known = {label.id: label.trainId for label in cityscapes_labels if label.trainId not in (-1, 255)}
    return np.vectorize(lambda stored: known.get(stored, 255))(np.asarray(Image.open(path)))


@torch.no_grad()
def by_hand_miou(student: Segmentor, root: Path, stems: Sequence[str]) -> float:
    hits, union = np.zeros(19), np.zeros(19)
    for stem in stems:
        label = train_ids(root / f"gta/labels/{stem}.png")
        logits = F.interpolate(student(image(root / f"gta/images/{stem}.png", (96, 48))), label.shape, mode="bilinear")
        prediction = logits[0].argmax(0).numpy()
        for train_id in range(19):
            labelled, predicted = label == train_id, (prediction == train_id) & (label != 255)
            hits[train_id] += (labelled & predicted).sum()
            union[train_id] += (labelled | predicted).sum()
    return 100 * float(np.mean(hits[union > 0] / union[union > 0]))


@torch.no_grad()
def by_hand_confidence(segmentor: Segmentor, paths: Sequence[Path], size: tuple[int, int], margins: Any) -> float:
    top, bottom, sides = margins
    values = []
    for path in paths:
        exponential = segmentor(image(path, size))[0].double().exp().numpy()
        largest = exponential.max(0) / exponential.sum(0)
        values.append(largest[top : size[1] - bottom, sides : size[0] - sides].ravel())
    return float(np.concatenate(values).mean())


# What is measured


@pytest.mark.slow
def test_source_miou_is_that_of_the_student_on_the_held_out_images() -> None:
    run = measured()
    student, root = network(run.folder, "student"), streets_root()
    found = on_disk(run.folder)["result"]["criteria"]["source_miou"]
    assert found == pytest.approx(by_hand_miou(student, root, ["00005", "00006"]), abs=0.02)
    assert found != pytest.approx(by_hand_miou(student, root, ["00001", "00002"]), abs=0.02)
    assert found > 0


@pytest.mark.slow
def test_confidence_is_that_of_the_teacher_inside_the_margins() -> None:
    run = measured()
    paths = [files(streets_root(), "cityscapes/leftImg8bit/train/*/*.png")[i] for i in (0, 1, 3)]  # i * 5 // 3
    found = on_disk(run.folder)["result"]["criteria"]["confidence"]
    teacher = network(run.folder, "teacher")
    assert found == pytest.approx(by_hand_confidence(teacher, paths, (90, 45), MARGINS), abs=1e-5)
    for model, margins in (("student", MARGINS), ("teacher", (0, 0, 0))):
        other = by_hand_confidence(network(run.folder, model), paths, (90, 45), margins)
        assert found != pytest.approx(other, abs=1e-5)


def test_every_evaluation_is_in_the_curve_the_metrics_and_the_table() -> None:
    run = measured()
    record = on_disk(run.folder)
    curve, criteria = record["curve"], record["result"]["criteria"]
    assert [set(point) for point in curve] == [{"iteration", "miou", "source_miou", "confidence"}] * 2
    assert {key: curve[-1][key] for key in criteria} == criteria
    assert curve[0]["confidence"] != curve[1]["confidence"]
    lines = [json.loads(line) for line in (run.folder / "metrics.json").read_text().splitlines()]
    assert lines[-1]["criteria/source_miou"] == criteria["source_miou"]
    assert lines[-1]["criteria/confidence"] == criteria["confidence"]
    assert lines[-1]["student/mIoU"] == record["result"]["student"]["miou"]
    row = from_folders([run.folder]).iloc[0]
    assert {key: row[key] for key in criteria} == criteria
    # Student (at the last iterate with the teacher), held-out images, confidence.
    two, three = [(0, 2), (1, 2)], [(0, 3), (1, 3), (2, 3)]
    assert run.images == [*two, *two, *three, *two, *two, *three]


@pytest.mark.slow
def test_the_student_is_measured_where_there_is_no_teacher_and_no_target_label_is_opened(tmp_path: Path) -> None:
    own = Own(tmp_path)
    for i in range(2):
        target = tmp_path / f"street/{i}_rgb.png"
        target.parent.mkdir(exist_ok=True)
        target.write_bytes((tmp_path / f"camera/{i}_rgb.png").read_bytes())
        (tmp_path / f"street/{i}_label.png").write_bytes(b"no label")
    own.data["TARGET"] = {"LAYOUT": "folders", "FOLDER": "street", "IMAGES": "*_rgb.png", "LABELS": "*_label.png"}
    cfg = own.resolve("source-only", **ONE_STEP, **{"TEST.CONFIDENCE_IMAGES": 2})
    check_data(cfg, parse("source-only"))
    record = run_one(Run.at(tmp_path / "run", cfg), RunWatcher()).content
    assert record["status"] == "finished", record["reason"]
    assert set(record["result"]) == {"student", "criteria"} and set(record["result"]["criteria"]) == {"confidence"}
    saved = torch.load(tmp_path / "run/model_final.pth", weights_only=True)["model"]
    student = build_segmentor("daformer-lite0", 3, "none").eval()
    student.load_state_dict(saved)
    paths = files(tmp_path, "street/*_rgb.png")
    expected = by_hand_confidence(student, paths, (40, 32), (0, 0, 0))
    assert record["result"]["criteria"]["confidence"] == pytest.approx(expected, abs=1e-5)


@pytest.mark.slow
def test_measuring_changes_nothing_of_the_training(tmp_path: Path) -> None:
    plain = trained("dacs")
    rates = {"SOLVER.ENCODER_LR": 0.01, "SOLVER.DECODER_LR": 0.05, "TEST.PERIOD": 4}
    cfg = RunSpec("streets", "dacs", None, 0, SMALL | rates | {"TEST.CONFIDENCE_IMAGES": 5}).resolve()
    run_one(Run.at(tmp_path, cfg), RunWatcher())
    states = [torch.load(folder / "model_final.pth", weights_only=True) for folder in (plain, tmp_path)]
    for key in ("model", "teacher"):  # with the running statistics of the norms
        assert all(torch.equal(states[0][key][name], value) for name, value in states[1][key].items())
    without, with_criteria = on_disk(plain), on_disk(tmp_path)
    assert without["result"] | {"criteria": with_criteria["result"]["criteria"]} == with_criteria["result"]
    assert [set(point) for point in without["curve"]] == [{"iteration", "miou"}]
    assert "criteria" not in (plain / "metrics.json").read_text()
    assert from_folders([plain])[["source_miou", "confidence"]].isna().all(axis=None)


@pytest.mark.slow
def test_margins_that_leave_no_pixel_leave_no_confidence() -> None:
    paths = files(streets_root(), "cityscapes/leftImg8bit/train/*/*.png")[:1]
    items = [{"file_name": str(path), "image_id": path.stem} for path in paths]
    dataset = UnlabelledSet([(item, Framing(None, (32, 32), margins=(64, 0, 0))) for item in items])
    student = network(trained("dacs"), "student").train()
    assert np.isnan(confidence(student, dataset, torch.device("cpu"), 0))
    assert all(module.training for module in student.modules())


# What is held out


def test_the_last_images_are_held_out_of_training_and_of_the_class_statistics() -> None:
    cfg = config(**{"SAMPLING.RARE_CLASSES": True, "SAMPLING.TEMPERATURE": 0.1})
    root = data_root(cfg)
    (source,) = training_set(cfg, parse("dacs"), root)._source.pools
    assert [Path(item["file_name"]).name for item in source.items] == [f"{i:05d}.png" for i in range(1, 5)]
    held_out = held_out_set(cfg, root)
    assert held_out is not None
    assert [Path(held_out[i]["file_name"]).name for i in range(len(held_out))] == ["00005.png", "00006.png"]
    assert held_out[0]["image"].shape == (3, 48, 96) and held_out[0]["label"].shape == (64, 128)

    labels = np.stack([train_ids(root / f"gta/labels/{i:05d}.png") for i in range(1, 5)])
    pixels = np.stack([(labels == train_id).sum(axis=(1, 2)) for train_id in range(19)])  # (class, image)
    share = pixels.sum(1) / pixels.sum()
    weight = np.where((pixels > 10).any(1), np.exp((1 - share) / 0.1), 0)
    assert source.rare_classes is not None
    np.testing.assert_allclose(source.rare_classes.probabilities, weight / weight.sum(), rtol=1e-9)


def test_nothing_is_held_out_or_measured_by_default(small_config: Callable[..., CfgNode]) -> None:
    cfg = small_config("dacs")
    root = data_root(cfg)
    assert len(training_set(cfg, parse("dacs"), root)._source.pools[0].items) == 6
    assert held_out_set(cfg, root) is None and confidence_set(cfg, root) is None


# What is refused


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("TEST.SOURCE_IMAGES", 6, "fewer than the 6 images of the source"),
        ("TEST.SOURCE_IMAGES", 9, "fewer than the 6 images of the source"),
        ("TEST.CONFIDENCE_IMAGES", 6, "at most the 5 training images of the target"),
    ],
)
def test_more_images_than_there_are_end_the_command_before_the_first_run(
    tmp_path: Path, key: str, value: int, expected: str
) -> None:
    specs = [RunSpec("streets", "dacs", None, 0, SMALL | overrides) for overrides in ({}, {key: value})]
    with pytest.raises(DataError) as caught:
        make_runs([Run.of(spec, tmp_path) for spec in specs], tmp_path)
    assert str(caught.value).startswith(f"{key} is {value}, expected {expected}") and "\n" not in str(caught.value)
    assert not list(tmp_path.rglob("record.json"))


def test_all_target_images_can_be_asked_for() -> None:
    cfg = config("target-only", **{"TEST.SOURCE_IMAGES": 0, "TEST.CONFIDENCE_IMAGES": 5})
    dataset = confidence_set(cfg, data_root(cfg))
    assert dataset is not None
    names = [Path(dataset[i]["file_name"]) for i in range(len(dataset))]
    assert names == files(streets_root(), "cityscapes/leftImg8bit/train/*/*.png")


def test_an_oracle_holds_no_source_image_out() -> None:
    with pytest.raises(ConfigError, match=r"TEST\.SOURCE_IMAGES is 2, expected 0 for target-only"):
        config("target-only")
    with pytest.raises(ConfigError, match=r"TEST\.CONFIDENCE_IMAGES is -1, expected"):
        config(**{"TEST.CONFIDENCE_IMAGES": -1})


# The run's id


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (RunSpec("gta-cityscapes", "daformer+mic", seed=1), "b913de70ce6e"),
        (RunSpec("synthia-cityscapes", "dacs+mrm", "daformer-mitb5"), "6740c29ee408"),  # NUMERICS "mrm 2"
        (RunSpec("cityscapes-acdc", "source-only", seed=2, overrides={"SOLVER.ITERS": 100}), "a9583cf48f27"),
        (RunSpec("gta-cityscapes", "target-only"), "764969e67e3c"),
    ],
)
def test_runs_of_before_the_criteria_keep_their_ids(spec: RunSpec, expected: str) -> None:
    """They are found under them; with criteria they are other runs."""

    def with_keys(**values: int) -> CfgNode:
        overrides = {**spec.overrides, **{f"TEST.{key}": value for key, value in values.items()}}
        return RunSpec(spec.protocol, spec.method, spec.network, spec.seed, overrides).resolve()

    assert former_ids(spec.resolve())[0] == expected
    without, other = with_keys(SOURCE_IMAGES=0, CONFIDENCE_IMAGES=0), with_keys(CONFIDENCE_IMAGES=1)
    assert former_ids(without)[0] == expected and run_id(without) == run_id(spec.resolve())
    assert expected not in former_ids(other) and run_id(other) != run_id(without)


def test_the_id_of_before_evaluation_periods_were_left_out_is_known() -> None:
    spec = RunSpec("gta-cityscapes", "daformer+mic", seed=1, overrides={"TEST.PERIOD": 2000})
    assert run_id(spec.resolve()) == run_id(RunSpec("gta-cityscapes", "daformer+mic", seed=1).resolve())
    assert "d3f06f7f4ef2" in former_ids(spec.resolve())
