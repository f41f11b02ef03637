"""docs/architecture.md and its picture show the rooms, arrows and files that there are."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks.core.checkout import ROOT
from benchmarks.tools.draw_architecture import PAGE, PICTURE, draw
from benchmarks.tools.rooms import Room, drawn_arrows, reduced, rooms, table, with_table

ANEW = "python -m benchmarks.tools.draw_architecture makes table and picture anew"


@pytest.fixture(scope="module")
def shown() -> list[Room]:
    return rooms()


@pytest.fixture(scope="module")
def text() -> str:
    return PAGE.read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_table_is_that_of_the_imports(shown: list[Room], text: str) -> None:
    assert text == with_table(text, shown), ANEW
    assert table(shown) in text


def ids(picture: Path) -> set[str]:
    return {node.get("id", "") for node in ElementTree.parse(picture).iter()}


def test_the_picture_draws_the_rooms_and_arrows_there_are(shown: list[Room]) -> None:
    found = ids(PICTURE)
    assert {each for each in found if " -> " in each} == {" -> ".join(arrow) for arrow in drawn_arrows(shown)}, ANEW
    assert {each for each in found if each.startswith("room ")} == {f"room {room.name}" for room in shown}, ANEW


def test_a_new_arrow_is_drawn(shown: list[Room], tmp_path: Path) -> None:
    install = next(room for room in shown if room.name == "benchmarks/install")
    more = [
        room._replace(uses=room.uses | {install.name}) if room.name == "benchmarks/config" else room for room in shown
    ]
    draw(more, tmp_path / "picture.svg")
    assert ids(tmp_path / "picture.svg") - ids(PICTURE) >= {"benchmarks/config -> benchmarks/install"}
    assert table(more) != table(shown)


def test_rooms_and_arrows_of_a_small_house(tmp_path: Path) -> None:
    files = {
        "datasets/__init__.py": '"""What is learned from: pictures."""',
        "datasets/pairs.py": "import numpy",
        "benchmarks/core/__init__.py": '"""Ground.\n\nMore."""',
        "benchmarks/core/errors.py": "def f():\n    from datasets.pairs import x",
        "benchmarks/engine/__init__.py": '"""The training of one run"""',
        "benchmarks/engine/trainer.py": "import benchmarks.core.errors",
        "benchmarks/run.py": "import sys\nsys.path[0] = ''\nfrom benchmarks.engine import trainer",
        "ablations/study/__init__.py": '"""No more than this file."""',
    }
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    found = rooms(tmp_path)
    assert found == [
        Room("datasets", "What is learned from: pictures", frozenset()),
        Room("benchmarks/core", "Ground", frozenset({"datasets"})),
        Room("benchmarks/engine", "The training of one run", frozenset({"benchmarks/core"})),
    ]
    assert drawn_arrows(found) == {("benchmarks/engine", "benchmarks/core"), ("benchmarks", "datasets")}


def test_implied_arrows_are_left_out() -> None:
    uses = {"a": {"b", "c", "d"}, "b": {"c"}, "c": set(), "d": set()}
    assert reduced({name: frozenset(below) for name, below in uses.items()}) == uses | {"a": {"b", "d"}}


def test_one_run_passes_through_at_most_15_functions_that_are_there(text: str) -> None:
    rows = re.findall(r"^\| (\d+) \| `([\w.]+)` \| \[[^\]]+\]\(\.\./([^)]+\.py)\) \| .{20,} \|$", text, re.MULTILINE)
    assert [int(number) for number, _, _ in rows] == list(range(1, 16))
    for _, name, file in rows:
        body = ast.parse((ROOT / file).read_text(encoding="utf-8")).body
        for part in name.split("."):
            found = {node.name: node for node in body if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
            assert part in found, (name, file)
            body = found[part].body
