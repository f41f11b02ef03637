"""Where a study is kept: a file of one machine, or a database that several reach."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import optuna
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from ablations.study.search_options import JOURNAL
from benchmarks.core.errors import ConfigError

_DATABASES, _JOURNALS = (".db", ".sqlite", ".sqlite3"), (".log", ".journal")
# Types of /proc/mounts whose locks several machines share, or do not.
_NETWORK_TYPES = {"nfs", "nfs4", "cifs", "smb3", "lustre", "beegfs", "gpfs", "ceph", "fuse.sshfs", "glusterfs"}


class Storage(NamedTuple):
    """An open storage.

    Attributes:
        optuna: what holds the study.
        shown: its URL or path as other commands take it, such as optuna-dashboard; without a password.
        path: its file; None for a database.
    """

    optuna: BaseStorage
    shown: str
    path: Path | None


def open_storage(given: str | None, folder: Path) -> Storage:
    """Open what ``--storage`` names, or the usual file in the study's ``folder``.

    Raises:
        ConfigError: what is named is no storage, cannot be opened, or lacks its driver; in one line.
    """
    if given is not None and "://" in given:
        return _database(given)
    path = folder / ("study.log" if given == JOURNAL else "study.db") if given in (None, JOURNAL) else Path(str(given))
    if path.suffix not in (*_DATABASES, *_JOURNALS):
        endings = ", ".join((*_DATABASES, *_JOURNALS))
        raise ConfigError(f"--storage {given}: expected a file that ends in {endings}, {JOURNAL}, or a URL")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix in _DATABASES:
            url = URL.create("sqlite", database=str(path)).render_as_string()
            if make_url(url).database != str(path):
                raise ConfigError(f"--storage {path}: a URL cannot hold this name, expected one without ? and %")
            return _database(url)
        return Storage(JournalStorage(JournalFileBackend(str(path))), str(path), path)
    except OSError as error:
        raise ConfigError(f"--storage {path}: expected a file that can be written ({error.strerror})") from None
    except (ValueError, KeyError) as error:
        raise ConfigError(f"--storage {path}: expected Optuna's journal ({error})") from None


def _database(text: str) -> Storage:
    try:
        url = make_url(text)
    except ArgumentError:
        raise ConfigError("--storage: expected a URL such as postgresql://user@host/name") from None
    shown, path = url.render_as_string(hide_password=True), None
    if url.get_backend_name() == "sqlite":
        if url.database in (None, "", ":memory:"):
            raise ConfigError(f"--storage {shown}: expected a file, from which a search can go on: sqlite:///study.db")
        path = Path(str(url.database))
    try:
        # A connection that a server closed meanwhile is opened again: a search lasts for days.
        return Storage(RDBStorage(text, engine_kwargs={"pool_pre_ping": True}), shown, path)
    except ImportError as error:
        raise ConfigError(f"--storage {shown}: its driver is not installed ({str(error).splitlines()[0]})") from None
    except (SQLAlchemyError, optuna.exceptions.OptunaError, RuntimeError, ValueError) as error:
        cause = str(getattr(error, "orig", None) or error.__cause__ or error).splitlines()[0]
        raise ConfigError(f"--storage {shown}: cannot be opened ({cause})") from None


def network_warning(storage: Storage, mounts: Path = Path("/proc/mounts")) -> str | None:
    """A line to show where the storage is a file on a network file system; None where not, or where nobody knows."""
    if storage.path is None or not mounts.is_file():
        return None
    path = storage.path.absolute().resolve()
    found = ""
    kind = ""
    for line in mounts.read_text(encoding="utf-8", errors="replace").splitlines():
        _, place, here, *_ = line.split()
        place = place.replace("\\040", " ")
        if len(place) >= len(found) and path.is_relative_to(place):
            found, kind = place, here
    if kind not in _NETWORK_TYPES:
        return None
    return (
        f"warning: {storage.path} is on {kind}, where such a file can be corrupted, above all by two processes: "
        "give --storage a database's URL or a file on a local disk"
    )
