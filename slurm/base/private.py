"""Folders for what processes of one user exchange: who else could put a file there could have it executed."""

from __future__ import annotations

import os
import stat
import uuid
from pathlib import Path

from slurm.base.errors import LauncherError


def private_name() -> str:
    """A name that nobody can know before: 16 hexadecimal digits."""
    return uuid.uuid4().hex[:16]


def make_private(folder: Path) -> None:
    """Make ``folder``, which must not be there yet, for this user alone (mode 0700), and the folders above it.

    Raises:
        LauncherError: it is there already, cannot be made, or is not of this user.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700)
        found = folder.lstat()
    except OSError as error:
        raise LauncherError(f"{folder}: the folder cannot be made ({error.strerror})") from None
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) & 0o077:
        raise LauncherError(f"{folder}: expected a folder of this user alone; others can write where its files go")
