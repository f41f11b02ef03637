"""A run's config keys, as its folder's config.yaml has them."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from results.bounded_yaml import load
from results.errors import ResultsError
from results.plain_file import read_plain_text


def run_settings(folder: Path) -> dict[str, Any]:
    """The flat keys of a run's config, as ``{"TERMS.MRM.RATIO": 0.6, ...}``; none where there is no config.yaml.

    Raises:
        ResultsError: it is no plain file, or no YAML of keys and values.
    """
    path = folder / "config.yaml"
    try:
        text = read_plain_text(path)
        return _by_sections(text) or _keys(text)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ResultsError(f"{path}: expected YAML ({' '.join(str(error).split())})") from None


_SECTION = re.compile(r"^(?=\w+:\s)", re.MULTILINE)  # where a key begins at the left margin


def _by_sections(text: str) -> dict[str, Any]:
    """The flat keys, read a top-level key at a time: most are the same text in the next run, and are not read again.

    Empty where that cannot be told from reading the whole: a section is no mapping of its own, or a key comes twice.
    """
    start, *sections = _SECTION.split(text)
    if start or len(set(map(_name, sections))) < len(sections):
        return {}
    flat: dict[str, Any] = {}
    try:
        for section in sections:
            flat |= _keys(section)
    except (ValueError, yaml.YAMLError):
        return {}
    return flat


def _name(section: str) -> str:
    return section.partition(":")[0]


@lru_cache(maxsize=10_000)
def _keys(text: str) -> dict[str, Any]:
    content = load(text)
    if not isinstance(content, dict):
        raise ValueError(f"expected config keys, found {content!r:.60}")
    return _flat(content, "")


def _flat(node: dict[str, Any], prefix: str) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in node.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat
