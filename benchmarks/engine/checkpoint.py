"""Checkpoints of a run: whole or not at all, the two newest kept, and gone on with from the newest that can be read."""

from __future__ import annotations

import copy
import errno
import logging
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from detectron2.checkpoint import DetectionCheckpointer
from detectron2.utils import comm
from torch import nn

from benchmarks.core.errors import ConfigError
from benchmarks.engine.checkpoint_file import read_checkpoint
from benchmarks.engine.distributed import from_rank_0
from benchmarks.engine.trainer import Trainer
from results.files.plain_file import read_plain_text, replacing
from results.records.record import write_text
from slurm.base.interruption import note_saved

KEPT = 2  # periodic checkpoints: should the newest be damaged, there is the one before
FINAL = "model_final.pth"
POINTER = "last_checkpoint"
_WRITTEN = ("model_*.pth", POINTER, "record.json", "config.yaml", "metrics.json")
_NUMBERED = re.compile(r"model_[0-9]+\.pth")
_KEYS_SHOWN = 3
_LONGEST_POINTER = 4096  # bytes; a file's name has at most 255

_LOGGER = logging.getLogger(__name__)


class AtomicCheckpointer(DetectionCheckpointer):
    """DetectionCheckpointer whose files appear whole or not at all, and which keeps the newest two."""

    def save(self, name: str, **kwargs: Any) -> None:
        """Save model and checkpointables as ``<name>.pth``, then point last_checkpoint at it and remove older ones.

        Raises:
            OSError: it could not be written, because the disk is full for instance; what was there before is untouched.
        """
        if not self.save_dir or not self.save_to_disk:
            return
        data = {"model": self.model.state_dict()}
        data |= {key: value.state_dict() for key, value in self.checkpointables.items()}
        path = Path(self.save_dir, f"{name}.pth")
        try:
            with replacing(path) as file:
                torch.save(data | kwargs, file)
                file.flush()
                os.fsync(file.fileno())  # else a node that dies could leave the new name on no content
        except Exception as error:  # torch wraps what the file says into errors of its own
            cause = _first_os_error(error)
            if cause is None:
                raise
            raise OSError(cause.errno, cause.strerror, str(path)) from error
        self.tag_last_checkpoint(path.name)
        note_saved()
        self._remove_superseded_by(path)

    def tag_last_checkpoint(self, last_filename_basename: str) -> None:
        """Point last_checkpoint at a file of the folder; not where a folder has the name, which is nobody's to remove.

        `resume_alone` has told of it, and the newest checkpoint is found without.
        """
        pointer = Path(self.save_dir, POINTER)
        if pointer.is_symlink() or not pointer.is_dir():
            write_text(pointer, last_filename_basename)

    def _remove_superseded_by(self, saved: Path) -> None:
        if saved.name == FINAL:
            return
        numbered = _periodic(saved.parent)
        place = numbered.index(saved)
        for path in numbered[place + 1 :]:  # a resume would have begun with one that can be read
            _LOGGER.warning("%s: damaged, now removed, since %s is complete", path, saved.name)
            path.unlink()
        for path in numbered[: max(0, place + 1 - KEPT)]:
            path.unlink()


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
    """`resume_alone` of rank 0; the other processes, if any, load the checkpoint that it has chosen."""
    start, path = from_rank_0(resume_alone(checkpointer) if comm.is_main_process() else (0, None))
    if path is not None and not comm.is_main_process():
        _load(checkpointer, path, copy.deepcopy(read_checkpoint(path)))
    return start


def resume_alone(checkpointer: AtomicCheckpointer) -> tuple[int, Path | None]:
    """Load the newest checkpoint that is not damaged: the iteration to go on with, and its file; (0, None) if none is.

    last_checkpoint is not needed, it is made to name what was loaded. What a killed process left half-written under a
    temporary name is removed. Damaged checkpoints stay until a good one takes their place; a warning says what is
    damaged and what is gone on with.

    Raises:
        ConfigError: the newest is whole, but of another version of the code; or it cannot be read for another reason
            than damage, as permissions or a failing disk.
    """
    folder = Path(checkpointer.save_dir)
    for name in _WRITTEN:
        for left_over in folder.glob(f".{name}.[0-9]*"):
            left_over.unlink()
    there = checkpoints(folder)
    named, fault = pointed_at(folder)
    damaged = bool(fault)
    for path in there:
        content = _read(path)
        if content is None:
            damaged = True
            continue
        iteration = _load(checkpointer, path, content)
        if damaged:
            _LOGGER.warning("%sgoing on from %s, iteration %d", f"{fault}, " if fault else "", path, iteration + 1)
        if named != path:
            checkpointer.tag_last_checkpoint(path.name)
        return iteration + 1, path
    if there or os.path.lexists(folder / POINTER):
        _LOGGER.warning("%s: no checkpoint that can be read, the run starts anew", folder)
    return 0, None


