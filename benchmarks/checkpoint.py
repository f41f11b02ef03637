"""Checkpoints of a run: detectron2's, written to a temporary name first, so that a killed run leaves no half file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from detectron2.checkpoint import DetectionCheckpointer

from benchmarks.trainer import Trainer
from results.record import write_text


class AtomicCheckpointer(DetectionCheckpointer):
    """DetectionCheckpointer whose files appear whole or not at all."""

    def save(self, name: str, **kwargs: Any) -> None:
        """Save model and checkpointables as ``<name>.pth``, then point last_checkpoint at it."""
        if not self.save_dir or not self.save_to_disk:
            return
        data = {"model": self.model.state_dict()}
        data |= {key: value.state_dict() for key, value in self.checkpointables.items()}
        path = Path(self.save_dir, f"{name}.pth")
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        torch.save(data | kwargs, temporary)
        temporary.replace(path)
        self.tag_last_checkpoint(path.name)

    def tag_last_checkpoint(self, last_filename_basename: str) -> None:
        """Point last_checkpoint at a file of the folder."""
        write_text(Path(self.save_dir, "last_checkpoint"), last_filename_basename)


def checkpointer(trainer: Trainer, folder: Path) -> AtomicCheckpointer:
    """The model is the student; teacher, terms, optimizer, schedule, scaler and progress stand beside it."""
    others: dict[str, Any] = {
        "terms": trainer.terms,
        "optimizer": trainer.optimizer,
        "scheduler": trainer.scheduler,
        "scaler": trainer.scaler,
        "progress": trainer.progress,
    }
    if trainer.teacher is not None:
        others["teacher"] = trainer.teacher
    return AtomicCheckpointer(trainer.student, str(folder), **others)


def resume(checkpointer: AtomicCheckpointer) -> int:
    """Load the newest checkpoint, if any, and return the iteration to go on with."""
    if not checkpointer.has_checkpoint():
        return 0
    return int(checkpointer.resume_or_load("", resume=True).get("iteration", -1)) + 1


def remove_superseded(folder: Path) -> None:
    """A finished run keeps its final checkpoint alone."""
    for path in folder.glob("model_[0-9]*.pth"):
        path.unlink()
