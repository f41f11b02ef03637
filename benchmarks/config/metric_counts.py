"""What metrics count of images themselves, summed; and whether all can be had, before anything is trained."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Any

import numpy as np
import torch
from detectron2.utils import comm

from benchmarks.config.label_space import Scoring
from benchmarks.config.metrics import Counts, NoValueError, score, wanted, why
from benchmarks.core.errors import ConfigError


class MetricCounts:
    """Sums over images of what metrics count themselves.

    Attributes:
        needs_logits: whether one of them counts logits.
    """

    def __init__(self, scoring: Scoring) -> None:
        metrics = wanted(scoring).values()
        self._takes_logits = {each.counted: each.logits for each in metrics if each.counted is not None}
        self._found: Counts = {}
        self._classes = len(scoring.space.names)
        self.needs_logits = any(self._takes_logits.values())

    def add(self, label: torch.Tensor, prediction: torch.Tensor, logits: torch.Tensor | None) -> None:
        """Count an image. A function that fails has no sum from then on; the others go on.

        Args:
            label: uint8 (H, W), IGNORE where no class is.
            prediction: uint8 (H, W), on the same device.
            logits: float32 (K, H, W), there too; None where they are not needed.
        """
        for counted, takes_logits in self._takes_logits.items():
            before = self._found.get(counted)
            if isinstance(before, str):
                continue
            try:
                found = _array(counted(label, logits if takes_logits else prediction, self._classes))
                self._found[counted] = found if before is None else _sum(before, found)
            except (Exception, SystemExit) as error:  # a user's code: what was trained is not lost for it
                self._found[counted] = why(error)

    def total(self) -> Counts:
        """The sums over the images of all processes."""
        if not self._takes_logits:
            return {}
        parts = comm.all_gather([self._found.get(counted) for counted in self._takes_logits])
        return {counted: _total(each) for counted, *each in zip(self._takes_logits, *parts, strict=True)}


def summed(parts: Sequence[Counts]) -> Counts:
    """The sums over all images of what `MetricCounts.total` gave of each part of them."""
    return {counted: _total([part[counted] for part in parts]) for counted in parts[0]}


def _total(parts: Sequence[np.ndarray | str | None]) -> np.ndarray | str:
    known = [part for part in parts if part is not None]  # a process may have no image
    said = [part for part in known if isinstance(part, str)]
    try:
        return said[0] if said else reduce(_sum, [part for part in known if not isinstance(part, str)])
    except NoValueError as error:
        return why(error)


def _sum(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    if one.shape != other.shape:
        raise NoValueError(f"counted {other.shape} numbers of an image and {one.shape} of another")
    return one + other


def _array(value: Any) -> np.ndarray:
    found = np.asarray(value.cpu() if isinstance(value, torch.Tensor) else value)
    if found.dtype.kind not in "iuf":
        raise NoValueError(f"counted {value!r:.60}, expected an array of numbers")
    return found.astype(np.float64 if found.dtype.kind == "f" else np.int64)


def check_metrics(scoring: Scoring) -> None:
    """Find a metric that cannot be had before anything is trained. Raises ConfigError, one line that names it."""
    classes = len(scoring.space.names)
    # Each class is predicted once where each is labelled, and twice where it is.
    every = torch.arange(classes, dtype=torch.uint8)[None]
    label = torch.cat([every.T.expand(-1, classes), every.T], dim=1)
    prediction = torch.cat([every.expand(classes, -1), every.T], dim=1)
    counts = MetricCounts(scoring)
    counts.add(label, prediction, torch.eye(classes)[prediction.long()].movedim(-1, 0))
    for fault in score(np.eye(classes, dtype=np.int64) + 1, scoring, counts.total()).faults.values():
        raise ConfigError(f"{fault} (tried on counts of {classes} classes, each predicted and labelled)")
