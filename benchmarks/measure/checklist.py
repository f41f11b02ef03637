"""Checks made one after the other within a time limit, each with what came of it."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from results.files.text import one_line
from results.forms.cells import table_of

OK, SHORT, FAILED, NOT_MEASURED = "ok", "short of its goal", "failed", "not measured"


@dataclass(frozen=True)
class Found:
    """What a check found.

    value: as a table shows it. fault: why it failed, in words; empty if it did not. reached: whether the goal is, of a
    measurement that has one.
    """

    value: str
    fault: str = ""
    reached: bool = True


@dataclass(frozen=True)
class Outcome:
    """A check that was made or left out, as JSON has it. ``seconds``: what it took."""

    check: str
    status: str
    value: str
    goal: str
    reason: str
    seconds: float


class OutOfTime(Exception):
    """The time of all checks is over."""


class Checklist:
    """Makes checks until the time is over; those left are told as not measured.

    Attributes:
        outcomes: in the order in which they were asked for.
    """

    def __init__(
        self, seconds: float, told: Callable[[Outcome], None] = lambda outcome: None, goals: bool = True
    ) -> None:
        """Have so many ``seconds`` from now on; ``told`` hears each outcome. ``goals``: whether any can be missed."""
        self.outcomes: list[Outcome] = []
        self._end, self._told, self._goals = time.monotonic() + seconds, told, goals

    @property
    def failed(self) -> bool:
        """Whether a check failed; one that is short of a goal, or was not made, did not."""
        return any(outcome.status == FAILED for outcome in self.outcomes)

    def left(self) -> float:
        """Seconds that are left."""
        return self._end - time.monotonic()

    def make(self, check: str, call: Callable[[], Found], goal: str = "", needs: float = 1.0) -> None:
        """Make a check, unless fewer than the seconds that it ``needs`` are left; it ends when the time is over."""
        started = time.monotonic()
        if self.left() < needs:
            self._add(check, NOT_MEASURED, "", goal, f"{max(0.0, self.left()):.0f} s were left", started)
            return
        try:
            with _ended_after(self.left()):
                found = call()
        except OutOfTime:
            self._add(check, NOT_MEASURED, "", goal, "the time was over while it was made", started)
        except Exception as error:
            text = one_line(str(error).strip().splitlines()[0] if str(error).strip() else "")
            self._add(check, FAILED, "", goal, f"{type(error).__name__}: {text}"[:300], started)
        else:
            status = FAILED if found.fault else OK if found.reached or not self._goals else SHORT
            self._add(check, status, found.value, goal, found.fault, started)

    def leave_out(self, check: str, reason: str, goal: str = "") -> None:
        """Note a check that cannot be made here."""
        self._add(check, NOT_MEASURED, "", goal, reason, time.monotonic())

    def table(self) -> str:
        """All outcomes."""
        heads = ["check", "", "found", "goal", "reason", "s"]
        rows = [
            (each.check, each.status, each.value, each.goal, each.reason, f"{each.seconds:.0f}")
            for each in self.outcomes
        ]
        return table_of(heads, rows)

    def as_json(self) -> list[dict[str, Any]]:
        """All outcomes, by the names of their fields."""
        return [asdict(outcome) for outcome in self.outcomes]

    def _add(self, check: str, status: str, value: str, goal: str, reason: str, started: float) -> None:
        outcome = Outcome(check, status, value, goal if self._goals else "", reason, time.monotonic() - started)
        self.outcomes.append(outcome)
        self._told(outcome)


@contextmanager
def _ended_after(seconds: float) -> Iterator[None]:
    """Raise `OutOfTime` where what is within goes on for longer, as soon as Python is asked.

    In the main thread alone: elsewhere nothing is ended.
    """
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        yield
        return

    def ended(*_: object) -> None:
        raise OutOfTime

    before = signal.signal(signal.SIGALRM, ended)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
