"""Samplers and pruners of a search, by the names of the command line (ablations/study/search_options.py)."""

from __future__ import annotations

import hashlib
import warnings

import optuna
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner
from optuna.samplers import BaseSampler, GPSampler, QMCSampler, RandomSampler, TPESampler

_STARTUP_TRIALS = 5  # that nothing is pruned by, of median


def sampler(name: str, seed: int, trial: int) -> BaseSampler:
    """The sampler that draws trial number ``trial``.

    Each trial has one of its own, seeded by (seed, trial): a study that is taken up does not draw again what it drew.

    Args:
        name: ``tpe`` (multivariate, counting running trials as bad ones, so that workers do not crowd), ``gp``, ``qmc``
            (Sobol points, whose sequence the study itself counts), or ``grid``, whose points are queued: it draws none.
        seed: of the search.
        trial: number of the trial, from 0.
    """
    own = int.from_bytes(hashlib.sha256(f"{seed} {trial}".encode()).digest()[:4], "big")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        if name == "tpe":
            return TPESampler(seed=own, multivariate=True, constant_liar=True)
        if name == "gp":
            return GPSampler(seed=own)
        if name == "qmc":
            others = RandomSampler(seed=own)  # of the first trials, and of parameters that are no numbers
            return QMCSampler(scramble=True, seed=seed, independent_sampler=others, warn_independent_sampling=False)
    return RandomSampler(seed=own)


def pruner(name: str, period: int, iterations: int) -> BasePruner:
    """The pruner of a study whose runs are scored every ``period`` of their ``iterations``."""
    if name == "median":
        # Not by the first score, when the rate has hardly left its warm-up.
        return MedianPruner(n_startup_trials=_STARTUP_TRIALS, n_warmup_steps=2 * period)
    if name == "hyperband":
        return HyperbandPruner(min_resource=period, max_resource=iterations, reduction_factor=3)
    return NopPruner()
