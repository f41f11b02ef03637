"""What a record says of the machine and the code that made it."""

from __future__ import annotations

import functools
import hashlib
import json
import logging
import os
import platform
import shutil
import sys
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from detectron2.utils import comm

from benchmarks.core.checkout import PACKAGES, ROOT
from slurm.jobs.snapshot import NEW, STATE, git, listed, say_left_out

_VERSIONS = ("detectron2", "fvcore", "numpy", "transformers")
_LONGEST_DIFF = 200_000  # characters


def hardware(device: torch.device) -> dict[str, Any]:
    """The processor or GPU by name, how many threads torch uses, and how many processes where it is more than one."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU {_cpu_name()}"
    found = {"name": name, "device": device.type, "threads": torch.get_num_threads()}
    ranks = comm.get_world_size()
    return found | ({"name": f"{ranks} x {name}", "processes": ranks} if ranks > 1 else {})


def _cpu_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def versions() -> dict[str, str | None]:
    """Versions of Python and the packages that decide numbers; None for one that has no distribution."""
    # torch's own has its build, "+cu130", that of the distribution may lack it.
    found: dict[str, str | None] = {"python": sys.version.split()[0], "torch": str(torch.__version__)}
    return found | {name: _version(name) for name in _VERSIONS}


@functools.cache  # the process has loaded the one that was there, and each of its runs asks
def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def code_state() -> tuple[dict[str, Any], str]:
    """The ``{"commit", "dirty", "diff"}`` of the code that runs, and the diff, "" where it is that of the commit.

    ``dirty`` says whether files of our packages, new Python and YAML included, differ from the commit; "diff" is 16
    digits of the diff's SHA-256, so that runs of one code can be told. Each is None where nothing is known. Of a
    snapshot it is what was so when that was made.
    """
    state = git_state()
    diff = state["diff"] or ""
    return state | {"diff": hashlib.sha256(diff.encode()).hexdigest()[:16] if diff else None}, diff


def git_state() -> dict[str, Any]:
    """The state as of `code_state`, with "diff" the diff itself, cut at ``_LONGEST_DIFF`` characters."""
    if (ROOT / STATE).is_file():
        state: dict[str, Any] = json.loads((ROOT / STATE).read_text(encoding="utf-8"))
        return state
    commit = (_git("rev-parse", "HEAD") or "").strip() or None
    diff = None if commit is None else _diff()
    if diff is not None and len(diff) > _LONGEST_DIFF:
        diff = f"{diff[:_LONGEST_DIFF]}\n[cut: {len(diff)} characters in all]"
    return {"commit": commit, "dirty": None if diff is None else bool(diff), "diff": diff or None}


def job_id() -> str | None:
    """The id of the SLURM job that this process is part of, an element of an array as ``123_4``."""
    array, element = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    return f"{array}_{element}" if array and element else os.environ.get("SLURM_JOB_ID")


def _diff() -> str | None:
    """Against the last commit, by an index of our own that knows new code, too; the checkout's is left alone.

    Other new files, keys among them, are nobody's business: they are named in the log.
    """
    index = _git("rev-parse", "--path-format=absolute", "--git-path", "index")
    index = index.strip() if index else None
    if index is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        own = {"GIT_INDEX_FILE": str(Path(folder, "index"))}
        try:
            # With its time: git looks into files that are as old as the index, whose sizes and seconds say nothing.
            shutil.copy2(index, own["GIT_INDEX_FILE"])
        except OSError:
            return None
        others = listed(ROOT, PACKAGES, "--others", "--exclude-standard")
        new = [path for path in others if Path(path).suffix in NEW and not (ROOT / path).is_symlink()]
        say_left_out(sorted({*others} - {*new}), "the diff of the code", logging.INFO)
        if new and _git("--literal-pathspecs", "add", "--intent-to-add", "--", *new, **own) is None:
            return None
        return _git("diff", "HEAD", "--no-color", "--no-ext-diff", "--", *PACKAGES, **own)


def _git(*words: str, **environment: str) -> str | None:
    said = git(ROOT, *words, **environment)
    return None if said is None else said.decode(errors="replace")
