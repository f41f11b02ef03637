"""The build backend of pyproject.toml: it builds nothing, and says what to do instead.

The packages' names are common words, and commands, protocols and grids are read where they lie: a wheel of them would
shadow other distributions, and one without them would be empty.
"""

from __future__ import annotations

import sys
from typing import NoReturn

INSTEAD = (
    "segshift runs from its checkout and is not installed: `python3 -m benchmarks.install` there makes .venv with all "
    "that it needs, `python3 -m benchmarks.install --current` adds it to the environment that runs the command"
)


def _refuse(*_: object, **__: object) -> NoReturn:
    sys.exit(f"error: {INSTEAD}")


# The names are those that pip asks a backend for.
get_requires_for_build_wheel = get_requires_for_build_editable = get_requires_for_build_sdist = _refuse
build_wheel = build_editable = build_sdist = _refuse
