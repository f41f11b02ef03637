"""What becomes of a job that ran elsewhere: its result, or how it was lost."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from submitit.core.utils import JobPaths


@dataclass(frozen=True)
class Lost:
    """A worker that ended without a result: killed, out of memory, or by an exception that its job let pass."""

    reason: str
    log: Path


def read_outcome(paths: JobPaths) -> Any:
    """The result that a worker left, or Lost where it left an exception.

    Raises:
        FileNotFoundError: it left nothing.
        EOFError, pickle.UnpicklingError: it is not whole.
    """
    # submitit waits for this file, and its exit code is that of the process between: look for ourselves.
    ended, result = pickle.loads(paths.result_pickle.read_bytes())
    if ended == "error":  # the result is the traceback
        return Lost(result.strip().splitlines()[-1], paths.stdout)
    return result


def remove_files(paths: JobPaths) -> None:
    """What the processes exchanged, and the output."""
    for path in paths.folder.glob(f"{paths.job_id}_*"):
        path.unlink(missing_ok=True)
