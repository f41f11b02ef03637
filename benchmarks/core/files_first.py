"""In which order a command ends: what it made is written before a screen is asked, and shown where no disk took it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from benchmarks.core.errors import ConfigError


def write_then_show(write: Callable[[], str], text: str, folder: Path) -> None:
    """Call ``write``, which returns what there is to say of the files, and print ``text`` and that.

    Raises:
        ConfigError: ``folder`` could not be written to; ``text`` is printed all the same.
    """
    try:
        files = write()
    except OSError as error:
        print(text, flush=True)
        raise not_written(folder, error) from None
    print(text)
    print(files)


def not_written(folder: Path, error: OSError) -> ConfigError:
    """The line of a folder that cannot be written to."""
    return ConfigError(f"--output {folder}: expected a folder that can be written ({error.strerror or error})")
