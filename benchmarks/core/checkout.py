"""Our packages have common names: check once that those imported are this checkout's."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from benchmarks.core.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("datasets", "methods", "benchmarks", "ablations", "results", "slurm")


def check_checkout() -> None:
    """Raise ConfigError naming the culprit where another distribution shadows one of our packages."""
    for name in PACKAGES:
        spec = importlib.util.find_spec(name)
        origin = Path(spec.origin).resolve() if spec and spec.origin else None
        if origin is None or origin.parent != ROOT / name:
            raise ConfigError(
                f"package {name!r} is imported from {origin.parent if origin else 'nowhere'}, expected {ROOT / name}; "
                "run from the checkout's own environment, or uninstall the distribution that shadows it"
            )
