"""CUDA graphs: in training, a pass of an encoder, a decoder or a Rebuilder is one launch each way (SOLVER.GRAPHS).

One core launches some thousand kernels a step, and a GPU waits for it. What a pass computes does not change from step
to step: it is looked at once, recorded in the next step, with its shapes and its mode, and replayed from then on. Draws
(dropout, drop path) come from torch's generator as it is seeded before the pass; statistics and gradients are those of
the same kernels, in the same order of memory and of sums. So a step gives the numbers that it gives without, bit for
bit where kernels repeat theirs (SOLVER.DETERMINISTIC True).

Networks, terms and the training step do not know of it: the modules' ``forward`` is covered from outside, in a training
step alone. Evaluation, pictures and what is not recorded go through the module itself.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.utils import comm
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils._pytree import tree_flatten

from benchmarks.computing.captured_pass import CapturedPass, Layout, NotCaptured, Pair, Recorder, Replay
from benchmarks.computing.cast_weights import CastWeights
from methods.encoders.encoder import Encoder
from methods.networks import Segmentor
from methods.parts.rebuilder import Rebuilder

_MOST = 8  # passes of a module that are recorded; more shapes than that are no training step's

_LOGGER = logging.getLogger(__name__)


class Graphs:
    """The captured passes of a run; with no ``recorder`` none are, and nothing is changed.

    Attributes:
        tell: is told in words that a step captures, and afterwards what that took.
        refused: why nothing is captured any more; "" where nothing was refused.
    """

    def __init__(self, roots: Iterable[nn.Module] = (), recorder: Callable[[bool], Recorder] | None = None) -> None:
        """Cover the networks of ``roots``.

        ``recorder`` makes what records one pass; it is told whether a backward pass follows.
        """
        self._recorder = recorder
        self.tell: Callable[[str], None] = lambda what: None
        self.refused = ""
        self._on = False
        self._modules = [_Covered(module, self) for module in _networks(roots)] if recorder is not None else []
        # By id: to hash a tensor takes the host longer than what is done with it.
        self._found: dict[int, Pair] = {}  # gradients of the backward pass that is going on
        self._gradients: dict[int, Tensor] = {}  # memory of what becomes `Parameter.grad`
        self._cast_back: dict[int, Tensor] = {}
        self._captured, self._seconds = 0, 0.0

    @property
    def captured(self) -> int:
        """The number of passes that were captured so far."""
        return self._captured

    @contextmanager
    def step(self) -> Iterator[None]:
        """Replay what is captured within, and capture what is not yet."""
        if self._recorder is None:
            yield
            return
        for module in self._modules:
            module.begin_step()
        before, self._on = self._captured, True
        try:
            yield
        finally:
            self._on = False
            self._found.clear()
        if self._captured > before:
            told = f"captured {self._captured - before} passes in {self._seconds:.1f} s"
            _LOGGER.info("%s", told)
            self.tell(told)
            self._seconds = 0.0

    def collect(self) -> None:
        """Add to `Parameter.grad` what captured passes gave in the backward pass that just ended, in few launches.

        As autograd does it: what the passes of one backward pass give a parameter is summed first.
        """
        pairs = list(self._found.values())
        self._found.clear()
        new = [pair for pair in pairs if pair[0].grad is None]
        known = [pair for pair in pairs if pair[0].grad is not None and pair[0].dtype == pair[1].dtype]
        cast = [pair for pair in pairs if pair[0].grad is not None and pair[0].dtype != pair[1].dtype]
        known += zip((weight for weight, _ in cast), _copied(self._cast_back, cast), strict=True)
        for group in _by_type(known):
            gradients = [weight.grad for weight, _ in group if weight.grad is not None]
            torch._foreach_add_(gradients, [found for _, found in group])
        for (weight, _), memory in zip(new, _copied(self._gradients, new), strict=True):
            weight.grad = memory

    def add(self, gradients: Sequence[Pair]) -> None:
        """Take the gradients of one captured pass; their memory is the pass's until `collect`."""
        twice = [pair for pair in gradients if id(pair[0]) in self._found]
        once = {id(pair[0]): pair for pair in gradients}
        for group in _by_type(twice):
            before = [self._found[id(weight)][1] for weight, _ in group]
            sums = torch._foreach_add(before, [found for _, found in group])
            once |= {id(weight): (weight, total) for (weight, _), total in zip(group, sums, strict=True)}
        self._found |= once

    def replaying(self) -> bool:
        """Whether passes are replayed now."""
        return self._on

    def capture(self, make: Callable[[Recorder], CapturedPass], name: str, backward: bool) -> CapturedPass | None:
        """Capture a pass, with a ``backward`` pass or without; None where that cannot be: then no more are captured."""
        assert self._recorder is not None
        if not self._seconds:
            self.tell("capturing CUDA graphs")
        started, self._on = time.perf_counter(), False
        try:
            captured = make(self._recorder(backward))
        except NotCaptured as error:
            self.refused = f"{name} is not captured: {error}"
            _LOGGER.warning("no CUDA graphs from here on: %s", self.refused)
            self._recorder = None
            for module in self._modules:
                module.forget()
            return None
        self._on = True
        self._captured += 1
        self._seconds += time.perf_counter() - started
        return captured


