"""mIoU by an accumulated confusion matrix, through detectron2's evaluators."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from detectron2.evaluation import DatasetEvaluator, inference_on_dataset
from detectron2.utils import comm

from benchmarks.config.label_space import Scoring
from benchmarks.config.sliding_window import SlidingWindow
from benchmarks.evaluation.inference import predict_image
from datasets.evaluation_set import EvaluationSet, UnlabelledSet
from datasets.labels import IGNORE
from datasets.loading import in_order
from methods.networks import Segmentor

PIXELS = "pixels-"
"""Begins the name of the pixels of a class in the labels, beside the scores."""


class SegmentationEvaluator(DatasetEvaluator):
    """Accumulates one confusion matrix over the data set, at each label's own resolution.

    Attributes:
        confusion: (K, K) int64, rows label, columns prediction, in pixels; ignored pixels are not counted.
    """

    def __init__(self, scoring: Scoring) -> None:
        """IoU is of the prediction among all classes, as published: a class set only says which of them count."""
        self._scoring = scoring
        self.reset()

    def reset(self) -> None:
        self.confusion = np.zeros((len(self._scoring.space.names),) * 2, np.int64)

    def process(self, inputs: Sequence[dict[str, Any]], outputs: Sequence[dict[str, Any]]) -> None:
        """inputs: with "label", uint8 (H, W). outputs: with "sem_seg", (K, H, W) logits."""
        for item, output in zip(inputs, outputs, strict=True):
            prediction = output["sem_seg"].argmax(dim=0).cpu().numpy()
            self.confusion += confusion_matrix(item["label"].numpy(), prediction, len(self.confusion))

    def evaluate(self) -> dict[str, dict[str, float]]:
        """The scores: ``{"sem_seg": {"mIoU": ..., "mIoU-16": ..., "IoU-road": ..., "pixels-road": ..., ...}}``.

        In percent, and pixels in the labels. "mIoU" is that of the first class set. NaN for a class that is nowhere, 0
        for one that no label has and that is predicted somewhere: neither counts in a mean.
        """
        self.confusion = np.sum(comm.all_gather(self.confusion), axis=0)
        iou = 100 * intersection_over_union(self.confusion)
        space, numbers = self._scoring.space, self._scoring.class_sets
        means = {f"mIoU-{n}": 100 * mean_iou(self.confusion, space.class_sets[n]) for n in numbers}
        scores = {f"IoU-{name}": float(iou[index]) for index, name in enumerate(space.names)}
        labelled = self.confusion.sum(axis=1)
        pixels = {f"{PIXELS}{name}": int(labelled[index]) for index, name in enumerate(space.names)}
        return {"sem_seg": {"mIoU": means[f"mIoU-{numbers[0]}"], **means, **scores, **pixels}}


def confusion_matrix(label: np.ndarray, prediction: np.ndarray, classes: int) -> np.ndarray:
    """(K, K) pixel counts of a label with 255 for ignored and a prediction in 0..K-1, both (H, W), of K ``classes``."""
    # One extra row takes the ignored pixels: cheaper than selecting the others first.
    row = np.where(label == IGNORE, classes, label).astype(np.int32)
    counts = np.bincount((row * classes + prediction.astype(np.int32)).ravel(), minlength=(classes + 1) * classes)
    return counts.reshape(classes + 1, classes)[:classes]


def intersection_over_union(confusion: np.ndarray) -> np.ndarray:
    """(K,) TP / (TP + FP + FN) in [0, 1]; NaN where a class is neither labelled nor predicted."""
    hits = np.diag(confusion)
    union = confusion.sum(0) + confusion.sum(1) - hits
    return np.divide(hits, union, out=np.full(len(hits), np.nan), where=union > 0)


def mean_iou(confusion: np.ndarray, scored: Sequence[int]) -> float:
    """Mean over the scored classes that the labels have, in [0, 1]; NaN if they have none.

    So it is over the same classes for all methods. A class that no label has would be 0 where a method predicts it
    somewhere and NaN where it does not, and count for the one alone. Where all occur, as in Cityscapes, it is the
    published mean.
    """
    labelled = [train_id for train_id in scored if confusion[train_id].sum() > 0]
    return float(np.mean(intersection_over_union(confusion)[labelled])) if labelled else float("nan")


def evaluate(
    segmentor: Segmentor,
    dataset: EvaluationSet,
    scoring: Scoring,
    device: torch.device,
    workers: int,
    windows: SlidingWindow | None = None,
    seen: Callable[[int, int], None] | None = None,
) -> dict[str, float]:
    """Score a segmentor in eval mode; every module's mode is put back afterwards. As ``SegmentationEvaluator`` has it.

    Several processes share the images, and all get the scores of all: the counts are summed.

    ``seen(images, all of them)`` is told before each image how many have been scored.
    """
    with eval_mode(segmentor):
        predict = _Predictor(segmentor, device, windows)
        images = SharedLoader(dataset, workers, seen)
        return inference_on_dataset(predict, images, SegmentationEvaluator(scoring))["sem_seg"]


@contextmanager
def eval_mode(segmentor: Segmentor) -> Iterator[None]:
    """Eval mode while it lasts; every module's mode, not one for all, is put back afterwards, also after an error."""
    modes = [(module, module.training) for module in segmentor.modules()]
    segmentor.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


class _Predictor:
    """The form in which detectron2 calls a model: a list of dicts in, a list of dicts out."""

    def __init__(self, segmentor: Segmentor, device: torch.device, windows: SlidingWindow | None) -> None:
        self._segmentor, self._device, self._windows = segmentor, device, windows

    def __call__(self, inputs: Sequence[dict[str, Any]]) -> list[dict[str, torch.Tensor]]:
        outputs = []
        for item in inputs:
            height, width = item["label"].shape
            logits = predict_image(self._segmentor, item["image"], (height, width), self._device, self._windows)
            outputs.append({"sem_seg": logits})
        return outputs


class SharedLoader:
    """A loader of single images with a length, as inference_on_dataset wants it; ``seen`` is that of ``evaluate``.

    Several processes share the images.

    Attributes:
        indices: of this process's images.
    """

    def __init__(
        self, dataset: EvaluationSet | UnlabelledSet, workers: int, seen: Callable[[int, int], None] | None = None
    ) -> None:
        self._dataset, self._workers, self._seen = dataset, workers, seen
        self.indices = range(comm.get_rank(), len(dataset), comm.get_world_size())

    def __len__(self) -> int:
        return len(self.indices)

    def __iter__(self) -> Iterator[list[dict[str, Any]]]:
        items = in_order(self._dataset.__getitem__, self.indices, self._workers, False)
        for index, item in zip(self.indices, items, strict=True):
            if self._seen is not None:
                self._seen(index, len(self._dataset))
            yield [item]
