"""Several data sets in one domain: which comes when, and how each is seen."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from datasets.base.framing import Framing
from datasets.batches.pairs import PairedBatches
from datasets.batches.pools import Pool, PoolOrder
from datasets.batches.rare_classes import RareClasses, RareClassSampler, class_probabilities, union_shares
from datasets.classes.labels import LABEL_IDS

SIZES, WEIGHTS = (7, 4), (1.0, 3.0)
POSITIONS = 4000
VIEW = Framing(None, (10, 8))


@pytest.fixture(scope="module")
def order() -> PoolOrder:
    return PoolOrder(5, "source", SIZES, WEIGHTS)


def test_pools_come_by_weight(order: PoolOrder) -> None:
    share = Counter(order.pool(position) for position in range(POSITIONS))[0] / POSITIONS
    assert share == pytest.approx(0.25, abs=0.025)  # 3.6 standard deviations


def test_each_pool_has_epochs_of_its_own(order: PoolOrder) -> None:
    orders = []
    for pool, size in enumerate(SIZES):
        drawn = [order.image(position) for position in range(POSITIONS) if order.pool(position) == pool]
        epochs = [tuple(drawn[i : i + size]) for i in range(0, len(drawn) - size, size)]
        assert len(epochs) > 90 and all(sorted(epoch) == list(range(size)) for epoch in epochs)
        orders.append(epochs)
    assert len(set(orders[0])) > 60
    same = PoolOrder(5, "source", (4, 4), (1.0, 1.0))
    first = [[same.image(position) for position in range(64) if same.pool(position) == pool][:12] for pool in (0, 1)]
    assert first[0] != first[1]


def test_a_position_does_not_depend_on_what_was_asked_for_before(order: PoolOrder) -> None:
    expected = [(order.pool(position), order.image(position)) for position in range(0, POSITIONS, 97)]
    fresh = PoolOrder(5, "source", SIZES, WEIGHTS)
    found = [(fresh.pool(position), fresh.image(position)) for position in reversed(range(0, POSITIONS, 97))]
    assert found[::-1] == expected
    other = PoolOrder(6, "source", SIZES, WEIGHTS)
    assert [other.pool(position) for position in range(64)] != [order.pool(position) for position in range(64)]


def image(folder: Path, number: int, size: tuple[int, int], train_id: int = 0) -> dict[str, Any]:
    """An image of one grey with a label of one class."""
    width, height = size
    folder.mkdir(exist_ok=True)
    Image.fromarray(np.full((height, width, 3), number, np.uint8)).save(folder / f"{number}.png")
    stored = {train: id_ for id_, train in LABEL_IDS.train_ids}[train_id]
    Image.fromarray(np.full((height, width), stored, np.uint8)).save(folder / f"{number}_label.png")
    return {
        "file_name": str(folder / f"{number}.png"),
        "image_id": str(number),
        "sem_seg_file_name": str(folder / f"{number}_label.png"),
        "label_encoding": LABEL_IDS,
    }


def test_each_data_set_is_seen_in_its_own_way(tmp_path: Path) -> None:
    """The margins of one target are not those of another, and each has a size of its own."""
    pools = [
        Pool([image(tmp_path / "a", 10, (12, 10))], Framing(None, (10, 8), margins=(10, 0, 0))),
        Pool([image(tmp_path / "b", 20, (40, 32))], Framing((10, 8), (10, 8))),
    ]
    source = [Pool([image(tmp_path / "s", 30, (12, 10))], VIEW)]
    batch = PairedBatches(source, pools, batch_size=8, seed=0)[0]["target"]
    shown = batch["images"][:, 0, 0, 0].tolist()
    assert set(shown) == {10, 20}
    assert [bool(valid.any()) for valid in batch["valid"]] == [grey == 20 for grey in shown]
    # Of several processes each has its places of the same batch.
    halves = [PairedBatches(source, pools, batch_size=8, seed=0, rank=rank, ranks=2)[0] for rank in range(2)]
    joined = torch.cat([half["target"]["images"] for half in halves])
    assert torch.equal(joined, batch["images"])


def counts(*rows: dict[int, int]) -> np.ndarray:
    """Pixels (N, 5) of each class in each label."""
    found = np.zeros((len(rows), 5), np.int64)
    for row, shown in zip(found, rows, strict=True):
        for train_id, pixels in shown.items():
            row[train_id] = pixels
    return found


def test_a_class_that_one_data_set_does_not_label_is_as_rare_as_where_it_is_labelled() -> None:
    first, second = counts({0: 60, 1: 20, 2: 20}, {0: 100}), counts({0: 50, 1: 50})
    shares = union_shares([first, second], [(0, 1, 2), (0, 1)], (1.0, 3.0))
    # (0.8 + 3 * 0.5) / 4, (0.1 + 3 * 0.5) / 4; class 2 is of the first alone
    assert shares.tolist() == pytest.approx([0.575, 0.4, 0.1, 0, 0])
    # One that labels it and shows none of it says that it is rarer.
    assert union_shares([first, second], [(0, 1, 2), (0, 1, 2)], (1.0, 3.0))[2] == pytest.approx(0.1 / 4)
    # Shown although it is not said to be labelled: it counts.
    assert union_shares([first, counts({2: 10})], [(0, 1, 2), ()], (1.0, 1.0))[2] == pytest.approx((0.1 + 1) / 2)
    assert union_shares([first], [(0, 1, 2)], (7.0,)).tolist() == (first.sum(0) / first.sum()).tolist()


def test_rare_classes_are_those_of_the_union_and_images_of_the_data_set_that_is_drawn(tmp_path: Path) -> None:
    tables = [counts({0: 900}, {1: 90}, {2: 10}), counts({0: 500}, {1: 500})]
    shares = union_shares(tables, [(0, 1, 2), (0, 1)], (1.0, 1.0))
    samplers = [RareClassSampler(RareClasses(0.5, 5, 0), table, shares=shares) for table in tables]
    everywhere = class_probabilities(shares, 0.5, np.array([True, True, True, False, False]))
    assert samplers[0].probabilities == pytest.approx(everywhere)
    assert samplers[1].probabilities == pytest.approx([*(everywhere[:2] / everywhere[:2].sum()), 0, 0, 0])
    pools = [
        Pool([image(tmp_path, 10 * number + i, (12, 10), i) for i in range(len(table))], VIEW, 1.0, sampler)
        for number, table, sampler in zip((1, 2), tables, samplers, strict=True)
    ]
    dataset = PairedBatches(pools, [], batch_size=4, seed=0)
    drawn = Counter(int(grey) for t in range(100) for grey in dataset[t]["source"]["images"][:, 0, 0, 0])
    order = PoolOrder(0, "source", (3, 2), (1.0, 1.0))
    of_first = sum(order.pool(position) == 0 for position in range(400))
    assert drawn[10] + drawn[11] + drawn[12] == of_first and set(drawn) == {10, 11, 12, 20, 21}
    assert drawn[12] / of_first == pytest.approx(everywhere[2], abs=0.12)