class _Covered:
    """A module whose ``forward`` goes through here: another way to the same numbers, in a training step."""

    def __init__(self, module: nn.Module, graphs: Graphs) -> None:
        self._graphs, self._forward, self._module = graphs, module.forward, module
        self._name = type(module).__name__
        self._parts = list(module.modules())
        self._norms = [part for part in self._parts if isinstance(part, _BatchNorm)]
        self._parameters = list(module.parameters())
        self._channels_last = any(
            each.dim() == 4 and each.is_contiguous(memory_format=torch.channels_last) and not each.is_contiguous()
            for each in self._parameters
        )
        self._passes: dict[tuple[Any, ...], list[CapturedPass]] = {}
        self._passed = 0  # passes of this step so far
        self._layouts: dict[tuple[Any, ...], dict[int, Layout]] = {}
        self._told = False
        self.weights = CastWeights(module)
        module.forward = self  # in the instance: no name of the state dict changes

    def begin_step(self) -> None:
        """Count passes anew, and cast weights as they are now."""
        self._passed = 0
        self.weights.refresh()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if not self._graphs.replaying() or kwargs:
            return self._forward(*args, **kwargs)
        inputs, layout = tree_flatten(args)
        if not inputs or not all(isinstance(each, Tensor) for each in inputs):
            return self._forward(*args)
        if self._channels_last:
            # Images come in either layout, as they were augmented or not; convolutions take them in their weights'.
            inputs = [each if each.requires_grad or each.dim() != 4 else _channels_last(each) for each in inputs]
        # A frozen encoder has no backward pass, and makes the same for the student as for the teacher.
        backward = torch.is_grad_enabled() and any(each.requires_grad for each in (*inputs, *self._parameters))
        mode = (str(layout), *self._mode(inputs, backward))
        place = (self._passed, mode)
        self._passed += 1
        if place not in self._layouts:
            return self._observed(self._forward(*args), self._layouts.setdefault(place, {}))
        layouts = self._layouts[place]
        passes = self._passes.setdefault((mode, *sorted(layouts.items())), [])
        free = next((each for each in passes if not each.busy), None)
        if free is None:
            if sum(map(len, self._passes.values())) >= _MOST:
                self._tell()
                return self._forward(*args)
            free = self._graphs.capture(
                lambda recorder: CapturedPass(
                    self._module, self._forward, inputs, layout, recorder, self.weights, self._graphs.add, layouts
                ),
                self._name,
                backward,
            )
            if free is None:
                return self._forward(*args)
            passes.append(free)
        return free(inputs)

    def _observed(self, outputs: Any, layouts: dict[int, Layout]) -> Any:
        """The outputs of the module itself; notes how the gradients that they get are laid out."""

        def note(number: int, gradient: Tensor) -> None:
            layouts[number] = gradient.stride()

        for number, each in enumerate(tree_flatten(outputs)[0]):
            if isinstance(each, Tensor) and each.requires_grad:
                each.register_hook(partial(note, number))
        return outputs

    def _mode(self, inputs: Sequence[Tensor], backward: bool) -> tuple[Any, ...]:
        """All that decides which kernels a pass is made of."""
        kind = inputs[0].device.type
        return (
            backward,
            torch.is_autocast_enabled(kind) and torch.get_autocast_dtype(kind),
            tuple((each.shape, each.stride(), each.dtype, backward and each.requires_grad) for each in inputs),
            tuple(part.training for part in self._parts),
            tuple(norm.track_running_stats for norm in self._norms),
            tuple(each.requires_grad for each in self._parameters),
        )

    def forget(self) -> None:
        """Let go of what is captured; a pass whose backward pass is still to come stays until then."""
        self._passes.clear()

    def _tell(self) -> None:
        if not self._told:
            _LOGGER.info("%s: %d passes are captured, others are launched kernel by kernel", self._name, _MOST)
        self._told = True


