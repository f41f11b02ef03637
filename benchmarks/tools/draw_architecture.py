"""The picture and the table of docs/architecture.md, from the imports.

``python -m benchmarks.tools.draw_architecture``, run from the checkout's root, makes both anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.core.checkout import ROOT
from benchmarks.tools.imports import FOLDERS
from benchmarks.tools.rooms import Room, drawn_arrows, rooms, with_table

PAGE = ROOT / "docs" / "architecture.md"
PICTURE = ROOT / "docs" / "architecture.svg"

# Inches.
_ROOM_WIDTH, _ROOM_HEIGHT = 1.29, 0.34
_COLUMN, _FLOOR = 1.45, 0.64
_MARGIN, _TITLE = 0.25, 0.34

_GROUND = tuple(folder for folder, below in FOLDERS.items() if not below)
_COLOURS = dict(zip(FOLDERS, ("#dbe9f6", "#ddf0dd", "#f6ecd5", "#eae2f3", "#f8dfd9", "#e4e4e4"), strict=True))


class Box(NamedTuple):
    """A rectangle, in inches from the lower left corner of the picture."""

    left: float
    bottom: float
    width: float
    height: float

    @property
    def right(self) -> float:
        return self.left + self.width

    @property
    def top(self) -> float:
        return self.bottom + self.height

    @property
    def middle(self) -> float:
        return self.left + self.width / 2


def layout(shown: Sequence[Room]) -> tuple[dict[str, Box], dict[str, Box]]:
    """The places of folders and rooms, by name: ground folders in a row, what joins them above."""
    floors = {folder: _floors([room for room in shown if room.folder == folder]) for folder in FOLDERS}
    width = {folder: max(map(len, rows)) * _COLUMN + 2 * _MARGIN for folder, rows in floors.items()}
    height = {folder: len(rows) * _FLOOR + _TITLE for folder, rows in floors.items()}
    ground = max(height[folder] for folder in _GROUND)
    folders, left = {}, 0.0
    for folder in _GROUND:
        folders[folder] = Box(left, ground - height[folder], width[folder], height[folder])
        left = folders[folder].right + 2 * _MARGIN
    above = [folder for folder in FOLDERS if folder not in _GROUND]
    row = max(folders[folder].right for folder in _GROUND)
    left = (row - sum(width[folder] + 6 * _MARGIN for folder in above) + 6 * _MARGIN) / 2
    top = ground + _FLOOR + max(height[folder] for folder in above)
    for folder in above:
        folders[folder] = Box(left, top - height[folder], width[folder], height[folder])
        left = folders[folder].right + 6 * _MARGIN
    placed = {}
    for folder, rows in floors.items():
        for number, row_of_rooms in enumerate(rows):
            step = width[folder] / len(row_of_rooms)
            for place, room in enumerate(row_of_rooms):
                middle = folders[folder].left + (place + 0.5) * step
                bottom = folders[folder].bottom + number * _FLOOR + (_FLOOR - _ROOM_HEIGHT) / 2
                placed[room.name] = Box(middle - _ROOM_WIDTH / 2, bottom, _ROOM_WIDTH, _ROOM_HEIGHT)
    return folders, placed


def _floors(shown: Sequence[Room]) -> list[list[Room]]:
    """Rooms of one folder by floor: each above all that it imports."""
    floor: dict[str, int] = {}
    for room in shown:
        floor[room.name] = max((floor[other] + 1 for other in room.uses if other in floor), default=0)
    return [[room for room in shown if floor[room.name] == number] for number in range(max(floor.values()) + 1)]


def draw(shown: Sequence[Room], path: Path) -> None:
    """Write the picture as SVG; the id of an arrow in it is ``a -> b``, that of a room ``room a``."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    folders, placed = layout(shown)
    width, height = (max(getattr(box, side) for box in folders.values()) + 0.2 for side in ("right", "top"))
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "segshift", "font.family": "sans-serif"}):
        figure = Figure(figsize=(width, height))
        FigureCanvasSVG(figure)
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set(xlim=(-0.1, width - 0.1), ylim=(-0.1, height - 0.1))
        axes.axis("off")
        for folder, box in folders.items():
            _box(axes, box, folder, _COLOURS[folder])
            axes.text(box.middle, box.top - 0.22, f"{folder}/", ha="center", va="center", weight="bold", size=11)
        for room, box in placed.items():
            _box(axes, box, f"room {room}", "white")
            title = room.partition("/")[2] or f"{room}/*.py"
            axes.text(box.middle, box.bottom + box.height / 2, title, ha="center", va="center", size=9)
        for start, end in sorted(drawn_arrows(shown)):
            inside = start.partition("/")[0] == end.partition("/")[0]
            boxes = placed if inside else folders
            _arrow(axes, boxes[start], boxes[end], f"{start} -> {end}")
        figure.savefig(path, metadata={"Date": None, "Creator": None})


def _box(axes: Any, box: Box, name: str, colour: str) -> None:
    from matplotlib.patches import FancyBboxPatch

    corners = "round,pad=0,rounding_size=0.08"
    patch = FancyBboxPatch(box[:2], box.width, box.height, boxstyle=corners, fc=colour, ec="#777777")
    patch.set_gid(name)
    axes.add_patch(patch)


def _arrow(axes: Any, start: Box, end: Box, name: str) -> None:
    from matplotlib.patches import FancyArrowPatch

    if start.bottom >= end.top:
        ends = (_toward(start, end), start.bottom), (_toward(end, start), end.top)
    else:  # beside each other
        height = max(start.bottom, end.bottom) + 0.3
        ends = (start.left, height), (end.right, height)
    arrow = FancyArrowPatch(*ends, arrowstyle="-|>", mutation_scale=9, color="#444444", shrinkA=0, shrinkB=0, lw=0.9)
    arrow.set_gid(name)
    axes.add_patch(arrow)


def _toward(box: Box, other: Box) -> float:
    """The place on the width of a box where an arrow to another is the most upright."""
    return min(max(other.middle, box.left + 0.2), box.right - 0.2)


if __name__ == "__main__":
    now = rooms()
    PAGE.write_text(with_table(PAGE.read_text(encoding="utf-8"), now), encoding="utf-8")
    draw(now, PICTURE)
