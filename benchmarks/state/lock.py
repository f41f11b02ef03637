"""Two processes never write one run folder, on a cluster either.

What file systems do with ``flock`` differs (flock(2), nfs(5), the manuals of Lustre and BeeGFS):

- On a local disk it is exact, and gone with the process.
- NFS hands it to the server. Mounted with ``local_lock=flock`` or ``nolock`` it holds on one node alone. A node that
  dies keeps its locks until it is back (version 3), or until its lease of about 90 s ends (version 4).
- Lustre: exact with ``-o flock``, of one node with ``-o localflock``, else an error (ENOSYS).
- BeeGFS: of one node, unless ``tuneUseGlobalFileLocks`` is set.

So there is a second lock, that is right anywhere. The holder's name is in the file, and while it lives it renews the
file's time. Who wants the file next creates one beside it whose name is made of what the file says now (``O_EXCL``:
one process alone can), looks whether the file still says so, and renames its own over it.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from io import FileIO
from pathlib import Path
from typing import IO

from benchmarks.core.errors import RunLocked
from benchmarks.state.lock_holder import FREE, Content, Holder, read_content, this_process
from results.files.plain_file import what_else

BEAT = 10.0  # seconds between signs of life
STALE = 60.0  # seconds without one, after which a holder is taken for dead
LOCKED_STALE = 300.0  # the same, while the server says it has the file locked: also one that was only suspended
_PATIENCE = 0.1  # seconds between looks, all together, for one that only looks whether the run is free
_NAME = ".lock"
_TAKEN = (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES)
_UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM)

_LOGGER = logging.getLogger(__name__)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the run folder's lock.

    A process that died is followed at once on its own machine. On another one it is after 60 s without a sign of it, by
    the file server's clock; a job that SLURM queued again waits for that, others are refused meanwhile. A holder that
    finds the run taken from it, as after having been suspended for long, is interrupted (KeyboardInterrupt).

    Raises:
        RunLocked: naming the process that has the run, or why there can be no lock, as on a disk that is read-only.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        hold = _patiently(folder)
    except OSError as error:
        raise RunLocked(f"{folder} cannot be locked: {error.strerror or error}") from error
    _held.add(hold)
    beats = threading.Thread(target=hold.keep_up, name="lock", daemon=True)
    try:
        beats.start()
        yield
    finally:
        if hold in _held:  # else this is a process that was forked meanwhile
            _held.discard(hold)
            hold.over.set()
            if beats.is_alive():
                beats.join(BEAT)
            hold.let_go()


def held_by(folder: Path) -> str:
    """The line of the RunLocked that `locked` would raise, "" for none; what is free is left as it is, or not there.

    Raises:
        OSError: the lock cannot be read, or what it says cannot be tried.
    """
    try:
        _check_plain(folder / _NAME)
    except OSError as error:
        return f"{folder} cannot be locked: {error.strerror}"
    try:
        with (folder / _NAME).open("rb") as file:
            if not file.read(1) and file_lock(file, fcntl.LOCK_SH) is not False:  # held and empty: of a full disk
                return ""
    except FileNotFoundError:
        return ""
    try:
        with locked(folder):
            return ""
    except RunLocked as error:
        if isinstance(error.__cause__, OSError):
            raise error.__cause__ from None
        return str(error)


class _Refused(Exception):
    """Says that ``holder`` (None: unknown) has the lock; ``note`` says more; ``is_passing``: maybe for a moment."""

    def __init__(self, holder: Holder | None, note: str = "", is_passing: bool = False) -> None:
        self.holder, self.note, self.is_passing = holder, note, is_passing


def _patiently(folder: Path) -> _Hold:
    begun, told = time.monotonic(), False
    rested = 0.0  # without the looks themselves, of which each may take long on a busy machine
    while True:
        me = this_process()
        try:
            return _take(folder, me)
        except _Refused as refused:
            waited, holder = time.monotonic() - begun, refused.holder
            if refused.is_passing and rested < _PATIENCE:
                pause(_PATIENCE / 10)
                rested += _PATIENCE / 10
            elif holder and holder.is_before(me) and waited < STALE + BEAT:
                if not told:
                    line = "%s: waiting up to %.0f s for an earlier start of this job to end (%s)"
                    _LOGGER.warning(line, folder, STALE, holder)
                told = True
                pause(1.0)
            else:
                name = str(holder or "another process") + (f" ({refused.note})" if refused.note else "")
                raise RunLocked(f"{folder} is being run by {name}") from None


def _take(folder: Path, me: Holder) -> _Hold:
    """Take the lock. Raises _Refused."""
    path = folder / _NAME
    with ExitStack() as stack:
        file = stack.enter_context(_opened(path))
        has_file_lock, found = file_lock(file), read_content(path)
        if has_file_lock and not _is_at(file, path):
            raise _Refused(None, is_passing=True)  # what was locked is not what was read: it was replaced meanwhile
        if has_file_lock is False and (found.holder is None or found.holder.is_here):
            raise _Refused(found.holder, is_passing=found.holder is None or found.holder.is_passing)
        try:
            return _follow(path, found, has_file_lock, me)
        except OSError as error:
            if error.errno in (errno.ESTALE, errno.ENOENT):  # another has replaced it (NFS), or removed the claim
                raise _Refused(None, is_passing=True) from None
            if error.errno not in _UNWRITABLE:
                raise
            if not has_file_lock:
                reason = f"its file system has no file locks, and nothing can be written ({error.strerror})"
                raise RunLocked(f"{folder} cannot be locked: {reason}") from None
        stack.pop_all()
        hold = _Hold(file, path, None)  # on a full disk there is a lock all the same
        hold.renew()
        return hold


def _opened(path: Path) -> FileIO:
    """The lock, made where there is none. Raises OSError, which says what it is where that is no plain file."""
    _check_plain(path)
    # A pipe or a link that came meanwhile neither keeps this waiting nor is followed.
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    file = FileIO(os.open(path, flags, 0o666), "ab+")
    if what := what_else(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(errno.EINVAL, f"{path} is {what}")
    return file


def _check_plain(path: Path) -> None:
    """Raise OSError for a lock that is there, but is no plain file."""
    with suppress(FileNotFoundError):
        if what := what_else(path.lstat().st_mode):
            raise OSError(errno.EINVAL, f"{path} is {what}, expected a plain file")


def _follow(path: Path, found: Content, has_file_lock: bool | None, me: Holder) -> _Hold:
    """Take the lock from what was found in it. Raises _Refused; OSError: nothing can be written."""
    mine, claim = _claim(path, found.tag, me)
    try:
        me = replace(me, has_file_lock=bool(file_lock(mine)))
        _write(mine, me.dumps())
        silent = abs(claim.stat().st_mtime - path.stat().st_mtime)  # by the server's clock alone
        if found.tag != FREE:
            _refuse_if_alive(found.holder, silent, has_file_lock, me)
        if read_content(path).tag != found.tag or not _is_at(mine, claim):
            raise _Refused(None, is_passing=True)  # another was first: look again
        claim.replace(path)
    except BaseException:
        if _is_at(mine, claim):
            claim.unlink(missing_ok=True)
        mine.close()
        raise
    for left in path.parent.glob(f"{_NAME}.*"):  # by processes that died while they tried
        if not left.name.startswith(f"{_NAME}.{me.token}."):
            left.unlink(missing_ok=True)
    return _Hold(mine, path, me)


def _claim(path: Path, tag: str, me: Holder) -> tuple[FileIO, Path]:
    """A new file by which ``tag`` is followed on; one process can make it. Raises _Refused, OSError."""
    turn = 0
    while True:
        claim = path.with_name(f"{path.name}.{tag}.{turn}")
        try:
            return claim.open("xb", buffering=0), claim
        except FileExistsError:
            if not _is_abandoned(claim, me):
                raise _Refused(None, is_passing=True) from None
        turn += 1


def _is_abandoned(claim: Path, me: Holder) -> bool:
    """Whether who made it died in the few milliseconds between this and taking the lock.

    One that was only slow to write its name finds, before it takes the lock, that another has.
    """
    clock = claim.with_name(f"{_NAME}.{me.token}.clock")
    try:
        clock.touch()
        age = clock.stat().st_mtime - claim.stat().st_mtime
        maker = read_content(claim).holder
    except FileNotFoundError:
        return False  # it is gone
    finally:
        clock.unlink(missing_ok=True)
    if maker is None:
        return age >= BEAT
    try:
        _refuse_if_alive(maker, age, None, me)
    except _Refused:
        return False
    return True


def _refuse_if_alive(holder: Holder | None, silent: float, has_file_lock: bool | None, me: Holder) -> None:
    """Raise where the holder lives; ``silent``: seconds since its last sign; ``has_file_lock``: of this process."""
    alive = None
    if holder is not None and holder.is_here:
        if has_file_lock and holder.has_file_lock:
            return  # the kernel took it away
        alive = holder.is_alive()
    is_earlier = holder is not None and holder.is_before(me)
    limit = LOCKED_STALE if has_file_lock is False and not is_earlier else STALE
    if alive is False or (alive is None and silent >= limit):
        return
    if alive:
        assert holder is not None
        raise _Refused(holder, is_passing=holder.is_passing)
    raise _Refused(holder, f"last sign {silent:.0f} s ago, taken for dead after {limit:.0f} s without one")


def file_lock(file: IO[bytes], kind: int = fcntl.LOCK_EX) -> bool | None:
    """Try ``flock``: whether this process has the file now (else another has); None where there are no file locks."""
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except OSError as error:
        return False if error.errno in _TAKEN else None
    return True


def _write(file: FileIO, text: str) -> None:
    """Write, to the server too: NFS sends what was written when a file, or a copy of its descriptor, is closed."""
    file.write(text.encode())
    os.close(os.dup(file.fileno()))


def pause(seconds: float) -> None:
    """Wait before the next look."""
    time.sleep(seconds)


def _is_at(file: FileIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except OSError:
        return False


class _Hold:
    """A lock that this process has; ``me`` is None where nothing could be written into it."""

    def __init__(self, file: FileIO, path: Path, me: Holder | None) -> None:
        self.file, self._path, self._me = file, path, me
        self.over = threading.Event()

    def keep_up(self) -> None:
        """Renew the file's time until it is over. What the file system refuses is tried again."""
        while not self.over.wait(BEAT):
            other = read_content(self._path).holder
            # Only a name that can be read is believed: a file server has its moments.
            if self._me is None or other is None or other.token == self._me.token:
                self.renew()
            elif not self.over.is_set():
                _LOGGER.error("%s was taken over by %s: this process stops", self._path.parent, other)
                _interrupt()
                return

    def renew(self) -> None:
        with suppress(OSError):
            os.utime(self._path)  # without a time: the server's

    def let_go(self) -> None:
        with suppress(OSError):
            os.ftruncate(self.file.fileno(), 0)  # of a lock that was lost, it is the file that was replaced
        self.file.close()


def _interrupt() -> None:
    """Ctrl-C for the main thread, also where that waits in a system call; a shell lets background jobs ignore it."""
    number = signal.SIGTERM if signal.getsignal(signal.SIGINT) is signal.SIG_IGN else signal.SIGINT
    signal.pthread_kill(threading.main_thread().ident or 0, number)


_held: set[_Hold] = set()


def _let_go() -> None:
    """A forked process closes its copies: a loader's worker outlives a killed run by seconds, and would keep it."""
    for hold in _held:
        hold.file.close()
    _held.clear()


os.register_at_fork(after_in_child=_let_go)
