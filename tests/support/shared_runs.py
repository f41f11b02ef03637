"""Runs that several processes make together, with what each of them saw: a module, so that they can import it."""

from __future__ import annotations

import hashlib
import itertools
import os
import signal
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from detectron2.config import CfgNode
from detectron2.utils import comm

from benchmarks.config.run import Run
from benchmarks.engine.distributed import broadcast_parameters
from benchmarks.engine.runner import RunWatcher, run_one
from benchmarks.engine.trainer import Trainer
from benchmarks.evaluation.evaluator import SegmentationEvaluator
from benchmarks.launch.workers import WorkerJob, make_shared_run
from methods.base.batch_share import Share
from methods.networks import Encoder, NetworkSpec, register_network
from methods.networks.decoders import DAFormerDecoder
from methods.networks.sync_norm import synchronize_norms
from slurm.processes.ranks import Rank, joined


def _small_decoder(encoder: Encoder, num_classes: int) -> DAFormerDecoder:
    return DAFormerDecoder(encoder.channels, num_classes, width=16)


def _small_encoder() -> Encoder:
    from methods.networks import mit  # imports transformers, which takes seconds

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
        patch.setattr(SegmentationEvaluator, "process", score)
        patch.setattr(Trainer, "update", step)
        patch.setattr(Trainer, "training_step", keep)
        record = run_one(Run.at(folder, cfg), RunWatcher()).content
    assert record["status"] == "finished", record["reason"]
    seen.trained.extend(comm.all_gather(trained))
    seen.images.extend(comm.all_gather(images))
    seen.scored.extend(comm.all_gather(scored))
    return seen


FAULT = "SEGSHIFT_TEST_FAULT"  # "RANK HOW AT": what happens to a rank in its AT-th step of this process


def make_with_fault(job: WorkerJob, rank: Rank) -> str | None:
    """In place of ``benchmarks.launch.workers.make_shared_run``."""
    who, how, at = os.environ[FAULT].split()
    with pytest.MonkeyPatch.context() as patch:
        if int(who) == rank.rank:
            run_step, done = Trainer.run_step, itertools.count(1)

            def step(trainer: Trainer) -> None:
                if next(done) == int(at):
                    if how == "kill":
                        os.kill(os.getpid(), signal.SIGKILL)
                    raise OSError(f"out of luck in step {at}")
                run_step(trainer)

            patch.setattr(Trainer, "run_step", step)
        return make_shared_run(job, rank)


def normalised(x: torch.Tensor, weight: torch.Tensor, norm: torch.nn.Module) -> tuple[Any, ...]:
    """Output, gradient of x in sum(weight * output), running statistics and their count."""
    x = x.clone().requires_grad_()
    out = norm(x)
    (out * weight).sum().backward()
    return out.detach(), x.grad, norm.running_mean, norm.running_var, int(norm.num_batches_tracked)


def shared_norm(job: tuple[torch.Tensor, torch.Tensor, torch.nn.Module], rank: Rank) -> list[tuple[Any, ...]]:
    x, weight, norm = job
    synchronize_norms(norm)
    with joined(rank, cuda=False):
        with torch.no_grad():
            norm.weight += rank.rank  # as drawn by another kind of processor
        broadcast_parameters([norm])
        share = Share.of_this_process()
        return comm.all_gather(normalised(share.local_rows(x), share.local_rows(weight), norm))
