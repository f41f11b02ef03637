"""Reading a protocol's YAML, one that ships or a user's own, into config keys."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from benchmarks.errors import ConfigError


class _NoKeyTwice(yaml.SafeLoader):
    """PyYAML keeps the last of two equal keys without a word: of two ids, one would be lost."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
        for key in keys:
            if keys.count(key) > 1:
                raise ValueError(f"{key!r} twice in one mapping")
        return super().construct_mapping(node, deep)


def is_path(protocol: str) -> bool:
    """Whether ``--protocol`` names a file of the user's and not one that ships."""
    return protocol.endswith((".yaml", ".yml"))


def read_protocol(path: Path) -> dict[str, Any]:
    """The keys that a protocol's file sets: ``{"SOLVER.ITERS": 400, "DATA.SOURCE.IDS": ["7=road"], ...}``.

    IDS, a mapping from stored ids to class names in the file, becomes a list of texts, as config nodes hold it.

    Raises:
        ConfigError: one line naming the file, for one that is not there, no YAML, or no mapping of keys.
    """
    try:
        values = yaml.load(path.read_text(encoding="utf-8"), _NoKeyTwice)
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file, expected a protocol in YAML") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read ({error}), expected a protocol in YAML") from None
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"{path}: expected YAML, found {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: expected keys and values such as NETWORK: daformer-lite0, found {values!r:.60}")
    return _flat(values, "", path)


def _flat(values: Mapping[Any, Any], prefix: str, path: Path) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if not isinstance(key, str):
            raise ConfigError(f"{path}: {prefix}{key!r} is no key, expected a word")
        if key == "IDS" and isinstance(value, dict):
            flat[f"{prefix}{key}"] = _ids(value, f"{path}: {prefix}{key}")
        elif isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.", path)
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _ids(mapping: Mapping[Any, Any], where: str) -> list[str]:
    """``{7: road, others: ignore}`` -> ``["7=road", "others=ignore"]``, sorted, so that the order decides nothing."""
    for stored, name in mapping.items():
        if stored != "others" and (isinstance(stored, bool) or not isinstance(stored, int)):
            raise ConfigError(f"{where}: {stored!r} is no id, expected a whole number, or others")
        if not isinstance(name, str):
            raise ConfigError(f"{where}: {stored} is {name!r}, expected a class name (in quotes where in doubt)")
    numbers = sorted(stored for stored in mapping if stored != "others")
    return [f"{stored}={mapping[stored]}" for stored in (*numbers, *(["others"] if "others" in mapping else []))]
