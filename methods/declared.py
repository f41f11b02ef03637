"""The methods that ship, as their files declare them: read without running these, which import torch."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import NamedTuple

from methods.framework.recipes import PARTS, MethodPart

_FOLDER = Path(__file__).parent


class DeclaredPart(NamedTuple):
    """What a list shows of a `methods.framework.recipes.MethodPart`."""

    name: str
    description: str
    host: bool


def declared_parts() -> list[DeclaredPart]:
    """What ``register(MethodPart(...))`` says in the files that `methods.catalog` imports, in its order.

    Where a name or description is no plain text there, the files are imported all the same, and asked.
    """
    try:
        return [part for file in _files() for part in _parts(file)]
    except ValueError:
        import methods.catalog  # noqa: F401  (registers the methods)

        return [DeclaredPart(part.name, part.description, part.host) for part in PARTS.values()]


def _files() -> Iterator[Path]:
    for node in _tree(_FOLDER / "catalog.py").body:
        if isinstance(node, ast.ImportFrom):
            yield from (_FOLDER / f"{alias.name}.py" for alias in node.names)


def _parts(file: Path) -> Iterator[DeclaredPart]:
    """Raises ValueError where one is made of more than plain text."""
    for call in ast.walk(_tree(file)):
        if not (isinstance(call, ast.Call) and _called(call) == "register"):
            continue
        part = call.args[0] if call.args else None
        if not (isinstance(part, ast.Call) and _called(part) == "MethodPart"):
            raise ValueError(f"{file}: a part that is made elsewhere")
        given = dict(zip([each.name for each in fields(MethodPart)], part.args, strict=False))
        given |= {keyword.arg: keyword.value for keyword in part.keywords if keyword.arg}
        read = {name: ast.literal_eval(given[name]) for name in DeclaredPart._fields if name in given}
        yield DeclaredPart(read["name"], read["description"], read.get("host", False))


def _called(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def _tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))
