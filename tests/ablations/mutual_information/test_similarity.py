"""Debiased CKA of features whose similarity is known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ablations.mutual_information.similarity import cka


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(0)


def test_rotated_scaled_and_shifted_features_are_the_same(random: np.random.Generator) -> None:
    x = random.standard_normal((200, 6)) * np.array([1, 2, 3, 4, 5, 6])
    turned = np.linalg.qr(random.standard_normal((6, 6)))[0]
    assert cka(x, x) == pytest.approx(1)
    assert cka(x, 0.1 * x @ turned + 3) == pytest.approx(1)
    assert cka(x, x @ np.diag([10, 0.1, 1, 1, 1, 1])) < 0.9  # not the same for any linear map


def test_independent_features_of_few_samples_have_none(random: np.random.Generator) -> None:
    """The plain estimator would give 0.9 and more: a hundred channels of fifty samples."""
    found = [cka(random.standard_normal((50, 100)), random.standard_normal((50, 100))) for _ in range(20)]
    assert abs(np.mean(found)) < 0.01 and np.max(np.abs(found)) < 0.1


def test_half_of_independent_directions_in_common(random: np.random.Generator) -> None:
    """Of 2 + 2 directions of one variance two are shared: |C_xy|^2 / (|C_x| |C_y|) = 2 / 4."""
    shared, first, second = (random.standard_normal((1500, 2)) for _ in range(3))
    assert cka(np.hstack([shared, first]), np.hstack([shared, second])) == pytest.approx(0.5, abs=0.03)


def test_it_is_that_of_u_centred_products(random: np.random.Generator) -> None:
    """The same by another formula, on a few samples: off-diagonal means are taken off (Szekely and Rizzo, 2014)."""
    x, y = random.standard_normal((6, 3)) + 2, random.standard_normal((6, 2))
    off = ~np.eye(6, dtype=bool)

    def centred(z: np.ndarray) -> np.ndarray:
        k = z @ z.T * off
        rows = k.sum(axis=0) / 4
        return (k - rows[:, None] - rows[None] + k.sum() / 20)[off]

    first, second = centred(x), centred(y)
    assert cka(x, y) == pytest.approx(first @ second / math.sqrt((first @ first) * (second @ second)))


def test_features_that_do_not_vary_are_like_nothing() -> None:
    assert math.isnan(cka(np.ones((10, 2)), np.arange(20.0).reshape(10, 2)))
