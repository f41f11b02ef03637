"""What a run's record says of it: before it begins, while it goes on, and at its end."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

import torch
from detectron2.config import CfgNode

from benchmarks.computing.memory import peak_mib
from benchmarks.config.changed import changed_keys
from benchmarks.config.label_space import scoring
from benchmarks.config.network_sizes import fitted_sizes
from benchmarks.config.plugins import plugins
from benchmarks.config.run import Run
from benchmarks.data.data_sets import items
from benchmarks.data.from_config import data_root, labelled_target
from benchmarks.engine.hooks import Evaluation
from benchmarks.engine.trainer import Trainer
from benchmarks.state.neighbours import Neighbours
from methods.networks.weights import weights_file
from methods.pretrained.published_folder import is_hub_address
from methods.pretrained.published_weights import file_sha256
from results.records.record import PENDING, Record
from results.records.scores import STUDENT

PLUGINS = "plugins"  # in a record: digest and name of each that was imported, where there was one


def initial_record(run: Run) -> Record:
    """The record of a run that has not begun."""
    cfg = run.cfg
    content = {
        "id": run.known_as,
        "spec": {"protocol": cfg.PROTOCOL, "method": cfg.METHOD, "network": cfg.NETWORK, "seed": cfg.SEED},
        "oracle": run.recipe.oracle,
        "classes": cfg.TEST.CLASSES,
        "class_sets": list(run.scoring.class_sets),
        "iterations": 0,
        "max_iterations": cfg.SOLVER.ITERS,
        "precision": cfg.SOLVER.PRECISION,
        "deterministic": cfg.SOLVER.DETERMINISTIC,
        "changed_settings": _changed_settings(cfg),
        "hardware": {"name": ""},
        "reason": "",
        "status": PENDING,
    } | ({PLUGINS: named} if (named := {plugin.digest: plugin.name for plugin in plugins()}) else {})
    if is_hub_address(cfg.WEIGHTS):
        content["weights"] = {"from": cfg.WEIGHTS, "sha256": file_sha256(weights_file(Path(cfg.WEIGHTS)))}
    if cfg.DATA.LABELLED_TARGET:
        content["labelled_target"] = {"amount": cfg.DATA.LABELLED_TARGET}
    if sizes := fitted_sizes([cfg]):
        content["sizes"] = sizes[0]
    return Record.of(content)


def _changed_settings(cfg: CfgNode) -> dict[str, Any] | None:
    changed = changed_keys(cfg)
    return None if changed is None else {key: value for key, (value, _) in changed.items()}


def labelled(run: Run) -> dict[str, Any]:
    """How many target images are learned from with their labels, of how many; nothing where that is not limited."""
    cfg = run.cfg
    if not cfg.DATA.LABELLED_TARGET:
        return {}
    root = data_root(cfg)
    numbers = {
        "images": len(labelled_target(cfg, run.recipe, root)), "of": len(items(cfg, "TARGET", root, labelled=False))
    }
    return {"labelled_target": {"amount": cfg.DATA.LABELLED_TARGET, **numbers}}


def parameters(trainer: Trainer) -> dict[str, int]:
    """Counts by part; what stays after training, and what is trained besides."""

    def count(module: torch.nn.Module) -> int:
        return sum(parameter.numel() for parameter in module.parameters())

    student = trainer.student
    return {
        "encoder": count(student.encoder),
        "decoder": count(student) - count(student.encoder),  # with the attention of a student of two resolutions
        "inference": count(student),
        "training_only": count(trainer.terms),
    }


def measured(trainer: Trainer, device: torch.device, neighbours: Neighbours) -> dict[str, Any]:
    """What is known of a run that goes on: iterations, curve, seconds, memory, and what these were measured beside."""
    seconds = trainer.progress.seconds
    return {
        "iterations": trainer.start_iter + len(seconds),
        "curve": trainer.progress.curve,
        "seconds_per_iteration": statistics.median(seconds) if seconds else None,
        "peak_memory_mib": peak_mib(device, trainer.graphs.captured > 0),
        "wall_seconds": trainer.progress.wall(),
        **neighbours.as_record(),
    }


def result(evaluation: Evaluation) -> dict[str, Any]:
    """Scores by model; and the criteria, if any was measured."""
    scores = {model: found.scores.as_json() for model, found in evaluation.last.items()}
    return scores | ({"criteria": evaluation.criteria} if evaluation.criteria else {})


def validation(evaluation: Evaluation, cfg: CfgNode) -> dict[str, Any]:
    """Pixels of each class in the validation labels, and by class set the classes without any: no mean counts them."""
    pixels, scored = evaluation.last[STUDENT].labelled_pixels, scoring(cfg)
    left_out = {str(size): [name for name in scored.names(size) if not pixels[name]] for size in scored.class_sets}
    return {"labelled_pixels": pixels, "left_out": left_out}
