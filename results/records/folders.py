"""Where the runs below a folder are, through links too."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from results.files.errors import ResultsError
from results.records.examples import FOLDER as EXAMPLES
from results.records.record import FILE


@dataclass
class RunFolders:
    """Folders that have a record, and what was not looked into.

    Attributes:
        folders: sorted. A folder that several names lead to is there once, by its own name where it has one.
        repeated: links to folders that were found already, circles among them.
        nowhere: links that lead nowhere.
        unreadable: folders that this user cannot list.
    """

    folders: list[Path] = field(default_factory=list)
    repeated: list[Path] = field(default_factory=list)
    nowhere: list[Path] = field(default_factory=list)
    unreadable: list[Path] = field(default_factory=list)

    @property
    def left_out(self) -> str:
        """One line that counts what was not looked into and names the first of each kind; "" for nothing."""
        kinds = (
            (self.repeated, "linked folders that are here by another name"),
            (self.nowhere, "links that lead nowhere"),
            (self.unreadable, "folders that cannot be read"),
        )
        told = [f"{len(paths)} {what} (such as {paths[0]})" for paths, what in kinds if paths]
        return f"left out: {', '.join(told)}" if told else ""


def run_folders(path: str | Path) -> RunFolders:
    """Every folder at or below ``path`` that has a record; links are followed, hidden folders hold no runs.

    Raises:
        ResultsError: there is no such folder.
    """
    start = Path(path)
    if not start.is_dir():
        raise ResultsError(f"{path}: no such folder, expected one that holds run folders")
    found, seen = RunFolders(), set[tuple[int, int]]()
    # Links last, level by level, so that a run is told by its own name.
    waiting = list(_walk(start, found, seen))
    while waiting:
        further: list[Path] = []
        for link in sorted(waiting):
            try:
                status = link.stat()
            except OSError:  # a link to itself, too
                found.nowhere.append(link)
                continue
            if (status.st_dev, status.st_ino) in seen:
                found.repeated.append(link)
            else:
                further += _walk(link, found, seen)
        waiting = further
    found.folders.sort(key=lambda folder: folder.parts)
    return found


def _walk(start: Path, found: RunFolders, seen: set[tuple[int, int]]) -> Iterator[Path]:
    """Add the folders at and below ``start``; yields the links that are to be followed."""
    unlisted: list[Path | os.DirEntry[str]] = [start]  # entries of folders are the cheaper ones
    while unlisted:
        folder = unlisted.pop()
        try:
            status = folder.stat()
            with os.scandir(folder) as entries:
                inside = list(entries)
        except OSError:
            found.unreadable.append(Path(folder))
            continue
        if (status.st_dev, status.st_ino) in seen:  # in a linked folder, one that was found before
            found.repeated.append(Path(folder))
            continue
        seen.add((status.st_dev, status.st_ino))
        own = EXAMPLES if any(entry.name == FILE for entry in inside) else ""  # a hundred pictures, and no runs
        for entry in inside:
            if entry.is_dir(follow_symlinks=False):
                if not entry.name.startswith(".") and entry.name != own:
                    unlisted.append(entry)
            elif entry.name == FILE and not entry.is_dir():
                found.folders.append(Path(folder))
            elif entry.is_symlink() and not entry.name.startswith("."):
                link = Path(entry)
                if link.is_dir() or not link.exists():  # to a file: no run
                    yield link
