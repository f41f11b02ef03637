"""Setting config keys from a protocol, a recipe or the command line, with one line for what is wrong."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from os.path import expanduser
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

import yaml
from detectron2.config import CfgNode

from benchmarks.config.keys import AMOUNT_KEYS, PATH_KEYS, WORD_KEYS, flatten, setting_type
from benchmarks.core.errors import ConfigError
from benchmarks.core.nearest import did_you_mean
from results.files.bounded_yaml import load

_KINDS = {
    float: "a number",
    int: "a whole number",
    str: "text",
    tuple: "a size such as 512x256",
    bool: "true or false",
    NoneType: "none",
}


def parse_pairs(words: Sequence[str]) -> dict[str, Any]:
    """Words as keys and values: ``["SOLVER.ITERS", "400"]`` -> ``{"SOLVER.ITERS": 400}``; values are YAML."""
    words = _split(words)
    if len(words) % 2:
        raise ConfigError(f"KEY VALUE: {words[-1]!r} has no value")
    values = {}
    for key, text in zip(words[::2], words[1::2], strict=True):
        try:
            values[key] = load(text)
        except (yaml.YAMLError, ValueError):  # the latter for a date that is none
            raise ConfigError(f"{key}: cannot read the value {text!r:.80}") from None
    return values


def _split(words: Sequence[str]) -> list[str]:
    """Take ``KEY=VALUE`` in the place of a key as ``KEY VALUE``; a value may have a sign of equality of its own."""
    found: list[str] = []
    for word in words:
        if len(found) % 2 == 0 and re.match(r"[A-Za-z_][\w.]*=", word):
            key, _, value = word.partition("=")
            found += [key, value]
        else:
            found.append(word)
    return found


def apply(cfg: CfgNode, values: Mapping[str, Any], where: str) -> None:
    """Set ``values`` in ``cfg``.

    Raises:
        ConfigError: an unknown key (with the nearest known one) or a value of another type; ``where`` says whose.
    """
    known = flatten(cfg)
    for key, value in values.items():
        if key not in known:
            hint = did_you_mean(key.upper(), known, f"known sections: {', '.join(cfg)}")
            raise ConfigError(f"{where}: unknown key {key}; {hint}")
        node = cfg
        *path, leaf = key.split(".")
        for name in path:
            node = node[name]
        node[leaf] = _convert(where, key, value, known[key])


def _convert(where: str, key: str, value: Any, default: Any) -> Any:
    """The value in the default's type; whole numbers serve as floats, YAML lists and "512x256" as tuples.

    "~" in a path is the home folder: no shell sees what stands in YAML, and in a pair it leaves ``WEIGHTS=~/a.pth``.
    """
    if key in PATH_KEYS and isinstance(value, str):
        return expanduser(value)  # noqa: PTH111 (pathlib's raises where there is no such user)
    if key in WORD_KEYS:
        words = [value] if isinstance(value, str) else value
        if isinstance(words, (list, tuple)) and all(isinstance(word, str) for word in words):
            return tuple(words)
        raise ConfigError(f"{where}: {key} is {value!r}, expected a list of words (in quotes where in doubt)")
    if key in AMOUNT_KEYS and isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    kinds = kinds_of(key, default)
    for kind in kinds:
        found = _as(kind, value, NoneType in kinds and str not in kinds)
        if found is not _OTHER:
            return found
    expected = " or ".join(kind_in_words(kind, default) for kind in kinds)
    raise ConfigError(f"{where}: {key} is {value!r}, expected {expected} (default {default!r})")


_OTHER = object()


def kinds_of(key: str, default: Any) -> tuple[Any, ...]:
    """The types that a key's value may have: of a setting those of its field's annotation, else that of its default."""
    hint = setting_type(key)
    kinds = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    if None in kinds or Any in kinds:
        kinds = (type(default),)
    return kinds if isinstance(default, tuple) or type(default) in kinds else (*kinds, type(default))


def _as(kind: Any, value: Any, none: bool) -> Any:
    """A value in the type ``kind``, or _OTHER. ``none``: the word none is None."""
    if kind is NoneType:
        return None if value is None or (none and value in ("none", "None")) else _OTHER
    if (get_origin(kind) or kind) is tuple:
        return _as_tuple(get_args(kind), value)
    if isinstance(value, bool) != (kind is bool):
        return _OTHER
    if isinstance(value, kind):
        return value
    if kind is float and (isinstance(value, int) or (isinstance(value, str) and _is_float(value))):
        return float(value)  # YAML reads 6e-5 as text
    return _OTHER


def _as_tuple(items: tuple[Any, ...], value: Any) -> Any:
    """A tuple of items of these types, as in ``tuple[float, ...]``; without, a tuple as it is, or whole numbers."""
    if not items:
        if isinstance(value, tuple):
            return value
        items = (int, ...)
    if isinstance(value, str) and items[0] is int and len(value.split("x")) == 2:
        sides = value.split("x")
        return tuple(map(int, sides)) if all(side.isdecimal() for side in sides) else _OTHER
    if not isinstance(value, (list, tuple)):
        return _OTHER
    kinds = items[:1] * len(value) if items[-1] is ... else items
    if len(kinds) != len(value):
        return _OTHER
    found = tuple(_as(kind, item, False) for kind, item in zip(kinds, value, strict=True))
    return _OTHER if _OTHER in found else found


def kind_in_words(kind: Any, default: Any) -> str:
    """What a value of a type of `kinds_of` is called, as "a whole number"."""
    if (get_origin(kind) or kind) is not tuple:
        return _KINDS[kind]
    item = (get_args(kind) or (int,))[0]
    if item is not int:
        return {float: "numbers such as [0.5, 1]", str: "words such as [one, other]"}.get(item, "a list")
    return "whole numbers such as [15, 120, 0]" if len(default or ()) > 2 else _KINDS[tuple]


def _is_float(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
