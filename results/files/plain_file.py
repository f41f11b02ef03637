"""Files of folders that others may have made: plain files alone are read, and nothing is written through a link."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

MOST_BYTES = 64 * 2**20  # of a file that is read whole; records and configs have some ten thousand
_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFLNK: "a link",
}


def what_else(mode: int) -> str:
    """What a file is by the mode of `os.stat`, such as ``"a pipe"``; "" for a plain file."""
    return "" if stat.S_ISREG(mode) else _KINDS.get(stat.S_IFMT(mode), "of an unknown kind")


def read_plain(path: Path, most: int = MOST_BYTES) -> bytes:
    """The content of a plain file, or of one that a link leads to: a pipe would not end, nor would ``/dev/zero``.

    Raises:
        FileNotFoundError: there is none.
        OSError: it is no plain file, of more than ``most`` bytes, or cannot be read; ``strerror`` says which.
    """
    _check_plain(path, path.stat().st_mode)  # before it is opened: some devices act upon that
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        status = os.fstat(handle)
        _check_plain(path, status.st_mode)
        # Mostly at once: a file object would first make room for the most that it may have.
        content, at_once = b"", min(max(status.st_size, 2**14), most) + 1
        while len(content) <= most and (more := os.read(handle, at_once)):
            content += more
    finally:
        os.close(handle)
    if len(content) > most:
        size = f"{most // 2**20} MiB" if most >= 2**20 else f"{most} bytes"
        raise OSError(errno.EFBIG, f"more than {size}", str(path))
    return content


def read_plain_text(path: Path, most: int = MOST_BYTES, errors: str = "strict") -> str:
    """Read as `read_plain`, decoded from UTF-8; a UnicodeDecodeError (a ValueError) where it is none and that is one.

    Ends of lines are as `Path.read_text` gives them.
    """
    return read_plain(path, most).decode("utf-8", errors).replace("\r\n", "\n").replace("\r", "\n")


def create_plain(path: Path, mode: int = 0o666) -> BinaryIO:
    """A new, empty file in place of what has this name, which is removed: a link, not what it leads to.

    ``mode``: of the file, less what the user's umask takes.

    Raises:
        OSError: it cannot be made, as where a folder has the name.
    """
    with suppress(FileNotFoundError):
        path.unlink()
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode), "wb")


@contextmanager
def replacing(path: Path, mode: int = 0o666) -> Iterator[BinaryIO]:
    """A new file under a temporary name beside ``path``, whose place it takes at the block's end: whole or not at all.

    A link of either name is replaced, not followed; after an error nothing of it is left. ``mode``: as of
    `create_plain`. Raises OSError where it cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with create_plain(temporary, mode) as file:
            yield file
        temporary.replace(path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)  # half a file, on a full disk
        raise


def only_plain(path: Path) -> str:
    """Make ``path`` a name that can be appended to: what is no plain file is removed; returns what that was, or "".

    Raises:
        OSError: a folder has the name, or it cannot be removed.
    """
    try:
        what = what_else(path.lstat().st_mode)
    except FileNotFoundError:
        return ""
    if what:
        path.unlink()
    return what


def _check_plain(path: Path, mode: int) -> None:
    if what := what_else(mode):
        raise OSError(errno.EISDIR if stat.S_ISDIR(mode) else errno.EINVAL, f"it is {what}, no plain file", str(path))
