"""Several sources or targets: a list at DATA.SOURCE or DATA.TARGET becomes the sections of its data sets."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from benchmarks.config.keys import SOURCES, TARGETS, flatten, get_config
from benchmarks.config.protocol_file import ids_as_texts
from benchmarks.core.errors import ConfigError
from benchmarks.core.nearest import nearest
from datasets.sets.layouts import LAYOUTS

FAMILIES = {"DATA.SOURCE": SOURCES, "DATA.TARGET": TARGETS}
"""Keys that a list can be given for, and the sections that it fills."""


def without_lists(values: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return flat keys and values in which a list of data sets is spelled out, in its place.

    ``{"DATA.SOURCE": ["gta", {"LAYOUT": "synthia", "WEIGHT": 0.5}]}`` becomes ``{"DATA.SOURCE.LAYOUT": "gta", ...,
    "DATA.SOURCE_2.LAYOUT": "synthia", ...}``: all keys of all sections, those that an item does not name with their
    defaults, so that a list takes the place of a longer one. A word is the name of a published data set; a published
    one without FOLDER lies in its usual folder, and without SPLIT is what of it is for training.

    Raises:
        ConfigError: what is no list of data sets; ``where`` says whose.
    """
    found: dict[str, Any] = {}
    for key, value in values.items():
        if key in FAMILIES:
            found |= _spelled_out(key, value, f"{where}: {key}")
        else:
            found[key] = value
    return found


def _spelled_out(key: str, value: Any, where: str) -> dict[str, Any]:
    family = FAMILIES[key]
    entries = [value] if isinstance(value, (str, Mapping)) else value
    if not isinstance(entries, (list, tuple)) or not 1 <= len(entries) <= len(family):
        raise ConfigError(
            f"{where} is {value!r:.80}, expected a list of 1 to {len(family)} data sets, such as [gta, synthia] or "
            "[{LAYOUT: gta}, {LAYOUT: synthia, WEIGHT: 0.5}]"
        )
    usual = _defaults()
    found = {f"DATA.{role}.{leaf}": default for role in family for leaf, default in usual[role].items()}
    for role, entry in zip(family, entries, strict=False):
        known = usual[role]
        for leaf, each in _keys_of(entry, f"{where}: {entry!r:.60}").items():
            if leaf not in known:
                raise ConfigError(f"{where}: unknown key {leaf!r}; {nearest(str(leaf), list(known))}")
            found[f"DATA.{role}.{leaf}"] = each
    return found


def _keys_of(entry: Any, where: str) -> dict[str, Any]:
    """The keys of an item: of a word its layout, of a mapping its own."""
    if isinstance(entry, str):
        if entry not in LAYOUTS:
            raise ConfigError(f"{where}: unknown data set; {nearest(entry, list(LAYOUTS))}")
        entry = {"LAYOUT": entry}
    if not isinstance(entry, Mapping):
        raise ConfigError(f"{where}: expected the name of a data set, or keys such as {{LAYOUT: gta, FOLDER: gta}}")
    keys = dict(entry)
    if isinstance(keys.get("IDS"), Mapping):
        keys["IDS"] = ids_as_texts(keys["IDS"], f"{where}: IDS")
    if layout := LAYOUTS.get(str(keys.get("LAYOUT"))):
        keys.setdefault("FOLDER", layout.folder or keys["LAYOUT"].replace("-", "_"))
        if "train" not in layout.splits:
            keys.setdefault("SPLIT", layout.splits[0])
    return keys


@cache
def _defaults() -> dict[str, dict[str, Any]]:
    """The keys of each section with their defaults."""
    data = get_config().DATA
    return {role: flatten(data[role]) for role in (*SOURCES, *TARGETS)}
