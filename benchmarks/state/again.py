"""A run that is made again (``--force``): in a hidden folder beside what is there, put in its place when it is over.

What is there stays whole until the new one is finished, or has diverged. A kill at any moment leaves one of: the old
run; the old run, and the new one whole beside it; a record that says "running", which the next look puts right.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from benchmarks.state.lock import locked
from results.records.record import (
    FILE,
    RUNNING,
    Record,
    read_record,
    record_or_none,
    write_record,
    write_text,
)
from results.tables.run_index import note_in_index

_AGAIN = ".again"  # in the run folder, while the new one is made
_WHOLE = ".again-whole"  # the same, from when it is over until it has taken the old one's place
_NAMES = ".names"  # in it: what it holds
_LOCK = ".lock"  # and what stands beside it for a moment


def begin(folder: Path) -> Path:
    """The folder to make a run anew in: the run's own where it holds nothing, else an empty one in it.

    What an earlier one, that was not finished, left there is removed. The caller holds the lock of ``folder``.
    """
    remove(folder / _AGAIN)
    if not any(_is_ours(path) for path in folder.iterdir()):
        return folder
    (folder / _AGAIN).mkdir()
    return folder / _AGAIN


def newest(folder: Path) -> Path:
    """The folder of the newer of a run's two makings, as last seen: ``folder`` itself where there is no other."""
    return folder / _AGAIN if _is_folder(folder / _AGAIN) else folder


def newest_record(folder: Path) -> Record | None:
    """The record of `newest`; None where it has none, or one that cannot be read."""
    return record_or_none(newest(folder))


def settle(folder: Path) -> None:
    """Let a new making that is over take the place of the run. The caller holds the lock of ``folder``.

    It goes on with what a killed process left of this. Links are removed or renamed, nothing behind them is touched.
    """
    again, whole = folder / _AGAIN, folder / _WHOLE
    if not _is_folder(whole):
        record = newest_record(folder)
        if newest(folder) == folder or record is None or not record.is_over:
            return
        write_text(again / _NAMES, json.dumps([path.name for path in again.iterdir() if path.name != _NAMES]))
        again.rename(whole)  # from here on there is no way back
    names = _names(whole)
    if (whole / FILE).exists():
        record = read_record(whole) or Record.of({"status": RUNNING})
        # No reader takes what it finds meanwhile for a whole run.
        write_record(folder, record.changed(status=RUNNING, result=None))
        for path in folder.iterdir():
            if _is_ours(path) and path.name not in names:
                remove(path)
        for name in sorted(names, key=lambda name: name == FILE):  # the record comes last
            if (whole / name).is_symlink() or (whole / name).exists():
                if _is_folder(folder / name):
                    remove(folder / name)
                (whole / name).replace(folder / name)
    remove(whole)
    note_in_index(folder)


def settle_if_any(folder: Path) -> None:
    """`settle` under the run's lock, where there is something to settle. Raises RunLocked."""
    if _is_folder(folder / _WHOLE) or _is_folder(folder / _AGAIN):
        with locked(folder):
            settle(folder)


def _names(whole: Path) -> list[str]:
    """What it holds or held; of names that lead elsewhere none, as they are of no run."""
    try:
        found = [str(name) for name in json.loads((whole / _NAMES).read_text(encoding="utf-8"))]
    except (OSError, ValueError, TypeError):
        found = [path.name for path in whole.iterdir()]
    plain = [name for name in found if name == Path(name).name and name not in ("", "..", _NAMES)]
    return [name for name in plain if _is_ours(whole / name)]


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def remove(path: Path) -> None:
    """Remove a file, a folder with all in it, or a link but not what it leads to; nothing where there is nothing."""
    if _is_folder(path):
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _is_ours(path: Path) -> bool:
    """Whether it is part of a run, and neither its lock nor another making of it."""
    return not path.name.startswith(_LOCK) and path.name not in (_AGAIN, _WHOLE)
