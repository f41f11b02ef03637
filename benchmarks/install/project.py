"""What set-up has to install: read from pyproject.toml and constraints.txt."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import detectron2_wheel
from .errors import InstallError

CHECKOUT = Path(__file__).resolve().parents[2]
CONSTRAINTS = Path(__file__).with_name("constraints.txt")

_NAME = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)")


@dataclass(frozen=True)
class Requirements:
    """The requirements of pyproject.toml, sorted by how set-up installs them.

    Attributes:
        torch: the requirement on torch.
        usual: what pip installs in the usual way, with the test tools if they were asked for.
        beside_torch: those of ``usual`` that neither need torch nor what needs it
            (not in ``tool.segshift.install.after-torch``).
        bare: what is installed without its own requirements (``tool.segshift.install.without-requirements``).
    """

    torch: str
    usual: tuple[str, ...]
    beside_torch: tuple[str, ...]
    bare: tuple[str, ...]

    @property
    def names(self) -> list[str]:
        """Normalized names of everything that must be installed in the end, detectron2 included."""
        return [name_of(item) for item in (self.torch, "detectron2", *self.usual, *self.bare)]


def name_of(requirement: str) -> str:
    """The normalized package name of a requirement or of a constraint line: ``PyYAML>=6`` -> ``pyyaml``.

    Raises:
        InstallError: the line does not start with a package name.
    """
    match = _NAME.match(requirement)
    if match is None:
        raise InstallError(f"{requirement!r}: expected a requirement that starts with a package name")
    return re.sub(r"[-_.]+", "-", match[1]).lower()


def read_requirements(pyproject: Path, *, with_tests: bool) -> Requirements:
    """Read the requirements of ``pyproject``.

    Raises:
        InstallError: the file does not list torch and detectron2, or names a bare package that it does not list.
    """
    document = read_toml(pyproject)
    listed = list(document["project"]["dependencies"])
    install = document["tool"]["segshift"]["install"]
    bare_names = {name_of(name) for name in install["without-requirements"]}
    by_name = {name_of(item): item for item in listed}
    missing = sorted({"torch", "detectron2", *bare_names} - by_name.keys())
    if missing:
        raise InstallError(f"{pyproject}: project.dependencies lacks {', '.join(missing)}, which set-up installs")
    if with_tests:
        by_name.update({name_of(item): item for item in document["project"]["optional-dependencies"]["test"]})
    apart = bare_names | {"torch", "detectron2"}
    usual = tuple(item for name, item in by_name.items() if name not in apart)
    after = {name_of(name) for name in install["after-torch"]}
    return Requirements(
        torch=by_name["torch"],
        usual=usual,
        beside_torch=tuple(item for item in usual if name_of(item) not in after),
        bare=tuple(item for name, item in by_name.items() if name in bare_names),
    )


def read_constraints(path: Path = CONSTRAINTS) -> list[str]:
    """The constraint lines of ``path``, without comments and empty lines."""
    lines = (line.strip() for line in path.read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def inputs_hash(pyproject: Path) -> str:
    """Hash of all that decides what set-up installs."""
    digest = hashlib.sha256(detectron2_wheel.recipe_hash().encode())
    digest.update(pyproject.read_bytes())
    digest.update(CONSTRAINTS.read_bytes())
    return digest.hexdigest()


def read_toml(path: Path) -> dict[str, Any]:
    """The content of pyproject.toml. Raises InstallError where it is not there, or nothing can read it."""
    try:
        import tomllib
    except ModuleNotFoundError:  # Python 3.10: pip brings a copy of the same parser
        try:
            from pip._vendor import tomli as tomllib
        except ImportError as error:
            raise InstallError(f"{path}: Python 3.10 needs pip to read it, and this interpreter has no pip") from error
    if not path.is_file():
        raise InstallError(f"{path}: no such file, expected the project's pyproject.toml")
    return tomllib.loads(path.read_text(encoding="utf-8"))
