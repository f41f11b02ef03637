"""The grids that ship, by name; torch is not imported to list them."""

from __future__ import annotations

from pathlib import Path

from benchmarks.core.yaml_file import read_yaml
from results.forms.cells import table_of

GRIDS = Path(__file__).parents[1] / "grids"


def grids() -> list[str]:
    """Names of the grids that ship."""
    return sorted(path.stem for path in GRIDS.glob("*.yaml"))


def listing() -> str:
    """Name and title of the grids that ship."""
    titles = [(name, read_yaml(GRIDS / f"{name}.yaml", "a grid")["title"]) for name in grids()]
    return table_of((), titles, "plain")
