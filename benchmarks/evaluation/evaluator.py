"""Scores by an accumulated confusion matrix, through detectron2's evaluators."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, zip_longest
from typing import Any, NamedTuple

import numpy as np
import torch
from detectron2.evaluation import DatasetEvaluator, inference_on_dataset
from detectron2.utils import comm
from scipy.sparse import csr_array, vstack

from benchmarks.config.label_space import Scoring
from benchmarks.config.metrics import score
from benchmarks.config.sliding_window import SlidingWindow
from benchmarks.evaluation.example_keeper import Each
from benchmarks.evaluation.inference import predict_image
from datasets.evaluation_set import EvaluationSet, UnlabelledSet
from datasets.labels import IGNORE
from datasets.loading import in_order
from methods.networks import Segmentor
from results.records.image_counts import sparse_counts
from results.records.scores import Scores


class Evaluated(NamedTuple):
    """The scores of a network, how many pixels the labels have of each class, by name, and the counts of each image.

    ``by_image``: (N, K²), sparse (`results.records.image_counts`), in the order of the data set.
    """

    scores: Scores
    labelled_pixels: dict[str, int]
    by_image: csr_array


class SegmentationEvaluator(DatasetEvaluator):
    """Accumulates one confusion matrix over the data set, at each label's own resolution.

    Attributes:
        confusion: (K, K) int64, rows label, columns prediction, in pixels; ignored pixels are not counted.
    """

    _by_image: list[csr_array]

    def __init__(self, scoring: Scoring, each: Each | None = None) -> None:
        """IoU is of the prediction among all classes, as published: a class set only says which of them count.

        ``each`` is told of every item and its prediction.
        """
        self._scoring, self._each = scoring, each
        self.reset()

    def reset(self) -> None:
        self.confusion = np.zeros((len(self._scoring.space.names),) * 2, np.int64)
        self._by_image = []

    def process(self, inputs: Sequence[dict[str, Any]], outputs: Sequence[dict[str, Any]]) -> None:
        """inputs: with "label", uint8 (H, W). outputs: with "sem_seg", (K, H, W) logits."""
        for item, output in zip(inputs, outputs, strict=True):
            prediction = output["sem_seg"].argmax(dim=0).cpu().numpy()
            counts = confusion_matrix(item["label"].numpy(), prediction, len(self.confusion))
            self.confusion += counts
            self._by_image.append(sparse_counts([counts]))
            if self._each is not None:
                self._each(item, prediction)

    def evaluate(self) -> Evaluated:
        """Return the scores of all counts, those of other processes included."""
        self.confusion = np.sum(comm.all_gather(self.confusion), axis=0)
        # Each of several processes has every so manieth image, as `SharedLoader` shares them.
        images = chain.from_iterable(zip_longest(*comm.all_gather(self._by_image)))
        by_image = vstack([image for image in images if image is not None], format="csr")
        pixels = map(int, self.confusion.sum(axis=1))
        names = self._scoring.space.names
        return Evaluated(score(self.confusion, self._scoring), dict(zip(names, pixels, strict=True)), by_image)


def confusion_matrix(label: np.ndarray, prediction: np.ndarray, classes: int) -> np.ndarray:
    """(K, K) pixel counts of a label with 255 for ignored and a prediction in 0..K-1, both (H, W), of K ``classes``."""
    # One extra row takes the ignored pixels: cheaper than selecting the others first.
    row = np.where(label == IGNORE, classes, label).astype(np.int32)
    counts = np.bincount((row * classes + prediction.astype(np.int32)).ravel(), minlength=(classes + 1) * classes)
    return counts.reshape(classes + 1, classes)[:classes]


def evaluate(
    segmentor: Segmentor,
    dataset: EvaluationSet,
    scoring: Scoring,
    device: torch.device,
    workers: int,
    windows: SlidingWindow | None = None,
    seen: Callable[[int, int], None] | None = None,
    each: Each | None = None,
) -> Evaluated:
    """Score a segmentor in eval mode; every module's mode is put back afterwards.

    Several processes share the images, and all get the scores of all: the counts are summed.

    ``seen(images, all of them)`` is told before each image how many have been scored, ``each`` of each prediction on
    this process's images.
    """
    with eval_mode(segmentor):
        predict = _Predictor(segmentor, device, windows)
        images = SharedLoader(dataset, workers, seen)
        found: Any = inference_on_dataset(predict, images, SegmentationEvaluator(scoring, each))
        return found


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

    Items have their "index" in the data set. Several processes share the images.

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
            yield [item | {"index": index}]
