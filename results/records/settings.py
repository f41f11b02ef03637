"""The keys of a run's config.yaml, read so that ten thousand runs take little: what has the same text is read once."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from results.files.bounded_yaml import is_plain, load
from results.files.errors import ResultsError
from results.files.mapped import mapped
from results.files.plain_file import read_plain_text

_PART = re.compile(r"^(?=\w+:\s)", re.MULTILINE)  # where a key begins at the left margin
_OTHER_LINE = re.compile(r"^(?!\w+:\s|- | )", re.MULTILINE)  # neither a key, nor in its list or value
_LESS_INDENTED = re.compile(r"\n(?!  |\Z)")
_OTHER_BREAK = re.compile("[\x85\u2028\u2029]")  # which YAML takes for ends of lines, too
_OF_EACH_RUN = ("METHOD", "SEED")  # in which runs of one table differ most
_WORD = re.compile(r"\n\w+: ([\w.+-]+)(?=\n\w)")  # a value of one line, before another key
_ANY = "0"  # stands for it


class Settings(NamedTuple):
    """The flat keys of a config: those that others share, one object for all, and those of this run, which come first.

    They are apart since of ten thousand runs most differ in little.
    """

    shared: dict[str, Any]
    own: dict[str, Any]

    @property
    def every(self) -> dict[str, Any]:
        """All of them, in their order."""
        return {**self.shared, **self.own}


def run_settings(folder: Path) -> dict[str, Any]:
    """The flat keys of a run folder's config.yaml, as ``{"SOLVER.ITERS": 400}``; none where there is no such file.

    Raises:
        ResultsError: it is no YAML of keys.
    """
    return _read(folder).every


def _read(folder: Path) -> Settings:
    path = folder / "config.yaml"
    try:
        return settings_in(read_plain_text(path))
    except FileNotFoundError:
        return Settings({}, {})
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ResultsError(f"{path}: expected YAML ({' '.join(str(error).split())})") from None


def settings_of(folders: Sequence[str], say: Callable[[str], None]) -> Iterator[Settings]:
    """The settings of each run folder, in their order; of one that cannot be read none, and ``say`` gets the error."""
    for found in mapped(_settings_or_error, folders):
        if isinstance(found, ResultsError):
            say(str(found))
        yield Settings({}, {}) if isinstance(found, ResultsError) else found


def _settings_or_error(folder: str) -> Settings | ResultsError:
    try:
        return _read(Path(folder))
    except ResultsError as error:
        return error


def settings_in(text: str) -> Settings:
    """The flat keys of a config's text, the same whether it is read part by part or whole.

    Raises:
        yaml.YAMLError, ValueError: it is no YAML of keys, or beyond a bound.
    """
    if text.isascii() or not _OTHER_BREAK.search(text):
        try:
            return _shared_and_own(text)
        except (ValueError, yaml.YAMLError):
            pass  # whatever it is, the whole text tells
    content = load(text)
    if not isinstance(content, dict):
        raise ValueError(f"expected config keys, found {content!r:.60}")
    return Settings(_flat(content, ""), {})


def _shared_and_own(text: str) -> Settings:
    """The flat keys by parts; method and seed are a run's own. ValueError where the text is not plain."""
    own: dict[str, Any] = {}
    for name in _OF_EACH_RUN:
        at = text.find(f"\n{name}: ")
        if at >= 0 and (word := _WORD.match(text, at)):
            own |= _part(f"{name}: {word[1]}\n")
            text = f"{text[:word.start(1)]}{_ANY}{text[word.end(1):]}"
    return Settings(_plain(text), own)


@lru_cache(maxsize=2_000)
def _plain(text: str) -> dict[str, Any]:
    if not is_plain(text):
        raise ValueError("expected no anchors and few levels")
    return _by_parts(text)


def _by_parts(text: str) -> dict[str, Any]:
    """The flat keys of a block of keys at the left margin; ValueError where it may be something else."""
    parts = _PART.split(text)
    if parts.pop(0) or _OTHER_LINE.search(text.removesuffix("\n")):
        raise ValueError("expected keys at the left margin")
    if len({part.partition(":")[0] for part in parts}) < len(parts):
        raise ValueError("a key comes twice")
    flat: dict[str, Any] = {}
    for part in parts:
        flat.update(_part(part))
    return flat


@lru_cache(maxsize=20_000)
def _part(text: str) -> dict[str, Any]:
    """The flat keys of one key and its value. Of a mapping again by parts: two runs differ in some of its lines."""
    name, _, value = text.partition(":")
    if value.startswith("\n  ") and not _LESS_INDENTED.search(value):
        inner = value[1:].removeprefix("  ").replace("\n  ", "\n")
        if _PART.match(inner):
            return {f"{name}.{key}": each for key, each in _by_parts(inner).items()}
    content = load(text)
    # A name that stands for something else, as yes does, may be another's.
    if not isinstance(content, dict) or list(content) != [name]:
        raise ValueError(f"expected {name} alone")
    return _flat(content, "")


def _flat(node: dict[str, Any], prefix: str) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in node.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat
