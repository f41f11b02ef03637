"""Arrows run one way: between folders, between the rooms of a folder, and between modules; nobody imports a command."""

from __future__ import annotations

from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from benchmarks.core.checkout import ROOT
from benchmarks.tools.imports import FOLDERS, ROOMS, arrows, is_command, modules, room_of

# Former places of commands.
POINTERS = {("slurm.status", "benchmarks.status")}
SHARED = "methods.base.batch_share"  # what several processes do with a batch


def faults(root: Path) -> list[str]:
    """The arrows that should not be there, each with its reason."""
    files, found = modules(root), []
    for name, imported in arrows(root).items():
        folder = name.split(".")[0]
        for other in sorted(imported):
            arrow, theirs = f"{name} -> {other}", other.split(".")[0]
            if is_command(files[other]) and (name, other) not in POINTERS:
                found.append(f"{arrow}: imports a command")
            elif other == SHARED and room_of(name) in ("", "parts"):
                found.append(f"{arrow}: a method is written as for one process, its step shares the batch")
            elif theirs == folder:
                order = ROOMS[folder]
                if order.index(room_of(other)) > order.index(room_of(name)):
                    found.append(f"{arrow}: up")
            elif theirs not in FOLDERS[folder] and not is_command(files[name]):
                found.append(f"{arrow}: {folder} imports {theirs}")
    try:
        TopologicalSorter({name: imported - {name} for name, imported in arrows(root).items()}).prepare()
    except CycleError as error:
        found.append(f"circle: {' -> '.join(error.args[1])}")
    return found


@pytest.mark.slow
def test_arrows_run_one_way() -> None:
    assert faults(ROOT) == []


def test_tables_have_one_renderer() -> None:
    texts = {name: path.read_text(encoding="utf-8") for name, path in modules(ROOT).items()}
    importing = {name for name, text in texts.items() if "import tabulate\n" in text}
    assert {name for name in importing if not name.startswith("benchmarks.install.")} == {"results.forms.cells"}


def test_each_room_is_there_and_is_no_module_too() -> None:
    for folder, rooms in ROOMS.items():
        for room in filter(None, rooms):
            assert (ROOT / folder / room / "__init__.py").is_file()
            assert not (ROOT / folder / f"{room}.py").exists()


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A checkout of a few empty modules."""
    for name in ("datasets.sets.one", "methods.mic", SHARED, "results.files.one", "slurm.base.errors"):
        write(tmp_path, name)
    write(tmp_path, "ablations.study.space")
    for room in ROOMS["benchmarks"]:
        write(tmp_path, f"benchmarks.{room}.one" if room else "benchmarks.run")
    (tmp_path / "benchmarks/run.py").write_text("import sys\nsys.path[0] = ''\n")
    return tmp_path


def write(root: Path, name: str, text: str = "") -> None:
    path = root / Path(*name.split(".")).with_suffix(".py")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.mark.parametrize(
    ("name", "text", "fault"),
    [
        ("benchmarks.core.one", "from benchmarks.engine import one", "core.one -> benchmarks.engine.one: up"),
        ("datasets.sets.one", "import methods.mic", "datasets.sets.one -> methods.mic: datasets imports methods"),
        ("slurm.base.errors", "def f():\n    import results.files.one", "-> results.files.one: slurm imports"),
        ("benchmarks.core.one", "from ..engine import one", "core.one -> benchmarks.engine.one: up"),
        ("benchmarks.launch.one", "import ablations.study.space", "benchmarks imports ablations"),
        ("ablations.study.space", "from benchmarks.run import main", "imports a command"),
        ("methods.mic", "from methods.base.batch_share import Share", "a method is written as for one process"),
        ("benchmarks.core.two", "import benchmarks.core.one", "circle: "),
    ],
)
def test_a_planted_arrow_is_found(house: Path, name: str, text: str, fault: str) -> None:
    write(house, "benchmarks.core.two")
    write(house, "benchmarks.core.one", "import benchmarks.core.two" if "circle" in fault else "")
    assert faults(house) == []
    write(house, name, text)
    assert any(fault in line for line in faults(house))
