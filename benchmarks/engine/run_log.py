"""The log of a run."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from detectron2.engine import HookBase
from detectron2.utils import comm

from benchmarks.cli.time_left import clock
from benchmarks.engine.trainer import Trainer
from benchmarks.engine.watched import RATE, WATCHED
from results.records.scores import CLASS_IOU, HEADLINE, Scores

_CLASSES_TOLD = 5
_LEAST_MOVE = 0.05  # IoU, in percent: less is 0.0 as it is told

_LOGGER = logging.getLogger(__name__)


@contextmanager
def log_file(path: Path) -> Iterator[None]:
    """Send all that is logged from INFO up to a run's log while it lasts; rank 0's warnings also to the terminal."""
    root = logging.getLogger()
    level = root.level
    file, terminal = _LogFile(path), logging.StreamHandler()
    file.setFormatter(logging.Formatter("%(asctime)s %(name)s %(levelname)s: %(message)s"))
    terminal.setLevel(logging.WARNING)
    terminal.addFilter(_for_terminal)
    root.setLevel(logging.INFO)
    for handler in (file, terminal) if comm.is_main_process() else (file,):
        root.addHandler(handler)
    try:
        yield
    finally:
        for handler in (file, terminal):
            root.removeHandler(handler)
        root.setLevel(level)
        file.close()


class LogHook(HookBase):
    """Writes a line each time that the losses are looked at."""

    trainer: Trainer

    def after_step(self) -> None:
        trainer = self.trainer
        if trainer.is_looked_at(trainer.iter) and comm.is_main_process():
            values = {name: value for name, (value, at) in trainer.storage.latest().items() if at == trainer.iter}
            _LOGGER.info("%s", step_line(trainer.iter + 1, trainer.max_iter, values))


def step_line(done: int, last: int, values: Mapping[str, float]) -> str:
    """Losses, rates, seconds a step, memory and time left, as far as they are among the scalars ``values``."""
    told = [
        ", ".join(f"{name} {value:.4g}" for name, value in values.items() if not name.startswith(WATCHED)),
        "rates " + ", ".join(f"{n.removeprefix(RATE)} {v:.3g}" for n, v in values.items() if n.startswith(RATE)),
    ]
    if (seconds := values.get(f"{WATCHED}step_seconds")) is not None:
        told.append(f"{seconds:.3f} s a step, {values[f'{WATCHED}data_seconds']:.3f} of them for data")
        told.append(f"peak {values[f'{WATCHED}peak_memory_mib']:.0f} MiB")
    if (left := values.get(f"{WATCHED}seconds_left")) is not None:
        told.append(f"{clock(left)} left")
    return f"iteration {done}/{last}: {'; '.join(told)}"


def evaluation_line(
    done: int, last: int, scores: Scores, before: Scores | None, criteria: Mapping[str, float]
) -> str:
    """The student's mIoU, and the classes whose IoU moved most since the evaluation ``before``, where there was one."""
    told = [f"{HEADLINE} {_percent(scores.headline)}"]
    told += [f"{name} {value:.4g}" for name, value in criteria.items()]
    if before is not None:
        told[0] += f" ({_percent(_difference(scores.headline, before.headline), '+')})"
        old, new = (each.by_class.get(CLASS_IOU, {}) for each in (before, scores))
        moves = {name: move for name in new if (move := _difference(new[name], old.get(name))) is not None}
        moved = [name for name in moves if abs(moves[name]) >= _LEAST_MOVE]
        most = sorted(moved, key=lambda name: -abs(moves[name]))[:_CLASSES_TOLD]
        shown = [f"{name} {moves[name]:+.1f} to {new[name]:.1f}" for name in most]
        told.append(f"moved most: {', '.join(shown) or 'no class'}")
    return f"evaluation {done}/{last}: {'; '.join(told)}"


def _percent(value: float | None, sign: str = "") -> str:
    return "none" if value is None else f"{value:{sign}.1f}"


def _difference(value: float | None, before: float | None) -> float | None:
    return None if value is None or before is None else value - before


class _LogFile(logging.FileHandler):
    """A full disk ends a run by its metrics or its checkpoint, not by a line of its log."""

    def handleError(self, record: logging.LogRecord) -> None:
        pass

    def close(self) -> None:
        with suppress(OSError):
            super().close()


def _for_terminal(entry: logging.LogRecord) -> bool:
    """Warnings of ours. The errors that end a run are told with its end."""
    folder = entry.name.split(".")[0]
    return folder in ("datasets", "methods") or (folder == "benchmarks" and entry.levelno == logging.WARNING)
