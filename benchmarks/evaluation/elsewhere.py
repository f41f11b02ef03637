"""Scores on further sets of images (TEST.ALSO), as a record has them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from benchmarks.config.label_space import Scoring
from benchmarks.config.metrics import score
from benchmarks.config.sliding_window import SlidingWindow
from benchmarks.data.further_sets import FurtherSet
from benchmarks.evaluation.evaluator import Evaluated, evaluate_all
from datasets.base.errors import DataError
from methods.networks import Segmentor

_LOGGER = logging.getLogger(__name__)


def score_elsewhere(
    models: Mapping[str, Segmentor],
    sets: Sequence[FurtherSet],
    scoring: Scoring,
    device: torch.device,
    workers: int,
    windows: SlidingWindow | None = None,
    seen: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """What a record says of models, by STUDENT and TEACHER, on each set (`results.records.scores.Elsewhere`), by name.

    A set with a file that cannot be scored has a line that says so in place of scores: the others are not lost for it.
    """
    found: dict[str, Any] = {}
    for each in sets:
        about: dict[str, Any] = {"images": len(each.images)}
        about |= {"short_side": each.short_side} if each.short_side else {}
        several = len(set(each.conditions)) > 1  # of one alone its scores are those of the set
        try:
            groups = each.conditions if several else ()
            evaluated = evaluate_all(models, each.images, scoring, device, workers, windows, seen, groups=groups)
        except DataError as error:
            _LOGGER.warning("TEST.ALSO: %s: %s", each.name, error)
            found[each.name] = about | {"fault": str(error)}
            continue
        conditions = {
            condition: _of_condition(evaluated, each.conditions, condition, scoring)
            for condition in dict.fromkeys(groups)
        }
        result = {model: scored.scores.as_json() for model, scored in evaluated.items()}
        found[each.name] = about | {"result": result} | ({"conditions": conditions} if conditions else {})
    return found


def _of_condition(
    evaluated: Mapping[str, Evaluated], conditions: Sequence[str], condition: str, scoring: Scoring
) -> dict[str, Any]:
    """The scores of the images of a condition, by model."""
    images, square = np.array(conditions) == condition, (len(scoring.space.names),) * 2
    found = {}
    for model, scored in evaluated.items():
        confusion = np.asarray(scored.by_image[images].sum(axis=0), np.int64).reshape(square)
        found[model] = score(confusion, scoring, scored.counted[condition]).as_json()
    return found
