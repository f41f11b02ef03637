"""The one concept of segshift: a method is a sum of loss terms."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Generic, TypeVar

import torch
from torch import nn

from methods.base.ranges import at_least_zero
from methods.framework.step import TrainingStep
from methods.networks import Segmentor

OWN = "own"

Pictures = dict[str, torch.Tensor]
"""By caption: images (B, 3, H, W) in [0, 1], or train ids (B, H, W) int64, 255 for none."""


@dataclass(frozen=True)
class TermSettings:
    """What can be set of every term; a term adds its own fields. They become config keys ``TERMS.<NAME>.<FIELD>``.

    Fields are numbers, words, true or false, tuples of one of them, or None; each has a default, and a range where it
    may not have any value (methods/base/ranges.py).
    """

    weight: float = at_least_zero(1.0)  # lambda: scales all of the term's losses; at 0 the term is not built at all


S = TypeVar("S", bound=TermSettings)


class Term(nn.Module, Generic[S]):
    """Takes a training step and returns named losses. It does not know the other terms or the trainer.

    Of the config it has its settings alone; a line that refuses one names its key, ``TERMS.<NAME>.<FIELD>``.

    Attributes:
        Settings: the dataclass of what can be set.
        view: the shared view whose graph its losses live in (``source``, ``labelled``, ``mixed``, ``target``) or
            ``own`` where the term makes a view of its own. The trainer backpropagates the losses of one view together
            and frees its graph before the next, so that a step holds one graph at a time.
        learning_rate: of the term's own parameters, where it has any; None: the decoder's.
    """

    Settings: ClassVar[type[TermSettings]] = TermSettings
    view: str = OWN
    learning_rate: float | None = None

    def __init__(self, settings: S, segmentor: Segmentor, crop: tuple[int, int]) -> None:
        """Take the shapes of trainable parts from ``segmentor`` and the (height, width) of training crops."""
        super().__init__()
        self.settings = settings

    def losses(self, step: TrainingStep) -> dict[str, torch.Tensor]:
        """Unweighted scalar losses by name."""
        raise NotImplementedError

    @classmethod
    def numerics(cls, settings: S) -> int:
        """Which numbers the term computes from these settings: 1 at first.

        A mend that changes the losses of given settings raises it, so that runs from before it are other runs, with
        another id, and no table takes one for the other.
        """
        return 1

    def losses_by_view(self) -> Mapping[str, Callable[[TrainingStep], dict[str, torch.Tensor]]]:
        """What makes the losses in each view's graph; a term on several views overrides it."""
        return {self.view: self.losses}

    def pictures(self, step: TrainingStep) -> Pictures:
        """What the term does to the images of a step, to be looked at (LOG.IMAGES); a term may have none.

        Called without gradient, on a step that is not trained on: what is drawn from it is as in the one that is.
        """
        return {}

    def update(self, student: Segmentor, iteration: int) -> None:
        """Called once after the optimizer step of ``iteration`` (0-based), for a term with a teacher of its own."""


TERMS: dict[str, type[Term[Any]]] = {}


def term(name: str) -> Callable[[type[Term[Any]]], type[Term[Any]]]:
    """Register a term's class under ``name``; its settings appear as ``TERMS.<NAME>`` in every config."""

    def register(cls: type[Term[Any]]) -> type[Term[Any]]:
        if name in TERMS:
            raise ValueError(f"two terms are called {name!r}: {TERMS[name].__name__} and {cls.__name__}")
        _check_fields(cls.Settings)
        TERMS[name] = cls
        return cls

    return register


def _check_fields(settings: type[TermSettings]) -> None:
    """Check the fields. Raises TypeError for one that cannot be a config key: it would break every method."""
    for name, value in asdict(settings()).items():
        if not isinstance(value, (bool, int, float, str, tuple, type(None))):
            raise TypeError(
                f"{settings.__name__}.{name} is a {type(value).__name__}: expected a number, a word, true or false, a "
                "tuple, or None"
            )
