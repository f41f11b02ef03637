"""Bounds by networks that are trained on features: of labels, of pixels, and by telling pairs apart.

Each network is fitted on some images, chosen by others, and measured on yet others: what it overfits loosens a bound
and never tightens it. N samples, C channels, K classes, D values of pixels; noise is as in
`ablations.mutual_information.rate`, drawn anew in each batch; all in nats a sample.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ablations.mutual_information.linear import fit_classifier, fit_regression, noisy
from ablations.mutual_information.parts import Parts
from benchmarks.engine.eager_optimizers import AdamW
from methods.base.randomness import key_seed, keyed_generator

WIDTH = 256  # of the hidden layer
DIRECTIONS = 64
"""Principal directions of pixels that are rebuilt, at most: some hundred samples do not tell the variances of more."""
PAIRS = 512
"""Candidates that the contrastive bound tells a pair from, at most: it cannot exceed their logarithm."""
_BATCH, _PATIENCE, _MOST_EPOCHS = 256, 8, 100
_RATE, _DECAY = 2e-3, 1e-2
_TEMPERATURES = (0.03, 0.1, 0.3, 1.0)
_LEAST_VARIANCE = 1e-6  # of a direction of pixels, to the largest: below it is rounding

Loss = Callable[[nn.Module, Tensor, Tensor], Tensor]
"""Mean loss of a network on noisy features and on what belongs to them."""


class ClassBound(NamedTuple):
    """I(Z;Y) >= H(Y) - CE, as any classifier q(y|z) gives it (Barber and Agakov, NIPS 2003).

    H(Y) is that of the frequencies of labels held out, which falls short of the true one by some (K - 1) / 2N
    (Miller 1955). ``right``: the share of labels held out that are the classifier's likeliest, in [0, 1].
    """

    entropy: float
    cross_entropy: float
    right: float

    @property
    def information(self) -> float:
        """The bound; below 0 where the classifier is worse than the frequencies."""
        return self.entropy - self.cross_entropy


def class_bound(
    z: Parts[np.ndarray], y: Parts[np.ndarray], classes: int, *, hidden: bool, noise: float = 0.0, seed: int = 0
) -> ClassBound:
    """What a linear classifier, or with ``hidden`` one of a hidden layer, tells of labels (N,) from features (N, C)."""
    features = _features(z, noise)
    labels = y.map(lambda each: torch.from_numpy(each.astype(np.int64)))

    def loss(network: nn.Module, seen: Tensor, truth: Tensor) -> Tensor:
        return F.cross_entropy(network(seen), truth)

    probe: nn.Module
    if hidden:
        _seed(seed, "classes")
        probe = _train(_network(z.fit.shape[1], classes), loss, features, labels, noise, seed)
    else:
        probe = fit_classifier(features, labels, classes, noise, keyed_generator(seed, "bottleneck/fit"))
    frequency = np.bincount(y.held_out, minlength=classes) / len(y.held_out)
    entropy = -sum(float(share) * math.log(share) for share in frequency if share)
    return ClassBound(
        entropy,
        *(_measured(probe, each, features.held_out, labels.held_out, noise, seed) for each in (loss, _share_right)),
    )


def _share_right(network: nn.Module, seen: Tensor, truth: Tensor) -> Tensor:
    return (network(seen).argmax(dim=1) == truth).float().mean()


class PixelBounds(NamedTuple):
    """What is known of I(Z;X) by a Gaussian decoder q(x|z).

    Attributes:
        rebuilt: how much better q predicts pixels than a Gaussian r(x) that sees no z. h(X) - CE(q) <= I(Z;X) (Barber
            and Agakov, 2003), but h(X) is unknown: in its place stands CE(r), which is at least as large. So this is
            the V-information of Gaussian decoders (Xu et al., ICLR 2020): a lower bound on I(Z;X) where pixels are
            Gaussian, and else one but for a constant of the pixels alone, which falls out of the difference of two
            encoders on the same pixels.
        told_apart: InfoNCE with q as the critic: log N - CE of finding the z of an x among N candidates. A lower bound
            on I(Z;X) on average, for any critic and without h(X) (van den Oord et al., 2018; Poole et al., ICML 2019,
            Eq. 12), of the kind of MINE (Belghazi et al., ICML 2018), whose own estimate is none on few samples: the
            logarithm of its mean is off upward. No such bound goes far beyond the logarithm of the number of samples
            (McAllester and Stratos, AISTATS 2020).
        most: log N, which ``told_apart`` cannot exceed.
    """

    rebuilt: float
    told_apart: float
    most: float


def pixel_bounds(
    z: Parts[np.ndarray], x: Parts[np.ndarray], *, hidden: bool = True, noise: float = 0.0, seed: int = 0
) -> PixelBounds:
    """What a decoder rebuilds of the `DIRECTIONS` principal directions of pixels (N, D) from features (N, C).

    The mean of q is linear in z, by least squares; with ``hidden`` a network of a hidden layer adds to it. Variances
    are the same for all z. Those of q and of r are both of samples that their means were not fitted to.
    """
    white = _principal(x)
    features = _features(z, noise)
    linear = fit_regression(features, white, noise).requires_grad_(False)
    _seed(seed, "pixels")
    more = _network(features.fit.shape[1], linear.out_features) if hidden else None
    decoder = _Decoder(linear, more)
    decoder.take_variance(features.tune, white.tune, noise, keyed_generator(seed, "bottleneck/variance"))

    def loss(network: nn.Module, seen: Tensor, truth: Tensor) -> Tensor:
        predicted, log_variance = network(seen)
        return _surprise(truth - predicted, log_variance).mean()

    if hidden:
        _train(decoder, loss, features, white, noise, seed)
    without = _surprise(white.held_out, white.tune.square().mean(dim=0).log()).mean()
    temperature = min(
        _TEMPERATURES, key=lambda each: _measured(decoder, _apart(each), features.tune, white.tune, noise, seed, PAIRS)
    )
    held_out, samples = (features.held_out, white.held_out), len(white.held_out)
    return PixelBounds(
        float(without) - _measured(decoder, loss, *held_out, noise, seed),
        -_measured(decoder, _apart(temperature), *held_out, noise, seed, PAIRS),
        math.log(-(-samples // -(-samples // PAIRS))),
    )


def _apart(temperature: float) -> Loss:
    """CE - log N of finding the z of each x among those of the batch, by log q(x|z) times ``temperature``.

    The z of an x: to find the x of a z, log q(x|z) would have to be compared with log p(x), which is not known.
    """

    def loss(network: nn.Module, seen: Tensor, truth: Tensor) -> Tensor:
        predicted, log_variance = network(seen)
        scores = -_surprise(truth[:, None] - predicted[None], log_variance)  # (x, z)
        return F.cross_entropy(temperature * scores, torch.arange(len(scores))) - math.log(len(scores))

    return loss


def _surprise(error: Tensor, log_variance: Tensor) -> Tensor:
    """-log of a Gaussian's density at an error (..., D), but for D log(2 pi) / 2."""
    return (error.square() / log_variance.exp() + log_variance).sum(dim=-1) / 2


