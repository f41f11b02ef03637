"""A copy of the code that jobs run, so that an edit while they wait in the queue changes nothing."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from slurm.base.errors import LauncherError

STATE = "snapshot.json"  # in a snapshot: what the version control knew of it
NEW = (".py", ".yaml", ".yml")  # of files that version control does not know: those that code imports or reads
_CODE = {*NEW, ".csv", ".txt"}  # all kinds of files that we ship, where there is no version control
_NAMED = 3

_LOGGER = logging.getLogger(__name__)


def snapshot(
    root: Path,
    packages: Sequence[str],
    folder: Path,
    state: Mapping[str, Any],
    more: Mapping[str, Path] | None = None,
) -> Path:
    """Copy the packages below ``root`` to ``<folder>/<digest of their content>``, for this user alone.

    With git these are the files that it tracks, with their edits, and Python and YAML among new ones that it does not
    ignore; without, all of the kinds of files that code has. Links that lead to anything else are left out. A warning
    says what is left out. A copy that is there already is compared, and what differs in it is put right.

    Args:
        root: the checkout.
        packages: its folders that are imported.
        folder: of all snapshots; jobs must be able to read it.
        state: stored with it as ``snapshot.json``, and part of the digest.
        more: files from elsewhere, by their path in the copy.

    Raises:
        LauncherError: it cannot be written.
    """
    try:
        sources = {path: root / path for path in _files(root, packages)} | dict(more or {})
        files = {path: sources[path].read_bytes() for path in sorted(sources)}
    except OSError as error:
        raise LauncherError(f"{error.filename}: the code cannot be read ({error.strerror})") from None
    digest = hashlib.sha256(json.dumps(state, sort_keys=True).encode())
    for path, content in files.items():
        digest.update(f"{path} {len(content)} ".encode() + content)
    made = folder.absolute() / digest.hexdigest()[:16]
    files[STATE] = (json.dumps(dict(state), indent=1) + "\n").encode()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if made.is_symlink() or not made.is_dir():
            _write(files, made)
        _put_right(files, made)
    except OSError as error:
        raise LauncherError(f"{made}: the code cannot be copied there ({error.strerror})") from None
    return made


def _write(files: Mapping[str, bytes], made: Path) -> None:
    temporary = Path(tempfile.mkdtemp(prefix=f".{made.name}.", dir=made.parent))
    try:
        for path, content in files.items():
            (temporary / path).parent.mkdir(parents=True, exist_ok=True)
            (temporary / path).write_bytes(content)
        if made.is_symlink():
            made.unlink()
        try:
            temporary.rename(made)
        except OSError:
            if not made.is_dir():
                raise  # else another command was quicker with the same
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _put_right(files: Mapping[str, bytes], made: Path) -> None:
    """Let ``made`` hold these files and nothing else; jobs may be reading it, so that a file is replaced whole.

    File systems for scratch data remove what nobody has read for weeks, file by file; a folder that somebody else made
    can hold anything under this name. Compiled files, which Python believes by the time of their source, go as well.
    """
    wanted = {parent.as_posix() for path in files for parent in Path(path).parents}
    for base, folders, names in os.walk(made):
        here = Path(base).relative_to(made)
        for name in [*folders, *names]:
            found, inside = made / here / name, (here / name).as_posix()
            is_folder = found.is_dir() and not found.is_symlink()
            if inside in wanted if is_folder else inside in files and not found.is_symlink() and found.is_file():
                continue
            with suppress(FileNotFoundError):  # another command does the same
                shutil.rmtree(found) if is_folder else found.unlink()
        folders[:] = [name for name in folders if (here / name).as_posix() in wanted]
    for path, content in files.items():
        place = made / path
        if place.is_file() and place.stat().st_size == len(content) and place.read_bytes() == content:
            continue
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=made.parent, prefix=f".{made.name}.", delete=False) as file:
            try:
                file.write(content)
                file.flush()
                Path(file.name).replace(place)
            except OSError:
                Path(file.name).unlink(missing_ok=True)
                raise
    if made.stat().st_mode & 0o077:
        made.chmod(0o700)  # edits that were not committed are nobody else's


def _files(root: Path, packages: Sequence[str]) -> list[str]:
    """Paths below ``root``."""
    tracked = listed(root, packages, "--cached")
    if tracked:
        # Data, runs and keys may lie below a package too: what git was not told of is code by its kind alone.
        found = [*tracked, *listed(root, packages, "--others", "--exclude-standard")]
        known, kinds = set(tracked), set(NEW)
    else:
        found = [
            path.relative_to(root).as_posix()
            for package in packages
            for path in (root / package).rglob("*")
            if (path.is_symlink() or not path.is_dir()) and "__pycache__" not in path.parts
        ]
        known, kinds = set(), _CODE
    found = [path for path in dict.fromkeys(found) if os.path.lexists(root / path)]
    code = [path for path in found if path in known or Path(path).suffix in kinds]
    inside = {root.resolve() / path for path in code if not (root / path).is_symlink() and (root / path).is_file()}
    kept = [path for path in code if (root / path).resolve() in inside]
    say_left_out(sorted({*found} - {*kept}), "the copy of the code")
    return kept


def say_left_out(paths: Sequence[str], what: str, level: int = logging.WARNING) -> None:
    """A line to the log that names the first few of the files that ``what`` does not have."""
    if paths:
        more = f" and {len(paths) - _NAMED} more" if len(paths) > _NAMED else ""
        named = f"{', '.join(paths[:_NAMED])}{more}"
        why = "neither tracked nor Python nor YAML, or links out of it"
        _LOGGER.log(level, "%s leaves out %s: %s", what, named, why)


def listed(root: Path, packages: Sequence[str], *options: str) -> list[str]:
    """What git lists; nothing where there is none."""
    said = git(root, "ls-files", "-z", *options, "--", *packages) or b""
    return [path for path in os.fsdecode(said).split("\0") if path]


def git(root: Path, *words: str, **environment: str) -> bytes | None:
    """What git says, which takes no lock for it; None where there is none, or it fails."""
    known = {**os.environ, "GIT_OPTIONAL_LOCKS": "0", **environment}
    try:
        done = subprocess.run(["git", "-C", str(root), *words], capture_output=True, timeout=60, env=known)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
