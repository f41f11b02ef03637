"""Lists of labelled images: how long they are, that they are nested, and the same everywhere."""

from __future__ import annotations

import random
from typing import Any

import pytest

from datasets.base.errors import DataError
from datasets.sets.labelled_images import is_amount, labelled_images

Items = list[dict[str, Any]]


def images(number: int, above: str = "/data") -> Items:
    return [{"file_name": f"{above}/ulm/{i:04d}.png", "relative": f"ulm/{i:04d}.png"} for i in range(number)]


def listed(items: Items, amount: str, seed: int = 0) -> list[str]:
    return [item["relative"] for item in labelled_images(items, amount, seed, "KEY")]


@pytest.mark.parametrize(
    ("amount", "number"),
    [("1/1", 2975), ("1/2", 1488), ("1/4", 744), ("1/8", 372), ("1/16", 186), ("1/30", 100), ("7", 7), ("1/5000", 1)],
)
def test_shares_of_cityscapes_are_as_many_as_in_published_lists(amount: str, number: int) -> None:
    assert len(listed(images(2975), amount)) == number


def test_a_smaller_list_is_the_beginning_of_a_larger_one() -> None:
    every = images(100)
    longest = listed(every, "1/1")
    for amount in ("1/32", "1/16", "1/8", "1/4", "50"):
        found = listed(every, amount)
        assert found == longest[: len(found)]
    assert sorted(longest) == [item["relative"] for item in every]


def test_a_list_is_that_of_the_names_and_the_seed() -> None:
    """Not of the order in which they come, nor of where they lie; and the one that it was on another machine."""
    every = images(60)
    found = listed(every, "1/4")
    moved = images(60, above="/elsewhere")
    random.Random(0).shuffle(moved)
    assert listed(moved, "1/4") == found != listed(every, "1/4", seed=1)
    assert found[:4] == FIRST


FIRST = ["ulm/0042.png", "ulm/0039.png", "ulm/0008.png", "ulm/0015.png"]


def test_images_keep_what_is_known_of_them() -> None:
    items = images(3)
    assert all(any(found is item for item in items) for found in labelled_images(items, "2", 0, "KEY"))


def test_more_than_there_are_is_refused() -> None:
    with pytest.raises(DataError, match=r"^KEY is 9, expected at most the 8 training images of the target$"):
        labelled_images(images(8), "9", 0, "KEY")


def test_amounts() -> None:
    texts = ["1/16", "100", "1/0", "0", "2/3", "0.5", "1/16 ", "", "٣"]
    assert [text for text in texts if is_amount(text)] == ["1/16", "100"]