class CudaRecorder:
    """Records a CUDA graph. What a backward pass reads must stay until then: each such pass has memory of its own."""

    def __init__(self, device: torch.device, stream: torch.cuda.Stream, pool: Any) -> None:
        self._device, self._stream, self._pool = device, stream, pool

    @classmethod
    def of(cls, device: torch.device) -> Callable[[bool], CudaRecorder]:
        """What makes them: passes without a backward pass share the memory of what they compute on the way."""
        stream, shared = torch.cuda.Stream(device), torch.cuda.graph_pool_handle()
        return lambda backward: cls(device, stream, torch.cuda.graph_pool_handle() if backward else shared)

    @contextmanager
    def warming_up(self, last: bool) -> Iterator[None]:
        now, checked = torch.cuda.current_stream(self._device), torch.cuda.get_sync_debug_mode()
        self._stream.wait_stream(now)
        try:
            if last:  # what waits for the device still then cannot be recorded, and ends all graphs
                torch.cuda.set_sync_debug_mode("error")
            with torch.cuda.stream(self._stream):
                yield
        except RuntimeError as error:
            raise NotCaptured(str(error).splitlines()[0]) from error
        finally:
            torch.cuda.set_sync_debug_mode(checked)
            now.wait_stream(self._stream)

    def record(self, compute: Callable[[], list[Tensor]]) -> tuple[Replay, list[Tensor]]:
        graph = torch.cuda.CUDAGraph()
        try:
            # The stream around it is what comes back when recording fails. Other threads, which pin the next batch, may
            # do what this one may not.
            with (
                torch.cuda.stream(torch.cuda.current_stream(self._device)),
                torch.cuda.graph(graph, pool=self._pool, stream=self._stream, capture_error_mode="thread_local"),
            ):
                made = compute()
        except torch.OutOfMemoryError as error:
            raise NotCaptured(str(error).splitlines()[0]) from error
        except RuntimeError as error:  # after which torch's allocator and generators are not to be relied on
            raise RuntimeError(f"a CUDA graph could not be captured; set SOLVER.GRAPHS False: {error}") from error
        return graph.replay, made


def step_graphs(cfg: CfgNode, device: torch.device, roots: Iterable[nn.Module]) -> Graphs:
    """The captured passes of a run's networks: none on a CPU or where SOLVER.GRAPHS is False.

    Where else there are none the log has the reason.
    """
    if device.type != "cuda" or not cfg.SOLVER.GRAPHS:
        return Graphs()
    if reason := _prevented(cfg):
        _LOGGER.info("no CUDA graphs: %s", reason)
        return Graphs()
    return Graphs(roots, CudaRecorder.of(device))


def _channels_last(images: Tensor) -> Tensor:
    return images.contiguous(memory_format=torch.channels_last)


def _prevented(cfg: CfgNode) -> str:
    if comm.get_world_size() > 1:
        return "several processes make the run, and wait for each other within its passes"
    if cfg.SOLVER.ACTIVATION_CHECKPOINTING:
        return "SOLVER.ACTIVATION_CHECKPOINTING computes passes again within the backward pass"
    return ""


def _networks(roots: Iterable[nn.Module]) -> list[nn.Module]:
    """The parts of all segmentors, and encoders and Rebuilders of terms, each once."""
    found: dict[int, nn.Module] = {}
    for root in roots:
        for module in root.modules():
            parts = module.children() if isinstance(module, Segmentor) else [module]
            found |= {
                id(part): part for part in parts if part is not module or isinstance(module, (Encoder, Rebuilder))
            }
    return list(found.values())


def _copied(memory: dict[int, Tensor], pairs: Sequence[Pair]) -> list[Tensor]:
    """Copy what was found to memory of each weight, the same every time, in few launches; returns that memory."""
    for weight, _ in pairs:
        if id(weight) not in memory:
            memory[id(weight)] = torch.empty_like(weight)
    for group in _by_type(pairs):
        torch._foreach_copy_([memory[id(weight)] for weight, _ in group], [found for _, found in group])
    return [memory[id(weight)] for weight, _ in pairs]


def _by_type(pairs: Sequence[Pair]) -> list[list[Pair]]:
    """Parted by the type of what was found: operations on lists are few launches for one type alone."""
    groups: dict[torch.dtype, list[Pair]] = {}
    for pair in pairs:
        groups.setdefault(pair[1].dtype, []).append(pair)
    return list(groups.values())
