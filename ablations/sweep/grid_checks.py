"""What is asked of the parts of a grid's file; each answer is one line that names the file and the part."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks.config.data_lists import without_lists
from benchmarks.config.keys import get_config
from benchmarks.config.overrides import apply
from benchmarks.core.errors import ConfigError
from benchmarks.core.nearest import nearest
from methods.base.errors import MethodError
from methods.framework.recipes import DEFAULT_HOST, parse
from methods.networks import NETWORKS

HOST = "{host}"  # in a recipe: the host that the command names
# What a value can change besides config keys: the recipe, the network, the host that {host} stands for.
CHOICES = ("METHOD", "NETWORK", "HOST")


def check_keys(changes: Any, where: str, choices: Sequence[str] = ()) -> None:
    """Raise ConfigError unless ``changes`` are known config keys, or ``choices``, with values of their kind."""
    if not isinstance(changes, dict) or not all(isinstance(key, str) for key in changes):
        raise ConfigError(f"{where}: found {changes!r:.60}, expected config keys and their values")
    for key in set(changes) & {*CHOICES, "SEED", "PROTOCOL"} - set(choices):
        raise ConfigError(f"{where}: {key} cannot be set here")
    cfg = get_config()
    for key, value in changes.items():
        if key == "METHOD":
            recipe_of(value, f"{where}: METHOD")
        elif key == "HOST":
            recipe_of(value, f"{where}: HOST")
        elif key == "NETWORK":
            if value not in NETWORKS:
                raise ConfigError(f"{where}: unknown network {value!r}; {nearest(str(value), list(NETWORKS))}")
        else:
            apply(cfg, without_lists({key: value}, where), where)


def keys_of(content: Any, where: str, known: set[str]) -> dict[str, Any]:
    """Return ``content``, which must be a mapping with keys of ``known`` alone."""
    if not isinstance(content, dict):
        raise ConfigError(f"{where}: found {content!r:.60}, expected {', '.join(sorted(known))}")
    for key in content:
        if key not in known:
            raise ConfigError(f"{where}: unknown key {key!r}; {nearest(str(key), sorted(known))}")
    return content


def recipe_of(value: Any, where: str) -> str:
    """Return ``value``, which must be a recipe, as ``dacs+mrm`` or ``{host}+mrm``."""
    words = words_of(value, where)
    try:
        parse(words.replace(HOST, DEFAULT_HOST))
    except MethodError as error:
        raise ConfigError(f"{where}: {error}") from None
    return words


def words_of(value: Any, where: str) -> str:
    """Return ``value``, which must be text."""
    if not isinstance(value, str) or not value:
        raise ConfigError(f"{where} is {value!r:.60}, expected text")
    return value


def label_of(value: Any) -> str:
    """0.40 -> "0.4", 1.0 -> "1": what YAML reads from equal numbers has one label."""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if is_number(value) else str(value)


def is_number(value: Any) -> bool:
    """Whether ``value`` is an int or a float; booleans are none."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)
