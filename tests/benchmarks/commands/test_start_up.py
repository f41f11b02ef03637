"""What people ask for first, `--help` and `--list`, does not wait for the libraries of training and of tables."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import methods.catalog  # noqa: F401  (registers the methods)
from ablations.sweep import shipped
from ablations.sweep.grid import grids, read_grid
from benchmarks.core.checkout import ROOT
from methods import declared
from methods.framework.recipes import PARTS
from methods.networks.published_weights import PUBLISHED

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


def shipped_parts() -> list[tuple[str, str, bool]]:
    """What is registered, without what other tests register."""
    shown = [(part.name, part.description, part.host) for part in PARTS.values()]
    return shown[: len(declared.declared_parts())]


def test_declared_parts_are_those_that_are_registered() -> None:
    found = declared.declared_parts()
    assert [tuple(part) for part in found] == shipped_parts()
    assert ("mrm", False) in [(part.name, part.host) for part in found]


@pytest.mark.parametrize(
    "text",
    [
        'register(MethodPart(f"{2}nd", "computed", ("supervised",)))',
        'part = MethodPart("elsewhere", "made before", ("supervised",))\nregister(part)',
    ],
)
def test_a_part_that_is_no_plain_text_is_asked_for(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "catalog.py").write_text("from methods import own\n")
    (tmp_path / "own.py").write_text(text)
    monkeypatch.setattr(declared, "_FOLDER", tmp_path)
    assert [part.name for part in declared.declared_parts()] == list(PARTS)


def test_a_part_of_words_by_place_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "catalog.py").write_text("from methods import own\n")
    (tmp_path / "own.py").write_text('recipes.register(recipes.MethodPart("own", "of my own", ("supervised",), True))')
    monkeypatch.setattr(declared, "_FOLDER", tmp_path)
    assert declared.declared_parts() == [declared.DeclaredPart("own", "of my own", True)]


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
