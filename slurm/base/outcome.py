"""What becomes of a job that ran elsewhere: its result, or how it was lost."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from submitit.core.utils import JobPaths


class _PlainValues(pickle.Unpickler):
    """Reads texts, numbers and what holds them. A result may lie in a folder that somebody else made: nothing runs."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"it holds more than plain values: {module}.{name}")


@dataclass(frozen=True)
class Lost:
    """A worker that ended without a result: killed, out of memory, or by an exception that its job let pass.

    ``log`` is None where it could not even be started.
    """

    reason: str
    log: Path | None


def read_outcome(paths: JobPaths) -> Any:
    """The result that a worker left, a plain value, or Lost where it left an exception.

    Raises:
        FileNotFoundError: it left nothing.
        EOFError, pickle.UnpicklingError: it is not whole, or holds more than plain values.
    """
    # submitit waits for this file, and its exit code is that of the process between: look for ourselves.
    ended, result = _read(paths.result_pickle)
    if ended == "error":  # the result is the traceback
        return Lost(result.strip().splitlines()[-1], paths.stdout)
    return result


def _read(path: Path) -> Any:
    return _PlainValues(BytesIO(path.read_bytes())).load()


def error_of_another_task(paths: JobPaths) -> str:
    """What ended a task other than the first, for which srun then ended all; "" where none left an exception."""
    for path in sorted(paths.folder.glob(f"{paths.job_id}_*_result.pkl")):
        try:
            ended, result = _read(path)
        except Exception:  # not yet whole
            continue
        if ended == "error":
            task = path.name.removeprefix(f"{paths.job_id}_").split("_")[0]
            return f"rank {task}: {result.strip().splitlines()[-1]}"
    return ""


def remove_files(paths: JobPaths, result: bool = True) -> None:
    """What the processes exchanged, and the output; without ``result`` that one stays, for others that wait for it."""
    for path in paths.folder.glob(f"{paths.job_id}_*"):
        if result or path != paths.result_pickle:
            path.unlink(missing_ok=True)
