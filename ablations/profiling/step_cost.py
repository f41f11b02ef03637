"""What a method's training step, one target image and inference cost, in multiply-adds and parameters by part.

Every part that a step calls is counted by fvcore, once for each size of its inputs.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from detectron2.config import CfgNode
from torch.utils._pytree import tree_leaves

from ablations.profiling.call_recorder import Call, meta_trainer, new_shapes, record_inference, record_step, term_name
from ablations.profiling.counting import Count, count
from benchmarks.engine.trainer import Trainer
from methods.framework.recipes import Recipe, parse
from methods.framework.step import LABELLED, SOURCE

GIGA = 1e9
NETWORK_PARTS = ("encoder", "decoder", "attention")


@dataclass
class PartCost:
    """Trained parameters, and multiply-adds of the forward passes for one target image and in a training step."""

    parameters: int = 0
    target_image_macs: float = 0.0
    step_macs: int = 0


@dataclass
class MethodCost:
    """What a method costs; multiply-adds (MACs) are those of forward passes unless said.

    Attributes:
        method, network, protocol: what was counted.
        crop: (width, height) of training images in pixels. batch: images of a domain in a step.
        parts: by dotted name, in the order of first calls. Copies (teachers, frozen encoders) have no parameters here.
        target_image_macs: of one target image, as in Table 6 of arXiv 2509.13801: all passes of trained parts but those
            of labelled images; no copies, no backward pass. host_macs: what the host's own losses need of that.
        passes: how often each part of the network is run on a target image, detail windows included.
        inference_macs, inference_passes: of one image of the crop's size.
        student_macs: of a step, of all that is trained. copies_macs: of teachers and frozen encoders.
        backward_macs: of a step's backward passes; convolutions, linear layers and attention alone.
        inference_parameters: of the network alone.
        uncounted: operators without a count, and how often they occur in a call, by part.
    """

    method: str
    network: str
    protocol: str
    crop: tuple[int, int]
    batch: int
    parts: dict[str, PartCost] = field(default_factory=lambda: defaultdict(PartCost))
    target_image_macs: float = 0.0
    host_macs: float = 0.0
    passes: dict[str, float] = field(default_factory=dict)
    inference_macs: int = 0
    inference_passes: dict[str, float] = field(default_factory=dict)
    student_macs: int = 0
    copies_macs: int = 0
    backward_macs: int = 0
    inference_parameters: int = 0
    uncounted: dict[str, dict[str, int]] = field(default_factory=dict)

    @property
    def ratio(self) -> float | None:
        """A target image's cost, in those of the host; None for a method whose host sees no target image."""
        return self.target_image_macs / self.host_macs if self.host_macs else None

    @property
    def parameters(self) -> int:
        """The number of all trained parameters."""
        return sum(part.parameters for part in self.parts.values())

    @property
    def step_macs(self) -> int:
        """All multiply-adds of a training step that are counted."""
        return self.student_macs + self.copies_macs + self.backward_macs

    def to_dict(self) -> dict[str, Any]:
        """The cost as JSON has it: giga multiply-adds, and numbers of trained parameters."""
        return {
            "method": self.method,
            "network": self.network,
            "protocol": self.protocol,
            "crop": "x".join(map(str, self.crop)),
            "batch": self.batch,
            "target_image_gmacs": self.target_image_macs / GIGA,
            "ratio": self.ratio,
            "target_image_passes": self.passes,
            "inference_gmacs": self.inference_macs / GIGA,
            "inference_passes": self.inference_passes,
            "step_student_gmacs": self.student_macs / GIGA,
            "step_copies_gmacs": self.copies_macs / GIGA,
            "step_backward_gmacs": self.backward_macs / GIGA,
            "step_gmacs": self.step_macs / GIGA,
            "parameters": self.parameters,
            "inference_parameters": self.inference_parameters,
            "parts": {
                name: {
                    "parameters": part.parameters,
                    "target_image_gmacs": part.target_image_macs / GIGA,
                    "step_gmacs": part.step_macs / GIGA,
                }
                for name, part in self.parts.items()
            },
            "uncounted": self.uncounted,
        }


