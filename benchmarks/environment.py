"""What a record says of the machine and the code that made it."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from benchmarks.checkout import ROOT

_PACKAGES = ("torch", "detectron2", "fvcore", "numpy", "transformers")


def hardware(device: torch.device) -> dict[str, Any]:
    """The processor or GPU by name, and how many threads torch uses."""
    if device.type == "cuda":
        return {"name": torch.cuda.get_device_name(device), "device": "cuda", "threads": torch.get_num_threads()}
    return {"name": f"CPU {_cpu_name()}", "device": device.type, "threads": torch.get_num_threads()}


def _cpu_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def versions() -> dict[str, str | None]:
    """Of Python and the packages that decide numbers; None for one that has no distribution."""
    found: dict[str, str | None] = {"python": sys.version.split()[0]}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return found


def git_state() -> dict[str, Any]:
    """The checkout's commit, and whether tracked files differ from it; None where there is no git."""
    commit = _git("rev-parse", "HEAD")
    changes = _git("status", "--porcelain", "--untracked-files=no")
    return {"commit": commit, "dirty": None if changes is None else bool(changes)}


def _git(*words: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(ROOT), *words],
            capture_output=True,
            text=True,
            timeout=30,
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