def checkpoints(folder: Path) -> list[Path]:
    """The checkpoints in a run folder, newest first: the final one, if any, then the periodic ones."""
    final = folder / FINAL
    return [*([final] if final.is_file() else []), *reversed(_periodic(folder))]


def pointed_at(folder: Path) -> tuple[Path | None, str]:
    """The checkpoint in the run folder that last_checkpoint names, and ""; or None, and why it names none of them.

    Its text is compared with the names of those that are there: a path that leads elsewhere is never followed.
    """
    pointer = folder / POINTER
    try:
        named = read_plain_text(pointer, _LONGEST_POINTER, errors="replace").strip()
    except FileNotFoundError:
        return None, f"{pointer}: missing"
    except OSError as error:
        return None, f"{pointer}: cannot be used ({error.strerror})"
    for path in checkpoints(folder):
        if path.name == named:
            return path, ""
    return None, f"{pointer}: names no checkpoint that is there"


def numbered(iteration: int) -> str:
    """The name, without its ending, of the checkpoint after ``iteration``, which counts from 0."""
    return f"model_{iteration:07d}"


def remove_superseded(folder: Path) -> None:
    """A finished run keeps its final checkpoint alone."""
    for path in _periodic(folder):
        path.unlink()


def _periodic(folder: Path) -> list[Path]:
    """Periodic checkpoints, by iteration."""
    found = [path for path in folder.glob("model_*.pth") if _NUMBERED.fullmatch(path.name) and path.is_file()]
    return sorted(found, key=lambda path: int(path.stem.removeprefix("model_")))


def _read(path: Path) -> dict[str, Any] | None:
    """The contents of a checkpoint; None, and a warning, where it is damaged."""
    try:
        # A copy, since the tensors are mapped: what is trained must not depend on a file that may be removed.
        return copy.deepcopy(read_checkpoint(path))
    except ConfigError as error:
        cause = error.__cause__
        if isinstance(cause, MemoryError) or (isinstance(cause, OSError) and cause.errno != errno.EINVAL):
            raise  # it may be whole: to go on without it would be to lose it
        _LOGGER.warning("%s", error)
        return None


def _load(checkpointer: AtomicCheckpointer, path: Path, content: dict[str, Any]) -> int:
    """Load all parts, and return the iteration after which they were saved. Raises ConfigError where one does not fit.

    detectron2's own loading only warns of what is missing, and would go on with half of a state.
    """
    parts: dict[str, Any] = {"model": checkpointer.model, **checkpointer.checkpointables}
    faults: list[str] = []
    try:
        faults += _differences("", content, dict.fromkeys([*parts, "iteration"]))
        if not faults:
            faults += [fault for name, part in parts.items() for fault in _faults(name, part, content[name])]
        if not faults:
            for name, part in parts.items():
                part.load_state_dict(content[name])
            return int(content["iteration"])
    except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError) as error:
        faults.append(" ".join(f"{type(error).__name__} {error}".split())[:200])
    raise ConfigError(
        f"{path}: {'; '.join(faults)}: expected a checkpoint of this version of the code (--force starts the run anew)"
    )


def _faults(name: str, part: Any, state: Any) -> Iterator[str]:
    """What in a state is not of this part, in words; the optimizer's moments have the parameters' shapes."""
    own = part.state_dict()
    exact = isinstance(part, nn.Module)
    yield from _differences(name, state, own, exact)
    if isinstance(part, torch.optim.Optimizer) and state.keys() >= own.keys():
        if len(state["param_groups"]) != len(own["param_groups"]):
            yield f"{name} has {len(state['param_groups'])} groups of parameters, not {len(own['param_groups'])}"
            return
        for held, group, trained in zip(state["param_groups"], own["param_groups"], part.param_groups, strict=True):
            yield from _differences(name, held, group, exact=False)
            for index, parameter in zip(held["params"], trained["params"], strict=True):
                moments = [value for value in state["state"].get(index, {}).values() if value.dim()]
                if any(value.shape != parameter.shape for value in moments):
                    yield f"{name} has other shapes than the parameters"
                    return


def _differences(name: str, held: Mapping[str, Any], own: Mapping[str, Any], exact: bool = True) -> Iterator[str]:
    """What is missing, unknown (where ``exact``) or of other shape, a few keys each."""
    kinds = {
        "lacks": [key for key in own if key not in held],
        "has the unknown": [key for key in held if key not in own] if exact else [],
        "has in another shape": [
            key
            for key, value in own.items()
            if isinstance(value, torch.Tensor) and key in held and held[key].shape != value.shape
        ],
    }
    for kind, keys in kinds.items():
        if keys:
            shown = ", ".join(map(str, keys[:_KEYS_SHOWN])) + (", ..." if len(keys) > _KEYS_SHOWN else "")
            yield f"{name} {kind} {shown}".strip()


def _first_os_error(error: BaseException | None) -> OSError | None:
    while error is not None and not isinstance(error, OSError):
        error = error.__cause__ or error.__context__
    return error
