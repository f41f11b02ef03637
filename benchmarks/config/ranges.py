"""Ranges of config keys that no setting of a method has; the others are in methods/base/ranges.py."""

from __future__ import annotations

from typing import Any

from datasets.sets.labelled_images import is_amount
from methods.base.ranges import within


def size(default: tuple[int, ...], least: int = 1) -> Any:
    """A width and a height in pixels of at least ``least``; or nothing, where that is the default."""
    sides = "a width and a height in pixels" + (f" of at least {least}" if least > 1 else "")
    optional = not default
    return within(
        default,
        sides + " or []" * optional,
        lambda value: (len(value) == 2 and min(value) >= least) or (optional and not value),
        whole=True,
    )


def scaled(size: tuple[int, ...], scale: float) -> tuple[int, int] | None:
    """A width and a height times ``scale``, rounded; None for none."""
    return (round(size[0] * scale), round(size[1] * scale)) if size else None


def several(*words: str) -> Any:
    """Some of a few words, by default none."""
    return within((), f"words out of {', '.join(words)}", lambda value: value in words)


def workers(default: int) -> Any:
    """A number of processes, or -1 for what the machine allows."""
    return within(default, "a finite number of at least 0, or -1", lambda value: value >= -1)


def amount() -> Any:
    """How many images, as a share or a number; by default nothing."""
    return within("", 'a share as 1/16, a number of images, or ""', lambda value: not value or is_amount(value))


def pixels_at(*places: str) -> Any:
    """Numbers of pixels at the borders of an image, 0 by default."""
    return within(
        (0,) * len(places),
        f"pixels at {', '.join(places)}",
        lambda value: len(value) == len(places) and min(value) >= 0,
        whole=True,
    )
