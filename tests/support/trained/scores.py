"""What the scores in a record are to each other, whatever was learned."""

from __future__ import annotations

from statistics import fmean
from typing import Any

import pytest
from detectron2.config import CfgNode

from benchmarks.config.label_space import scoring


def assert_scores(record: dict[str, Any], cfg: CfgNode, *models: str) -> None:
    """These models have scores, in percent; a mean is over the classes of its set that the labels have."""
    scored, pixels = scoring(cfg), record["validation"]["labelled_pixels"]
    labelled = {
        str(number): [name for name in (scored.space.names[i] for i in scored.space.class_sets[number]) if pixels[name]]
        for number in scored.class_sets
    }
    assert all(labelled.values())
    assert sorted(record["result"]) == sorted(models)
    for model in record["result"].values():
        assert all(0 <= model["iou"][name] <= 100 for name in labelled[str(cfg.TEST.CLASSES)])
        means = {number: fmean(model["iou"][name] for name in names) for number, names in labelled.items()}
        assert model["miou_by_classes"] == pytest.approx(means)
        assert model["miou"] == model["miou_by_classes"][str(cfg.TEST.CLASSES)]
    last = record["curve"][-1]
    assert last["iteration"] == record["iterations"] and last["miou"] == record["result"]["student"]["miou"]
