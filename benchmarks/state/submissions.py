"""What was submitted to SLURM below an output folder: one file an array, which says the run of each job.

``<output>/.slurm/submissions/<time>-<job>.json`` is written once and never changed. A run that was submitted again is
in a later file, and that counts.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path, PurePosixPath
from typing import Any

from benchmarks.core.errors import ConfigError
from results.files.plain_file import read_plain_text
from results.records.record import as_json, write_text

FOLDER = ".slurm"  # below the output: submissions, submitit's files of the jobs, snapshots of the code
_SCHEMA = 1


@dataclass(frozen=True)
class SubmittedRun:
    """The newest job of a run.

    Attributes:
        job: its id, such as ``123_4``.
        folder: the run's, below the output.
        label: what the run is called on the screen.
        iterations: planned.
        cluster: SLURM's name of the cluster.
        profile: what the job asked for, as `slurm.jobs.profile.read_profile` takes it.
        files: the folder of submitit's files of it.
    """

    job: str
    folder: Path
    label: str
    iterations: int
    cluster: str
    profile: Mapping[str, Any]
    files: Path

    @property
    def log(self) -> Path:
        """What its first process prints."""
        return self.files / f"{self.job}_0_log.out"


def jobs_folder(output: Path) -> Path:
    """The folder of folders, one a command, of submitit's files and what jobs print."""
    return output / FOLDER / "jobs"


def code_folder(output: Path) -> Path:
    """The folder of snapshots."""
    return output / FOLDER / "code"


def note_submission(
    output: Path,
    runs: Mapping[str, tuple[Path, str, int]],
    cluster: str,
    profile: Mapping[str, Any],
    code: str,
    files: str = "",
) -> None:
    """Write down an array: by job id the run's folder, its label and its iterations.

    ``code`` names the snapshot that they run, ``files`` the folder of submitit's files in `jobs_folder`.
    """
    folder = output / FOLDER / "submissions"
    folder.mkdir(parents=True, exist_ok=True)
    content = {
        "schema": _SCHEMA,
        "submitted": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "cluster": cluster,
        "code": code,
        "files": files,
        "profile": dict(profile),
        "jobs": {
            job: {"run": path.relative_to(output).as_posix(), "label": label, "iterations": iterations}
            for job, (path, label, iterations) in runs.items()
        },
    }
    write_text(folder / f"{time.time_ns()}-{next(iter(runs))}.json", as_json(content))


def submitted_runs(output: Path) -> dict[Path, SubmittedRun]:
    """The newest job of each run that was ever submitted, by the run's folder.

    Raises:
        ConfigError: a file that was not written here, such as one whose runs are not below ``output``.
    """
    found: dict[Path, SubmittedRun] = {}
    for path in sorted((output / FOLDER / "submissions").glob("*.json")):
        try:
            content = json.loads(read_plain_text(path))
            if content["schema"] != _SCHEMA:
                raise ValueError(f"schema {content['schema']}")
            files = content.get("files", "")  # of before there was one a command: ""
            if files and not re.fullmatch(r"[0-9a-f]{16}", files):
                raise ValueError(f"files {files!r:.60}")
            for job, run in content["jobs"].items():
                # The file may come from anybody: its jobs are asked for, and records of its runs are written.
                if not re.fullmatch(r"\d+(_\d+)?", job) or not _is_below(run["run"]):
                    raise ValueError(f"job {job!r:.60} of run {run['run']!r:.60}")
                folder = output / run["run"]
                about = run["label"], int(run["iterations"]), content["cluster"], content["profile"]
                found[folder] = SubmittedRun(job, folder, *about, jobs_folder(output) / files)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ConfigError(f"{path}: expected a submission of schema {_SCHEMA} ({error!r})") from None
    return found


def _is_below(path: str) -> bool:
    """Whether it is a path below the output folder, as it is written down."""
    parts = PurePosixPath(path).parts
    return bool(parts) and ".." not in parts and not path.startswith("/")
