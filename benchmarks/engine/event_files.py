"""TensorBoard's event files of a run: one a session, whose name sorts after those of the sessions before."""

from __future__ import annotations

import re
from pathlib import Path

from detectron2.config import CfgNode
from detectron2.utils.events import TensorboardXWriter
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.summary.writer.record_writer import RecordWriter
from torch.utils.tensorboard.summary import hparams

from benchmarks.config.run_id import decisive
from benchmarks.config.stored_config import stored
from results.files.plain_file import create_plain
from results.records.scores import HEADLINE, STUDENT

_OPENING = ".opening"  # ends the name of the file that torch's writer begins with
_NAME = re.compile(r"events\.out\.tfevents\.(\d{10})\.(.+)")


class EventFiles(TensorboardXWriter):
    """TensorboardXWriter whose file comes last by name, and which leaves nothing in memory, where a kill would lose it.

    TensorBoard reads the files of a folder by name, and names begin with the time: what a machine writes whose clock is
    behind that of the session before, or in the same second, would come too early and not be shown.
    """

    def __init__(self, folder: Path, purge_step: int, cfg: CfgNode) -> None:
        """Write to files whose former lines are void from iteration ``purge_step`` on.

        The config comes first, as text, and as hyperparameters what makes the run another than the default.
        """
        _remove_opening(folder)  # a killed process left it
        super().__init__(str(folder), filename_suffix=_OPENING)
        writer = self._writer.file_writer
        writer.event_writer.close()
        writer.event_writer = _EventFile(_last_name(folder))  # torch's own name has the time, whatever is there
        _remove_opening(folder)
        writer.add_event(Event(file_version="brain.Event:2"))
        writer.add_event(Event(session_log=SessionLog(status=SessionLog.START)), purge_step)
        self._writer.add_text("config", "".join(f"    {line}\n" for line in stored(cfg).splitlines()), purge_step)
        # TensorBoard shows the last score of the run beside them.
        for summary in hparams(hyperparameters(cfg), {f"{STUDENT}/{HEADLINE}": 0.0}):
            writer.add_summary(summary)

    def write(self) -> None:
        super().write()
        self._writer.flush()


class _EventFile:
    """A file of events, with the interface of tensorboard's ``EventFileWriter`` but for its choice of a name."""

    def __init__(self, path: Path) -> None:
        self._folder = str(path.parent)
        self._records = RecordWriter(create_plain(path))
        self.flush, self.close = self._records.flush, self._records.close

    def get_logdir(self) -> str:
        return self._folder

    def add_event(self, event: Event) -> None:
        self._records.write(event.SerializeToString())


def hyperparameters(cfg: CfgNode) -> dict[str, str | int | float | bool]:
    """What decides a run's numbers and is not the default (`benchmarks.config.run_id.decisive`), and its seed."""
    values = {"SEED": cfg.SEED} | decisive(cfg)
    return {key: value if isinstance(value, (str, int, float)) else str(value) for key, value in values.items()}


def _remove_opening(folder: Path) -> None:
    for path in folder.glob(f"events.out.tfevents.*{_OPENING}"):
        path.unlink()


def _last_name(folder: Path) -> Path:
    """The name of the opening file, with a later second than the other files' where it is not later by itself."""
    found = [match for path in folder.iterdir() if (match := _NAME.fullmatch(path.name))]
    (own,) = [match for match in found if match[2].endswith(_OPENING)]
    seconds = max([int(own[1]), *(int(other[1]) + 1 for other in found if other is not own)])
    return folder / f"events.out.tfevents.{seconds:010d}.{own[2].removesuffix(_OPENING)}"
