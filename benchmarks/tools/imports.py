"""Who imports whom among our packages, read from the source: imports inside functions count as well."""

from __future__ import annotations

import ast
import re
from pathlib import Path

# A folder imports itself and those named; a ground folder nobody.
FOLDERS: dict[str, tuple[str, ...]] = {
    "datasets": (),
    "methods": (),
    "results": (),
    "slurm": (),
    "benchmarks": ("datasets", "methods", "results", "slurm"),
    "ablations": ("datasets", "methods", "results", "slurm", "benchmarks"),
}
# A room imports those before it; what lies in no room, "", is above all.
ROOMS: dict[str, tuple[str, ...]] = {
    "datasets": ("base", "classes", "streets", "files", "checks", "sets", "batches", ""),
    "methods": ("base", "layers", "encoders", "decoders", "pretrained", "networks", "parts", "framework", ""),
    "results": ("files", "records", "forms", "statistics", "tables", "plots", "page", ""),
    "slurm": ("base", "processes", "jobs", "local_cluster", ""),
    "benchmarks": (
        *("core", "install", "config", "cli", "data", "state", "computing", "evaluation", "engine", "trained"),
        *("launch", "tools", "measure", ""),
    ),
    "ablations": ("profiling", "sweep", "study", "sections", "mutual_information", ""),
}


_SETS_PATH = re.compile(r"^\s*sys\.path\[0\] = ", re.MULTILINE)


def modules(root: Path) -> dict[str, Path]:
    """All modules of our packages below a checkout, by dotted name; a package is named without ``__init__``."""
    found = {}
    for package in FOLDERS:
        for path in sorted((root / package).rglob("*.py")):
            name = ".".join(path.relative_to(root).with_suffix("").parts)
            found[name.removesuffix(".__init__")] = path
    return found


def arrows(root: Path) -> dict[str, set[str]]:
    """The modules of ours that each module imports."""
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
    return path.name == "__main__.py" or bool(_SETS_PATH.search(path.read_text(encoding="utf-8")))


def room_of(name: str) -> str:
    """The room of a module: ``benchmarks.core.errors`` -> "core"; "" for what lies in none."""
    folder, *rest = name.split(".")
    return rest[0] if rest and rest[0] in ROOMS[folder] else ""