def _principal(x: Parts[np.ndarray]) -> Parts[Tensor]:
    """The principal directions of pixels, by decreasing variance, each brought to a variance of about 1."""
    variances, directions = np.linalg.eigh(np.cov(x.fit, rowvar=False).reshape(x.fit.shape[1], -1))
    kept = np.flatnonzero(variances > _LEAST_VARIANCE * variances[-1])[::-1][:DIRECTIONS]
    mean, whitening = x.fit.mean(axis=0), directions[:, kept] / np.sqrt(variances[kept])
    return x.map(lambda each: _tensor((each - mean) @ whitening))


class _Decoder(nn.Module):
    """Noisy features -> the mean of each value, and the logarithm of its variance, one for all samples."""

    def __init__(self, linear: nn.Linear, more: nn.Module | None) -> None:
        super().__init__()
        self.linear, self.more = linear, more
        self.log_variance = nn.Parameter(torch.zeros(linear.out_features))

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        mean = self.linear(z)
        return (mean if self.more is None else mean + self.more(z)), self.log_variance

    @torch.no_grad()
    def take_variance(self, z: Tensor, x: Tensor, noise: float, draws: torch.Generator) -> None:
        """Take the mean square error on samples that the mean was not fitted to, on which it would be too small."""
        error = (x - self(noisy(z, noise, draws))[0]).square().mean(dim=0)
        self.log_variance.copy_(error.clamp_min(_LEAST_VARIANCE).log())


def _network(inputs: int, outputs: int) -> nn.Sequential:
    """One hidden layer; it begins with an output of 0 everywhere."""
    network = nn.Sequential(nn.Linear(inputs, WIDTH), nn.ReLU(), nn.Linear(WIDTH, outputs))
    for parameter in network[-1].parameters():
        nn.init.zeros_(parameter)
    return network


def _train(
    network: nn.Module, loss: Loss, z: Parts[Tensor], other: Parts[Tensor], noise: float, seed: int
) -> nn.Module:
    """Fit the network, and leave it as it was best on the part to choose by."""
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimizer = AdamW(trained, lr=_RATE, weight_decay=_DECAY)
    draws = keyed_generator(seed, "bottleneck/fit")
    best, waited = copy.deepcopy(network.state_dict()), 0
    lowest = _measured(network, loss, z.tune, other.tune, noise, seed)
    for _ in range(_MOST_EPOCHS):
        for places in _batches(len(z.fit), _BATCH, draws):
            optimizer.zero_grad()
            loss(network, noisy(z.fit[places], noise, draws), other.fit[places]).backward()
            optimizer.step()
        found = _measured(network, loss, z.tune, other.tune, noise, seed)
        waited += 1
        if found < lowest:
            best, lowest, waited = copy.deepcopy(network.state_dict()), found, 0
        if waited == _PATIENCE:
            break
    network.load_state_dict(best)
    return network


@torch.no_grad()
def _measured(
    network: nn.Module, loss: Loss, z: Tensor, other: Tensor, noise: float, seed: int, size: int = _BATCH
) -> float:
    """The mean loss over batches of samples in random order; noise and order depend on the seed alone."""
    draws = keyed_generator(seed, "bottleneck/measure")
    found = [
        float(loss(network, noisy(z[places], noise, draws), other[places])) * len(places)
        for places in _batches(len(z), size, draws)
    ]
    return sum(found) / len(z)


def _batches(samples: int, size: int, draws: torch.Generator) -> list[Tensor]:
    """The places of all samples in random order, in batches of one size, or two next to each other, up to ``size``.

    The contrastive bound is that of its candidates: a last batch of a few would spoil it.
    """
    return list(torch.randperm(samples, generator=draws).tensor_split(-(-samples // size)))


def _features(z: Parts[np.ndarray], noise: float) -> Parts[Tensor]:
    """Features as tensors; those without noise with a deviation of 1 in each channel, which no information depends on.

    It eases training. Under noise it would change what is measured.
    """
    if noise:
        return z.map(_tensor)
    mean, deviation = z.fit.mean(axis=0), z.fit.std(axis=0)
    return z.map(lambda each: _tensor((each - mean) / np.where(deviation > 0, deviation, 1)))


def _tensor(values: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))


def _seed(seed: int, name: str) -> None:
    torch.manual_seed(key_seed(seed, f"bottleneck/{name}"))
