"""This process's share of a batch that several processes train on together: losses are those of the whole batch.

Each of N processes has the same number of images, those of its rank in the batch's order. What is drawn an image is
drawn for all of them, in the same order as one process would, and each keeps its rows. What a loss divides by is
counted over all processes, so that the mean over processes is the loss of the whole batch, and so is the gradient.
With one process all of this is nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import torch.distributed as dist
import torch.nn.functional as F
from detectron2.utils import comm
from torch.overrides import TorchFunctionMode

from methods.base.errors import MethodError

T = TypeVar("T")


@dataclass(frozen=True)
class Share:
    """The share of the ``rank``-th of ``ranks`` processes (torch.distributed's default group)."""

    rank: int = 0
    ranks: int = 1

    @classmethod
    def of_this_process(cls) -> Share:
        """This process's share by torch.distributed; the whole batch where it is not initialized."""
        return cls(comm.get_rank(), comm.get_world_size())

    def global_size(self, rows: int) -> int:
        """How many images all processes have together, where this one has ``rows``."""
        return rows * self.ranks

    def local_rows(self, drawn: torch.Tensor, dim: int = 0) -> torch.Tensor:
        """This process's rows of what was drawn for the whole batch."""
        return drawn if self.ranks == 1 else drawn.chunk(self.ranks, dim)[self.rank]

    def local_items(self, listed: list[T]) -> list[T]:
        """This process's items of a list with one an image."""
        rows = len(listed) // self.ranks
        return listed[self.rank * rows : (self.rank + 1) * rows]

    def listed(self, items: Sequence[T]) -> list[T]:
        """The items, one an image, of all processes, in order. They go through the host: small ones only."""
        return [item for of_rank in comm.all_gather(list(items)) for item in of_rank]

    def gathered(self, rows: torch.Tensor) -> torch.Tensor:
        """(B, ...) of each process -> (B * ranks, ...) in every one, without gradient."""
        if self.ranks == 1:
            return rows
        parts = [torch.empty_like(rows, memory_format=torch.contiguous_format) for _ in range(self.ranks)]
        dist.all_gather(parts, rows.detach().contiguous())
        return torch.cat(parts)

    def mean(self, value: torch.Tensor) -> torch.Tensor:
        """The mean of ``value`` over processes, without gradient."""
        return value if self.ranks == 1 else self._sum(value.detach()) / self.ranks

    def divisor(self, count: torch.Tensor) -> torch.Tensor:
        """What this process divides a sum over ``count`` things by, so that the mean over processes is over all.

        At least one thing in all processes together, so that a sum of nothing is 0.
        """
        return count.clamp_min(1) if self.ranks == 1 else self._sum(count.detach()).clamp_min(1) / self.ranks

    @contextmanager
    def noise(self) -> Iterator[None]:
        """Let dropout and drop path draw for the whole batch within (`_WholeBatchNoise`)."""
        if self.ranks == 1:
            yield
            return
        before = _drawing.set(self)
        try:
            with _WholeBatchNoise(self):
                yield
        finally:
            _drawing.reset(before)

    def _sum(self, value: torch.Tensor) -> torch.Tensor:
        total = value.clone()
        dist.all_reduce(total)
        return total


ALONE = Share()
_drawing: ContextVar[Share] = ContextVar("_drawing", default=ALONE)


def noise_as_now() -> AbstractContextManager[None]:
    """`Share.noise` of here and now, for what is computed again in a backward pass, to which it does not reach."""
    return _drawing.get().noise()


class _WholeBatchNoise(TorchFunctionMode):
    """Dropout and drop path of networks, also of libraries: drawn as one process would, of which the rows are kept.

    All processes seed a pass alike; so the noise of an image does not depend on how many there are. Drop path, as
    libraries write it, is ``torch.rand`` with a row an image. What else draws from the global generators would give
    the images of each process the draws of the first's, without a word: it is refused.
    """

    _DROPOUT = (F.dropout, F.dropout1d, F.dropout2d, F.dropout3d)
    _OTHERS = (
        *(F.alpha_dropout, F.feature_alpha_dropout, F.gumbel_softmax),
        *(torch.rand_like, torch.randn, torch.randn_like, torch.randint, torch.randint_like, torch.randperm),
        *(torch.bernoulli, torch.multinomial, torch.normal, torch.poisson),
        *(torch.Tensor.bernoulli, torch.Tensor.bernoulli_, torch.Tensor.exponential_, torch.Tensor.multinomial),
        *(torch.Tensor.normal_, torch.Tensor.random_, torch.Tensor.uniform_),
    )

    def __init__(self, share: Share) -> None:
        super().__init__()
        self._share = share

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in self._DROPOUT:
            return self._dropout(func, *args, **kwargs)
        if func is torch.rand and kwargs.get("generator") is None:
            given = kwargs.pop("size", args[0] if len(args) == 1 else args)
            size = (given,) if isinstance(given, int) else tuple(given)
            if not size:  # one number for all images
                return func(size, **kwargs)
            with torch._C.DisableTorchFunction():  # also of a mode around this one
                return self._share.local_rows(torch.rand((self._share.global_size(size[0]), *size[1:]), **kwargs))
        if func in self._OTHERS and kwargs.get("generator") is None and kwargs.get("training", True):
            raise MethodError(
                f"a network or term draws by {func.__name__}, which several processes cannot share; expected dropout, "
                "torch.rand or step.rand"
            )
        return func(*args, **kwargs)

    def _dropout(
        self, func: Any, input: torch.Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
    ) -> torch.Tensor:
        if not training or p == 0:
            return input
        ones = torch.ones(
            (self._share.global_size(len(input)), *input.shape[1:]), dtype=input.dtype, device=input.device
        )
        if input.dim() == 4 and input.is_contiguous(memory_format=torch.channels_last):
            ones = ones.contiguous(memory_format=torch.channels_last)  # elements are drawn in the order of memory
        with torch._C.DisableTorchFunction():
            return input * self._share.local_rows(func(ones, p, True))
