"""What several processes that train one run do together (torch.distributed); with one process, nothing.

Gradients are averaged once a step, after the last backward pass, rather than by DistributedDataParallel, which expects
one forward pass of one module before each backward pass: a step here calls the student's parts as its terms need them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

import torch
import torch.distributed as dist
from detectron2.config import CfgNode
from detectron2.utils import comm

from benchmarks.core.errors import ConfigError
from methods.framework.recipes import parse

T = TypeVar("T")

_BUCKET = 2**25  # elements that are sent at once: 128 MiB in float32, a copy of so many gradients


def from_rank_0(value: T) -> T:
    """What rank 0 has; every process calls it."""
    return comm.all_gather(value)[0]


def broadcast_parameters(modules: Iterable[torch.nn.Module]) -> None:
    """Let all processes begin with rank 0's parameters and buffers.

    They draw the same ones from the seed, but processors of different kinds may round differently.
    """
    if comm.get_world_size() == 1:
        return
    with torch.no_grad():
        for module in modules:
            for tensor in (*module.parameters(), *module.buffers()):
                sent = tensor.detach().clone(memory_format=torch.contiguous_format)
                dist.broadcast(sent, 0)
                tensor.copy_(sent)


@torch.no_grad()
def average_gradients(parameters: Iterable[torch.nn.Parameter]) -> None:
    """Let every process have the mean of all processes' gradients, bit for bit the same."""
    ranks = comm.get_world_size()
    if ranks == 1:
        return
    for bucket in _buckets([parameter.grad for parameter in parameters if parameter.grad is not None]):
        flat = bucket[0].new_empty(sum(gradient.numel() for gradient in bucket))
        parts = flat.split([gradient.numel() for gradient in bucket])
        means = [part.view_as(gradient) for part, gradient in zip(parts, bucket, strict=True)]
        torch._foreach_copy_(means, bucket)  # in few launches, as back again
        dist.all_reduce(flat)
        flat /= ranks
        torch._foreach_copy_(bucket, means)


def _buckets(gradients: list[torch.Tensor]) -> Iterator[list[torch.Tensor]]:
    bucket: list[torch.Tensor] = []
    size = 0
    for gradient in gradients:
        if bucket and size + gradient.numel() > _BUCKET:
            yield bucket
            bucket, size = [], 0
        bucket.append(gradient)
        size += gradient.numel()
    if bucket:
        yield bucket


def check_ranks(cfg: CfgNode, ranks: int) -> None:
    """Check that so many processes can share a batch of this run. Raises ConfigError where they cannot."""
    if ranks == 1:
        return
    recipe = parse(cfg.METHOD)
    for key in ("BATCH", *(["LABELLED_BATCH"] if recipe.few_labels else [])):
        if cfg.SOLVER[key] % ranks:
            raise ConfigError(
                f"SOLVER.{key} is {cfg.SOLVER[key]}, which is shared by the {ranks} GPUs of a run: expected a multiple "
                f"of {ranks}"
            )
    for part in recipe.parts:
        if part.one_process:
            raise ConfigError(
                f"method {cfg.METHOD}: {part.name} joins images of a batch, which one GPU must have: expected --gpus 1 "
                f"and one node, found {ranks} GPUs"
            )

