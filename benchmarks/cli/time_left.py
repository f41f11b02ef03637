"""How long work still takes, by how fast it went of late."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import NamedTuple

_RECENT = 1 / 3  # of the time that a piece of work has taken: what it is judged by
_LEAST_SECONDS = 60.0  # of that: less than a minute says nothing
_MARK = 0.01  # of the time since it began, between two points that are remembered


@dataclass
class Work:
    """A piece of work of ``total`` units (0: unknown), as a run of so many iterations, of which ``done`` are over.

    Pieces of one ``kind`` go alike, as runs of one method do.
    """

    total: float
    label: str = ""
    kind: str = ""
    done: float = 0.0
    ended: float | None = None
    _marks: list[tuple[float, float]] = field(default_factory=list)  # (time, units done) since it began here

    def begin(self, done: float = 0.0) -> None:
        """Begin a piece, or go on with it, with so much done before."""
        self.done, self.ended = done, None
        self._marks = [(time.monotonic(), done)]

    def reach(self, done: float) -> None:
        """Note that so much is done now."""
        now, self.done = time.monotonic(), done
        if now - self._marks[-1][0] >= _MARK * (now - self._marks[0][0]):
            self._marks.append((now, done))

    def pause(self) -> None:
        """Stop a piece that goes on another time."""
        self.ended = time.monotonic()

    def end(self) -> None:
        """End a piece: what is not done of it is not waited for any more."""
        self.pause()
        self.total = self.done

    @property
    def begun(self) -> bool:
        return bool(self._marks)

    @property
    def running(self) -> bool:
        return self.begun and self.ended is None

    def pace(self) -> float | None:
        """Seconds a unit, of late; None before a unit is done here."""
        now = self.ended or time.monotonic()
        steps = [(at, done) for at, done in self._marks if done < self.done]
        if not steps:
            return None
        recent = now - max(_LEAST_SECONDS, _RECENT * (now - self._marks[0][0]))
        begun, before = next((step for step in reversed(steps) if step[0] <= recent), steps[0])
        return (now - begun) / (self.done - before)


class TimeLeft(NamedTuple):
    """Seconds left of works, and how many of these are of a kind whose pace is not known yet."""

    seconds: float
    guessed: int


def time_left(works: Sequence[Work]) -> TimeLeft | None:
    """The time left, with as many pieces at a time as now; None while nothing is known.

    Those without a pace of their own yet are taken to go as others of their kind do on average, and those of a kind
    that none has begun as the kinds do on average.
    """
    paces = [work.pace() for work in works]
    kinds: dict[str, list[float]] = {}
    for work, pace in zip(works, paces, strict=True):
        if pace is not None:
            kinds.setdefault(work.kind, []).append(pace)
    if not kinds or any(work.running and not work.total for work in works):
        return None
    usual = {kind: fmean(known) for kind, known in kinds.items()}
    of_others = fmean(usual.values())
    each = [
        (work.total - work.done) * (usual.get(work.kind, of_others) if pace is None else pace)
        for work, pace in zip(works, paces, strict=True)
    ]
    at_a_time = max(1, sum(work.running for work in works))
    seconds = max(0.0, *each, sum(each) / at_a_time)
    return TimeLeft(seconds, sum(work.kind not in kinds for work in works if work.done < work.total))


def clock(seconds: float) -> str:
    """75.4 -> "1:15"; with hours where there are any."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
