"""How a run in a job learns that its time is up, and says that it has saved what it had."""

from __future__ import annotations


class Interrupted(BaseException):
    """Ends a run that was asked to stop; what it had is saved. Not an error: nothing but its job may catch it."""


class _State:
    asked = saved = False


def asked_to_stop() -> bool:
    """Whether the scheduler wants the resources back: save and raise `Interrupted` at the next whole step."""
    return _State.asked


def ask_to_stop() -> None:
    """What the signal handler of a job does."""
    _State.asked = True


def note_saved() -> None:
    """A checkpoint was written: another session would not begin where this one did."""
    _State.saved = True


def has_saved() -> bool:
    """Whether a checkpoint was written since `begin`."""
    return _State.saved


def begin() -> None:
    """A job begins: nothing asked, nothing saved."""
    _State.asked = _State.saved = False
