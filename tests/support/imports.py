"""Who imports whom among our packages, read from the source: imports inside functions count as well."""

from __future__ import annotations

import ast
from pathlib import Path

PACKAGES = ("datasets", "methods", "results", "slurm", "benchmarks", "ablations")


def modules(root: Path) -> dict[str, Path]:
    """All modules of our packages below a checkout, by dotted name; a package is named without ``__init__``."""
    found = {}
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            name = ".".join(path.relative_to(root).with_suffix("").parts)
            found[name.removesuffix(".__init__")] = path
    return found


def arrows(root: Path) -> dict[str, set[str]]:
    """By module, the modules of ours that it imports."""
    known = modules(root)
    return {name: _imported(name, path, known) for name, path in known.items()}


def _imported(name: str, path: Path, known: dict[str, Path]) -> set[str]:
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*above, *filter(None, [node.module])])
            found |= {f"{module}.{each.name}" for each in node.names if f"{module}.{each.name}" in known}
            found |= {module for each in node.names if f"{module}.{each.name}" not in known}
        elif isinstance(node, ast.Import):
            found |= {each.name for each in node.names}
    return {name for name in found if name in known}


def is_command(path: Path) -> bool:
    """Whether a file is started by its path or by ``-m``: such are on top of everything, wherever they lie."""
    return path.name == "__main__.py" or "sys.path[0] = " in path.read_text(encoding="utf-8")
