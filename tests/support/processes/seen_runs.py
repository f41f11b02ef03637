"""Runs that several processes make together, with what each of them saw: a module, so that they can import it.

It loads Mix Transformer, which takes seconds, and by that once for all ranks: they are forked from a process that has.
"""

from __future__ import annotations

import functools
import hashlib
from multiprocessing import forkserver
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from detectron2.config import CfgNode
from detectron2.utils import comm

from benchmarks.config.run import Run
from benchmarks.engine import step_pictures
from benchmarks.engine.runner import RunWatcher, run_one
from benchmarks.engine.trainer import Trainer
from benchmarks.evaluation.evaluator import SegmentationEvaluator
from methods.decoders.convolutional import DAFormerDecoder
from methods.encoders import mit
from methods.networks import Encoder, NetworkSpec, register_network
from slurm.processes.ranks import Rank, joined, run_ranks


def _small_decoder(encoder: Encoder, num_classes: int) -> DAFormerDecoder:
    return DAFormerDecoder(encoder.channels, num_classes, width=16)


def _small_encoder() -> Encoder:
    mit._WIDTHS["small"], mit._DEPTHS["small"] = (16, 32, 40, 64), (1, 1, 1, 1)
    return mit.MixTransformer("small")


SMALL_MIT = "daformer-mit-small"  # a Mix Transformer of a block a stage; processes that import this module know it
register_network(SMALL_MIT, NetworkSpec("small", _small_encoder, _small_decoder))


class Seen(NamedTuple):
    """Of a run's first steps, by one process or by all together.

    Attributes:
        losses: by name, the mean over processes, of each step.
        gradients: by parameter, of the first step, of rank 0.
        trained: digests of student, teacher and terms after each step, of each process.
        images: digests of the source images of each step, of each process.
        scored: indices of the validation images that each process scored, of each evaluation one after the other.
    """

    losses: list[dict[str, float]]
    gradients: dict[str, torch.Tensor]
    trained: list[list[str]]
    images: list[list[list[str]]]
    scored: list[list[int]]


def digest(*tensors: torch.Tensor) -> str:
    found = hashlib.sha256()
    for tensor in tensors:
        found.update(tensor.detach().contiguous().numpy().tobytes())
    return found.hexdigest()[:16]


def make_and_see(jobs: list[tuple[CfgNode, Path]], rank: Rank | None = None) -> list[Seen]:
    if rank is None:
        return [_make(cfg, folder) for cfg, folder in jobs]
    with joined(rank, cuda=False):
        return [_make(cfg, folder) for cfg, folder in jobs]


def _make(cfg: CfgNode, folder: Path) -> Seen:
    seen = Seen([], {}, [], [], [])
    trained, images, scored = list[str](), list[list[str]](), list[int]()
    update, make_step = Trainer.update, Trainer.training_step

    def step(trainer: Trainer, *given: Any) -> Any:
        first = not trained
        found = update(trainer, *given)
        losses = {name: float(value) for name, value in found.items()}
        of_all = comm.all_gather(losses)
        seen.losses.append({name: sum(each[name] for each in of_all) / len(of_all) for name in losses})
        modules = {"student": trainer.student, "terms": trainer.terms}
        if first:
            for part, module in modules.items():
                for name, parameter in module.named_parameters():
                    if parameter.grad is not None:
                        seen.gradients[f"{part}.{name}"] = parameter.grad.clone()
        modules |= {"teacher": trainer.teacher} if trainer.teacher else {}
        state = [tensor for module in modules.values() for tensor in module.state_dict().values()]
        trained.append(digest(*state))
        return found

    def keep(trainer: Trainer, batch: Any) -> Any:
        images.append([digest(image) for image in batch["source"]["images"]])
        return make_step(trainer, batch)

    process = SegmentationEvaluator.process

    def score(evaluator: SegmentationEvaluator, inputs: Any, outputs: Any) -> None:
        scored.extend(item["index"] for item in inputs)
        process(evaluator, inputs, outputs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(step_pictures, "_SIDE", 32)  # to write them large takes longer than to train
        patch.setattr(SegmentationEvaluator, "process", score)
        patch.setattr(Trainer, "update", step)
        patch.setattr(Trainer, "training_step", keep)
        record = run_one(Run.at(folder, cfg), RunWatcher()).content
    assert record["status"] == "finished", record["reason"]
    seen.trained.extend(comm.all_gather(trained))
    seen.images.extend(comm.all_gather(images))
    seen.scored.extend(comm.all_gather(scored))
    return seen


def make_in_ranks(jobs: list[tuple[CfgNode, Path]], ranks: int) -> list[Seen]:
    """`make_and_see` by so many processes."""
    _forget_fork_server()
    return run_ranks(make_and_see, jobs, ranks)


@functools.cache
def _forget_fork_server() -> None:
    """End the process that the ranks of tests before were forked from: it has not loaded this module."""
    forkserver._forkserver._stop()  # type: ignore[attr-defined]
