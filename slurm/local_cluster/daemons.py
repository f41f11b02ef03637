"""A daemon that ends with the process that asked for it, and everything below it too (Linux).

SLURM's daemons start helpers that leave their parent on purpose, so that jobs outlive a restarted daemon. Here a keeper
process stands between: it starts the daemon, inherits whatever loses its parent below it (PR_SET_CHILD_SUBREAPER), and
when it gets SIGTERM, or its owner dies in whatever way, ends exactly its own descendants.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

POLITE_SECONDS = 3.0  # from a daemon's SIGTERM to the SIGKILL of all that is left
_LOOK_SECONDS = 0.3
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36  # linux/prctl.h


def start_daemon(
    name: str, command: Sequence[str], folder: Path, environment: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    """Start ``command``, which stays in the foreground; returns its keeper, whose exit code is the daemon's.

    Its output goes to ``folder/NAME.out``; the folder is removed when this process dies before it.
    """
    # Isolated and without site-packages it starts in a few hundredths of a second; a session of its own keeps Ctrl-C
    # away from it, so that its owner decides about the order of things.
    keeper = [sys.executable, "-ISB", __file__, str(os.getpid()), str(folder), *command]
    with (folder / f"{name}.out").open("ab") as out:
        return subprocess.Popen(
            keeper, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=dict(environment), start_new_session=True
        )


def _keep(owner: int, folder: str, command: Sequence[str]) -> int:
    signal.pthread_sigmask(signal.SIG_BLOCK, _WAITED_FOR)
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)
    daemon = subprocess.Popen(command, preexec_fn=_die_with_parent)
    told = None
    while _reap(daemon) and os.getppid() == owner and not (told and told.si_signo == signal.SIGTERM):
        told = signal.sigtimedwait(_WAITED_FOR, _LOOK_SECONDS)
    daemon.terminate()
    until = time.monotonic() + POLITE_SECONDS
    while _reap(daemon) and time.monotonic() < until:
        time.sleep(0.01)
    # Children of the killed become ours; those that cannot be killed (in the kernel) must not keep us for ever.
    until = time.monotonic() + POLITE_SECONDS
    while (children := _children(os.getpid())) and time.monotonic() < until:
        for child in children:
            os.kill(child, signal.SIGKILL)  # ours until it is reaped: the number is nobody else's
        _reap(daemon)
        time.sleep(0.01)
    if os.getppid() != owner:
        shutil.rmtree(folder, ignore_errors=True)  # by each keeper: the last one to end leaves nothing
    code = daemon.poll() or 0
    return code if code >= 0 else 128 - code


_WAITED_FOR = (signal.SIGTERM, signal.SIGCHLD)


def _reap(daemon: subprocess.Popen[bytes]) -> bool:
    """Take the exit codes of what ended, so that no zombie looks alive to ``kill -0``; whether the daemon runs on."""
    with contextlib.suppress(ChildProcessError):
        while ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            if ended.si_pid == daemon.pid:
                daemon.poll()
            else:
                os.waitpid(ended.si_pid, 0)
    return daemon.poll() is None


def _die_with_parent() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _children(parent: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # ended meanwhile
            # "pid (name) state ppid ...", and a name may hold blanks and brackets
            if int(stat.read_text().rpartition(")")[2].split()[1]) == parent:
                found.append(int(stat.parent.name))
    return found


if __name__ == "__main__":
    sys.exit(_keep(int(sys.argv[1]), sys.argv[2], sys.argv[3:]))
