"""What stands under the names that a run writes in its folder, which may have come from anybody."""

from __future__ import annotations

import stat
from pathlib import Path

from results.files.plain_file import what_else

_APPENDED = ("log.txt", "log-rank*.txt", "metrics.json", "events.out.tfevents.*")
# Here a link is replaced, not followed. last_checkpoint is not among them: a run goes on without.
_REPLACED = ("record.json", "config.yaml", "code.diff", "counts-student.npz", "counts-teacher.npz", "examples/*")
_CHECKPOINTS = "model_*.pth"  # read through a link, too: they are large, and may lie on another disk


def unfit_file(folder: Path) -> str:
    """What a run would write through, wait for, or fail at, in one line; it is left as it is. "" where all is well.

    That is a link, a pipe, a device or a folder under the name of a file that is appended to; a folder under that of
    one that is replaced; a checkpoint that leads to anything but a plain file.
    """
    for pattern in (*_APPENDED, *_REPLACED, _CHECKPOINTS):
        for path in sorted(folder.glob(pattern)):
            mode = path.lstat().st_mode
            is_replaced = pattern in _REPLACED and not stat.S_ISDIR(mode)
            is_linked = pattern == _CHECKPOINTS and stat.S_ISLNK(mode) and (path.is_file() or not path.exists())
            if (what := what_else(mode)) and not is_replaced and not is_linked:
                return f"{path} is {what}, expected a plain file; remove it to go on with the run"
    return ""
