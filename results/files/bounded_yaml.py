"""YAML of files that others may have made: how deep it nests and what its aliases expand to is bounded."""

from __future__ import annotations

import json
import re
from typing import Any

import yaml
from yaml.composer import Composer
from yaml.constructor import SafeConstructor
from yaml.resolver import Resolver

MOST_LEVELS = 64  # configs have four
MOST_EXPANDED = 100_000  # nodes that aliases stand for, in all: ten maps of ten aliases of ten ... are never made
_LINE_STARTS = re.compile("(?:\\A|[\n\r\x85\u2028\u2029])([ \\t?:-]*)")  # what precedes the first word of each line


class BoundError(yaml.YAMLError):
    """The text nests too deeply, stands for too much, or contains itself; one line."""


if yaml.__with_libyaml__:
    from yaml._yaml import CParser

    class _Events(CParser):
        """What the text says, piece by piece; by libyaml, which is ten times as fast."""

else:
    from yaml.parser import Parser
    from yaml.reader import Reader
    from yaml.scanner import Scanner

    class _Events(Reader, Scanner, Parser):  # type: ignore[no-redef]
        """What the text says, piece by piece."""

        def __init__(self, text: str) -> None:
            Reader.__init__(self, text)
            Scanner.__init__(self)
            Parser.__init__(self)


class BoundedLoader(Composer, _Events, SafeConstructor, Resolver):
    """PyYAML's SafeLoader that raises `BoundError` before anything is built of what is too deep or too much.

    libyaml's own composer is not used: it recurses in C, where too deep a text ends the process.
    """

    def __init__(self, text: str) -> None:
        _Events.__init__(self, text)
        Composer.__init__(self)
        SafeConstructor.__init__(self)
        Resolver.__init__(self)
        self._level = self._nodes = self._expanded = 0
        self._sizes: dict[str, int] = {}  # nodes below an anchor, what aliases in it stand for included

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """The next node; called for each, from the outermost inwards."""
        event: Any = self.peek_event()
        if isinstance(event, yaml.AliasEvent):
            self._alias(str(event.anchor))
            return super().compose_node(parent, index)
        before = self._nodes
        self._nodes += 1
        self._level += 1
        if self._level > MOST_LEVELS:
            raise BoundError(f"more than {MOST_LEVELS} levels of nesting (line {event.start_mark.line + 1})")
        if event.anchor is not None:
            self._sizes.pop(event.anchor, None)
        node = super().compose_node(parent, index)
        self._level -= 1
        if event.anchor is not None:
            self._sizes[event.anchor] = self._nodes - before
        return node

    def _alias(self, anchor: str) -> None:
        if anchor not in self._sizes:
            if anchor in self.anchors:
                raise BoundError(f"*{anchor} is part of what it stands for")
            return  # an unknown one, which PyYAML has a line for
        self._nodes += self._sizes[anchor]
        self._expanded += self._sizes[anchor]
        if self._expanded > MOST_EXPANDED:
            raise BoundError(f"its aliases stand for more than {MOST_EXPANDED:,} values")


def load(text: str, loader: type[BoundedLoader] = BoundedLoader) -> Any:
    """What ``text`` holds, as `yaml.safe_load` gives it.

    Raises:
        yaml.YAMLError, ValueError: it is no YAML, or beyond a bound.
    """
    if loader is BoundedLoader and yaml.__with_libyaml__ and is_plain(text):
        return yaml.load(text, yaml.CSafeLoader)  # four times as fast: tables read a config of each of many runs
    reading = loader(text)
    try:
        return reading.get_single_data()
    finally:
        reading.dispose()


def as_word(value: Any) -> str:
    """A value of a key as the command line takes it: text that YAML would take for something else is in quotes."""
    if value is None:
        return "none"
    if not isinstance(value, str):
        return json.dumps(value)
    try:
        return value if load(value) == value else json.dumps(value)
    except (yaml.YAMLError, ValueError):
        return json.dumps(value)


def is_plain(text: str) -> bool:
    """Whether a look at the characters shows that nothing is beyond the bounds, as in each config that we write.

    Without anchors and tags a level is opened by a bracket, or further to the right than the one that it is in, but
    for a list that stands below its key; and before the first word of a line there are blanks and ``- ? :`` alone.
    """
    if any(sign in text for sign in "&*!"):
        return False
    brackets = text.replace("[]", "").count("[") + text.replace("{}", "").count("{")
    indent = max(map(len, _LINE_STARTS.findall(text)), default=0)
    return 2 * (indent + 1) + brackets <= MOST_LEVELS
