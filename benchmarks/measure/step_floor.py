"""The floor of a step: its passes of the bare networks on the same tensors, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch

from benchmarks.engine.trainer import Trainer
from benchmarks.tools.replaced import replaced
from methods.networks import Prediction, Window
from methods.parts.teacher import Teacher


@dataclass
class StudentPass:
    """The encoder's pass on images (B, 3, H, W), and the decoder's on its features.

    ``decoded``: of each of the decoder's passes the size of the logits and the window; of features that were masked or
    rebuilt in between, the decoder costs the same.
    """

    images: torch.Tensor
    window: Window | None
    decoded: list[tuple[tuple[int, int], Window | None]] = field(default_factory=list)


@dataclass
class TeacherPass:
    """A teacher's pass on images (B, 3, H, W)."""

    teacher: Teacher
    images: torch.Tensor


Passes = list[StudentPass | TeacherPass]


class Floor:
    """The passes of a trainer's step, in its order, that can be made again."""

    def __init__(self, trainer: Trainer) -> None:
        """Make one step, and remember what its networks were called on."""
        self.passes: Passes = []
        self._student, self._kind = trainer.student, trainer.device.type
        with _overheard(trainer, self.passes, self._note_precision):
            trainer.run_step()

    def run(self) -> None:
        """Make the passes: of the student with gradients, up to logits of the image's size; these are let go again."""
        with torch.autocast(self._kind, self._precision, enabled=self._autocast):
            for each in self.passes:
                if isinstance(each, TeacherPass):
                    each.teacher.logits(each.images)
                else:
                    self._trained(each)
        for parameter in self._student.parameters():
            parameter.grad = None

    def _trained(self, each: StudentPass) -> None:
        student = self._student
        features = student.encode(each.images, each.window)
        made = [student.predict(features, size, window) for size, window in each.decoded]
        outputs = [logits for prediction in made for logits in prediction if logits is not None] or features
        with torch.autocast(self._kind, enabled=False):
            torch.autograd.backward(outputs, [torch.full_like(logits, 1 / logits.numel()) for logits in outputs])

    def _note_precision(self) -> None:
        self._autocast = torch.is_autocast_enabled(self._kind)
        self._precision = torch.get_autocast_dtype(self._kind)


@contextmanager
def _overheard(trainer: Trainer, passes: Passes, noted: Callable[[], None]) -> Iterator[None]:
    student = trainer.student
    encode, predict, logits = student.encode, student.predict, Teacher.logits

    def encoded(images: torch.Tensor, window: Window | None = None) -> list[torch.Tensor]:
        noted()
        passes.append(StudentPass(images.detach(), window))
        return encode(images, window)

    def predicted(features: list[torch.Tensor], size: tuple[int, int], window: Window | None = None) -> Prediction:
        last = next(each for each in reversed(passes) if isinstance(each, StudentPass))
        last.decoded.append((size, window))
        return predict(features, size, window)

    def taught(teacher: Teacher, images: torch.Tensor) -> Any:
        passes.append(TeacherPass(teacher, images.detach()))
        return logits(teacher, images)

    with (
        replaced(student, "encode", encoded),
        replaced(student, "predict", predicted),
        replaced(Teacher, "logits", taught),
    ):
        yield
