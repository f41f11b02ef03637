"""All files below a folder, by one rule: links are followed, circles are cut, and what is left out is said."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

Unreadable = Callable[[Path, OSError], None]
"""Told of a folder that cannot be listed."""

_Known = tuple[int, int]  # device and inode: one folder, by whatever path


def walk(start: Path, unreadable: Unreadable, circle: Callable[[Path], None]) -> Iterator[tuple[Path, list[str]]]:
    """`start` and each folder below it, with the names of what lies in it and is no folder; in the order of names.

    A link to a folder is followed. One that leads back to a folder that it lies in, `start`'s own parents included, is
    told to `circle` and left out, since its files are listed already or lie outside; a folder that cannot be listed is
    told to `unreadable`. Names that begin with a dot are left out: archives made on a Mac leave "._1.png" beside
    "1.png". No file is opened.
    """
    pending = [(start, _above(start))]
    while pending:
        folder, above = pending.pop()
        try:
            here = above | {_known(folder)}
            folders, files = _listed(folder)
        except OSError as error:
            unreadable(folder, error)
            continue
        yield folder, files
        below = []
        for name in folders:
            try:
                lies_in = _known(folder / name) in here
            except OSError as error:
                unreadable(folder / name, error)
                continue
            if lies_in:
                circle(folder / name)
            else:
                below.append((folder / name, here))
        pending += reversed(below)


def told_circles(circles: Sequence[Path]) -> str:
    """How many links lead in a circle, and which, in words."""
    shown = ", ".join(map(str, circles[:3])) + (", ..." if len(circles) > 3 else "")
    return f"{len(circles)} link{'s' * (len(circles) > 1)} to a folder that it lies in: {shown}"


def _listed(folder: Path) -> tuple[list[str], list[str]]:
    folders: list[str] = []
    files: list[str] = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if not entry.name.startswith("."):
                (folders if _is_folder(entry) else files).append(entry.name)
    return sorted(folders), sorted(files)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself: whoever opens it says so
        return False


def _above(start: Path) -> frozenset[_Known]:
    """The folders that `start` lies in."""
    known = set()
    for folder in start.resolve().parents:
        try:
            known.add(_known(folder))
        except OSError:  # not to be seen, and so not led to either
            continue
    return frozenset(known)


def _known(folder: Path) -> _Known:
    status = folder.stat()
    return status.st_dev, status.st_ino
