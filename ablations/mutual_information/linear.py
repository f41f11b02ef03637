"""Linear maps of noisy features that are fitted to their optimum: a classifier, and a regression.

How much a map is held back (its L2 penalty) is chosen on samples that it is not fitted to. N samples, C channels.
"""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from scipy.optimize import minimize
from scipy.special import logsumexp, softmax
from torch import Tensor, nn

from ablations.mutual_information.parts import Parts

_PENALTIES = (1.0, 1e-1, 1e-2, 1e-3)  # the strongest first: each fit begins where the one before ended
_RIDGES = (1e3, 1e2, 10.0, 1.0, 1e-1, 1e-2, 1e-3)  # the first leaves little but the mean
_ITERATIONS = 40
_COPIES = 2  # of the samples that a classifier is fitted to, each with noise of its own


def noisy(z: Tensor, noise: float, draws: torch.Generator) -> Tensor:
    """Features with noise of that deviation."""
    return z + noise * torch.randn(z.shape, generator=draws) if noise else z


def fit_classifier(
    z: Parts[Tensor], y: Parts[Tensor], classes: int, noise: float, draws: torch.Generator
) -> nn.Linear:
    """The classifier of least cross-entropy (N, C) -> (N, K), by L-BFGS."""
    copies = _COPIES if noise else 1
    features = torch.cat([noisy(z.fit, noise, draws) for _ in range(copies)])
    labels, tune = y.fit.repeat(copies), noisy(z.tune, noise, draws)
    inputs = np.hstack([features.double().numpy(), np.ones((len(features), 1))])  # the last is the bias's
    truth = np.eye(classes)[labels.numpy()]

    def loss(flat: np.ndarray, penalty: float) -> tuple[float, np.ndarray]:
        weight = flat.reshape(-1, classes)
        scores = inputs @ weight
        held_back = weight * penalty * (np.arange(len(weight)) < len(weight) - 1)[:, None]
        value = (logsumexp(scores, axis=1) - (scores * truth).sum(axis=1)).mean() + (held_back * weight).sum() / 2
        slope = inputs.T @ (softmax(scores, axis=1) - truth) / len(inputs) + held_back
        return float(value), slope.ravel()

    flat, best, lowest = np.zeros(inputs.shape[1] * classes), nn.Linear(features.shape[1], classes), math.inf
    for penalty in _PENALTIES:
        flat = minimize(loss, flat, (penalty,), jac=True, method="L-BFGS-B", options={"maxiter": _ITERATIONS}).x
        weight = torch.from_numpy(flat.reshape(-1, classes).T).float()
        found = float(F.cross_entropy(tune @ weight[:, :-1].T + weight[:, -1], y.tune))
        if found < lowest:
            best.load_state_dict({"weight": weight[:, :-1], "bias": weight[:, -1]})
            lowest = found
    return best


@torch.no_grad()
def fit_regression(z: Parts[Tensor], x: Parts[Tensor], noise: float) -> nn.Linear:
    """The map (N, C) -> (N, D) of least mean square, over all noise: that adds N noise^2 to the diagonal of Z'Z.

    Each output is held back by itself: what features do not tell is left at its mean.
    """
    inputs, (samples, channels) = z.fit.double(), z.fit.shape
    outputs, mean = x.fit.double(), z.fit.double().mean(dim=0)
    shift, centred = outputs.mean(dim=0), inputs - mean
    values, vectors = torch.linalg.eigh(centred.T @ centred / samples)
    towards = vectors.T @ (centred.T @ (outputs - shift) / samples)
    best, lowest = torch.zeros_like(towards), torch.full((outputs.shape[1],), math.inf, dtype=torch.float64)
    for penalty in _RIDGES:
        weight = vectors @ (towards / (values.clamp_min(0) + noise**2 + penalty)[:, None])  # (C, D)
        error = (z.tune.double() - mean) @ weight - (x.tune.double() - shift)
        # What noise adds to each error is known: it need not be drawn.
        found = error.square().mean(dim=0) + noise**2 * weight.square().sum(dim=0)
        better = found < lowest
        best, lowest = torch.where(better, weight, best), torch.where(better, found, lowest)
    network = nn.Linear(channels, outputs.shape[1])
    network.load_state_dict({"weight": best.T.float(), "bias": (shift - mean @ best).float()})
    return network
