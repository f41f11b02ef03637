"""Pictures of steps: they show what the step computes, and leave the training as it is, bit for bit."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import SMALL
from detectron2.config import CfgNode
from PIL import Image
from stepped_trainer import first_step, make_trainer
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from benchmarks.config.run import Run
from benchmarks.config.spec import RunSpec
from benchmarks.data.data_sets import items
from benchmarks.data.from_config import data_root, target_labels, training_set
from benchmarks.engine.runner import RunWatcher, run_one
from benchmarks.engine.step_pictures import _WRONG, StepPictures, _accuracy, _errors, sheet
from benchmarks.engine.trainer import Trainer
from datasets.base.errors import DataError
from datasets.classes.label_space import CITYSCAPES
from methods.framework.step import TrainingStep
from methods.parts.masking import resize_mask
from methods.parts.token_masks import TokenMasker

MakeConfig = Callable[..., CfgNode]
METHOD = "dacs+mic+mrm"
SIDE = 48  # pixels of a tile
CAPTIONS = [
    "source image", "source label", "target image", "target label", "teacher's label", "mixed image", "mixed label",
    "masked by MIC", "masked by MRM (mixed)", "student's prediction", "its errors",
]  # fmt: skip


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """One run without pictures, and one with a picture of every step; both evaluate twice."""
    found = {}
    for period in (0, 1):
        found[period] = tmp_path_factory.mktemp("run") / str(period)
        cfg = RunSpec("streets", METHOD, None, 0, SMALL | {"LOG.IMAGES": period, "NUM_WORKERS": 0}).resolve()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("benchmarks.engine.step_pictures.sheet", seen := Sheets())
            patch.setattr("benchmarks.engine.step_pictures._SIDE", SIDE)  # large ones take longer than to train
            record = run_one(Run.at(found[period], cfg), RunWatcher()).content
        assert record["status"] == "finished", record["reason"]
        assert seen.captions == [CAPTIONS] * 4 * period
    return found


class Sheets:
    """In place of `sheet`, which it calls: remembers what is drawn."""

    def __init__(self) -> None:
        self.captions: list[list[str]] = []

    def __call__(self, pictures: dict[str, torch.Tensor], *rest: Any) -> Image.Image:
        self.captions.append(list(pictures))
        return sheet(pictures, *rest)


@pytest.mark.slow
def test_training_is_bit_identical_with_and_without_pictures(runs: dict[int, Path]) -> None:
    without, with_them = (
        torch.load(runs[period] / "model_final.pth", weights_only=True) for period in (0, 1)
    )
    for part in ("model", "teacher", "terms"):
        assert len(without[part]) > 3
        assert [name for name, value in without[part].items() if not torch.equal(value, with_them[part][name])] == []
    records = [json.loads((runs[period] / "record.json").read_text()) for period in (0, 1)]
    assert records[0]["id"] == records[1]["id"] and records[0]["result"] == records[1]["result"]
    plain, more = (
        [json.loads(line) for line in (runs[period] / "metrics.json").read_text().splitlines()] for period in (0, 1)
    )
    by_iteration = {line["iteration"]: line for line in more}
    for line in plain:
        others = {name: value for name, value in by_iteration[line["iteration"]].items() if name in line}
        assert others == line


@pytest.mark.slow
def test_each_step_is_shown_and_the_last_is_kept(runs: dict[int, Path]) -> None:
    reader = EventAccumulator(str(runs[1]), size_guidance={"images": 0}).Reload()
    assert [shown.step for shown in reader.Images("step")] == [0, 1, 2, 3]
    accuracies = {each.step: each.value for each in reader.Scalars("pseudo_label_accuracy")}
    assert list(accuracies) == [0, 1, 2, 3] and all(0 < value < 1 for value in accuracies.values())
    lines = [json.loads(line) for line in (runs[1] / "metrics.json").read_text().splitlines()]
    stored = {line["iteration"]: line["pseudo_label_accuracy"] for line in lines if "pseudo_label_accuracy" in line}
    assert stored == pytest.approx(accuracies)
    with Image.open(runs[1] / "examples/step.png") as kept:
        assert kept.size == (11 * (SIDE + 4) + 4, 2 * (SIDE + 4) + 28)
    assert not (runs[0] / "examples/step.png").exists()
    assert "pseudo_label_accuracy" not in (runs[0] / "metrics.json").read_text()


@pytest.mark.slow
def test_the_log_tells_which_classes_moved_between_evaluations(runs: dict[int, Path]) -> None:
    lines = [line for line in (runs[0] / "log.txt").read_text().splitlines() if " evaluation " in line]
    assert "evaluation 2/4: mIoU" in lines[0] and "moved most" not in lines[0]
    assert "evaluation 4/4: mIoU" in lines[1] and "; moved most: " in lines[1]


def test_mic_shows_the_images_that_it_trains_on(small_config: MakeConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = make_trainer(small_config(METHOD))
    step = first_step(trainer)
    seen = []
    view = TrainingStep.view
    monkeypatch.setattr(TrainingStep, "view", lambda self, name, *rest: seen.append((name, rest[0])) or view(
        self, name, *rest
    ))  # fmt: skip
    trainer.update(step)
    (trained,) = [images for name, images in seen if name == "mic"]
    with trainer.aside():
        shown = trainer.pictures(first_step(trainer))
    assert torch.equal(shown["masked by MIC"], trained)


def test_mrm_shows_the_places_that_it_masks(small_config: MakeConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = make_trainer(small_config("dacs+mrm", overrides={"TERMS.MRM.DOMAIN": "both"}))
    seen = []
    draw = TokenMasker.draw
    monkeypatch.setattr(TokenMasker, "draw", lambda *given: seen.append(draw(*given)) or seen[-1])
    trainer.update(first_step(trainer))
    trained = {mask.sum().item(): mask for mask in seen}
    step = first_step(trainer)
    with trainer.aside():
        shown = trainer.pictures(step)
        views = {"mixed": step.mixed.images, "source": step.source.images}
    assert set(shown) == {"mixed image", "mixed label", "masked by MRM (mixed)", "masked by MRM (source)"}
    for name, images in views.items():
        covered = (shown[f"masked by MRM ({name})"] != images).any(dim=1)
        assert any(torch.equal(covered, resize_mask(mask, (64, 64))[:, 0].bool()) for mask in trained.values())


def test_aside_leaves_no_trace(small_config: MakeConfig) -> None:
    trainer = make_trainer(small_config("dacs"))

    def traces() -> list[torch.Tensor]:
        modules = (trainer.student, trainer.teacher, trainer.terms)
        return [torch.get_rng_state(), *(value.clone() for module in modules for value in module.state_dict().values())]

    before = traces()
    with trainer.aside():
        step = first_step(trainer)
        assert not step.mixed.logits.requires_grad
        torch.rand(3)
        changed = traces()
    assert not all(map(torch.equal, before, changed))  # norms keep account of what they see
    assert all(map(torch.equal, before, traces()))


@pytest.mark.parametrize("domain", ["source", "target"])
def test_a_method_without_adaptation_shows_what_it_learns_from(small_config: MakeConfig, domain: str) -> None:
    trainer: Trainer = make_trainer(small_config(f"{domain}-only"))
    drawn = StepPictures(1, Path("runs"), lambda t: {}, lambda t: None, CITYSCAPES, domain)
    drawn.trainer = trainer
    with trainer.aside():
        step = first_step(trainer)
        shown = drawn._pictures(step, None)
    assert list(shown) == [f"{domain} image", f"{domain} label", "student's prediction", "its errors"]
    assert torch.equal(shown[f"{domain} label"], step.source_batch.labels)
    wrong = (shown["student's prediction"] != step.source_batch.labels) & (step.source_batch.labels != 255)
    assert torch.equal(wrong, (shown["its errors"] - torch.tensor(_WRONG).view(3, 1, 1)).abs().amax(dim=1) < 1e-6)


def test_labels_are_those_of_the_crops_that_are_trained_on(small_config: MakeConfig) -> None:
    cfg = small_config("dacs")
    root = data_root(cfg)
    train = training_set(cfg, Run.at(Path("runs"), cfg).recipe, root)
    labels = target_labels(cfg, train, root)
    assert train._target is not None
    for iteration in (0, 3, 7):
        found = labels(iteration)
        assert found is not None and found.shape == (2, 64, 64) and found.dtype == torch.uint8
        labelled = train._target.labelled([items(cfg, "TARGET", root, labelled=True)]).batch(iteration, {})
        assert torch.equal(labelled["images"], train[iteration]["target"]["images"])
        assert torch.equal(labelled["labels"], found) and len(found.unique()) > 3


def test_labels_that_are_not_there_or_do_not_fit_give_none(
    small_config: MakeConfig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    cfg = small_config("dacs")
    root = data_root(cfg)
    train = training_set(cfg, Run.at(Path("runs"), cfg).recipe, root)
    with monkeypatch.context() as patch:

        def missing(*given: Any, **options: Any) -> Any:
            raise DataError("no labels")

        patch.setattr("benchmarks.data.from_config.items", missing)
        assert target_labels(cfg, train, root)(0) is None
    labels = target_labels(cfg, train, root)
    monkeypatch.setattr("datasets.batches.pairs.read_pair", missing)
    assert labels(0) is None and "LOG.IMAGES: no labels" in caplog.text


def test_accuracy_counts_labelled_pixels() -> None:
    label = torch.tensor([[[0, 1, 255, 2]]])
    assert _accuracy(torch.tensor([[[0, 2, 1, 2]]]), label) == pytest.approx(2 / 3)
    assert _accuracy(label, torch.full_like(label, 255)) is None


def test_accuracy_is_of_all_processes_also_where_one_has_no_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    label, counted = torch.tensor([[[0, 1, 255, 2]]]), []
    monkeypatch.setattr("benchmarks.engine.step_pictures.comm.all_gather", lambda mine: counted.append(mine) or [
        mine, (1, 5)
    ])  # fmt: skip
    assert _accuracy(label, label) == pytest.approx(4 / 8)
    assert _accuracy(label, None) == pytest.approx(1 / 5)
    assert counted == [(3, 3), (0, 0)]


def test_a_sheet_has_colours_of_classes_errors_in_red_and_no_label_in_black() -> None:
    images = torch.full((1, 3, 2, 4), 0.5)
    label = torch.tensor([[[0, 0, 255, 10], [0, 0, 255, 10]]])
    prediction = torch.tensor([[[0, 10, 0, 10], [0, 10, 0, 10]]])
    drawn = np.asarray(sheet({"label": label, "errors": _errors(images, prediction, label)}, CITYSCAPES))
    assert drawn.shape == (128 + 4 + 28, 2 * 260 + 4, 3)
    middles = [4 + 32 + 64 * place for place in range(4)]
    assert [tuple(drawn[80, x]) for x in middles] == [(128, 64, 128), (128, 64, 128), (0, 0, 0), (70, 130, 180)]
    expected = [(191, 191, 191), (217, 26, 26), (0, 0, 0), (191, 191, 191)]
    assert np.abs(drawn[80, [260 + x for x in middles]].astype(int) - expected).max() <= 8  # between pixels it blends
