"""How long this process's threads wait for a core, as Linux counts it."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

_THREADS = Path("/proc/self/task")


class CoreWait:
    """The share of time in which threads waited for a core, of that in which they ran or waited; 0 on an idle machine.

    Two threads that share two cores with two busy processes come to a half.
    """

    def __init__(self) -> None:
        self._last = _nanoseconds()

    def share(self) -> float | None:
        """Since the last call, or the beginning, from 0 to 1; None where the system does not count it.

        Threads that have begun or ended since are left out.
        """
        last, self._last = self._last, _nanoseconds()
        both = last.keys() & self._last.keys()
        ran = sum(self._last[thread][0] - last[thread][0] for thread in both)
        waited = sum(self._last[thread][1] - last[thread][1] for thread in both)
        return waited / (ran + waited) if ran + waited > 0 else None


def _nanoseconds() -> dict[str, tuple[int, int]]:
    """How long each thread has run, and waited for a core."""
    found = {}
    with suppress(OSError):
        for thread in _THREADS.iterdir():
            with suppress(OSError, ValueError):  # a thread that ended just now
                ran, waited, _ = map(int, (thread / "schedstat").read_text().split())
                found[thread.name] = ran, waited
    return found
