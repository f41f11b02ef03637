"""What people ask for first, `--help` and `--list`, does not wait for the libraries of training and of tables."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import methods
from ablations.sweep import shipped
from ablations.sweep.grid import grids, read_grid
from benchmarks.core.checkout import ROOT
from methods.framework import shipped as shipped_methods
from methods.framework.recipes import PARTS, MethodPart, register
from methods.pretrained.published_weights import PUBLISHED

# Each takes from a third of a second to several seconds on a slow core.
SLOW = {"cv2", "detectron2", "matplotlib", "optuna", "pandas", "scipy", "sqlalchemy", "torch", "transformers"}
COMMANDS = sorted(
    str(path.relative_to(ROOT))
    for room in ("ablations", "benchmarks", "results", "slurm")
    for path in (ROOT / room).glob("*.py")
    if "sys.path[0] = " in path.read_text()  # started by its path
)


def loaded(command: str, word: str) -> set[str]:
    """The packages that a command imports to answer."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", str(ROOT / command), word], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-500:]
    assert done.stdout
    return {name.partition(".")[0] for name in re.findall(r"^import time: .*\| +(\S+)$", done.stderr, re.MULTILINE)}


@pytest.mark.parametrize("command", COMMANDS)
def test_help_waits_for_no_slow_library(command: str) -> None:
    packages = loaded(command, "--help")
    assert "argparse" in packages
    assert packages & SLOW == set()


@pytest.mark.parametrize("command", ["ablations/run.py", "benchmarks/run.py", "benchmarks/weights.py"])
def test_lists_wait_for_no_slow_library(command: str) -> None:
    packages = loaded(command, "--list")
    assert "tabulate" in packages
    assert packages & SLOW == set()


@pytest.fixture
def none_registered() -> Iterator[None]:
    """As in a process that has imported no method."""
    before = PARTS.copy()
    PARTS.clear()
    yield
    PARTS.clear()
    PARTS.update(before)


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, none_registered: None) -> Path:
    """The only method's file."""
    monkeypatch.setattr(shipped_methods, "_FOLDER", tmp_path)
    return tmp_path / "own.py"


@pytest.mark.slow
def test_declared_parts_are_those_that_are_registered(none_registered: None) -> None:
    code = (
        "from methods.framework.shipped import declared_parts, import_methods; read = declared_parts(); "
        "import_methods(); from methods.framework.recipes import PARTS; "
        "assert read == declared_parts() and [part.name for part in read] == list(PARTS); print(list(PARTS))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-500:]
    assert done.stdout.strip() == str([part.name for part in shipped_methods.declared_parts()])
    assert ("mrm", False) in [(part.name, part.host) for part in shipped_methods.declared_parts()]


def test_each_file_on_top_of_methods_is_found_without_being_named_anywhere() -> None:
    files = {path.stem for path in (ROOT / "methods").glob("*.py")} - {"__init__"}
    assert files == set(shipped_methods._names()) and {"dacs", "mrm"} < files


def test_what_is_registered_besides_is_listed_too() -> None:
    shown = [part.name for part in shipped_methods.declared_parts()]
    register(MethodPart("besides", "of a user's own", ("supervised",)))
    try:
        assert [part.name for part in shipped_methods.declared_parts()] == [*shown, "besides"]
    finally:
        del PARTS["besides"]


@pytest.mark.parametrize(
    "text",
    [
        'register(MethodPart(f"{2}nd", "computed", ("supervised",)))',
        'part = MethodPart("elsewhere", "made before", ("supervised",))\nregister(part)',
    ],
)
def test_a_part_that_is_no_plain_text_is_asked_for(text: str, own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own.write_text(f"from methods.framework.recipes import MethodPart, register\n{text}")
    monkeypatch.setattr(methods, "__path__", [str(own.parent)])
    monkeypatch.delitem(sys.modules, "methods.own", raising=False)
    assert [part.name for part in shipped_methods.declared_parts()] == list(PARTS) in (["2nd"], ["elsewhere"])


def test_a_part_of_words_by_place_is_read(own: Path) -> None:
    own.write_text('recipes.register(recipes.MethodPart("own", "of my own", ("supervised",), True))')
    assert shipped_methods.declared_parts() == [shipped_methods.DeclaredPart("own", "of my own", True)]
    assert PARTS == {}


def test_listed_grids_have_the_titles_that_are_read() -> None:
    lines = shipped.listing().splitlines()
    assert [line.split(maxsplit=1) for line in lines] == [[name, read_grid(name).title] for name in grids()]


@pytest.mark.parametrize("variables", [{}, {"XDG_CACHE_HOME": "~/x"}, {"TORCH_HOME": "~/t"}])
def test_weights_are_where_torch_hub_keeps_them(variables: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TORCH_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    assert PUBLISHED["resnet50_v1c"].destination().parent == Path(torch.hub.get_dir()) / "checkpoints"
