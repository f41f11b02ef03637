"""Copies of a module's weights in autocast's precision, cast once a step in few launches.

Autocast casts a weight at its first use in a step, keeps the copy, and casts the sum of its gradients back. What is
recorded to be replayed cannot read that copy, whose memory does not stay. It reads these.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode


class CastWeights:
    """Copies of one module's weights, of those that autocast casts; none where it is off."""

    def __init__(self, module: nn.Module) -> None:
        self._places = [
            (part, name, weight)
            for part in module.modules()
            for name, weight in part._parameters.items()
            if weight is not None
        ]
        self._weights = {id(weight): weight for _, _, weight in self._places}
        self._copies: dict[nn.Parameter, Tensor] = {}

    def find(self, compute: Callable[[], Any]) -> None:
        """Make a copy of each weight whose cast autocast would keep while ``compute`` runs, and that has none yet.

        What is cast again each time, as a frozen weight is, or one that a module casts itself, has no copy: its
        gradients are not summed before they are cast back.
        """
        compute()
        with _Casts(self._weights) as again:
            compute()
        with without_cache(), _Casts(self._weights) as casts:
            compute()
        for weight, dtype in casts.found.items():
            if weight not in self._copies and weight not in again.found:
                self._copies[weight] = weight.detach().to(dtype)

    @torch.no_grad()
    def refresh(self) -> None:
        """Cast all anew, after the optimizer's or a teacher's step."""
        if self._copies:
            torch._foreach_copy_(list(self._copies.values()), list(self._copies))

    @contextmanager
    def in_place(self) -> Iterator[dict[nn.Parameter, Tensor]]:
        """Let the module compute with the copies in place of its weights: leaves, with a gradient where those have one.

        Gives what stands for which weight.
        """
        grad = torch.is_grad_enabled()
        leaves = {
            weight: copy.detach().requires_grad_(grad and weight.requires_grad) for weight, copy in self._copies.items()
        }
        changed = [(part, name, weight) for part, name, weight in self._places if weight in leaves]
        for part, name, weight in changed:
            part._parameters[name] = leaves[weight]  # type: ignore[assignment]
        try:
            yield leaves
        finally:
            for part, name, weight in changed:
                part._parameters[name] = weight


@contextmanager
def without_cache() -> Iterator[None]:
    """Let autocast neither read nor keep casts of weights within."""
    before = torch.is_autocast_cache_enabled()
    torch.set_autocast_cache_enabled(False)
    try:
        yield
    finally:
        torch.set_autocast_cache_enabled(before)


class _Casts(TorchDispatchMode):
    def __init__(self, weights: dict[int, nn.Parameter]) -> None:
        super().__init__()
        self._weights = weights
        self.found: dict[nn.Parameter, torch.dtype] = {}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        made = func(*args, **(kwargs or {}))
        weight = self._weights.get(id(args[0])) if func is torch.ops.aten._to_copy.default else None
        if weight is not None and made.is_floating_point() and made.dtype != weight.dtype:
            self.found[weight] = made.dtype
        return made
