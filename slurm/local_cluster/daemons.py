"""Processes that end with the one that asked for them, and everything below them too (Linux).

SLURM's daemons start helpers that leave their parent on purpose, so that jobs outlive a restarted daemon. Here a keeper
process stands between: it starts the daemons, inherits whatever loses its parent below it (PR_SET_CHILD_SUBREAPER), and
when its owner stops it, or dies in whatever way, ends exactly its own descendants and removes the folder.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

POLITE_SECONDS = 3.0  # from a daemon's SIGTERM to the SIGKILL of all that is left
_LOOK_SECONDS = 0.3
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36  # linux/prctl.h


class Daemons:
    """Named processes in the foreground (none may put itself into the background), kept by a process of their own."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        """Start the keeper, and nothing else yet.

        Args:
            folder: removed with all that is in it by `end`, or when this process dies. Output of the daemons goes to
                ``folder/NAME.out``.
            environment: all of the daemons' environment.
        """
        # Isolated and without site-packages it starts in a few hundredths of a second; a session of its own keeps
        # Ctrl-C away from it, so that its owner decides about the order of things.
        self._keeper = subprocess.Popen(
            [sys.executable, "-ISB", __file__, str(folder), str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=dict(environment),
            text=True,
            start_new_session=True,
        )

    def start(self, name: str, command: Sequence[str]) -> None:
        """Start ``command``. OSError: there is no such program."""
        self._ask("start", name, list(command))

    def stop(self, name: str) -> None:
        """SIGTERM to one daemon, and SIGKILL if it takes longer than ``POLITE_SECONDS``; what it started lives on."""
        self._ask("stop", name)

    def ended(self) -> dict[str, int]:
        """Daemons that ended without being stopped, with their exit codes (below 0: the signal's number)."""
        return self._ask("ended")

    def end(self) -> None:
        """End the daemons and everything that came of them, and remove the folder. Can be called twice."""
        assert self._keeper.stdin and self._keeper.stdout
        with contextlib.suppress(BrokenPipeError):
            self._keeper.stdin.close()
        self._keeper.wait()
        self._keeper.stdout.close()

    def _ask(self, *request: Any) -> Any:
        assert self._keeper.stdin and self._keeper.stdout
        try:
            self._keeper.stdin.write(json.dumps(request) + "\n")
            self._keeper.stdin.flush()
            reply = json.loads(self._keeper.stdout.readline())
        except (BrokenPipeError, ValueError):
            raise OSError("the process that keeps the daemons is gone") from None
        if "error" in reply:
            raise OSError(reply["error"])
        return reply["answer"]


class _Keeper:
    """The other side of the pipe. It has one thread: PR_SET_PDEATHSIG means the thread that started a process."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def serve(self, owner: int) -> None:
        """Answer requests until the owner closes the pipe or is gone."""
        # A process forked by the owner may hold the pipe open, so its end alone would not tell.
        while os.getppid() == owner:
            self._reap()
            if select.select([sys.stdin], [], [], _LOOK_SECONDS)[0]:
                line = sys.stdin.readline()
                if not line:
                    return
                print(json.dumps(self._answer(*json.loads(line))), flush=True)

    def end(self) -> None:
        for daemon in reversed(self._running.values()):
            daemon.terminate()
        until = time.monotonic() + POLITE_SECONDS
        while any(daemon.poll() is None for daemon in self._running.values()) and time.monotonic() < until:
            time.sleep(0.01)
        # Children of the killed become ours; those that cannot be killed (in the kernel) must not keep us for ever.
        until = time.monotonic() + POLITE_SECONDS
        while (children := _children(os.getpid())) and time.monotonic() < until:
            for child in children:
                os.kill(child, signal.SIGKILL)  # ours until it is reaped: the number is nobody else's
            self._reap()
            time.sleep(0.01)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _answer(self, request: str, *arguments: Any) -> dict[str, Any]:
        try:
            return {"answer": getattr(self, f"_{request}_daemon")(*arguments)}
        except OSError as error:
            return {"error": str(error)}

    def _start_daemon(self, name: str, command: list[str]) -> None:
        with (self._folder / f"{name}.out").open("ab") as output:
            self._running[name] = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, preexec_fn=_die_with_parent
            )

    def _stop_daemon(self, name: str) -> None:
        daemon = self._running.pop(name)
        daemon.terminate()
        try:
            daemon.wait(POLITE_SECONDS)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()

    def _ended_daemon(self) -> dict[str, int]:
        return {name: code for name, daemon in self._running.items() if (code := daemon.poll()) is not None}

    def _reap(self) -> None:
        """Take the exit codes of what ended, so that no zombie looks alive to ``kill -0``."""
        flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
        with contextlib.suppress(ChildProcessError):
            while ended := os.waitid(os.P_ALL, 0, flags):
                daemon = next((d for d in self._running.values() if d.pid == ended.si_pid), None)
                if daemon:
                    daemon.poll()
                else:
                    os.waitpid(ended.si_pid, 0)


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


def _keep(folder: Path, owner: int) -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)
    keeper = _Keeper(folder)
    try:
        keeper.serve(owner)
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        keeper.end()


if __name__ == "__main__":
    _keep(Path(sys.argv[1]), int(sys.argv[2]))
