"""Importing code of the user's own: a file by its path, or a module by its name."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from datasets.base.errors import DataError


def import_user_code(text: str, folder: Path, key: str, registers: str) -> ModuleType:
    """Import a module that registers something, once a process, and return it.

    Args:
        text: the name of a module that can be imported, or a file ending in .py, relative to ``folder``.
        folder: see above.
        key: the option or config key that names it, for errors.
        registers: what it is expected to register, likewise.

    Raises:
        DataError: it is not there, or fails; one line that names it.
    """
    try:
        if not text.endswith(".py"):
            return importlib.import_module(text)
        path = (folder / text).resolve()
        name = f"segshift_user_{path.as_posix().replace('/', '_').removesuffix('.py')}"
        return sys.modules.get(name) or _run(path, name, key, registers)
    except DataError:
        raise
    except (Exception, SystemExit) as error:  # a user's code may raise anything
        raise DataError(f"{key} {text}: cannot be imported ({error_line(error)})") from error


def error_line(error: BaseException) -> str:
    """What a traceback ends with, in one line."""
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0]}" if text else type(error).__name__


def _run(path: Path, name: str, key: str, registers: str) -> ModuleType:
    if not path.is_file():
        raise DataError(f"{key}: {path}: no such file, expected Python code that registers {registers}")
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
