"""Multiply-adds of one module, counted by fvcore, with what it does not know.

fvcore calls a multiply-add a FLOP; here it is a multiply-add, or MAC, and 1 multiply-add = 2 FLOPs. What fvcore makes
of the rest is kept: batch norm 2 and layer norm 5 a value, bilinear interpolation 4 a value made (and bicubic 16, which
it does not know), average pooling 1 a value taken; biases, sums, products and activations of single values are free.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from fvcore.nn import FlopCountAnalysis
from fvcore.nn.jit_handles import elementwise_flop_counter, get_shape
from torch import nn
from torch.utils._pytree import tree_flatten, tree_map_only, tree_unflatten

# Work on single values, comparisons and copies, which fvcore does not list among those it passes over.
_FREE = {
    f"aten::{name}"
    for name in (
        *("add", "add_", "sub", "sub_", "rsub", "div", "div_", "sigmoid", "gelu", "hardtanh", "hardtanh_"),
        *("softmax", "max_pool2d", "pad", "feature_dropout", "dropout", "where"),
        *("mul", "unflatten", "pixel_shuffle", "maximum", "minimum", "clamp"),
        *("neg", "cos", "sin", "tile", "meshgrid", "eye"),
    )
}


@dataclass(frozen=True)
class Count:
    """Multiply-adds of one call of a module.

    Attributes:
        total: all of them.
        children: those within the calls of its direct submodules, by name; the rest is the module's own.
        uncounted: operators that nobody has a count for, with how often they occurred: the total is too low by them.
    """

    total: int
    children: dict[str, int]
    uncounted: dict[str, int]


def count(module: nn.Module, *args: Any, **kwargs: Any) -> Count:
    """Count ``module(*args, **kwargs)`` in eval mode; tensors of all may be on any device, meta included.

    A copy of the module runs once, on the CPU, on zeros: shapes alone decide. In eval mode a count does not depend on
    the images beside one, and batch norms are counted as what they are at inference.
    """
    network = copy.deepcopy(module).to_empty(device="cpu").eval()
    for tensor in (*network.parameters(), *network.buffers()):
        tensor.data.zero_()
    zeros = tree_map_only(torch.Tensor, lambda x: torch.zeros(x.shape, dtype=x.dtype), (args, kwargs))
    leaves, structure = tree_flatten(zeros)
    analysis = FlopCountAnalysis(_OfTensors(network, leaves, structure), tuple(filter(torch.is_tensor, leaves)))
    analysis.set_op_handle("aten::scaled_dot_product_attention", attention_macs)
    analysis.set_op_handle("aten::upsample_bicubic2d", elementwise_flop_counter(0, 16))
    analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    with torch.no_grad(), _attention_in_the_open():
        total = int(analysis.total())
    modules = analysis.by_module()
    return Count(
        total,
        {name: int(modules[f"module.{name}"]) for name, _ in network.named_children()},
        {name: number for name, number in analysis.unsupported_ops().items() if name not in _FREE},
    )


def attention_macs(inputs: list[Any], outputs: list[Any]) -> int:
    """fvcore's handle of scaled dot-product attention: the products q k^T and (softmax) v.

    q (..., L, E), k (..., S, E), v (..., S, V): L * S * (E + V) for each of the leading places (batch and heads). The
    scaling and the softmax are free, as they are where a network writes attention as two products.
    """
    query, key, value = (get_shape(tensor) for tensor in inputs[:3])
    return prod(query[:-1]) * key[-2] * (query[-1] + value[-1])


class _OfTensors(nn.Module):
    """Calls a module with nested arguments, given the tensors among their leaves: all that a trace takes."""

    def __init__(self, module: nn.Module, leaves: list[Any], structure: Any) -> None:
        super().__init__()
        self.module = module
        self._leaves, self._structure = leaves, structure

    def forward(self, *tensors: torch.Tensor) -> Any:
        given = iter(tensors)
        leaves = [next(given) if torch.is_tensor(leaf) else leaf for leaf in self._leaves]
        args, kwargs = tree_unflatten(leaves, self._structure)
        return self.module(*args, **kwargs)


@contextmanager
def _attention_in_the_open() -> Iterator[None]:
    """Torch's Transformer layers as the operators that they are made of, not as one fused operator of inference."""
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    logger = logging.getLogger("fvcore.nn.jit_analysis")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)
        logger.setLevel(level)
