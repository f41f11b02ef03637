"""Operators on tensors without values (device meta), each worked out once for tensors of the same shapes.

There torch runs many operators (batch norm, upsampling, clamping) as Python that decomposes them into dozens of others,
for each layer, view and method anew, though what they make follows from the shapes of what they take.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, NamedTuple

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only
from torch.utils.flop_counter import FlopCounterMode

_NEW, _WRITTEN, _VIEW, _OTHER = range(4)  # what an operator returns: tensors of their own, its first argument, a view


class _Shape(NamedTuple):
    sizes: torch.Size
    strides: tuple[int, ...]
    dtype: torch.dtype
    device: torch.device


class KnownShapes:
    """What operators make and cost, remembered over steps and methods: they have layers of the same sizes."""

    def __init__(self, formulas: Mapping[Any, Callable[..., int]]) -> None:
        """Know none; ``formulas`` of FLOPs by operator stand in place of torch's own, as in `FlopCounterMode`."""
        self._formulas = dict(formulas)
        self._known: dict[Any, tuple[Any, int]] = {}

    def run(self, operator: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, int]:
        """The outputs of an operator, and its FLOPs: 2 a multiply-add, of tensor products alone, as torch counts."""
        returns = _returns(operator)
        if returns == _VIEW:
            return operator(*args, **kwargs), 0
        if returns == _OTHER:
            return self._counted(operator, args, kwargs)
        key = operator, _described(args), _described(tuple(kwargs.items()))
        if key in self._known:
            shapes, flops = self._known[key]
            return args[0] if returns == _WRITTEN else _made(shapes), flops
        outputs, flops = self._counted(operator, args, kwargs)
        if all(tensor.is_meta for tensor in tree_leaves((args, outputs)) if isinstance(tensor, torch.Tensor)):
            self._known[key] = tree_map_only(torch.Tensor, _shape, outputs), flops
        return outputs, flops

    def _counted(self, operator: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, int]:
        counter = FlopCounterMode(display=False, custom_mapping=self._formulas)
        with counter:
            outputs = operator(*args, **kwargs)
        return outputs, counter.get_total_flops()


class CountedShapes(TorchDispatchMode):
    """Runs operators as `KnownShapes` has them.

    Attributes:
        flops: of all so far.
    """

    def __init__(self, known: KnownShapes) -> None:
        super().__init__()
        self.flops = 0
        self._run = known.run

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        outputs, flops = self._run(func, args, kwargs or {})
        self.flops += flops
        return outputs


@cache
def _returns(operator: Any) -> int:
    if not isinstance(operator, torch._ops.OpOverload) or operator.namespace != "aten":
        return _OTHER
    aliases = [each.alias_info for each in operator._schema.returns]
    if not any(aliases):
        return _NEW
    if not any(alias and alias.is_write for alias in aliases):
        return _VIEW
    in_place = operator._opname.endswith("_") and torch.Tag.inplace_view not in operator.tags
    return _WRITTEN if in_place and len(aliases) == 1 else _OTHER


def _shape(tensor: torch.Tensor) -> _Shape:
    return _Shape(tensor.shape, tensor.stride(), tensor.dtype, tensor.device)


def _described(value: Any) -> Any:
    """All of an argument that decides what an operator makes; 1, 1.0 and True are three."""
    if isinstance(value, torch.Tensor):
        return _shape(value)
    if isinstance(value, (list, tuple)):
        return tuple(map(_described, value))
    return type(value), value


def _made(shapes: Any) -> Any:
    if isinstance(shapes, _Shape):
        return torch.empty_strided(*shapes[:2], dtype=shapes.dtype, device=shapes.device)
    return type(shapes)(map(_made, shapes)) if isinstance(shapes, (list, tuple)) else shapes
