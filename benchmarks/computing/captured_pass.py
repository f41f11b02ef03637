"""One pass of a module that is recorded once and replayed: fixed memory in, fixed memory out, one launch each way."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.utils._pytree import TreeSpec, tree_flatten, tree_unflatten

from benchmarks.computing.cast_weights import CastWeights, without_cache

_MOST_APART = 0.05  # relative, in L2: atomic sums come in another order each time, a wrong pass is off by far more
_GRADIENT = 1e-3  # what the recorded backward pass is tried with: in the range of float16

Layout = tuple[int, ...]
"""A tensor's strides."""
Replay = Callable[[], None]
Pair = tuple[nn.Parameter, Tensor]
"""A weight and its gradient."""
AddGradients = Callable[[Sequence[Pair]], None]


class Recorder(Protocol):
    """Records what is computed from memory that stays where it is: a stream of launches (`CudaRecorder`)."""

    def warming_up(self, last: bool) -> AbstractContextManager[None]:
        """Run what is recorded afterwards for the first times within; the ``last`` refuses what cannot be recorded."""

    def record(self, compute: Callable[[], list[Tensor]]) -> tuple[Replay, list[Tensor]]:
        """What computes the same again, into the same memory, from what its inputs hold then; and that memory.

        Recording need not compute anything: the memory is filled by the first replay.
        """


class NotCaptured(Exception):
    """Why a pass is not recorded; nothing was changed."""


