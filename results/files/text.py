"""Text from files of others, as it may be shown: nothing in it steers a terminal, breaks a line or ends in an error."""

from __future__ import annotations

import unicodedata

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_KEPT = "\n\t"
_REPLACED = ("Cc", "Cs", "Zl", "Zp")  # control characters, surrogates, and the two separators that end a line
# They turn the direction of what follows, so that a name reads as another.
_DIRECTIONS = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"


def clean(text: str) -> str:
    """Replace each control, direction and surrogate character by U+FFFD, and each line end by a line feed."""
    if text.isascii() and text.isprintable():
        return text
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return "".join(REPLACEMENT if _is_replaced(each) else each for each in text)


def _is_replaced(character: str) -> bool:
    return character not in _KEPT and (unicodedata.category(character) in _REPLACED or character in _DIRECTIONS)


def one_line(text: str) -> str:
    """Clean a text, with spaces for line ends and tabs."""
    return clean(text).replace("\n", " ").replace("\t", " ")
