"""What is published of a run, without the machine that made it: no paths, user names, host names or environment."""

from __future__ import annotations

import getpass
import os
import re
import socket
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path, PurePath
from typing import Any

from benchmarks.config.keys import PATH_KEYS
from results.files.text import clean

PATH, ADDRESS, NAME, VALUE = "<path>", "<address>", "<name>", "<value>"
_QUOTED = re.compile(r"""(["'])(?:file://)?(?:[/~\\]|\.\.[/\\]|[A-Za-z]:[/\\])[^"'\n]*\1""")
_URL = re.compile(r"\b(?!detectron2:)[A-Za-z][A-Za-z0-9+.-]*://[^\s'\"<>]+")
_AT = re.compile(r"(?<![\w/.@-])[\w.+-]+@[\w.-]+(?::[^\s'\"]*)?")  # mail, user@host:path; not hf:owner/name@revision
_NUMBERS = re.compile(r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?(?![\w.])")
_VARIABLE = re.compile(r"(?<![\w.])([A-Z][A-Z0-9_]{2,})=\S+")
_ABSOLUTE = re.compile(r"(?<![\w.:/~<>-])(?:~[\w.-]*|\.\.|[A-Za-z]:)?[/\\](?=[\w.~*?+-])[^\s'\",;:()\[\]{}<>|]*")
_HOLDER = re.compile(r"(\bprocess \d+ on )[^\s,;()]+(, job [\w.-]+)?")  # `benchmarks.state.lock_holder.Holder`
_COMMON = {"root", "user", "home", "localhost", "admin"}  # say nothing, and are words of every log
# Of a record, what is ours to say and is nobody's: a method that is called like a user keeps its name.
_KEPT = ("id", "spec", "status", "data", "git", "versions", "result", "validation", "plugins", "weights")
_PLACES = {*PATH_KEYS, "PROTOCOL_FILE"} - {"WEIGHTS"}


def clean_text(text: str, paths: Iterable[str] = ()) -> str:
    """A text without addresses, paths, values of variables, and names of this user and this machine.

    ``paths``: those that are known to be in it, of which no part is left where they have blanks.
    """
    text = clean(text)
    for path in sorted({each for each in paths if len(each) > 1}, key=len, reverse=True):
        text = re.sub(rf"{re.escape(path)}[^\s'\",;:]*", PATH, text)
    text = _QUOTED.sub(rf"\g<1>{PATH}\g<1>", _URL.sub(ADDRESS, text))
    text = _VARIABLE.sub(rf"\g<1>={VALUE}", _AT.sub(ADDRESS, text))
    text = _HOLDER.sub(rf"\g<1>{NAME}", _ABSOLUTE.sub(PATH, _NUMBERS.sub(ADDRESS, text)))
    return re.sub(rf"(?<!\w)(?:{'|'.join(map(re.escape, _names()))})(?!\w)", NAME, text) if _names() else text


def clean_record(content: Mapping[str, Any], paths: Iterable[str] = ()) -> dict[str, Any]:
    """A record's content without what is of the machine; the numbers of a SLURM are nobody's business either."""
    known = list(paths)
    found = {key: value if key in _KEPT else _walked(value, known) for key, value in content.items()}
    return found | ({"job": None} if "job" in found else {})


def clean_config(content: Mapping[str, Any], paths: Iterable[str] = ()) -> dict[str, Any]:
    """A config's content; of a path the last name is left, which a reader can put below a folder of their own."""
    known = list(paths)

    def cleaned(key: str, value: Any) -> Any:
        if isinstance(value, Mapping):
            return {name: cleaned(f"{key}.{name}" if key else str(name), each) for name, each in value.items()}
        if key == "DATA.ROOT":
            return ""
        if isinstance(value, str) and key == "WEIGHTS":
            return last_name(value)
        if isinstance(value, str) and key in _PLACES:
            return last_name(value)
        return _walked(value, known)

    found: dict[str, Any] = cleaned("", content)
    return found


def last_name(path: str) -> str:
    """The last name of a path that leads out of where it is read; what lies below, or is no path, as it is."""
    outside = path.startswith(("/", "~", "\\")) or ".." in PurePath(path).parts or re.match(r"[A-Za-z]:[/\\]", path)
    return re.split(r"[/\\]", path.rstrip("/\\"))[-1] if outside else path


def paths_of(cfg: Mapping[str, Any], folder: Path) -> list[str]:
    """The paths that a run is known to have been made by: its folder's, the user's, and those in its config."""
    here = [folder.absolute(), folder.resolve(), Path.cwd(), Path(__file__).parents[2]]
    with suppress(RuntimeError):
        here.append(Path.home())
    return [*map(str, here), *(each for each in _strings(cfg) if last_name(each) != each)]


def _strings(value: Any) -> Iterable[str]:
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        for each in value:
            yield from _strings(each)
    elif isinstance(value, str):
        yield value


def _walked(value: Any, paths: list[str]) -> Any:
    if isinstance(value, Mapping):
        return {key: _walked(each, paths) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_walked(each, paths) for each in value)
    return clean_text(value, paths) if isinstance(value, str) else value


@cache
def _names() -> tuple[str, ...]:
    """What this user and this machine are called, the longest first."""
    found = {os.environ.get(name, "") for name in ("USER", "LOGNAME", "HOSTNAME", "SLURMD_NODENAME")}
    with suppress(Exception):  # no such user, no such name: none to be found either
        found.add(getpass.getuser())
    with suppress(RuntimeError):
        found.add(Path.home().name)
    found.add(socket.gethostname())
    found |= {name.partition(".")[0] for name in found}
    return tuple(sorted((name for name in found - _COMMON if len(name) > 2), key=lambda name: (-len(name), name)))