class CostCounter:
    """Counts methods; what two of them have in common is counted once."""

    def __init__(self) -> None:
        self._known: dict[tuple[Any, ...], Count] = {}
        self._shapes = new_shapes()

    def method(self, cfg: CfgNode) -> MethodCost:
        """Count the method of ``cfg``; no data set and no weights are read."""
        recipe = parse(cfg.METHOD)
        trainer = meta_trainer(cfg)
        cost = MethodCost(cfg.METHOD, cfg.NETWORK, cfg.PROTOCOL, tuple(cfg.INPUT.CROP), cfg.SOLVER.BATCH)
        step, cost.backward_macs = record_step(trainer, self._shapes)
        for call in step:
            self._add(cost, call, recipe)
        cost.passes = _passes((call for call in step if _of_target(call, recipe)), cost.batch)
        inference = record_inference(trainer.student, cost.crop, self._shapes)
        cost.inference_macs = sum(call.images * self._count(call, cost).total for call in inference)
        cost.inference_passes = _passes(iter(inference), 1)
        for part, number in _trained(trainer):
            cost.parts[part].parameters += number
        cost.inference_parameters = sum(parameter.numel() for parameter in trainer.student.parameters())
        return cost

    def _add(self, cost: MethodCost, call: Call, recipe: Recipe) -> None:
        counted = self._count(call, cost)
        macs = call.images * counted.total
        if call.trained:
            cost.student_macs += macs
        else:
            cost.copies_macs += macs
        of_target = _of_target(call, recipe)
        if of_target:
            cost.target_image_macs += macs / cost.batch
            cost.host_macs += macs / cost.batch if call.term in recipe.host.terms else 0
        for name, number in _split(call, counted).items():
            part = cost.parts[name]
            part.step_macs += call.images * number
            part.target_image_macs += call.images * number / cost.batch if of_target else 0

    def _count(self, call: Call, cost: MethodCost) -> Count:
        key = _signature(call)
        if key not in self._known:
            self._known[key] = count(call.module, *call.args, **call.kwargs)
        counted = self._known[key]
        if counted.uncounted:
            cost.uncounted[call.part] = counted.uncounted
        return counted


def _of_target(call: Call, recipe: Recipe) -> bool:
    """Whether it is part of processing a target image; what an oracle is supervised on are target images.

    A labelled target image is another one than that which the published figures are of, as one of the source is.
    """
    return call.trained and (call.view not in (SOURCE, LABELLED) or recipe.host.labelled == "target")


def _passes(calls: Iterator[Call], batch: int) -> dict[str, float]:
    images: Counter[str] = Counter()
    for call in calls:
        if call.part in NETWORK_PARTS:
            images[call.part] += call.images
    return {part: number / batch for part, number in images.items()}


def _split(call: Call, counted: Count) -> dict[str, int]:
    """A term's own trained module by its submodules, the rest under its own name; all else whole."""
    if not call.trained or call.part.count(".") != 1:
        return {call.part: counted.total}
    children = {f"{call.part}.{name}": number for name, number in counted.children.items() if number}
    return children | {call.part: counted.total - sum(children.values())}


def _trained(trainer: Trainer) -> Iterator[tuple[str, int]]:
    """Numbers of trained parameters, by the same parts."""
    for name, parameter in trainer.student.named_parameters():
        yield name.split(".")[0], parameter.numel()
    for term in trainer.terms:
        for name, parameter in term.named_parameters():
            if parameter.requires_grad:
                yield ".".join((term_name(term), *name.split(".")[:-1][:2])), parameter.numel()


def _signature(call: Call) -> tuple[Any, ...]:
    """Calls with equal ones cost the same: the module's layers with their sizes, and its inputs'."""
    tensors = (*call.module.named_parameters(), *call.module.named_buffers())
    inputs = (leaf.shape if isinstance(leaf, torch.Tensor) else leaf for leaf in tree_leaves((call.args, call.kwargs)))
    return type(call.module), repr(call.module), tuple((name, tensor.shape) for name, tensor in tensors), *inputs
