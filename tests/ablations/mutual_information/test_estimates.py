"""Estimates of information on cases whose answer is known: bounds are on the right side, and biases within bounds."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from ablations.mutual_information.linear import fit_classifier, fit_regression
from ablations.mutual_information.nearest import gaussian_information, ksg, ksg_bias
from ablations.mutual_information.parts import FIT, HELD_OUT, TUNE, Parts, part_of_images, split
from ablations.mutual_information.probes import class_bound, pixel_bounds
from ablations.mutual_information.rate import GaussianRate, Scale


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(0)


def correlated(random: np.random.Generator, samples: int, rho: float, dims: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Gaussian pairs with I = -dims log(1 - rho^2) / 2."""
    x = random.standard_normal((samples, dims))
    return x, rho * x + math.sqrt(1 - rho**2) * random.standard_normal((samples, dims))


def information(rho: float, dims: int = 1) -> float:
    return -dims * math.log(1 - rho**2) / 2


def in_parts(*samples: np.ndarray) -> list[Parts[np.ndarray]]:
    """A third each."""
    parts = np.arange(len(samples[0])) % 3
    return [split(each, parts) for each in samples]


# Nearest neighbours


@pytest.mark.parametrize("rho", [0.0, 0.6, 0.9, 0.99])
def test_ksg_is_nearly_unbiased_in_two_dimensions(random: np.random.Generator, rho: float) -> None:
    assert ksg(*correlated(random, 1000, rho)) == pytest.approx(information(rho), abs=0.06)


def test_ksg_does_not_depend_on_units_or_shifts(random: np.random.Generator) -> None:
    x, y = correlated(random, 300, 0.8, 2)
    assert ksg(1000 * x + 3, y / 1000) == pytest.approx(ksg(x, y), abs=1e-9)


def test_ksg_falls_short_in_many_dimensions_by_what_its_twins_say(random: np.random.Generator) -> None:
    x, y = correlated(random, 600, 0.9, 4)
    truth = information(0.9, 4)
    assert gaussian_information(x, y) == pytest.approx(truth, abs=0.15)
    error = ksg(x, y) - truth
    assert -1.5 < error < -0.3
    assert ksg_bias(x, y, random) == pytest.approx(error, abs=0.2)


# The rate


def test_the_rate_of_gaussians_is_the_capacity_of_their_channel(random: np.random.Generator) -> None:
    variances = np.array([2.0, 1.0, 0.5, 0.0])
    turned = np.linalg.qr(random.standard_normal((4, 4)))[0]
    fit, held_out = ((random.standard_normal((4000, 4)) * np.sqrt(variances)) @ turned + 5 for _ in range(2))
    for noise in (0.1, 1.0):
        capacity = np.log(1 + variances / noise**2).sum() / 2
        assert GaussianRate.of(fit)(held_out, noise) == pytest.approx(capacity, rel=0.02)


def test_the_rate_is_above_what_a_binary_channel_tells(random: np.random.Generator) -> None:
    """Two values tell at most log 2; under little noise they tell all of it, and the Gaussian rate far more."""
    fit, held_out = (random.choice([-1.0, 1.0], (2000, 1)) for _ in range(2))
    assert GaussianRate.of(fit)(held_out, 0.1) == pytest.approx(math.log(1 + 1 / 0.01) / 2, rel=0.02)
    assert GaussianRate.of(fit)(held_out, 0.1) > math.log(2)


def test_the_rate_of_few_samples_is_above_the_truth_and_not_below(random: np.random.Generator) -> None:
    """What is fitted to them would fall short on themselves."""
    fit, held_out = random.standard_normal((40, 20)), random.standard_normal((4000, 20))
    truth = 10 * math.log(1 + 1 / 0.25)
    assert GaussianRate.of(fit)(held_out, 0.5) > truth > GaussianRate.of(fit)(fit, 0.5)


def test_features_come_to_one_scale_for_all_channels(random: np.random.Generator) -> None:
    z = random.standard_normal((500, 3)) * np.array([1.0, 2.0, 3.0]) + 7
    found = Scale.of(z)(z)
    assert found.mean(axis=0) == pytest.approx(np.zeros(3), abs=1e-9)
    assert found.var(axis=0).mean() == pytest.approx(1)
    assert found.std(axis=0) / found.std(axis=0)[0] == pytest.approx(z.std(axis=0) / z.std(axis=0)[0])
    assert np.isfinite(Scale.of(np.ones((4, 2)))(np.ones((4, 2)))).all()


# Networks


@pytest.mark.parametrize("hidden", [False, True])
def test_labels_through_a_symmetric_channel(random: np.random.Generator, hidden: bool) -> None:
    """The capacity of a binary symmetric channel that errs in one of ten: log 2 - H(0.1)."""
    y = random.integers(0, 2, 3000)
    z = np.where(random.random(3000) < 0.1, 1 - y, y)[:, None].astype(float)
    capacity = math.log(2) + 0.1 * math.log(0.1) + 0.9 * math.log(0.9)
    z_parts, y_parts = in_parts(z, y)
    found = class_bound(z_parts, y_parts, 2, hidden=hidden)
    assert found.entropy == pytest.approx(math.log(2), abs=0.002)
    error = found.information - capacity
    assert -0.02 < error < 0.04  # of 1,000 samples: their own share of errors is off by 0.01
    assert found.right == pytest.approx(0.9, abs=0.03)


