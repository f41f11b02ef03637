"""An upper bound on what a noisy representation tells of its input.

A deterministic encoder has I(Z;X) = H(Z) for images of finitely many values, and infinity for a continuous X: it tells
nothing apart (Saxe et al., ICLR 2018; Amjad and Geiger, TPAMI 2020). So noise of a known size is added, as by Goldfeld
et al., ICML 2019: Z~ = Z + s e with e ~ N(0, 1), Z brought to mean 0 and a mean variance of 1 over its channels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Scale:
    """What brings features to mean 0 and a mean variance of 1 over channels: a shift, and one factor for all."""

    mean: np.ndarray
    deviation: float

    @classmethod
    def of(cls, z: np.ndarray) -> Scale:
        """The scale of features (N, C)."""
        return cls(z.mean(axis=0), float(np.sqrt(z.var(axis=0).mean())) or 1.0)

    def __call__(self, z: np.ndarray) -> np.ndarray:
        return (z - self.mean) / self.deviation


@dataclass(frozen=True, eq=False)
class GaussianRate:
    """The rate E KL(N(z, s^2) || r) of Z~ with r = N(mean, S + s^2), S the covariance of features that r is fitted to.

    An upper bound on I(Z~;X) for any r (Barber and Agakov, 2003; Alemi et al., ICLR 2017, Eq. 14), and on average so
    where it is taken on other images than r is fitted to. With r Gaussian it equals the capacity of a Gaussian channel
    of this covariance: tight where Z is Gaussian, loose where it is not.
    """

    mean: np.ndarray
    variances: np.ndarray  # eigenvalues of S
    directions: np.ndarray  # its eigenvectors, in columns

    @classmethod
    def of(cls, z: np.ndarray) -> GaussianRate:
        """Fit r to features (N, C)."""
        variances, directions = np.linalg.eigh(np.cov(z, rowvar=False).reshape(z.shape[1], -1))
        return cls(z.mean(axis=0), np.clip(variances, 0, None), directions)

    def __call__(self, z: np.ndarray, noise: float) -> float:
        """Nats a sample, of features (M, C) under noise of deviation ``noise``, above 0."""
        power = np.square((z - self.mean) @ self.directions).mean(axis=0)
        total = self.variances + noise**2
        return float(((noise**2 + power) / total - 1 + np.log(total / noise**2)).sum() / 2)
