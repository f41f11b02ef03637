"""A copy of the code that jobs run, so that an edit while they wait in the queue changes nothing."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from slurm.errors import LauncherError

STATE = "snapshot.json"  # in a snapshot: what the version control knew of it
_CODE = {".py", ".yaml", ".yml", ".csv", ".json", ".txt", ".toml"}  # of what no version control knows to be code


def snapshot(root: Path, packages: Sequence[str], folder: Path, state: Mapping[str, Any]) -> Path:
    """Copy the packages below ``root`` to ``<folder>/<digest of their content>``, unless that is there already.

    With git these are the files that it tracks, with their edits, and those of the kinds that code has among new ones
    that it does not ignore; without, all of these kinds.

    Args:
        root: the checkout.
        packages: its folders that are imported.
        folder: of all snapshots; jobs must be able to read it.
        state: stored with it as ``snapshot.json``, and part of the digest.

    Raises:
        LauncherError: it cannot be written.
    """
    try:
        files = {path: (root / path).read_bytes() for path in sorted(_files(root, packages))}
    except OSError as error:
        raise LauncherError(f"{error.filename}: the code cannot be read ({error.strerror})") from None
    digest = hashlib.sha256(json.dumps(state, sort_keys=True).encode())
    for path, content in files.items():
        digest.update(f"{path} {len(content)} ".encode() + content)
    made = folder.absolute() / digest.hexdigest()[:16]
    files[STATE] = (json.dumps(dict(state), indent=1) + "\n").encode()
    try:
        if not _is_whole(made, files):
            folder.mkdir(parents=True, exist_ok=True)
            _write(files, made)
    except OSError as error:
        raise LauncherError(f"{made}: the code cannot be copied there ({error.strerror})") from None
    return made


def _is_whole(made: Path, files: Mapping[str, bytes]) -> bool:
    """File systems for scratch data remove what nobody has read for weeks, file by file."""
    return all((made / path).is_file() for path in files)


def _write(files: Mapping[str, bytes], made: Path) -> None:
    temporary = Path(tempfile.mkdtemp(prefix=f".{made.name}.", dir=made.parent))
    try:
        for path, content in files.items():
            (temporary / path).parent.mkdir(parents=True, exist_ok=True)
            (temporary / path).write_bytes(content)
        temporary.chmod(0o755)
        try:
            temporary.rename(made)
        except OSError:
            if not made.is_dir():
                raise
            # Another command was quicker with the same, or files are gone from it, which jobs may be reading.
            for path in files:
                if not (made / path).is_file():
                    (made / path).parent.mkdir(parents=True, exist_ok=True)
                    (temporary / path).replace(made / path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _files(root: Path, packages: Sequence[str]) -> list[str]:
    """Paths below ``root``."""
    tracked = _listed(root, packages, "--cached")
    if tracked:
        # Data and runs may lie below a package too: what git was not told of is code by its kind alone.
        new = [path for path in _listed(root, packages, "--others", "--exclude-standard") if Path(path).suffix in _CODE]
        return [path for path in dict.fromkeys([*tracked, *new]) if (root / path).is_file()]
    return [
        path.relative_to(root).as_posix()
        for package in packages
        for path in (root / package).rglob("*")
        if path.is_file() and path.suffix in _CODE and "__pycache__" not in path.parts
    ]


def _listed(root: Path, packages: Sequence[str], *options: str) -> list[str]:
    """What git lists; nothing where there is none."""
    command = ["git", "-C", str(root), "ls-files", "-z", *options, "--", *packages]
    try:
        done = subprocess.run(command, capture_output=True, timeout=60, env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"})
    except (OSError, subprocess.TimeoutExpired):
        return []
    return [path for path in os.fsdecode(done.stdout).split("\0") if path] if done.returncode == 0 else []
