"""A docstring's first line is what a function does or returns, no fragment that its name has to complete."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from benchmarks.core.checkout import ROOT
from benchmarks.tools.imports import FOLDERS

FRAGMENT = re.compile(
    r"(Of|As|From|By|With|Within|Without|At|In|For|Where|While|Before|After|Those|Its|It|Raises|Nothing|Also)\b|``"
)


def fragments(code: str) -> Iterator[str]:
    """The names of functions, classes and methods whose docstring begins as a fragment."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and FRAGMENT.match(ast.get_docstring(node) or ""):
            yield node.name


def test_docstrings_begin_with_what_a_function_does_or_returns() -> None:
    files = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")]
    assert len(files) > 200
    found = [f"{path.relative_to(ROOT)}: {name}" for path in files for name in fragments(path.read_text("utf-8"))]
    assert found == []


@pytest.mark.parametrize(
    ("text", "is_fragment"),
    [
        ("Of the first run.", True),
        ("Raises ValueError for none.", True),
        ("``a`` -> ``b``.", True),
        ("The first run's.", False),
        ("Offer a run.", False),
        ("Check it. Raises ValueError for none.", False),
    ],
)
def test_a_fragment_is_found(text: str, is_fragment: bool) -> None:
    assert list(fragments(f'def f():\n    """{text}"""\n')) == (["f"] if is_fragment else [])
    assert list(fragments(f'class A:\n    def g(self):\n        """{text}"""\n')) == (["g"] if is_fragment else [])