def test_labels_that_no_line_tells_apart_are_told_by_a_hidden_layer(random: np.random.Generator) -> None:
    z = random.uniform(-1, 1, (900, 2))
    z_parts, y_parts = in_parts(z, (z[:, 0] * z[:, 1] > 0).astype(int))
    linear, hidden = (class_bound(z_parts, y_parts, 2, hidden=each).information for each in (False, True))
    assert linear < 0.05 and math.log(2) - 0.25 < hidden < math.log(2)


def test_noise_takes_information_from_labels_and_labels_of_noise_have_none(random: np.random.Generator) -> None:
    y = random.integers(0, 2, 1500)
    z = (2.0 * y - 1)[:, None]
    z_parts, y_parts = in_parts(z, y)
    clean, noisy = (class_bound(z_parts, y_parts, 2, hidden=False, noise=noise).information for noise in (0.0, 1.0))
    assert clean > 0.6 and noisy == pytest.approx(0.337, abs=0.04)  # of a binary input in noise of its size: 0.486 bit
    other, _ = in_parts(random.standard_normal((1500, 5)), y)
    assert -0.05 < class_bound(other, y_parts, 2, hidden=True).information < 0.01


@pytest.mark.parametrize("rho", [0.0, 0.8])
def test_pixels_rebuilt_of_gaussians_are_their_information(random: np.random.Generator, rho: float) -> None:
    z, x = correlated(random, 3000, rho, 3)
    mixed = x @ np.array([[3.0, 1, 0], [0, 1, 2], [0, 0, 0.1]]) + 4  # whatever the units of pixels
    z_parts, x_parts = in_parts(z, mixed)
    found = pixel_bounds(z_parts, x_parts, hidden=False).rebuilt
    assert information(rho, 3) - 0.1 < found < information(rho, 3) + 0.06


def test_noise_on_features_takes_what_a_gaussian_channel_takes(random: np.random.Generator) -> None:
    """I(z + e; z) of variance 1 in noise of variance 1 is log(2) / 2."""
    z = random.standard_normal((3000, 1))
    z_parts, x_parts = in_parts(z, z)
    assert pixel_bounds(z_parts, x_parts, hidden=False, noise=1.0).rebuilt == pytest.approx(math.log(2) / 2, abs=0.04)


def test_the_regression_is_the_best_under_noise(random: np.random.Generator) -> None:
    """z of variance 1 from itself in noise of variance 4: a fifth of what is seen."""
    z, x = (each.map(torch.from_numpy) for each in in_parts(*[random.standard_normal((3000, 1)).astype("f")] * 2))
    assert fit_regression(z, x, 2.0).weight.item() == pytest.approx(0.2, abs=0.01)


def test_pairs_told_apart_are_below_the_truth_and_near_it(random: np.random.Generator) -> None:
    z, x = correlated(random, 1800, 0.9, 2)
    found = pixel_bounds(*in_parts(z, x))
    assert found.most == pytest.approx(math.log(300))
    assert information(0.9, 2) - 0.35 < found.told_apart < information(0.9, 2) + 0.05


def test_pairs_are_told_apart_by_what_features_tell_alone(random: np.random.Generator) -> None:
    """Most of the pixels have nothing to do with z: what is usual of them must not count."""
    z, x = correlated(random, 1500, 0.95)
    z_parts, x_parts = in_parts(z, np.hstack([3 * x, random.standard_normal((1500, 40))]))
    found = pixel_bounds(z_parts, x_parts, hidden=False)
    assert 0.7 < found.told_apart < information(0.95) + 0.05


def test_pairs_tell_no_more_than_the_logarithm_of_the_candidates(random: np.random.Generator) -> None:
    z = random.standard_normal((300, 4))
    found = pixel_bounds(*in_parts(z, z), hidden=False)  # an infinite information
    assert math.log(100) == pytest.approx(found.most)
    assert 0.7 * found.most < found.told_apart <= found.most + 1e-6
    apart = pixel_bounds(*in_parts(z, random.standard_normal((300, 4))), hidden=False)
    assert -0.1 < apart.told_apart < 0.05


def test_estimates_depend_on_their_seed_alone(random: np.random.Generator) -> None:
    z, x = in_parts(*correlated(random, 300, 0.9, 2))
    first, again, other = (pixel_bounds(z, x, noise=0.5, seed=seed) for seed in (1, 1, 2))
    assert first == again != other


# Parts


def test_parts_have_no_image_in_common(random: np.random.Generator) -> None:
    parts = part_of_images(100, random)
    assert [int((parts == each).sum()) for each in (FIT, TUNE, HELD_OUT)] == [38, 12, 50]
    assert sorted(part_of_images(3, random)) == [FIT, TUNE, HELD_OUT]
    found = split(np.arange(100), parts)
    assert not set(found.fit) & set(found.held_out) and not set(found.tune) & {*found.fit, *found.held_out}


def test_a_classifier_is_fitted_under_the_noise_that_it_is_measured_under() -> None:
    """Means of -0.3 and 0.3 in noise of deviation 1 have log odds of 0.6 a unit; without noise they are infinite."""
    labels = torch.arange(3000) % 2
    z, y = Parts(*[(labels[:, None] - 0.5) * 0.6] * 3), Parts(*[labels] * 3)
    weight = fit_classifier(z, y, 2, 1.0, torch.Generator().manual_seed(0)).weight.detach()
    assert float(weight[1] - weight[0]) == pytest.approx(0.6, abs=0.1)
