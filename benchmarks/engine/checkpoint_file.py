"""Reading a checkpoint's file, and finding out whether it is whole."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import torch

from benchmarks.core.errors import ConfigError


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The contents of a checkpoint, tensors on the CPU. Raises ConfigError where it is missing or damaged."""
    expected = "expected a checkpoint of segshift"
    try:
        # torch itself does not compare the check sums, and would load flipped bits without a word.
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
        if damaged is not None:
            raise ConfigError(f"{path}: damaged in {damaged}, {expected}")
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file, {expected}") from None
    except ConfigError:
        raise
    except zipfile.BadZipFile:
        raise ConfigError(f"{path}: cut short, or not a checkpoint; {expected}") from None
    except Exception as error:  # unpickling has exceptions of its own for each kind of damage
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise ConfigError(f"{path}: cannot be read ({reason[0]}), {expected}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: holds a {type(content).__name__}, {expected}")
    return content
