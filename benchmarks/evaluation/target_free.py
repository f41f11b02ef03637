"""What settings of a UDA method can be chosen by without target labels (docs/criteria.md)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from detectron2.config import CfgNode
from detectron2.utils import comm

from benchmarks.config.label_space import scoring
from benchmarks.config.sliding_window import SlidingWindow, sliding
from benchmarks.data.from_config import confidence_set, held_out_set
from benchmarks.data.loader_workers import loader_workers
from benchmarks.evaluation.evaluator import SharedLoader, eval_mode, evaluate
from benchmarks.evaluation.inference import predict_image
from datasets.batches.evaluation_set import UnlabelledSet
from methods.networks import Segmentor

Seen = Callable[[int, int], None]


class Criteria:
    """The criteria that TEST.SOURCE_IMAGES and TEST.CONFIDENCE_IMAGES ask for."""

    def __init__(self, cfg: CfgNode, root: Path, device: torch.device) -> None:
        """Open the images. Raises DataError where there are fewer than wanted."""
        self._held_out, self._unlabelled = held_out_set(cfg, root), confidence_set(cfg, root)
        self._scoring, self._windows = replace(scoring(cfg), metrics=()), sliding(cfg)
        self._device, self._workers = device, loader_workers(cfg, device)

    def measure(self, student: Segmentor, labeller: Segmentor, seen: Seen | None = None) -> dict[str, float]:
        """Measure ``source_miou`` of the student, in percent, and ``confidence`` of the labeller, 0 to 1, where wanted.

        The labeller is the model that makes pseudo-labels. NaN where no class, or no pixel, is there to be measured.
        ``seen`` is told before each image how many of how many are done, of the one and then of the other.
        """
        measured = {}
        if self._held_out is not None:
            found = evaluate(student, self._held_out, self._scoring, self._device, self._workers, self._windows, seen)
            miou = found.scores.headline
            measured["source_miou"] = math.nan if miou is None else miou
        if self._unlabelled is not None:
            measured["confidence"] = confidence(
                labeller, self._unlabelled, self._device, self._workers, self._windows, seen
            )
        return measured


def confidence(
    segmentor: Segmentor,
    dataset: UnlabelledSet,
    device: torch.device,
    workers: int,
    windows: SlidingWindow | None = None,
    seen: Seen | None = None,
) -> float:
    """Mean of the largest softmax probability over all pixels inside the margins, in [0, 1]; NaN if there is none.

    Predicted in eval mode, as scores are, at the size of the images; every module's mode is put back afterwards.
    Several processes share the images, and all get the mean of all.
    """
    images = SharedLoader(dataset, workers, seen, pin_memory=device.type == "cuda")
    sums: dict[int, tuple[float, int]] = {}
    with eval_mode(segmentor):
        for item in images:
            inside = item["inside"]
            height, width = inside.shape
            logits = predict_image(segmentor, item["image"], (height, width), device, windows)
            probability = logits.softmax(dim=0).amax(dim=0).cpu()
            sums[item["index"]] = float(probability[inside].sum(dtype=torch.float64)), int(inside.sum())
    for others in comm.all_gather(sums):
        sums |= others
    total = sum(sums[index][0] for index in sorted(sums))  # in one order: the sum is that of one process
    pixels = sum(count for _, count in sums.values())
    return total / pixels if pixels else math.nan
