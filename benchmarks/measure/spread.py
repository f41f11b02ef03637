"""A measured number: its median, and how far half of the measurements lie apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Spread:
    """The median of measurements, and their quartiles: half of them lie between ``low`` and ``high``."""

    median: float
    low: float
    high: float
    number: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """The spread of at least one value."""
        low, median, high = np.percentile(values, (25, 50, 75)).tolist()
        return cls(median, low, high, len(values))

    def per(self, amount: float) -> Spread:
        """The spread of rates: how much of ``amount``, that took these seconds, there is in one."""
        return Spread(amount / self.median, amount / self.high, amount / self.low, self.number)

    def text(self, digits: int = 3) -> str:
        """The spread as tables show it: ``0.271 (0.262-0.290)``."""
        return f"{self.median:.{digits}f} ({self.low:.{digits}f}-{self.high:.{digits}f})"

    def as_json(self) -> dict[str, Any]:
        """The fields by their names."""
        return asdict(self)
