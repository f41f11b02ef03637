"""Which images a command line names, and what the files that are made of them are called."""

from __future__ import annotations

import fnmatch
import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePath
from typing import NamedTuple

from benchmarks.core.errors import ConfigError
from datasets.files.walking import told_circles, walk

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
"""What counts as an image in a folder; a file that is named itself can have any suffix."""

_WILD = re.compile(r"[*?\[]")


class Found(NamedTuple):
    """The images that a command line names, and what of it was left out, a line each."""

    images: list[Path]
    left_out: list[str]


def find_images(words: Sequence[str], left_out: Path) -> Found:
    """The images that files, folders (with all below them) and patterns such as "a/**/*.png" name, each once.

    A path that exists is no pattern, and neither is a part of a pattern that does: "set [a]/*.png" are the files of the
    folder of that name. Links are followed, and what cannot be is told (`datasets.files.walking.walk`).

    ``left_out``: a folder whose files are not taken from folders and patterns, since results are written there.

    Raises:
        ConfigError: a word that names no image.
    """
    found: dict[Path, Path] = {}
    walker = _Walker()
    for word in words:
        path = Path(word)
        if word and path.exists() and not path.is_dir():
            images = [path]
        else:
            matches = [path] if word and path.is_dir() else list(_matches(word, walker))
            if not matches:
                raise ConfigError(f"{word!r}: no such file, expected an image, a folder of images or a pattern")
            below = left_out.resolve()
            images = [image for image in _images(matches, walker) if below not in image.resolve().parents]
            if not images:
                raise ConfigError(f"{word!r}: holds no image, expected files of {', '.join(SUFFIXES)}")
        for image in images:
            found.setdefault(image.resolve(), image)
    return Found(list(found.values()), walker.left_out())


class _Walker:
    """Walks through folders and remembers what it had to leave out."""

    def __init__(self) -> None:
        self._circles: dict[Path, None] = {}
        self._unreadable: dict[Path, str] = {}

    def folders(self, start: Path) -> Iterator[tuple[Path, list[str]]]:
        return walk(start, self._not_listed, lambda path: self._circles.setdefault(path))

    def left_out(self) -> list[str]:
        lines = [f"{path}, which cannot be listed ({why})" for path, why in self._unreadable.items()]
        return lines + ([told_circles(list(self._circles))] if self._circles else [])

    def _not_listed(self, path: Path, error: OSError) -> None:
        self._unreadable[path] = error.strerror or str(error)


def _matches(pattern: str, walker: _Walker) -> Iterator[Path]:
    """The paths that a pattern matches; "**" is any folders, none as well."""
    parts = Path(pattern).parts
    yield from _below(Path(), parts, walker) if parts else ()


def _below(base: Path, parts: Sequence[str], walker: _Walker) -> Iterator[Path]:
    if not parts:
        yield base
        return
    part, rest = parts[0], parts[1:]
    if os.path.lexists(base / part):
        yield from _below(base / part, rest, walker)
    elif part == "**":
        for folder, _ in walker.folders(base):
            yield from _below(folder, rest, walker)
    elif _WILD.search(part):
        for name in _names(base):
            if fnmatch.fnmatchcase(name, part) and (part.startswith(".") or not name.startswith(".")):
                yield from _below(base / name, rest, walker)


def _names(folder: Path) -> list[str]:
    try:
        return sorted(entry.name for entry in folder.iterdir())
    except OSError:  # no folder, or one whose files cannot be named
        return []


def _images(matches: Iterable[Path], walker: _Walker) -> Iterator[Path]:
    for match in matches:
        if match.is_dir():
            files = [folder / name for folder, names in walker.folders(match) for name in names]
        else:
            files = [match]
        # Archives made on a Mac leave "._a.png" beside "a.png".
        yield from (file for file in files if file.suffix.lower() in SUFFIXES and not file.name.startswith("."))


def output_names(images: Sequence[Path]) -> list[PurePath]:
    """A name without suffix for what is made of each image, no two the same: "a", or "x/a" and "y/a" where needed.

    Names are the images' own without suffix; images of one name get as many folders before it as tell them apart, and
    two of one folder keep their suffix ("a.png", "a.jpg"). Upper and lower case do not tell them apart: not every file
    system does.

    Raises:
        ConfigError: two images whose names would still be the same.
    """
    paths = [image.resolve() for image in images]
    twins = Counter(_key(path.with_suffix("")) for path in paths)
    full = [path if twins[_key(path.with_suffix(""))] > 1 else path.with_suffix("") for path in paths]
    parts = [path.parts for path in full]
    kept = [1] * len(paths)
    while clashes := _clashes([PurePath(*part[-k:]) for part, k in zip(parts, kept, strict=True)]):
        grown = [index for group in clashes for index in group if kept[index] < len(parts[index]) - 1]
        if not grown:
            first, second = clashes[0][:2]
            raise ConfigError(f"{images[first]} and {images[second]}: their results have the same name; give one")
        for index in grown:
            kept[index] += 1
    return [PurePath(*part[-k:]) for part, k in zip(parts, kept, strict=True)]


def _clashes(names: Sequence[PurePath]) -> list[list[int]]:
    groups = defaultdict(list)
    for index, name in enumerate(names):
        groups[_key(name)].append(index)
    return [group for group in groups.values() if len(group) > 1]


def _key(path: PurePath) -> str:
    return path.as_posix().casefold()
