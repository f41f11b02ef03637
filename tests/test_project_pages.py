"""The pages for who comes next: the index, what moved, how to cite, and the workflow say what is there."""

from __future__ import annotations

import ast
import re
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmarks.core.checkout import ROOT
from benchmarks.install.project import name_of, read_toml
from benchmarks.tools.imports import modules

PROJECT = read_toml(ROOT / "pyproject.toml")["project"]


def rows(page: Path) -> list[list[str]]:
    """The cells of all rows of the tables of a page, without their heads."""
    lines = re.findall(r"^\| (.+) \|$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return [line.split(" | ") for line in lines if not line.startswith(("page |", "folder |"))]


def test_the_index_has_each_page_once_with_a_sentence() -> None:
    listed = rows(ROOT / "docs/index.md")
    targets = [(ROOT / "docs" / target).resolve() for link, _ in listed for target in re.findall(r"\((.+)\)", link)]
    pages = {*(ROOT / "docs").glob("*.md"), *ROOT.glob("*.md")} - {ROOT / "docs/index.md"}
    assert sorted(targets) == sorted(pages)
    assert all(len(sentence.split()) > 4 for _, sentence in listed)


def test_modules_moved_to_where_the_changelog_says() -> None:
    moved = [row for row in rows(ROOT / "CHANGELOG.md") if len(row) == 3]
    assert len(moved) > 20
    for folder, before, now in moved:
        old, new = re.findall(r"`([\w.]+)`", before), re.findall(r"`([\w.]+)`", now)
        assert all(name.split(".")[0] == folder for name in (*old, *new)), before
        assert [name for name in new if not exists(name)] == [], before
        if "same names" in now:
            package = next(name for name in new if (ROOT / Path(*name.split("."))).is_dir())
            elsewhere = [name for name in old if not exists(f"{package}.{name.split('.')[-1]}")]
            assert len(elsewhere) <= len(new) - 1, (elsewhere, now)
        else:
            assert len(old) <= len(new)


def exists(module: str) -> bool:
    path = ROOT / Path(*module.split("."))
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


def modules_of(package: Distribution) -> set[str]:
    """What can be imported of it: Python 3.10's packages_distributions lacks those without a top_level.txt."""
    files = {file.parts[0].removesuffix(".py") for file in package.files or ()}
    return files | {*(package.read_text("top_level.txt") or "").split()}


@pytest.mark.slow
def test_each_dependency_is_imported_by_our_code_or_says_whose_it_is() -> None:
    found, by_others = set(), {"pyquaternion"}  # of cityscapesscripts' evaluation
    for path in modules(ROOT).values():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {each.name.split(".")[0] for each in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found.add(node.module.split(".")[0])
    used = {name_of(each.metadata["Name"]) for each in distributions() if found & modules_of(each)}
    assert {name_of(line) for line in PROJECT["dependencies"]} - used == by_others


def test_how_to_cite() -> None:
    found = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert (found["version"], found["license"]) == (PROJECT["version"], PROJECT["license"])
    assert found["title"].startswith(PROJECT["name"]) and found["authors"] == [{"name": "segshift developers"}]
    for entry in (found, *found["references"]):
        assert {"title", "authors"} <= set(entry) and entry["authors"]
    assert any("2509.13801" in reference["url"] for reference in found["references"])


@pytest.fixture
def workflow() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8"))
    return found


def test_the_workflow_calls_the_gate_on_the_floor_and_a_newer_python(workflow: dict[str, Any]) -> None:
    (job,) = workflow["jobs"].values()
    floor = PROJECT["requires-python"].removeprefix(">=")
    assert job["strategy"]["matrix"]["python"] == [floor, "3.12"]
    assert any(re.search(r"(^| )\.ci/run$", step.get("run", "")) for step in job["steps"])
    assert (ROOT / ".ci/run").stat().st_mode & 0o100
    assert 0 < job["timeout-minutes"] <= 120 and all(step.get("timeout-minutes", 1) for step in job["steps"])
