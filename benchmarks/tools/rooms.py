"""The rooms of the code and the arrows between them, as docs/architecture.md shows them."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from typing import NamedTuple

from benchmarks.core.checkout import ROOT
from benchmarks.tools.imports import FOLDERS, ROOMS, arrows, is_command, modules, room_of

BEGIN, END = "<!-- rooms:begin -->", "<!-- rooms:end -->"


class Room(NamedTuple):
    """A folder's room as the page shows it: commands are no part of it, nor are what they alone import.

    Attributes:
        name: ``benchmarks/core``; of what lies in no room, ``methods``.
        about: the first sentence of the docstring of its package.
        uses: the rooms that it imports.
    """

    name: str
    about: str
    uses: frozenset[str]

    @property
    def folder(self) -> str:
        return _folder(self.name)


def rooms(root: Path = ROOT) -> list[Room]:
    """All rooms of a checkout that hold more than commands, ground first, each after those it may import."""
    files = {name: path for name, path in modules(root).items() if not is_command(path)}
    imported = arrows(root)
    inside: dict[str, list[str]] = {_room(f"{folder}.{room}"): [] for folder in FOLDERS for room in ROOMS[folder]}
    for name in files:
        inside[_room(name)].append(name)
    return [
        Room(
            room,
            _about(root / room / "__init__.py"),
            frozenset(_room(other) for name in names for other in imported[name] if other in files) - {room},
        )
        for room, names in inside.items()
        if any(files[name].name != "__init__.py" for name in names)
    ]


def reduced(uses: Mapping[str, Set[str]]) -> dict[str, set[str]]:
    """Leave out arrows that others imply: of a -> b -> c and a -> c, the last. ``uses`` has no circle."""
    reach: dict[str, set[str]] = {}

    def reachable(name: str) -> set[str]:
        if name not in reach:
            reach[name] = {each for other in uses[name] for each in {other, *reachable(other)}}
        return reach[name]

    return {
        name: {other for other in below if not any(other in reachable(between) for between in below)}
        for name, below in uses.items()
    }


def drawn_arrows(shown: Sequence[Room]) -> set[tuple[str, str]]:
    """What the picture draws: inside a folder from room to room, between folders from folder to folder."""
    inside = {room.name: {other for other in room.uses if _folder(other) == room.folder} for room in shown}
    between: dict[str, set[str]] = {room.folder: set() for room in shown}
    for room in shown:
        between[room.folder] |= {_folder(other) for other in room.uses} - {room.folder}
    return {(one, other) for uses in (inside, between) for one, below in reduced(uses).items() for other in below}


def table(shown: Sequence[Room]) -> str:
    """The rooms in Markdown, from the top down, with all that each imports."""
    lines = ["| room | what is in it | imports |", "|---|---|---|"]
    for room in reversed(shown):
        uses = ", ".join(other.name for other in shown if other.name in room.uses)
        lines.append(f"| [{room.name}/](../{room.name}) | {room.about} | {uses or 'nothing of ours'} |")
    return "\n".join(lines)


def with_table(text: str, shown: Sequence[Room]) -> str:
    """The text of the page with the table of now."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{table(shown)}\n{END}{after}"


def _folder(room: str) -> str:
    return room.partition("/")[0]


def _room(name: str) -> str:
    folder = name.split(".")[0]
    return f"{folder}/{room}" if (room := room_of(name)) else folder


def _about(package: Path) -> str:
    text = ast.get_docstring(ast.parse(package.read_text(encoding="utf-8"))) or ""
    return text.split("\n")[0].removesuffix(".").replace("``", "`")
