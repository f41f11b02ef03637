"""Which images of a data set count as labelled where few do: lists that are fixed, nested, and no run's own."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import Any

from datasets.base.errors import DataError

_FORM = re.compile(r"(1/)?([1-9][0-9]{0,8})")


def is_amount(text: str) -> bool:
    """Whether a text says how many images: a share as "1/16", or a number as "100"."""
    return _FORM.fullmatch(text) is not None


def labelled_images(items: Sequence[dict[str, Any]], amount: str, seed: int, key: str) -> list[dict[str, Any]]:
    """The images of `items` that count as labelled: the first of a random order of them, which `seed` decides.

    So a smaller amount's are the first of a larger one's. The order is that of SHA-256 of the seed and of an image's
    name below the folder of all images: the same on each machine, whatever the order of `items` and where they lie,
    and for any number of labelled images.

    `amount`: as `is_amount` has it. A share is rounded up: 1/16, 1/8, 1/4 and 1/2 of Cityscapes' 2975 are 186, 372, 744
    and 1488, 1/30 is 100, as many as in the lists of semi-supervised segmentation (ClassMix, U2PL), whose images are
    others.

    Raises `DataError`, naming `key`, for more images than there are.
    """
    found = _FORM.fullmatch(amount)
    assert found is not None
    number = -(-len(items) // int(found[2])) if found[1] else int(found[2])
    if number > len(items):
        raise DataError(f"{key} is {amount}, expected at most the {len(items)} training images of the target")
    order = sorted(range(len(items)), key=lambda place: _digest(seed, items[place]["relative"]))
    return [items[place] for place in order[:number]]


def _digest(seed: int, name: str) -> tuple[bytes, str]:
    return hashlib.sha256(f"{seed} {name}".encode("utf-8", "surrogateescape")).digest(), name
