"""Methods, networks and metrics of the user's own: files and modules that are imported before a config is made."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from os.path import expanduser
from pathlib import Path
from types import ModuleType
from typing import Any

from benchmarks.config import boundaries, calibration  # noqa: F401  # whose names are taken before a plug-in's
from benchmarks.config.metrics import METRICS
from benchmarks.core.errors import ConfigError
from datasets.base.user_code import import_user_code
from methods.framework.recipes import PARTS, parse
from methods.framework.shipped import import_methods
from methods.framework.term import TERMS
from methods.networks import NETWORKS

OPTION, VARIABLE = "--plugin", "SEGSHIFT_PLUGINS"
FOLDER = "plugins"  # of files, in a copy of the code
_REGISTRIES: Mapping[str, Mapping[str, Any]] = {"method": PARTS, "term": TERMS, "network": NETWORKS, "metric": METRICS}


@dataclass(frozen=True)
class Plugin:
    """One that was imported.

    Attributes:
        place: what it is imported by: the whole path of a file, or the name of a module.
        digest: 16 digits of the SHA-256 of its content; of a package, of all its Python files.
        file: where its code lies.
        registered: the kind and name of what its import registered, as ("term", "entropy").
    """

    place: str
    digest: str
    file: Path
    registered: frozenset[tuple[str, str]]

    @property
    def is_file(self) -> bool:
        return self.place.endswith(".py")

    @property
    def name(self) -> str:
        """The place without folders, which another machine has not."""
        return Path(self.place).name

    def copies(self) -> dict[str, Path]:
        """The files that a copy of the code needs to import it, by their place there: of a module its whole package."""
        if self.is_file:
            return {f"{FOLDER}/{self.digest}/{self.name}": self.file}
        depth = self.place.count(".") + (self.file.name == "__init__.py")
        top = self.file.parents[depth]
        first = self.place.split(".")[0]
        files = sorted((top / first).rglob("*.py")) if depth else [self.file]
        return {file.relative_to(top).as_posix(): file for file in files}

    def place_in(self, code: Path) -> str:
        """What it is imported by where `copies` lie below ``code``."""
        return str(code / FOLDER / self.digest / self.name) if self.is_file else self.place


_imported: dict[str, Plugin] = {}


def import_plugins(named: Sequence[str] = ()) -> None:
    """Import the plug-ins that the environment names and then ``named``, each once; processes started later do, too.

    They are files ending in .py, relative to the working folder, or modules that can be imported.

    Raises:
        DataError, ConfigError: one is not there or fails, as where it registers a name that is taken; in one line.
    """
    import_methods()  # ours have their names first
    by_environment = [text for text in os.environ.get(VARIABLE, "").split(os.pathsep) if text]
    for key, text in [*((f"${VARIABLE}", each) for each in by_environment), *((OPTION, each) for each in named)]:
        _import(expanduser(text), key)  # noqa: PTH111 (pathlib's raises where there is no such user)
    if _imported:
        os.environ[VARIABLE] = os.pathsep.join(_imported)


def plugins() -> list[Plugin]:
    """The plug-ins that this process has imported."""
    return list(_imported.values())


def used_plugins(method: str, network: str) -> tuple[str, ...]:
    """The digests of the plug-ins that registered a part or a term of a recipe, or the network; sorted."""
    recipe = parse(method)
    used = {("network", network), *(("term", name) for name in recipe.terms)}
    used |= {("method", part.name) for part in recipe.parts}
    return tuple(sorted({plugin.digest for plugin in plugins() if plugin.registered & used}))


def unknown_plugins(digests: Iterable[str]) -> list[str]:
    """The ``digests`` that no imported plug-in has."""
    return sorted({*digests} - {plugin.digest for plugin in plugins()})


def handed_over(code: Path) -> dict[str, str]:
    """The environment of a process that imports them from a copy of the code; empty where there are none."""
    places = [plugin.place_in(code) for plugin in plugins()]
    return {VARIABLE: os.pathsep.join(places)} if places else {}


def _import(text: str, key: str) -> None:
    place = str(Path(text).resolve()) if text.endswith(".py") else text
    if os.pathsep in place:
        raise ConfigError(f"{key} {text}: expected a path without {os.pathsep!r}, which separates those of ${VARIABLE}")
    if place in _imported:
        return
    before = {kind: dict(registry) for kind, registry in _REGISTRIES.items()}
    module = import_user_code(text, Path(), key, "methods, networks or metrics")
    registered = frozenset(
        (kind, name)
        for kind, registry in _REGISTRIES.items()
        for name, value in registry.items()
        if before[kind].get(name) is not value
    )
    file = _file_of(module, f"{key} {text}")
    _imported[place] = Plugin(place, _digest(file), file, registered)


def _file_of(module: ModuleType, where: str) -> Path:
    file = getattr(module, "__file__", None)
    if file is None or not file.endswith(".py"):
        raise ConfigError(f"{where}: has no Python file, expected a module that is written in one")
    return Path(file).resolve()


def _digest(file: Path) -> str:
    digest = hashlib.sha256()
    if file.name != "__init__.py":
        digest.update(file.read_bytes())
    else:
        for path in sorted(file.parent.rglob("*.py")):
            content = path.read_bytes()
            digest.update(f"{path.relative_to(file.parent).as_posix()} {len(content)} ".encode() + content)
    return digest.hexdigest()[:16]
