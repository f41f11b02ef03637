"""The methods that ship, one a file on top of ``methods/``: found by themselves, imported, or read for a list."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import fields
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import NamedTuple

from methods.framework.recipes import PARTS, MethodPart

_FOLDER = Path(__file__).resolve().parents[1]


class DeclaredPart(NamedTuple):
    """What a list shows of a `methods.framework.recipes.MethodPart`."""

    name: str
    description: str
    host: bool


def import_methods() -> None:
    """Import each method's file, which registers its terms and names; a new method is a file of its own, no more."""
    for name in _names():
        import_module(f"methods.{name}")


def declared_parts() -> list[DeclaredPart]:
    """What ``register(MethodPart(...))`` says in the files of methods/, and what else is registered by now.

    The files are read without running them, as they import torch. Where a name or description is no plain text there,
    they are imported all the same, and asked.
    """
    try:
        found = [part for name in _names() for part in _parts(_FOLDER / f"{name}.py")]
    except ValueError:
        import_methods()
        found = []
    known = {part.name for part in found}
    others = [part for part in PARTS.values() if part.name not in known]
    return [*found, *(DeclaredPart(part.name, part.description, part.host) for part in others)]


def _names() -> list[str]:
    return [module.name for module in iter_modules([str(_FOLDER)]) if not module.ispkg]


def _parts(file: Path) -> Iterator[DeclaredPart]:
    """The parts of a file. Raises ValueError where one is made of more than plain text."""
    for call in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
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
