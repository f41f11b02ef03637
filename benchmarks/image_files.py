"""Which images a command line names, and what the files that are made of them are called."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePath

from benchmarks.errors import ConfigError

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
"""What counts as an image in a folder; a file that is named itself can have any suffix."""


def find_images(words: Sequence[str], left_out: Path) -> list[Path]:
    """The images that files, folders (with all below them) and patterns such as "a/**/*.png" name, each once.

    ``left_out``: a folder whose files are not taken from folders and patterns, since results are written there.

    Raises:
        ConfigError: a word that names no image.
    """
    found: dict[Path, Path] = {}
    for word in words:
        path = Path(word)
        if path.is_file():
            images = [path]
        else:
            matches = [path] if word and path.is_dir() else _matches(path)
            if not matches:
                raise ConfigError(f"{word!r}: no such file, expected an image, a folder of images or a pattern")
            below = left_out.resolve()
            images = [image for image in _images(matches) if below not in image.resolve().parents]
            if not images:
                raise ConfigError(f"{word!r}: holds no image, expected files of {', '.join(SUFFIXES)}")
        for image in images:
            found.setdefault(image.resolve(), image)
    return list(found.values())


def _matches(pattern: Path) -> list[Path]:
    root = Path(pattern.anchor)
    try:
        return sorted(root.glob(str(pattern.relative_to(root))))
    except (ValueError, IndexError, NotImplementedError):  # no pattern at all, as "" or "a**"
        return []


def _images(matches: Iterable[Path]) -> list[Path]:
    files = [file for match in matches for file in (sorted(match.rglob("*")) if match.is_dir() else [match])]
    # Archives made on a Mac leave "._a.png" beside "a.png".
    return [file for file in files if file.suffix.lower() in SUFFIXES and not file.name.startswith(".")]


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
            raise ConfigError(f"{images[first]} and {images[second]}: their results would have one name; give one")
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
