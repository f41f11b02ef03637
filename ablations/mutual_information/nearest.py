"""Mutual information of continuous samples by nearest neighbours, and how far it is off on Gaussians of the same shape.

Kraskov, Stögbauer and Grassberger, "Estimating mutual information", Physical Review E 69 (2004), estimator 1.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree
from scipy.special import digamma

NEIGHBOURS = 4
_TWINS = 3


def ksg(x: np.ndarray, y: np.ndarray, k: int = NEIGHBOURS) -> float:
    """The estimate of I(X;Y) in nats: psi(k) + psi(N) - mean(psi(n_x + 1) + psi(n_y + 1)).

    It is no bound. Its bias is small where N is large for so many dimensions and so much information: it falls short of
    strong dependence, as it cannot exceed about log N, and the more so the more dimensions there are (Gao et al.,
    AISTATS 2015). Samples are taken as independent: neighbours within an image are not.

    Args:
        x: (N, D) samples; each column is brought to a deviation of 1.
        y: (N, E), those that belong to them.
        k: neighbours: with few the variance is large, with many the bias.
    """
    x, y = _scaled(x), _scaled(y)
    both = np.hstack([x, y])
    reach = cKDTree(both).query(both, k + 1, p=np.inf)[0][:, -1]
    inside = np.nextafter(reach, 0)  # n_x counts distances below that of the k-th neighbour
    counts = [cKDTree(each).query_ball_point(each, inside, p=np.inf, return_length=True) for each in (x, y)]
    # Each sample counts itself: n + 1.
    return float(digamma(k) + digamma(len(both)) - np.mean(digamma(counts[0]) + digamma(counts[1])))


def gaussian_information(x: np.ndarray, y: np.ndarray) -> float:
    """I(X;Y) in nats if the samples (N, D) and (N, E) were Gaussian: (log|S_x| + log|S_y| - log|S|) / 2."""
    both = np.cov(np.hstack([x, y]), rowvar=False)
    parts = (both[: x.shape[1], : x.shape[1]], both[x.shape[1] :, x.shape[1] :], both)
    of_x, of_y, of_both = (np.linalg.slogdet(np.atleast_2d(part))[1] for part in parts)
    return float(of_x + of_y - of_both) / 2


def ksg_bias(x: np.ndarray, y: np.ndarray, random: np.random.Generator, k: int = NEIGHBOURS) -> float:
    """Mean error of `ksg` in nats on Gaussian samples as many, and of the covariance of these, whose truth is known."""
    both = np.hstack([x, y])
    mean, covariance = np.zeros(both.shape[1]), np.cov(both, rowvar=False)
    twins = [random.multivariate_normal(mean, covariance, size=len(x)) for _ in range(_TWINS)]
    found = [ksg(twin[:, : x.shape[1]], twin[:, x.shape[1] :], k) for twin in twins]
    return float(np.mean(found)) - gaussian_information(x, y)


def _scaled(x: np.ndarray) -> np.ndarray:
    deviation = x.std(axis=0)
    return (x - x.mean(axis=0)) / np.where(deviation > 0, deviation, 1)
