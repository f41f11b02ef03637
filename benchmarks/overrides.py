"""Setting config keys from a protocol, a recipe or the command line, with one line for what is wrong."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

import yaml
from detectron2.config import CfgNode

from benchmarks.config import WORD_KEYS, flatten
from benchmarks.errors import ConfigError
from results.bounded_yaml import load

_KINDS = {
    float: "a number",
    int: "a whole number",
    str: "text",
    tuple: "a size such as 512x256",
    bool: "true or false",
}


def pairs(words: Sequence[str]) -> dict[str, Any]:
    """``["SOLVER.ITERS", "400"]`` -> ``{"SOLVER.ITERS": 400}``; values are read as YAML."""
    if len(words) % 2:
        raise ConfigError(f"KEY VALUE: {words[-1]!r} has no value")
    values = {}
    for key, text in zip(words[::2], words[1::2], strict=True):
        try:
            values[key] = load(text)
        except (yaml.YAMLError, ValueError):  # the latter for a date that is none
            raise ConfigError(f"{key}: cannot read the value {text!r:.80}") from None
    return values


def apply(cfg: CfgNode, values: Mapping[str, Any], where: str) -> None:
    """Set ``values`` in ``cfg``.

    Raises:
        ConfigError: an unknown key (with the nearest known one) or a value of another type; ``where`` says whose.
    """
    known = flatten(cfg)
    for key, value in values.items():
        if key not in known:
            near = difflib.get_close_matches(key.upper(), known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known sections: {', '.join(cfg)}"
            raise ConfigError(f"{where}: unknown key {key}; {hint}")
        node = cfg
        *path, leaf = key.split(".")
        for name in path:
            node = node[name]
        node[leaf] = _convert(where, key, value, known[key])


def _convert(where: str, key: str, value: Any, default: Any) -> Any:
    """The value in the default's type; whole numbers serve as floats, YAML lists and "512x256" as tuples."""
    if key in WORD_KEYS:
        words = [value] if isinstance(value, str) else value
        if isinstance(words, (list, tuple)) and all(isinstance(word, str) for word in words):
            return tuple(words)
        raise ConfigError(f"{where}: {key} is {value!r}, expected a list of words (in quotes where in doubt)")
    wanted = type(default)
    if isinstance(value, bool) == (wanted is bool):
        if isinstance(value, wanted):
            return value
        if wanted is float and isinstance(value, int):
            return float(value)
        if wanted is float and isinstance(value, str) and _is_float(value):  # YAML reads 6e-5 as text
            return float(value)
        if wanted is tuple and isinstance(value, list) and all(type(item) is int for item in value):
            return tuple(value)
        if wanted is tuple and isinstance(value, str) and len(value.split("x")) == 2:
            width, height = value.split("x")
            if width.isdecimal() and height.isdecimal():
                return int(width), int(height)
    kind = "whole numbers such as [15, 120, 0]" if wanted is tuple and len(default) > 2 else _KINDS[wanted]
    raise ConfigError(f"{where}: {key} is {value!r}, expected {kind} (default {default!r})")


def _is_float(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
