"""AdamW and SGD of torch, never compiled: torch's own load its compiler at the first step, two seconds of a start."""

from __future__ import annotations

import inspect
from typing import TypeVar

import torch

# What torch guards against being traced, for which it imports torch._dynamo at the first call of each.
_GUARDED = ("add_param_group", "load_state_dict", "state_dict", "step", "zero_grad")


C = TypeVar("C", bound=torch.optim.Optimizer)


def _eager(optimizer: type[C]) -> type[C]:
    """The class with its guarded methods as they are within their guards; a step records no gradients, as torch's."""
    methods = {name: inspect.unwrap(getattr(optimizer, name)) for name in _GUARDED}
    methods["step"] = torch.no_grad()(methods["step"])
    return type(optimizer.__name__, (optimizer,), methods)


AdamW = _eager(torch.optim.AdamW)
SGD = _eager(torch.optim.SGD)
