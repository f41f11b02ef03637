"""A method against a baseline, seed by seed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

LEVEL = 0.95


@dataclass(frozen=True)
class Interval:
    """An interval of ``LEVEL`` confidence, in the unit of the scores."""

    low: float
    high: float

    @property
    def holds(self) -> bool:
        """Whether it leaves out 0: the sign of the difference is beyond what chance explains at this level."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True)
class PairedDifference:
    """The differences of two methods over the seeds that both have.

    Attributes:
        n: seeds that both have.
        mean: of the differences, method minus baseline.
        deviation: their sample standard deviation (n - 1); None for one seed. Not that of the methods' own scores:
            what a seed does to both methods alike is in neither difference.
        interval: of the mean, by Student's t with n - 1 degrees of freedom; None for one seed.
        better: seeds in which the method is better than the baseline; ties are not.
    """

    n: int
    mean: float
    deviation: float | None
    interval: Interval | None
    better: int


def mean_and_deviation(values: Sequence[float]) -> tuple[float, float | None]:
    """The mean and the sample standard deviation (n - 1), which one value does not have."""
    n = len(values)
    mean = math.fsum(values) / n
    return mean, math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (n - 1)) if n > 1 else None


def paired_difference(
    method: Mapping[int, float], baseline: Mapping[int, float], lower_is_better: bool = False
) -> PairedDifference | None:
    """The differences of scores by seed; None where no seed is in both.

    Student's paired t interval, mean ± t(0.975, n - 1) s / √n with s of `PairedDifference.deviation`
    (Student 1908, Biometrika 6). Equal differences have an interval of no width.

    Args:
        method: score by seed, finite.
        baseline: likewise.
        lower_is_better: whether a method is better below the baseline.
    """
    differences = [method[seed] - baseline[seed] for seed in sorted(method.keys() & baseline.keys())]
    n = len(differences)
    if not n:
        return None
    better = sum(difference < 0 if lower_is_better else difference > 0 for difference in differences)
    mean, deviation = mean_and_deviation(differences)
    if deviation is None:
        return PairedDifference(1, mean, None, None, better)
    half = _student_t(n - 1) * deviation / math.sqrt(n)
    return PairedDifference(n, mean, deviation, Interval(mean - half, mean + half), better)


@lru_cache
def _student_t(degrees: int) -> float:
    """The quantile that bounds an interval of ``LEVEL``: 4.30 for 2 degrees of freedom."""
    from scipy.special import stdtrit  # here: tables without a baseline do not wait for it; scipy.stats takes a second

    return float(stdtrit(degrees, (1 + LEVEL) / 2))
