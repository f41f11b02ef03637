"""A training step in its parts, told apart from outside: what each part calls is wrapped while it is measured."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch

import methods.framework.step as step_of_terms
from benchmarks.engine.trainer import Losses, Trainer
from benchmarks.measure.parts import Parts
from benchmarks.tools.replaced import replaced
from methods.framework.term import Term
from methods.parts.strong_augmentation import StrongAugmentation
from methods.parts.teacher import Teacher

FORWARD, BACKWARD, TEACHER = "student forward", "backward", "teacher"
MIXING, PSEUDO, TERMS = "augmentation and mixing", "pseudo-labels", "terms"
OPTIMIZER, UPDATE, WAITING, REST = "optimizer", "teacher update", "waiting for data", "left over"
PARTS = (FORWARD, BACKWARD, TEACHER, MIXING, PSEUDO, TERMS, OPTIMIZER, UPDATE, WAITING, REST)
"""In the order of tables. ``terms``: losses, and what terms compute besides; ``left over``: all that is in no part."""


@contextmanager
def told_apart(trainer: Trainer, parts: Parts) -> Iterator[None]:
    """The steps of ``trainer`` within are divided: all but `WAITING` and `REST`, which the caller knows of.

    Networks, teachers and functions are wrapped where the step finds them, and put back afterwards.
    """
    student, optimizer = trainer.student, trainer.optimizer

    def around(view: str, term: Term[Any], make: Callable[[], Losses]) -> Losses:
        with parts.part(TERMS):
            return make()

    places: list[tuple[Any, str, str]] = [
        *((student, name, FORWARD) for name in ("encode", "predict")),
        (torch.Tensor, "backward", BACKWARD),
        (Teacher, "logits", TEACHER),
        (StrongAugmentation, "__call__", MIXING),
        *((step_of_terms, name, MIXING) for name in ("choose_classes", "paste_mask", "mix")),
        (step_of_terms, "pseudo_labels", PSEUDO),
        *((optimizer, name, OPTIMIZER) for name in ("zero_grad", "step")),
        (Teacher, "update", UPDATE),
    ]
    with ExitStack() as stack:
        for owner, name, part in places:
            stack.enter_context(replaced(owner, name, parts.wrapped(part, getattr(owner, name))))
        stack.enter_context(replaced(trainer, "update", partial(trainer.update, around=around)))
        yield


def split_step(trainer: Trainer, wait: bool = True) -> dict[str, float]:
    """Seconds of the trainer's next step by `PARTS`, whose sum is the step's.

    On a GPU ``wait`` has each part wait for the device at its end, so that it has its own time and not that of a later
    part; the step is longer by that. Without, it is the host's time: what it takes to launch.
    """
    parts = Parts(clock(trainer.device, wait))
    with told_apart(trainer, parts), parts.part(REST):
        trainer.run_step()
    waited = trainer.progress.waited[-1]
    found = {name: parts.amounts[name] for name in PARTS}
    return found | {WAITING: waited, REST: found[REST] - waited}


def clock(device: torch.device, wait: bool = True) -> Callable[[], float]:
    """What reads the time in seconds, and on a GPU waits for it first where it is to ``wait``."""
    from time import perf_counter

    if device.type != "cuda" or not wait:
        return perf_counter

    def after_device() -> float:
        torch.cuda.synchronize(device)
        return perf_counter()

    return after_device