class CapturedPass:
    """A module's forward pass, and its backward pass where there is one, for inputs of these shapes, in this mode.

    Called with inputs as the module is, it gives what the module would: outputs and their gradients, gradients of
    parameters, draws from torch's generators, running statistics. Between its forward and its backward pass it is
    ``busy``: another pass would overwrite what backward needs.
    """

    def __init__(
        self,
        module: nn.Module,
        forward: Callable[..., Any],
        inputs: Sequence[Tensor],
        layout: TreeSpec,
        recorder: Recorder,
        weights: CastWeights,
        add_gradients: AddGradients,
        layouts: Mapping[int, Layout],
    ) -> None:
        """Record it for the module's mode, torch's grad mode and autocast as they are.

        Args:
            module: whose parameters and buffers stay where they are from now on.
            forward: of the module, from inputs as they are given to it.
            inputs: the tensors among what it is given.
            layout: where in that they are.
            recorder: what records it; for this pass alone.
            weights: which of the module's weights have a cast copy.
            add_gradients: is given the gradients of parameters after each backward pass.
            layouts: of the gradients of outputs, by their place, as the backward pass meets them: sums over a tensor
                are taken in the order of its memory. Of those that are not there, as the outputs'.

        Raises:
            NotCaptured: naming what prevents it.
        """
        self._forward, self._layout, self._weights, self._add = forward, layout, weights, add_gradients
        grad = torch.is_grad_enabled()
        self._inputs = [each.detach().clone().requires_grad_(grad and each.requires_grad) for each in inputs]
        self._trained = [each for each in module.parameters() if grad and each.requires_grad]
        self._live: list[Tensor] = []
        self._leaves: Mapping[nn.Parameter, Tensor] = {}
        self._output_layout = layout  # until there are outputs
        self._user: weakref.ref[_Use] | None = None
        self._anchor = self._inputs[0].new_zeros((), dtype=torch.float32).requires_grad_()
        device = self._inputs[0].device
        if torch.is_autocast_enabled(device.type):
            with recorder.warming_up(last=False), _put_back(module, device):
                weights.find(lambda: forward(*tree_unflatten(list(self._inputs), layout)))
        for last in (False, True):  # in the first, kernels are compiled and chosen and workspaces made
            with recorder.warming_up(last), _put_back(module, device):
                drawn = torch.get_rng_state()
                expected = self._compute_forward()
                if device.type != "cpu" and not torch.equal(drawn, torch.get_rng_state()):
                    raise NotCaptured("it draws from the generator of the CPU")
                self._differentiable = [each.requires_grad for each in self._live]
                self._output_gradients = [
                    _laid_out(each, layouts.get(place)).fill_(_GRADIENT)
                    for place, each in enumerate(self._live)
                    if each.requires_grad
                ]
                expected_gradients = self._compute_backward() if self.trains else []
        with _put_back(module, device):
            self._replay_forward, self._outputs = recorder.record(self._compute_forward)
            self._replay_backward: Replay | None = None
            if self.trains:
                self._replay_backward, self._gradients = recorder.record(self._compute_backward)
            self._live = []
        with _put_back(module, device):
            self._replay_forward()
            check = [_apart(self._outputs, expected)]
            if self._replay_backward is not None:
                self._replay_backward()
                check.append(_apart(self._gradients, expected_gradients))
        if not max(check) <= _MOST_APART:
            raise NotCaptured(f"what was recorded gives other numbers (by {max(check):.2g})")

    @property
    def trains(self) -> bool:
        """Whether there is a backward pass."""
        return any(self._differentiable)

    @property
    def busy(self) -> bool:
        """Whether what the last forward pass left is still needed by its backward pass."""
        return self._user is not None and self._user() is not None

    def __call__(self, inputs: Sequence[Tensor]) -> Any:
        """What the module gives for these inputs."""
        outputs = _Replayed.apply(self, self._anchor, *inputs) if self.trains else self._replayed(inputs)
        return tree_unflatten(list(outputs), self._output_layout)

    def _replayed(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        with torch.no_grad():
            for fixed, given in zip(self._inputs, inputs, strict=True):
                fixed.copy_(given)
            self._replay_forward()
            return tuple(each.clone() for each in self._outputs)

    def begin(self, inputs: Sequence[Tensor]) -> tuple[_Use, tuple[Tensor, ...]]:
        """A forward pass whose backward pass follows, unless the use is dropped; and copies of its outputs."""
        use = _Use()
        self._user = weakref.ref(use)
        return use, self._replayed(inputs)

    def differentiable(self, outputs: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Parted: the outputs with a gradient, and those without."""
        parts: tuple[list[Tensor], list[Tensor]] = ([], [])
        for output, has_gradient in zip(outputs, self._differentiable, strict=True):
            parts[0 if has_gradient else 1].append(output)
        return parts

    def end(self, gradients: Sequence[Tensor]) -> list[Tensor | None]:
        """The backward pass: the gradients of all outputs -> those of all inputs, and the parameters' are added."""
        assert self._replay_backward is not None
        with torch.no_grad():
            for fixed, given in zip(self._output_gradients, self.differentiable(gradients)[0], strict=True):
                fixed.copy_(given)
            self._replay_backward()
            found = dict(zip(self._with_gradient, self._gradients, strict=True))
            count = len(self._inputs)
            self._add([(self._trained[place - count], found[place]) for place in self._with_gradient if place >= count])
            return [found[place].clone() if place in found else None for place in range(count)]

    def _compute_forward(self) -> list[Tensor]:
        with without_cache(), self._weights.in_place() as self._leaves:
            outputs = self._forward(*tree_unflatten(list(self._inputs), self._layout))
            self._live, self._output_layout = tree_flatten(outputs)
        if not all(isinstance(each, Tensor) for each in self._live):
            raise NotCaptured("it gives something else than tensors")
        return [each.detach() for each in self._live]

    def _compute_backward(self) -> list[Tensor]:
        sources = [*self._inputs, *(self._leaves.get(each, each) for each in self._trained)]
        wanted = [place for place, each in enumerate(sources) if each.requires_grad]
        found = torch.autograd.grad(
            [each for each in self._live if each.requires_grad],
            [sources[place] for place in wanted],
            self._output_gradients,
            allow_unused=True,
        )
        self._live = []
        self._with_gradient = [place for place, each in zip(wanted, found, strict=True) if each is not None]
        return [each for each in found if each is not None]


class _Use:
    """Lives as long as the graph of one forward pass."""


class _Replayed(torch.autograd.Function):
    """A captured pass as one operation. Its anchor has a gradient where no input has, and takes none."""

    @staticmethod
    def forward(ctx: Any, captured: CapturedPass, anchor: Tensor, *inputs: Tensor) -> tuple[Tensor, ...]:
        ctx.captured = captured
        ctx.use, outputs = captured.begin(inputs)
        ctx.mark_non_differentiable(*captured.differentiable(outputs)[1])
        return outputs

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        if ctx.use is None:
            raise RuntimeError("a captured pass is backpropagated once; with SOLVER.GRAPHS False it can be again")
        found = ctx.captured.end(gradients)
        ctx.use = None
        return None, None, *found


@contextmanager
def _put_back(module: nn.Module, device: torch.device) -> Iterator[None]:
    """Put back what passes within draw from the generators and count in buffers."""
    buffers = [(buffer, buffer.clone()) for buffer in module.buffers()]
    try:
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            yield
    finally:
        for buffer, before in buffers:
            # As batch norm writes its statistics: autograd does not count it. A pass that waits for its backward pass
            # has saved them, and reads none of them in train mode.
            buffer.data.copy_(before)


def _laid_out(like: Tensor, layout: Layout | None) -> Tensor:
    """Memory for a tensor as ``like``, laid out so; where elements would share memory, as ``like``."""
    if layout is None or any(stride == 0 < size - 1 for stride, size in zip(layout, like.shape, strict=True)):
        return torch.empty_like(like, requires_grad=False)
    return torch.empty_strided(like.shape, layout, dtype=like.dtype, device=like.device)


def _apart(found: Sequence[Tensor], expected: Sequence[Tensor]) -> float:
    """How far tensors are from others, as a share of those, in L2; what both overflow is left out."""
    pairs = zip(found, expected, strict=True)
    off = sum((one.double() - other.double()).nan_to_num(0, 0, 0).square().sum() for one, other in pairs)
    size = sum(other.double().nan_to_num(0, 0, 0).square().sum() for other in expected)
    return float((torch.as_tensor(off) / torch.as_tensor(size).clamp_min(1e-30)).sqrt())
