"""Which validation images are kept small, and that what a run leaves shows what its networks predict."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from trained_runs import network, streets_root, trained

from benchmarks.evaluation.example_keeper import ExampleKeeper
from benchmarks.evaluation.inference import predict_classes
from benchmarks.state.run_files import unfit_file
from datasets.batches.evaluation_set import EvaluationSet
from datasets.classes.label_space import CITYSCAPES
from datasets.sets.layouts import LAYOUTS
from results.records.examples import Examples, read_examples


def kept_of(images: int, seen: list[int] | None = None) -> Examples:
    keeper = ExampleKeeper(images)
    each = keeper.of("student")
    for index in range(images) if seen is None else seen:
        shade = torch.full((3, 20, 40), index, dtype=torch.uint8)
        item = {"index": index, "image_id": f"i{index}", "image": shade, "label": torch.zeros(400, 800).byte()}
        each(item, torch.full((400, 800), index % 19, dtype=torch.uint8))
    return keeper.gathered(CITYSCAPES)


@pytest.mark.parametrize(
    ("images", "kept"),
    [(1, [0]), (24, list(range(24))), (48, list(range(0, 48, 2))), (60, [0, 2, 5, 7, 10, 12, 15, 17, 20, 22, 25, 27,
     30, 32, 35, 37, 40, 42, 45, 47, 50, 52, 55, 57])],
)  # fmt: skip
def test_at_most_24_images_evenly_spaced_in_the_order_of_the_evaluator(images: int, kept: list[int]) -> None:
    found = kept_of(images).images
    assert [each.index for each in found] == kept
    for each in found:
        assert each.image.shape == (128, 256, 3) and np.all(each.image == each.index)
        assert each.label is not None and each.label.shape == (128, 256)
        assert np.all(each.predictions["student"] == each.index % 19)


def test_processes_that_share_the_images_keep_those_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    gathered: list[Any] = []
    monkeypatch.setattr(
        "benchmarks.evaluation.example_keeper.comm.all_gather", lambda value: gathered.append(value) or gathered
    )
    kept_of(30, list(range(1, 30, 2)))
    shared = kept_of(30, list(range(0, 30, 2)))
    monkeypatch.undo()
    assert [(each.name, each.index) for each in shared.images] == [
        (each.name, each.index) for each in kept_of(30).images
    ]


def test_images_are_reduced_by_area_and_labels_by_nearest_neighbour() -> None:
    keeper = ExampleKeeper(1)
    board = torch.arange(512).remainder(2).mul(200).byte().expand(3, 4, 512)  # columns of 0 and 200
    train_ids = (torch.arange(512) % 2 * 7).byte().expand(4, 512)
    item = {"index": 0, "image_id": "a", "image": board, "label": train_ids}
    keeper.of("student")(item, train_ids)
    (found,) = keeper.gathered(CITYSCAPES).images
    assert found.image.shape == (2, 256, 3) and np.all(found.image == 100)
    assert found.label is not None and np.all(np.isin(found.label, [0, 7]))
    assert np.all(np.isin(found.predictions["student"], [0, 7]))


@pytest.mark.slow
def test_a_finished_run_leaves_what_student_and_teacher_predict() -> None:
    run = trained()
    found = read_examples(run)
    assert found is not None and not found.left_out and not unfit_file(run)
    assert found.classes == list(CITYSCAPES.names) and found.colors == list(CITYSCAPES.colours)
    data = EvaluationSet(LAYOUTS["cityscapes"].scan(streets_root() / "cityscapes", "val", labelled=True), None)
    assert [each.index for each in found.images] == list(range(len(data)))
    for each in found.images:
        item = data[each.index]
        assert each.name == item["image_id"] and each.label is not None
        assert np.array_equal(each.label, _nearest(item["label"].numpy(), each.label))
        assert np.abs(each.image.astype(int) - item["image"].permute(1, 2, 0).numpy()).mean() < 8  # JPEG
        for model in ("student", "teacher"):
            size = tuple(item["label"].shape)
            classes = predict_classes(network(run, model), item["image"], size, torch.device("cpu"), None)
            assert np.array_equal(each.predictions[model], _nearest(classes.numpy(), each.label))


def _nearest(train_ids: np.ndarray, small: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(train_ids).resize(small.shape[::-1], Image.Resampling.NEAREST))
