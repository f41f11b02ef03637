"""Which networks and modules a training step calls, on how many images, and what its backward passes cost.

The method's real training step runs on tensors that have shapes and no values (device meta); nothing is computed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from detectron2.config import CfgNode
from fvcore.nn.jit_handles import conv_flop_count
from torch import nn
from torch.utils._pytree import tree_leaves, tree_map_only

from ablations.profiling.known_shapes import CountedShapes, KnownShapes
from benchmarks.engine.trainer import Trainer
from benchmarks.tools.random_step import random_trainer
from methods.framework.term import TERMS, Term
from methods.networks import Segmentor

META = torch.device("meta")


@dataclass(frozen=True)
class Call:
    """One call of a part.

    Attributes:
        part: a dotted name: ``encoder``, ``teacher.decoder``, ``mrm.rebuilder``.
        module: the part.
        args, kwargs: its arguments for one image; tensors without values.
        images: how many images it was called on.
        trained: whether the part is trained. The others are copies: teachers and frozen encoders.
        view: in whose graph it is; empty outside a step.
        term: whose loss was the first to ask for it.
    """

    part: str
    module: nn.Module
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    images: int
    trained: bool
    view: str
    term: str


class Recorder:
    """Hears the calls of parts: the outermost modules that are called, but of a Segmentor what it is composed of."""

    def __init__(self, roots: Mapping[str, nn.Module]) -> None:
        """Listen to ``roots``, by the first word of their parts' names; the student's is empty."""
        self.calls: list[Call] = []
        self._depth = 0
        self._place: tuple[str, str] | None = None
        self._handles: list[Any] = []
        for prefix, root in roots.items():
            for name, module in root.named_modules():
                if not name or any(isinstance(inner, Segmentor) for inner in module.modules()):
                    continue
                learned = [parameter.requires_grad for parameter in module.parameters()]
                trained = any(learned) or not learned
                self._handles += [
                    module.register_forward_pre_hook(
                        self._enter(f"{prefix}.{name}" if prefix else name, trained), with_kwargs=True
                    ),
                    module.register_forward_hook(self._leave, always_call=True),
                ]

    def _enter(self, part: str, trained: bool) -> Callable[[nn.Module, tuple[Any, ...], dict[str, Any]], None]:
        def hear(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            # Nobody listens in backward, where checkpointed blocks are called again, without the encoder around them.
            if self._depth == 0 and self._place is not None:
                images, (args, kwargs) = _for_one_image((args, kwargs))
                self.calls.append(Call(part, module, args, kwargs, images, trained, *self._place))
            self._depth += 1

        return hear

    def _leave(self, *_: Any) -> None:
        self._depth -= 1

    @contextmanager
    def hearing(self, view: str = "", term: str = "") -> Iterator[None]:
        """Record the calls within."""
        self._place = (view, term)
        try:
            yield
        finally:
            self._place = None

    def stop(self) -> None:
        """Leave the modules as they were."""
        for handle in self._handles:
            handle.remove()


def meta_trainer(cfg: CfgNode) -> Trainer:
    """The trainer of ``cfg`` on the device meta, in fp32: nothing is computed, and no weights are read."""
    cfg = cfg.clone()
    cfg.defrost()
    cfg.SOLVER.PRECISION, cfg.WEIGHTS = "fp32", "none"
    trainer = random_trainer(cfg, META)
    # Without gradients the optimizer has nothing to do: it multiplies no tensors, and fused kernels refuse this device.
    trainer.optimizer.register_step_pre_hook(lambda optimizer, *_: optimizer.zero_grad())
    return trainer


def new_shapes() -> KnownShapes:
    """Shapes for `record_step`, none of them known yet: what one step makes known is not run in those after it."""
    return KnownShapes({torch.ops.aten.convolution_backward: convolution_backward_flops})


def record_step(trainer: Trainer, known: KnownShapes) -> tuple[list[Call], int]:
    """All calls of one training step of a `meta_trainer`, and the multiply-adds of its backward passes.

    Those of convolutions, linear layers and attention alone, counted by torch as they run.
    """
    roots: dict[str, nn.Module] = {"": trainer.student}
    if trainer.teacher is not None:
        roots["teacher"] = trainer.teacher.segmentor
    roots |= {term_name(term): term for term in trainer.terms}
    recorder = Recorder(roots)
    counter = CountedShapes(known)
    forward = 0

    def listen(view: str, term: Term[Any], make: Callable[[], Any]) -> Any:
        nonlocal forward
        before = counter.flops
        with recorder.hearing(view, term_name(term)):
            losses = make()
        forward += counter.flops - before
        return losses

    trainer.iter = 0
    try:
        with counter:
            trainer.update(trainer.training_step(next(trainer.batches_from(0))), listen)
    finally:
        recorder.stop()
    return recorder.calls, (counter.flops - forward) // 2


def record_inference(student: Segmentor, crop: tuple[int, int], known: KnownShapes) -> list[Call]:
    """The calls of inference on one image of ``crop`` (width, height); leaves the student in eval mode."""
    recorder = Recorder({"": student})
    student.eval()
    try:
        with torch.no_grad(), CountedShapes(known), recorder.hearing():
            student(torch.empty(1, 3, crop[1], crop[0], device=META))
    finally:
        recorder.stop()
    return recorder.calls


def convolution_backward_flops(
    gradient: list[int],
    x: list[int],
    weight: list[int],
    _bias: Any,
    _stride: Any,
    _padding: Any,
    _dilation: Any,
    transposed: bool,
    _output_padding: Any,
    _groups: int,
    wanted: list[bool],
    **_: Any,
) -> int:
    """FLOPs (2 a multiply-add) of a convolution's gradients, from the shapes of its arguments.

    The input's and the weight's, where ``wanted``, cost as much as the forward pass each. torch's own formula takes the
    weight's gradient for that of one group, which for a depthwise convolution is as many times too much as it has
    channels.
    """
    return 2 * int(conv_flop_count(x, weight, gradient, transposed)) * (wanted[0] + wanted[1])


def term_name(term: nn.Module) -> str:
    """The name that a term's class is registered by."""
    return next(name for name, known in TERMS.items() if known is type(term))


def _for_one_image(inputs: Any) -> tuple[int, Any]:
    """How many images the tensors are of, and the inputs for one, without values; as they are where tensors differ."""
    sizes = {len(leaf) if leaf.ndim else 0 for leaf in tree_leaves(inputs) if isinstance(leaf, torch.Tensor)}
    images = max(1, sizes.pop()) if len(sizes) == 1 else 1

    def one(tensor: torch.Tensor) -> torch.Tensor:
        shape = (len(tensor) // images, *tensor.shape[1:]) if tensor.ndim else ()
        return torch.empty(shape, dtype=tensor.dtype, device=META)

    return images, tree_map_only(torch.Tensor, one, inputs)
