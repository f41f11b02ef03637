"""Names of what is being made, under which it is not yet trusted, and the removal of what dead makers left."""

from __future__ import annotations

import os
import re
import shutil
import socket
import time
import uuid
from contextlib import suppress
from pathlib import Path

_DAY = 24 * 3600.0
_MADE = re.compile(r"\..+-(?P<host>[\w.]+)-(?P<pid>\d+)-[0-9a-f]{12}\.part")
_FORMER = re.compile(r"\.(streets-.+|.+\.npz)-[0-9a-f]{12}\.part")  # of earlier versions: they told no maker


def scratch_beside(target: Path) -> Path:
    """A hidden name in the folder of ``target`` that no other maker has: it tells this process and its machine."""
    return target.with_name(f".{target.name.lstrip('.')}-{_host()}-{os.getpid()}-{uuid.uuid4().hex[:12]}.part")


def remove_leftovers(folder: Path) -> None:
    """Remove from ``folder`` what makers of `scratch_beside` names left that have died.

    Of another machine's, and of those that earlier versions named, it is not known whether they live: what nobody has
    written to for a day is left over.
    """
    with suppress(OSError):
        for path in folder.iterdir():
            if _left(path):
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    with suppress(OSError):
                        path.unlink()


def _left(path: Path) -> bool:
    made = _MADE.fullmatch(path.name)
    if made is None and not _FORMER.fullmatch(path.name):
        return False
    if made is None or made["host"] != _host():
        with suppress(OSError):
            return time.time() - max(each.lstat().st_mtime for each in (path, *path.rglob("*"))) > _DAY
        return False
    try:
        os.kill(int(made["pid"]), 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        pass  # somebody else's, so it lives
    return False


def _host() -> str:
    """This machine's name, with the process ids' space: two containers may have the same name and ids."""
    space = ""
    with suppress(OSError):
        space = "." + "".join(filter(str.isdigit, os.readlink("/proc/self/ns/pid")))  # noqa: PTH115
    return re.sub(r"[^A-Za-z0-9.]", "_", socket.gethostname()) + space
