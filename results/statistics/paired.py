"""A method against a baseline, seed by seed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

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
        better: seeds in which the method is above the baseline; ties are not.
    """

    n: int
    mean: float
    deviation: float | None
    interval: Interval | None
    better: int


def paired_difference(method: Mapping[int, float], baseline: Mapping[int, float]) -> PairedDifference | None:
    """The differences of scores by seed; None where no seed is in both.

    Student's paired t interval, mean ± t(0.975, n - 1) s / √n with s of `PairedDifference.deviation`
    (Student 1908, Biometrika 6). Equal differences have an interval of no width.

    Args:
        method: score by seed, finite.
        baseline: likewise.
    """
    differences = [method[seed] - baseline[seed] for seed in sorted(method.keys() & baseline.keys())]
    n = len(differences)
    if not n:
        return None
    mean, better = math.fsum(differences) / n, sum(difference > 0 for difference in differences)
    if n == 1:
        return PairedDifference(1, mean, None, None, better)
    deviation = math.sqrt(math.fsum((difference - mean) ** 2 for difference in differences) / (n - 1))
    from scipy.stats import t  # here: tables without a baseline do not wait for it

    half = float(t.ppf((1 + LEVEL) / 2, n - 1)) * deviation / math.sqrt(n)
    return PairedDifference(n, mean, deviation, Interval(mean - half, mean + half), better)
