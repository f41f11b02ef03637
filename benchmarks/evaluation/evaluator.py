"""Scores by an accumulated confusion matrix, through detectron2's evaluators."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from itertools import chain, zip_longest
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import torch
from detectron2.evaluation import DatasetEvaluator
from detectron2.utils import comm
from scipy.sparse import csr_array, vstack

from benchmarks.config import boundaries, calibration  # noqa: F401  # which are registered so
from benchmarks.config.label_space import Scoring
from benchmarks.config.metric_counts import MetricCounts, summed
from benchmarks.config.metrics import Counts, score
from benchmarks.config.sliding_window import SlidingWindow
from benchmarks.evaluation.example_keeper import Each
from benchmarks.evaluation.inference import predict_classes, predict_image
from datasets.batches.evaluation_set import EvaluationSet, UnlabelledSet
from datasets.batches.loading import in_order
from methods.networks import Segmentor
from results.records.image_counts import sparse_counts
from results.records.scores import STUDENT, Scores


class Evaluated(NamedTuple):
    """The scores of a network, how many pixels the labels have of each class, by name, and the counts of each image.

    ``by_image``: (N, K²), sparse (`results.records.image_counts`), in the order of the data set.

    ``counted``: by group of images what metrics count themselves; empty where there are no groups.
    """

    scores: Scores
    labelled_pixels: dict[str, int]
    by_image: csr_array
    counted: Mapping[str, Counts] = MappingProxyType({})


class SegmentationEvaluator(DatasetEvaluator):
    """Accumulates one confusion matrix over the data set, at each label's own resolution.

    Attributes:
        confusion: (K, K) int64, rows label, columns prediction, in pixels; ignored pixels are not counted.
    """

    _by_image: list[csr_array]

    def __init__(self, scoring: Scoring, each: Each | None = None, groups: Sequence[str] = ()) -> None:
        """IoU is of the prediction among all classes, as published: a class set only says which of them count.

        ``each`` is told of every item and its prediction. ``groups``: that of each image of the data set, whose counts
        are to be had apart (`Evaluated.counted`); items have their "index" then.
        """
        self._scoring, self._each, self._groups = scoring, each, groups
        self.reset()

    @property
    def needs_logits(self) -> bool:
        """Whether a metric counts logits, which `process` is given beside the classes then."""
        return next(iter(self._counts.values())).needs_logits

    def reset(self) -> None:
        self.confusion = np.zeros((len(self._scoring.space.names),) * 2, np.int64)
        self._by_image = []
        self._counts = {group: MetricCounts(self._scoring) for group in dict.fromkeys(self._groups or [""])}

    def process(self, inputs: Sequence[dict[str, Any]], outputs: Sequence[dict[str, Any]]) -> None:
        """inputs: with "label", uint8 (H, W). outputs: with "classes", uint8 (H, W), on any device.

        And with "logits", float32 (K, H, W), where they are needed.
        """
        for item, output in zip(inputs, outputs, strict=True):
            prediction = output["classes"]
            label = item["label"].to(prediction.device)
            counts = confusion_matrix(label, prediction, len(self.confusion))
            group = self._groups[item["index"]] if self._groups else ""
            self._counts[group].add(label, prediction, output.get("logits"))
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
        counted = {group: counts.total() for group, counts in self._counts.items()}
        scores = score(self.confusion, self._scoring, summed(list(counted.values())))
        return Evaluated(scores, dict(zip(names, pixels, strict=True)), by_image, counted if self._groups else {})


def with_classes(logits: torch.Tensor) -> dict[str, torch.Tensor]:
    """What `SegmentationEvaluator.process` takes of logits (K, H, W): themselves, and their classes."""
    return {"logits": logits, "classes": logits.argmax(dim=0).to(torch.uint8)}


def confusion_matrix(label: torch.Tensor, prediction: torch.Tensor, classes: int) -> np.ndarray:
    """(K, K) pixel counts, int64, of a label with 255 for ignored and a prediction in 0..K-1, of K ``classes``.

    Both are uint8 (H, W) and on one device, where they are counted.
    """
    # One extra row takes the ignored pixels: cheaper than selecting the others first.
    cells = (classes + 1) * classes
    pairs = label.clamp(max=classes).to(torch.int32).mul_(classes).add_(prediction).flatten()
    if pairs.is_cuda:
        counts = torch.bincount(pairs, minlength=cells).cpu().numpy()
    else:  # numpy's takes a fifth of the time of torch's there
        counts = np.bincount(pairs.numpy(), minlength=cells)
    return counts.reshape(classes + 1, classes)[:classes]


def evaluate(
    segmentor: Segmentor,
    dataset: EvaluationSet,
    scoring: Scoring,
    device: torch.device,
    workers: int,
    windows: SlidingWindow | None = None,
    seen: Callable[[int, int], None] | None = None,
) -> Evaluated:
    """Score one segmentor, as `evaluate_all` does."""
    return evaluate_all({STUDENT: segmentor}, dataset, scoring, device, workers, windows, seen)[STUDENT]


@torch.no_grad()
def evaluate_all(
    segmentors: Mapping[str, Segmentor],
    dataset: EvaluationSet,
    scoring: Scoring,
    device: torch.device,
    workers: int,
    windows: SlidingWindow | None = None,
    seen: Callable[[int, int], None] | None = None,
    each: Mapping[str, Each] | None = None,
    groups: Sequence[str] = (),
) -> dict[str, Evaluated]:
    """Score segmentors in eval mode, by their names, on one reading of the images; modes are put back afterwards.

    Several processes share the images, and all get the scores of all: the counts are summed.

    ``seen(images, all of them)`` is told before each image how many have been scored, ``each`` of each prediction of
    the segmentor of that name on this process's images, in the order of ``segmentors``. ``groups`` of the images are
    counted apart, too (`Evaluated.counted`).
    """
    evaluators = {name: SegmentationEvaluator(scoring, (each or {}).get(name), groups) for name in segmentors}
    with ExitStack() as modes:
        for segmentor in segmentors.values():
            modes.enter_context(eval_mode(segmentor))
        for item in SharedLoader(dataset, workers, seen, pin_memory=device.type == "cuda"):
            item["image"], item["label"] = (item[key].to(device, non_blocking=True) for key in ("image", "label"))
            for name, segmentor in segmentors.items():
                where = item["image"], tuple(item["label"].shape), device, windows
                if evaluators[name].needs_logits:
                    output = with_classes(predict_image(segmentor, *where))
                else:
                    output = {"classes": predict_classes(segmentor, *where)}
                evaluators[name].process([item], [output])
    return {name: evaluator.evaluate() for name, evaluator in evaluators.items()}


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


class SharedLoader:
    """A loader of single images; ``seen`` is that of ``evaluate_all``.

    Items have their "index" in the data set. Several processes share the images.

    Attributes:
        indices: of this process's images.
    """

    def __init__(
        self,
        dataset: EvaluationSet | UnlabelledSet,
        workers: int,
        seen: Callable[[int, int], None] | None = None,
        pin_memory: bool = False,
    ) -> None:
        self._dataset, self._workers, self._seen, self._pin_memory = dataset, workers, seen, pin_memory
        self.indices = range(comm.get_rank(), len(dataset), comm.get_world_size())

    def __iter__(self) -> Iterator[dict[str, Any]]:
        items = in_order(self._dataset.__getitem__, self.indices, self._workers, self._pin_memory)
        for index, item in zip(self.indices, items, strict=True):
            if self._seen is not None:
                self._seen(index, len(self._dataset))
            yield item | {"index": index}
