"""Run folders that were written and never made, with all that a report draws."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from written_runs import write_run

from results.records.examples import IGNORED, Example, Examples, write_examples
from results.records.image_counts import sparse_counts, write_counts

CLASSES = [f"class{index}" for index in range(19)]
COLORS = [(37 * index % 256, 90 * index % 256, 151 * index % 256) for index in range(19)]
IMAGES = 6
SECONDS = {"source-only": 0.23, "dacs": 0.48, "dacs+mic": 1.4, "dacs+mrm": 0.9, "target-only": 0.3}
REACHED = {"source-only": 17.0, "dacs": 22.5, "dacs+mic": 23.4, "dacs+mrm": 24.6, "target-only": 38.9}


def write_reported(folder: Path, method: str, seed: int, *, ratio: float | None = None, points: int = 7) -> None:
    """A finished run of ``method`` in ``folder``, whose numbers are drawn from method, ratio and seed alone."""
    random = np.random.default_rng([seed, *method.encode(), int(100 * (ratio or 0))])
    shared = np.random.default_rng(seed).normal(0, 1.2)  # what a seed does to all methods
    miou = REACHED[method] + shared + random.normal(0, 0.3) - (6 * (ratio - 0.4) ** 2 * 8 if ratio is not None else 0)
    iou = np.clip(miou * np.linspace(3.2, 0.1, len(CLASSES)) * random.uniform(0.9, 1.1, len(CLASSES)), 0, 99)
    iou *= miou / iou.mean()
    scores = {"miou": miou, "iou": dict(zip(CLASSES, np.minimum(iou, 99).tolist(), strict=True))}
    steps = [50 * (index + 1) for index in range(points)]
    curve = [
        {"iteration": step, "miou": miou * (1 - np.exp(-3.5 * step / steps[-1])) + random.normal(0, 0.4)}
        for step in steps[:-1]
    ] + [{"iteration": steps[-1], "miou": miou}]
    write_run(
        folder, method, seed, miou, None,
        curve=curve,
        iterations=steps[-1],
        max_iterations=steps[-1],
        oracle=method == "target-only",
        result={"student": scores, "teacher": scores},
        seconds_per_iteration=SECONDS[method] * random.uniform(0.95, 1.05),
        peak_memory_mib=700 + 300 * SECONDS[method],
        versions={"python": "3.11.7", "torch": "2.13.0"},
        git={"commit": "0f9a4232f70699ca5d9473b33b6db76392f5b839", "dirty": seed == 1, "diff": None},
        validation={"labelled_pixels": dict.fromkeys(CLASSES, 100), "left_out": {"19": []}},
        data={"VAL": {"count": IMAGES, "images": "a"}},
    )  # fmt: skip
    config: dict[str, Any] = {"SOLVER": {"ITERS": steps[-1], "BATCH": 2}, "SEED": seed, "INPUT": {"CROP": [128, 128]}}
    if ratio is not None:
        config["TERMS"] = {"MRM": {"RATIO": ratio, "WEIGHT": 1.0}}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    lines = [
        {"iteration": step - 1, "loss_supervised": 1.0, "pseudo_label_confidence": 0.8 * (1 - np.exp(-step / 120))}
        for step in range(10, steps[-1] + 1, 10)
        if method not in ("source-only", "target-only")
    ]
    (folder / "metrics.json").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    matrices = [np.diag(random.poisson(60 + miou, 19)) + random.poisson(4, (19, 19)) for _ in range(IMAGES)]
    write_counts(folder, "student", sparse_counts(matrices))
    write_examples(folder, Examples(CLASSES, COLORS, [_example(index, miou, random) for index in range(IMAGES)]))


def _example(index: int, miou: float, random: np.random.Generator) -> Example:
    """Rows of classes with a frame that has no label, and a prediction that is wrong in the fewer blocks the better."""
    label = np.repeat((np.arange(64) // 8 + index) % 19, 128).reshape(64, 128).astype(np.uint8)
    label[:4] = IGNORED
    wrong = np.kron(random.uniform(0, 100, (8, 16)) > miou + 30, np.ones((8, 8), bool))
    prediction = np.where(wrong | (label == IGNORED), (label % 19 + 3) % 19, label).astype(np.uint8)
    image = np.array(COLORS, np.uint8)[label % 19] // 2 + 60
    return Example(f"town_{index:06d}.png", index, image, label, {"student": prediction, "teacher": prediction})


def write_all(runs: Path, seeds: int = 3) -> None:
    """Five methods over ``seeds``, one of them with several ratios, and runs that failed, diverged and were lost."""
    for seed in range(seeds):
        for method in REACHED:
            for ratio in (0.2, 0.4, 0.6) if method == "dacs+mrm" else (None,):
                write_reported(runs / method / f"{ratio}-{seed}", method, seed, ratio=ratio)
    for status, reason in (
        ("diverged", "loss_mrm is nan in iteration 17"),
        ("failed", "CUDA out of memory"),
        ("failed", "lost: its process is gone (node 7)"),
        ("stopped", "pruned by the search"),
        ("running", ""),
    ):
        number = len([*runs.glob("unfinished/*")])
        write_run(
            runs / "unfinished" / f"{number}", "dacs", 10 + number, None, None,
            status=status, reason=reason, iterations=17, result={},
        )  # fmt: skip
