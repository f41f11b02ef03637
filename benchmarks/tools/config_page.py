"""The page of all config keys, docs/config.md, from the comments beside them.

``python -m benchmarks.tools.config_page``, run from the checkout's root, writes it anew.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

from benchmarks.config import keys
from benchmarks.config.overrides import kind_in_words, kinds_of
from benchmarks.core.checkout import ROOT
from benchmarks.tools.source_comments import by_attribute, by_field
from methods.framework.term import TERMS

PAGE = ROOT / "docs" / "config.md"

_INTRODUCTION = """\
# Config keys

Any key can be set as `KEY VALUE` at the end of a command (`SOLVER.ITERS 2000 TERMS.MRM.RATIO 0.6`), in a protocol's
YAML ([own_data.md](own_data.md)) and in a grid ([ablations.md](ablations.md)). Defaults come first, then the protocol,
then the recipe of the method, then your keys. A value that is out of range is refused in one line, before anything is
trained; a run's `config.yaml` holds what it ended up with.

Sizes are written `512x256` (width, height), several numbers `[15, 120]`, several words `[road, car]`, nothing `none`.
A key with ° says where and how a run runs and not what it computes: it is no part of the run's id.

This page is made from the comments beside the keys ([benchmarks/config/keys.py](../benchmarks/config/keys.py), and the
settings of each method) by `.venv/bin/python -m benchmarks.tools.config_page`: change them there.
"""


class Key(NamedTuple):
    """A config key as the page shows it: ``values`` says which it may have."""

    name: str
    default: Any
    values: str
    meaning: str


class Section(NamedTuple):
    """Keys with one beginning, "" for those without, and what they are about."""

    name: str
    about: str
    keys: list[Key]


def sections() -> list[Section]:
    """All sections with all keys, those of the terms that ship last, in the order of their config."""
    defaults, meanings, shipped = keys.flatten(keys.get_config()), _meanings(), dict(_shipped())
    found: dict[str, Section] = {}
    for name, default in defaults.items():
        section = name.rpartition(".")[0]
        if section.startswith("TERMS.") and section not in shipped:
            continue
        if section.removeprefix("DATA.") in (*keys.SOURCES[1:], *keys.TARGETS[1:]):
            continue  # as those of the first
        part = found.setdefault(section, Section(section, meanings.get(section, ""), []))
        part.keys.append(Key(name, default, _values(name, default), meanings.get(name, "")))
    return list(found.values())


def page() -> str:
    """The text of docs/config.md."""
    return "\n".join([_INTRODUCTION, *(line for section in sections() for line in _lines(section))])


def _lines(section: Section) -> Iterator[str]:
    yield f"## {section.name or 'The run'}\n"
    if section.about:
        yield f"{_sentence(section.about)}.\n"
    yield "| key | default | values | meaning |"
    yield "|---|---|---|---|"
    for key in section.keys:
        place = " °" if key.name in keys.PLACE_KEYS else ""
        cells = (f"`{key.name}`{place}", f"`{_written(key.default)}`", key.values, _sentence(key.meaning))
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
    yield ""


def _shipped() -> Iterator[tuple[str, type]]:
    """Sections with the settings they are of, but for terms that tests or plug-ins registered."""
    return ((section, cls) for section, cls in keys.sections() if cls.__module__.startswith("methods."))


def _meanings() -> dict[str, str]:
    source = inspect.getsource(keys)
    found = by_attribute(source, keys.declared.__name__)
    of_each = {name: by_attribute(source, name) for name in ("_data_set", "_learned", "_target")}
    for role in ("SOURCE", "TARGET", "VAL"):
        for texts in of_each.values():
            found |= {f"DATA.{role}.{name}": text for name, text in texts.items()}
    for section, cls in _shipped():
        for each in reversed(cls.__mro__[:-1]):  # without object
            texts = by_field(inspect.getsource(sys.modules[each.__module__]), each.__name__)
            found |= {f"{section}.{name.upper()}": text for name, text in texts.items() if text}
    for name, term in TERMS.items():
        found[f"TERMS.{keys.config_name(name)}"] = _first_paragraph(term)
    return found


def _first_paragraph(cls: type) -> str:
    return " ".join((inspect.getdoc(cls) or "").split("\n\n")[0].split())


def _values(key: str, default: Any) -> str:
    """Which values a key may have: its range where it has one, else its type."""
    if key in keys.SET_ELSEWHERE:
        return f"set by {keys.SET_ELSEWHERE[key]}"
    if key in keys.WORD_KEYS:
        return "words"
    if key in keys.PATH_KEYS:
        return "a path, `~` is the home folder" + " (or a name)" * (key == "WEIGHTS")
    allowed, kinds = keys.ranges().get(key), kinds_of(key, default)
    limits = allowed.expected if allowed else ""
    if not limits:
        return " or ".join(kind_in_words(kind, default) for kind in kinds)
    if int in kinds and not isinstance(default, tuple):
        limits = f"a whole number of {limits.removeprefix('a finite number of ')}"
    each = "each " if isinstance(default, tuple) and keys.setting_type(key) else ""
    return f"{each}{limits}" + " or none" * (type(None) in kinds)


def _written(value: Any) -> str:
    """A default as one writes it on the command line."""
    if isinstance(value, tuple):
        return f"[{', '.join(map(str, value))}]"
    return "none" if value is None else str(value) or '""'


def _sentence(text: str) -> str:
    """A sentence with a capital, unless it begins with a symbol such as L_M, without a full stop at a cell's end."""
    return text[:1].upper() + text[1:].removesuffix(".").replace("``", "`")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
