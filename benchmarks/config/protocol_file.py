"""Reading a protocol's YAML, one that ships or a user's own, into config keys."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.core.errors import ConfigError
from benchmarks.core.nearest import nearest
from benchmarks.core.yaml_file import read_yaml

PROTOCOLS = Path(__file__).parents[1] / "protocols"


def is_path(protocol: str) -> bool:
    """Whether ``--protocol`` names a file of the user's and not one that ships."""
    return protocol.endswith((".yaml", ".yml"))


def protocols() -> list[str]:
    """Names of the protocols that ship."""
    return sorted(path.stem for path in PROTOCOLS.glob("*.yaml"))


def protocol_values(name: str) -> dict[str, Any]:
    """The keys that a protocol sets: one that ships, or the file at a path that ends in .yaml."""
    if is_path(name):
        if Path(name).stem in protocols():
            raise ConfigError(f"{name}: a protocol of that name ships, expected another name for the file")
        return read_protocol(Path(name))
    path = PROTOCOLS / f"{name}.yaml"
    if not path.is_file():
        raise ConfigError(f"unknown protocol {name!r}; {nearest(name, protocols())}")
    return read_protocol(path)


def read_protocol(path: Path) -> dict[str, Any]:
    """The keys that a protocol's file sets: ``{"SOLVER.ITERS": 400, "DATA.SOURCE.IDS": ["7=road"], ...}``.

    IDS, a mapping from stored ids to class names in the file, becomes a list of texts, as config nodes hold it. BASE
    names a protocol that ships, of which the file says what is different.

    Raises:
        ConfigError: one line naming the file, for one that is not there, no YAML, or no mapping of keys.
    """
    values = read_yaml(path, "a protocol")
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: expected keys and values such as NETWORK: daformer-lite0, found {values!r:.60}")
    base = values.pop("BASE", None)
    if base is None:
        return _flat(values, "", path)
    if base not in protocols() or base == path.stem:
        raise ConfigError(f"{path}: BASE is {base!r}, expected a protocol that ships: {', '.join(protocols())}")
    return protocol_values(base) | _flat(values, "", path)


def _flat(values: Mapping[Any, Any], prefix: str, path: Path) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if not isinstance(key, str):
            raise ConfigError(f"{path}: {prefix}{key!r} is no key, expected a word")
        if key == "IDS" and isinstance(value, dict):
            flat[f"{prefix}{key}"] = ids_as_texts(value, f"{path}: {prefix}{key}")
        elif key == "IDS" and value:
            raise ConfigError(
                f"{path}: {prefix}{key} is {value!r:.60}, expected a mapping from ids to classes, such as {{7: road, "
                "others: ignore}"
            )
        elif isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.", path)
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def ids_as_texts(mapping: Mapping[Any, Any], where: str) -> list[str]:
    """Texts of ids: ``{7: road, others: ignore}`` -> ``["7=road", "others=ignore"]``, sorted: order decides nothing."""
    for stored, name in mapping.items():
        if stored != "others" and (isinstance(stored, bool) or not isinstance(stored, int)):
            raise ConfigError(f"{where}: {stored!r} is no id, expected a whole number, or others")
        if not isinstance(name, str):
            raise ConfigError(f"{where}: {stored} is {name!r}, expected a class name (in quotes where in doubt)")
    numbers = sorted(stored for stored in mapping if stored != "others")
    return [f"{stored}={mapping[stored]}" for stored in (*numbers, *(["others"] if "others" in mapping else []))]
