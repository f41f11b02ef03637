"""A copy of the code that jobs run, so that an edit while they wait in the queue changes nothing."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from slurm.errors import LauncherError

STATE = "snapshot.json"  # in a snapshot: what the version control knew of it
_CODE = {".py", ".yaml", ".yml", ".csv", ".json", ".txt", ".toml"}  # where no version control says what is code


def snapshot(root: Path, packages: Sequence[str], folder: Path, state: Mapping[str, Any]) -> Path:
    """Copy the packages below ``root`` to ``<folder>/<digest of their content>``, unless that is there already.

    With git these are the files that it tracks, with their edits, and new ones that it does not ignore; without, the
    files of the kinds that code has.

    Args:
        root: the checkout.
        packages: its folders that are imported.
        folder: of all snapshots; jobs must be able to read it.
        state: stored with it as ``snapshot.json``, and part of the digest.

    Raises:
        LauncherError: it cannot be written.
    """
    files = sorted(_files(root, packages))
    digest = hashlib.sha256(json.dumps(state, sort_keys=True).encode())
    for path in files:
        content = (root / path).read_bytes()
        digest.update(f"{path} {len(content)} ".encode() + content)
    made = folder.absolute() / digest.hexdigest()[:16]
    if made.is_dir():
        return made
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _copy(root, files, state, made)
    except OSError as error:
        raise LauncherError(f"{made}: the code cannot be copied there ({error.strerror})") from None
    return made


def _copy(root: Path, files: Iterable[str], state: Mapping[str, Any], made: Path) -> None:
    temporary = Path(tempfile.mkdtemp(prefix=f".{made.name}.", dir=made.parent))
    try:
        for path in files:
            (temporary / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(root / path, temporary / path)
        (temporary / STATE).write_text(json.dumps(dict(state), indent=1) + "\n", encoding="utf-8")
        temporary.chmod(0o755)
        try:
            temporary.rename(made)
        except OSError:
            if not made.is_dir():  # else another command was quicker with the same
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _files(root: Path, packages: Sequence[str]) -> list[str]:
    """Paths below ``root``."""
    command = ["git", "-C", str(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *packages]
    try:
        done = subprocess.run(command, capture_output=True, timeout=60, env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"})
    except (OSError, subprocess.TimeoutExpired):
        done = None
    if done is not None and done.returncode == 0 and done.stdout:
        listed = dict.fromkeys(os.fsdecode(done.stdout).split("\0"))
        return [path for path in listed if path and (root / path).is_file()]
    return [
        path.relative_to(root).as_posix()
        for package in packages
        for path in (root / package).rglob("*")
        if path.is_file() and path.suffix in _CODE and "__pycache__" not in path.parts
    ]
