"""What ranks do in tests beside what the product has for them: a module, so that they can import it."""

from __future__ import annotations

import itertools
import os
import signal
from typing import Any

import pytest
import torch
from detectron2.utils import comm

from benchmarks.engine.distributed import broadcast_parameters
from benchmarks.engine.trainer import Trainer
from benchmarks.launch.workers import WorkerJob, make_shared_run
from methods.base.batch_share import Share
from methods.layers.sync_norm import synchronize_norms
from slurm.processes.ranks import Rank, joined

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
