"""Hearing each operation of a step that its device would run, by shapes alone: at its real size, on any machine."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import repeat
from typing import Any

import torch
from detectron2.config import CfgNode
from torch import nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode, unset_fake_temporarily
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

from benchmarks.engine.build import Learners, build_learners
from benchmarks.engine.trainer import Trainer
from benchmarks.tools.random_step import random_batch
from benchmarks.tools.replaced import replaced
from methods.framework.step import TrainingStep
from methods.layers.depthwise import DepthwiseConv2d

CPU = torch.device("cpu")


class DeviceCalls(TorchDispatchMode):
    """Told of each operation, entered inside a `FakeTensorMode`, which sees shapes alone.

    What is drawn with a generator, and what is computed from such draws alone, is computed for real, by the host, and
    not told: methods branch on these few numbers.
    """

    def heard(self, operator: Any, made: Any) -> None:
        """An operation, as ``torch.ops.aten.add.Tensor``, made this: tensors, in lists or alone."""
        raise NotImplementedError

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        tensors = [leaf for leaf in tree_iter((args, kwargs)) if isinstance(leaf, torch.Tensor)]
        drawn = kwargs.get("generator") is not None
        if drawn or (tensors and not any(isinstance(tensor, FakeTensor) for tensor in tensors)):
            with unset_fake_temporarily():
                return func(*args, **kwargs)
        made = func(*args, **kwargs)
        self.heard(func, made)
        return made


@contextmanager
def heard_trainer(
    cfg: CfgNode, *listeners: DeviceCalls, learners: Learners | None = None
) -> Iterator[tuple[Trainer, Callable[[], TrainingStep]]]:
    """The trainer of ``cfg`` on tensors without values, and what makes its next step on random images.

    ``learners`` are built unless they are given, on the CPU; their values are gone afterwards.
    """
    learners = learners or build_learners(cfg, CPU)
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    make_fake([module for module in (learners.student, learners.teacher, *learners.terms) if module], mode)
    batch = random_batch(cfg)
    gc.collect()  # cycles are collected after so many objects: what was made before would decide when
    with ExitStack() as stack:
        stack.enter_context(replaced(DepthwiseConv2d, "own", False))
        for each in (mode, *listeners):
            stack.enter_context(each)
        trainer = Trainer(cfg, *learners, lambda start: repeat(batch), CPU)
        yield trainer, lambda: trainer.training_step(batch, mode.from_tensor)


def held(trainer: Trainer) -> Iterator[torch.Tensor]:
    """The parameters and buffers of student, teacher and terms."""
    for module in (trainer.student, trainer.teacher, trainer.terms):
        if module is not None:
            yield from (*module.parameters(), *module.buffers())


def make_fake(modules: Iterable[nn.Module], mode: FakeTensorMode) -> None:
    """Replace all parameters and buffers by fake ones of the same shapes; their values are let go."""
    for root in modules:
        for module in root.modules():
            for name, parameter in list(module._parameters.items()):
                if parameter is not None:
                    fake = mode.from_tensor(parameter.detach())
                    module._parameters[name] = nn.Parameter(fake, requires_grad=parameter.requires_grad)
            for name, buffer in list(module._buffers.items()):
                if buffer is not None:
                    module._buffers[name] = mode.from_tensor(buffer)
