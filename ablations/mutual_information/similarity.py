"""Similarity of representations: linear CKA, without the bias of few samples.

Kornblith et al., "Similarity of Neural Network Representations Revisited", ICML 2019; HSIC by the unbiased estimator of
Song et al., "Feature Selection via Dependence Maximization", JMLR 13 (2012), Eq. 5.
"""

from __future__ import annotations

import math

import numpy as np


def cka(x: np.ndarray, y: np.ndarray) -> float:
    """Debiased linear CKA of features (N, C) and (N, D) of the same N samples: 1 for the same up to rotation and scale.

    Independent features have 0 on average, and so may come out a little below it; the plain estimator would give them
    more than 0, near 1 where N is small beside C and D. NaN where one side does not vary. N x N values are held.
    """
    first, second = _gram(x), _gram(y)
    scale = _hsic(first, first) * _hsic(second, second)
    return _hsic(first, second) / math.sqrt(scale) if scale > 0 else math.nan


def _gram(x: np.ndarray) -> np.ndarray:
    """Inner products (N, N) of centred samples, with 0 on the diagonal."""
    centred = x.astype(np.float64) - x.mean(axis=0, dtype=np.float64)
    found = centred @ centred.T
    np.fill_diagonal(found, 0)
    return found


def _hsic(k: np.ndarray, m: np.ndarray) -> float:
    n = len(k)
    of_k, of_m = k.sum(axis=0), m.sum(axis=0)
    rest = of_k.sum() * of_m.sum() / ((n - 1) * (n - 2)) - 2 * (of_k @ of_m) / (n - 2)
    return float((np.vdot(k, m) + rest) / (n * (n - 3)))
