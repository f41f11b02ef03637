"""Numbers and arrays of numpy in a checkpoint of torch, rebuilt from their bytes, and not by numpy's own functions.

mmcv writes some beside the weights: best scores, counters, palettes. ``torch.load`` with ``weights_only=True`` knows
none of numpy's names. `SAFE` gives it what is here under them, which takes numbers and text alone and runs nothing;
what numpy has under these names would take objects, and types of broken sizes, too.
"""

import re
from typing import Any

import numpy as np

_PLAIN = re.compile(r"[biufcUS]\d{1,4}")  # as "f8" and "U5": numpy's letters of numbers and text, and their size


class PickledType:
    """Stands under the name of numpy.dtype."""

    def __init__(self, name: str, *_: Any) -> None:
        """Find a type. Raises ValueError for one of anything but numbers and text."""
        if not _PLAIN.fullmatch(name):
            raise ValueError(f"it holds values of numpy's type {name!r:.40}, expected numbers")
        self.dtype = np.dtype(name)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        if state[1] in ("<", ">"):
            self.dtype = self.dtype.newbyteorder(state[1])


class PickledArray:
    """Stands under the name of numpy.ndarray; ``array`` has the values."""

    def __init__(self) -> None:
        self.array = np.empty(0)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, kind, by_columns, data = state
        values = np.frombuffer(data, kind.dtype).reshape(shape, order="F" if by_columns else "C")
        self.array = values.astype(kind.dtype.newbyteorder("="))


def _array(kind: type, *_: Any) -> PickledArray:
    if kind is not PickledArray:
        raise ValueError("it holds an array of a kind of its own, expected numpy's")
    return PickledArray()


def _scalar(kind: PickledType, data: bytes) -> Any:
    return np.frombuffer(data, kind.dtype)[0]


SAFE: list[Any] = [(PickledType, "numpy.dtype"), (PickledArray, "numpy.ndarray")]
"""For `torch.serialization.safe_globals`."""
for _core in ("numpy.core", "numpy._core"):  # before numpy 2, and since
    SAFE += [(_scalar, f"{_core}.multiarray.scalar"), (_array, f"{_core}.multiarray._reconstruct")]
