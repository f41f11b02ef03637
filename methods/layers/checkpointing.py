"""Activation checkpointing (Chen et al., 2016): keep a block's input alone and compute the rest again for backward.

It trades time for memory and changes nothing else: losses, gradients and buffers are bit-equal to those without it.
The random numbers of the first pass are drawn again, and only the first pass updates batch norm's running statistics.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from methods.base.batch_share import noise_as_now

_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


@contextmanager
def checkpointed(blocks: Iterable[nn.Module]) -> Iterator[None]:
    """Run the forward passes of these modules in here under `torch.utils.checkpoint`.

    Each module's `forward` is overridden for the time being instead of called by another name: whoever calls the module
    need not know, also a library's network that calls its blocks itself.
    """
    blocks = list(blocks)
    for block in blocks:
        block.__dict__["forward"] = partial(_forward, block, block.forward)
    try:
        yield
    finally:
        for block in blocks:
            del block.__dict__["forward"]


def _forward(block: nn.Module, forward: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), _again(block, noise_as_now())

    return checkpoint(forward, *args, use_reentrant=False, context_fn=contexts, **kwargs)


@contextmanager
def _again(block: nn.Module, noise: AbstractContextManager[None]) -> Iterator[None]:
    with _statistics_kept(block), noise:
        yield


@contextmanager
def _statistics_kept(block: nn.Module) -> Iterator[None]:
    """Let batch norms update scratch statistics: in train mode they read none, so the values computed are the same.

    Not a momentum of 0, which turns the statistics of a diverged pass (0 times infinity) into NaN.
    """
    norms = [module for module in block.modules() if isinstance(module, _BatchNorm) and module.track_running_stats]
    kept = [(norm, name, norm._buffers[name]) for norm in norms if norm.training for name in _STATISTICS]
    for norm, name, value in kept:
        norm._buffers[name] = None if value is None else torch.empty_like(value)
    try:
        yield
    finally:
        for norm, name, value in kept:
            norm._buffers[name] = value
