"""What a line about an unknown name ends with."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint with the nearest of the known names, ``did you mean 'dacs'?``, or all of them, ``known: ...``."""
    names = list(known)
    return did_you_mean(name, names, f"known: {', '.join(names)}", quote="'")


def did_you_mean(name: str, known: Iterable[str], otherwise: str, quote: str = "") -> str:
    """The hint ``did you mean NAME?`` with the nearest name, in quotes of this kind; ``otherwise`` without one."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f"did you mean {quote}{near[0]}{quote}?" if near else otherwise
