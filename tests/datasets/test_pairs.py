"""Paired batches: order, keys, workers, and what happens to files that cannot be used."""

from __future__ import annotations

import dataclasses
import hashlib
import logging
import multiprocessing
import pickle
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from datasets.base.errors import DataError
from datasets.base.framing import Framing
from datasets.batches import cache, pairs
from datasets.batches.cache import ArrayCache
from datasets.batches.pairs import Batch, LabelledTarget, PairedBatches, Skipped, batches
from datasets.batches.pools import Pool
from datasets.batches.rare_classes import RareClasses, RareClassSampler
from datasets.classes.labels import LABEL_IDS
from datasets.sets.layouts import LAYOUTS

Items = list[dict[str, Any]]
N_SOURCE, N_TARGET = 7, 5
WIDTH, HEIGHT = 24, 16
WHOLE = Framing(None, (WIDTH, HEIGHT), flip=0)
VIEW = Framing(None, (10, 8))


def write(folder: Path, number: int, label_width: int = WIDTH) -> None:
    """A GTA image whose blue channel is its number, and its label of Cityscapes ids."""
    rng = np.random.default_rng(number)
    pixels = rng.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    pixels[..., 2] = number
    for kind in ("images", "labels"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(folder / f"images/{number:05d}.png")
    Image.fromarray(rng.integers(7, 34, (HEIGHT, label_width), dtype=np.uint8)).save(
        folder / f"labels/{number:05d}.png"
    )


@pytest.fixture
def source(tmp_path: Path) -> Items:
    for number in range(N_SOURCE):
        write(tmp_path / "source", number)
    return LAYOUTS["gta"].scan(tmp_path / "source", "train", labelled=True)


@pytest.fixture
def target(tmp_path: Path) -> Items:
    for number in range(100, 100 + N_TARGET):
        write(tmp_path / "target", number)
    return LAYOUTS["gta"].scan(tmp_path / "target", "train", labelled=False)


def paired(
    source: Items,
    target: Items | None,
    view: Framing = VIEW,
    source_view: Framing | None = None,
    target_view: Framing | None = None,
    rare_classes: RareClassSampler | None = None,
    **changed: Any,
) -> PairedBatches:
    targets = [Pool(target, target_view or view)] if target is not None else []
    sources = [Pool(source, source_view or view, rare_classes=rare_classes)]
    return PairedBatches(sources, targets, **{"batch_size": 3, "seed": 0} | changed)


def numbers(dataset: PairedBatches, domain: str, iterations: int) -> list[int]:
    return [int(n) for t in range(iterations) for n in dataset[t][domain]["images"][:, 2, 0, 0]]


def same(a: Batch, b: Batch) -> bool:
    if {d: list(a[d]) for d in a} != {d: list(b[d]) for d in b}:
        return False
    return all(torch.equal(a[domain][key], b[domain][key]) for domain in a for key in a[domain])


def test_batch_has_its_form(source: Items, target: Items) -> None:
    batch = paired(source, target, target_view=Framing(None, (6, 4)))[0]
    assert {domain: sorted(batch[domain]) for domain in batch} == {"source": ["images", "labels"], "target": ["images"]}
    assert batch["source"]["images"].shape == (3, 3, 8, 10)
    assert batch["source"]["labels"].shape == (3, 8, 10)
    assert batch["target"]["images"].shape == (3, 3, 4, 6)
    assert {tensor.dtype for domain in batch.values() for tensor in domain.values()} == {torch.uint8}
    assert list(paired(source, None)[0]) == ["source"]


def test_pixels_are_those_of_the_files(source: Items, target: Items) -> None:
    batch = paired(source, target, WHOLE)[1]
    cityscapes = {7: 0, 8: 1, 11: 2, 12: 3, 13: 4, 17: 5, 19: 6, 20: 7, 21: 8, 22: 9, 23: 10, 24: 11, 25: 12, 26: 13}
    cityscapes |= {27: 14, 28: 15, 31: 16, 32: 17, 33: 18}
    for i in range(3):
        for domain, items, first in (("source", source, 0), ("target", target, 100)):
            image = batch[domain]["images"][i].numpy()
            item = items[image[2, 0, 0] - first]
            assert np.array_equal(image, np.asarray(Image.open(item["file_name"])).transpose(2, 0, 1))
            if domain == "source":
                ids = np.asarray(Image.open(item["sem_seg_file_name"])).tolist()
                expected = [[cityscapes.get(stored, 255) for stored in row] for row in ids]
                assert batch["source"]["labels"][i].tolist() == expected


def test_every_image_comes_once_an_epoch_in_an_order_of_its_own(source: Items, target: Items) -> None:
    dataset = paired(source, target, WHOLE)
    for domain, n, first in (("source", N_SOURCE, 0), ("target", N_TARGET, 100)):
        drawn = numbers(dataset, domain, 35)
        epochs = [tuple(drawn[i : i + n]) for i in range(0, len(drawn), n)]
        assert all(sorted(epoch) == list(range(first, first + n)) for epoch in epochs)
        assert len(set(epochs)) > len(epochs) / 2
    assert numbers(dataset, "source", 10) != numbers(paired(source, target, WHOLE, seed=1), "source", 10)


def test_batch_depends_on_nothing_asked_for_before(source: Items, target: Items) -> None:
    forwards, backwards = paired(source, target), paired(source, target, cache_bytes=0)
    expected = [forwards[t] for t in range(12)]
    for t in reversed(range(12)):
        assert same(backwards[t], expected[t])
    assert same(forwards[3], expected[3])
    assert not same(expected[0], expected[1])


def test_an_image_is_seen_differently_each_time(source: Items) -> None:
    dataset = paired(source[:1], None)
    crops = {dataset[t]["source"]["images"][i].numpy().tobytes() for t in range(5) for i in range(3)}
    assert len(crops) >= 13


def test_changing_one_domain_leaves_the_other(source: Items, target: Items) -> None:
    both, alone = paired(source, target), paired(source, None)
    other_target = paired(source, target[:2], target_view=Framing(None, (6, 6)))
    other_source = paired(source[:2], target, source_view=Framing(None, (6, 6), max_class_share=0.1))
    for t in range(6):
        for dataset in (alone, other_target):
            assert same({"source": both[t]["source"]}, {"source": dataset[t]["source"]})
        assert same({"target": both[t]["target"]}, {"target": other_source[t]["target"]})


def test_labelled_target_images_are_a_batch_of_their_own(source: Items, target: Items, tmp_path: Path) -> None:
    of_target = LAYOUTS["gta"].scan(tmp_path / "target", "train", labelled=True)

    def with_labelled(batch_size: int, rank: int = 0, ranks: int = 1, size: int = 4) -> PairedBatches:
        labelled = LabelledTarget([Pool(of_target[:3], WHOLE)], batch_size)
        return paired(source, target, WHOLE, batch_size=size, rank=rank, ranks=ranks, labelled=labelled)

    dataset, without = with_labelled(2), paired(source, target, WHOLE, batch_size=4)
    for t in range(6):
        batch = dataset[t]
        for domain in ("source", "target"):
            assert same({domain: batch[domain]}, {domain: without[t][domain]})
        assert batch["labelled"]["images"].shape[0] == batch["labelled"]["labels"].shape[0] == 2
        halves = [with_labelled(2, rank, 2)[t]["labelled"]["images"] for rank in range(2)]
        assert torch.equal(torch.cat(halves), batch["labelled"]["images"])
    drawn = numbers(dataset, "labelled", 9)
    assert all(sorted(drawn[i : i + 3]) == [100, 101, 102] for i in range(0, 18, 3))
    few = LabelledTarget([Pool(of_target[:3], WHOLE)], 2)
    assert drawn != numbers(paired(source, target, WHOLE, labelled=few, seed=1), "labelled", 9)
    image = int(drawn[0]) - 100
    label = np.asarray(Image.open(of_target[image]["sem_seg_file_name"]))
    assert np.array_equal(dataset[0]["labelled"]["labels"][0] != 255, LABEL_IDS.table[label] != 255)
    for wrong, line in (({"batch_size": 3, "ranks": 2}, "expected a multiple of the 2 processes, found 3"),
                        ({"batch_size": 0}, "expected at least 1 image")):  # fmt: skip
        with pytest.raises(DataError, match=line):
            with_labelled(**wrong)
    with pytest.raises(DataError, match="expected a label, as of every labelled target image, found none"):
        paired(source, target, labelled=LabelledTarget([Pool(target, WHOLE)], 2))


def test_domains_draw_apart_even_of_the_same_images(source: Items) -> None:
    whole, cropped = paired(source, source, WHOLE), paired(source[:1], source[:1])
    assert numbers(whole, "source", 7) != numbers(whole, "target", 7)
    alike = [torch.equal(cropped[t]["source"]["images"], cropped[t]["target"]["images"]) for t in range(5)]
    assert not any(alike)


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_change_nothing(source: Items, target: Items, workers: int) -> None:
    expected = list(batches(paired(source, target), 0, 9, 0, False))
    state = torch.get_rng_state()
    found = list(batches(paired(source, target), 0, 9, workers, False))
    assert torch.equal(torch.get_rng_state(), state)
    assert len(found) == len(expected) == 9
    assert all(map(same, found, expected))


def test_restart_in_the_middle_goes_on_alike(source: Items, target: Items) -> None:
    expected = list(batches(paired(source, target), 0, 9, 0, False))
    resumed = list(batches(paired(source, target), 4, 9, 2, False))
    assert len(resumed) == 5
    assert all(map(same, resumed, expected[4:]))
    assert list(batches(paired(source, target), 4, 4, 0, False)) == []


def test_data_set_travels_to_another_process_by_pickle(source: Items, target: Items) -> None:
    dataset = paired(source, target)
    expected = dataset[3]
    assert same(pickle.loads(pickle.dumps(dataset))[3], expected)


class _Threads(PairedBatches):
    def load(self, iteration: int) -> tuple[Batch, Skipped]:
        threads = torch.tensor([torch.get_num_threads(), cv2.getNumThreads()])
        return {"source": {"threads": threads}}, {}


def test_workers_use_one_thread(source: Items) -> None:
    before = torch.get_num_threads()
    dataset = _Threads([Pool(source, VIEW)], [], batch_size=1, seed=0)
    (batch,) = batches(dataset, 0, 1, 1, False)
    assert batch["source"]["threads"].tolist() == [1, 1]
    assert torch.get_num_threads() == before


def test_leaving_early_ends_the_workers(source: Items) -> None:
    others = multiprocessing.active_children()  # of tests before this one
    running = batches(paired(source, None), 0, 1000, 2, False)
    next(running)
    workers = [each for each in multiprocessing.active_children() if each not in others]
    assert len(workers) == 2
    running.close()  # type: ignore[attr-defined]
    assert not any(worker.is_alive() for worker in workers)


@pytest.mark.parametrize("workers", [0, 2])
def test_broken_file_is_one_line_from_any_process(source: Items, target: Items, workers: int) -> None:
    path = Path(target[3]["file_name"])
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(DataError) as caught:
        list(batches(paired(source, target), 0, 9, workers, False))
    assert type(caught.value) is DataError
    assert str(caught.value).startswith(f"{path}: damaged (")
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_target_labels_are_never_opened(source: Items, target: Items) -> None:
    labelled = [item | {"sem_seg_file_name": "nowhere.png", "label_encoding": LABEL_IDS} for item in target]
    assert same(paired(source, labelled)[0], paired(source, target)[0])


@pytest.mark.parametrize("workers", [0, 2])
def test_mismatch_is_warned_of_once_and_another_sample_takes_its_place(
    source: Items, target: Items, workers: int, caplog: pytest.LogCaptureFixture
) -> None:
    usual = [numbers(paired(source, target, WHOLE), domain, 14) for domain in ("source", "target")]
    for number in (2, 5):
        write(Path(source[0]["file_name"]).parent.parent, number, label_width=WIDTH - 1)
    with caplog.at_level(logging.WARNING):
        found = list(batches(paired(source, target, WHOLE), 0, 14, workers, False))
    drawn = [int(n) for batch in found for n in batch["source"]["images"][:, 2, 0, 0]]
    # Only the places of 2 and 5 changed, whatever came there before, and the target not at all.
    assert [a for a, b in zip(drawn, usual[0], strict=True) if b not in (2, 5)] == [
        b for b in usual[0] if b not in (2, 5)
    ]
    replaced = Counter(a for a, b in zip(drawn, usual[0], strict=True) if b in (2, 5))
    assert not {2, 5} & set(replaced)
    assert len(replaced) > 1
    assert [int(n) for batch in found for n in batch["target"]["images"][:, 2, 0, 0]] == usual[1]
    assert sorted(record.getMessage() for record in caplog.records) == [
        f"skipped {source[n]['sem_seg_file_name']}: expected the size of its image, 24x16, found 23x16" for n in (2, 5)
    ]


def test_nearly_nothing_matching_is_an_error(source: Items) -> None:
    for number in range(N_SOURCE):
        write(Path(source[0]["file_name"]).parent.parent, number, label_width=WIDTH - 1)
    with pytest.raises(DataError, match=r"labels/0000\d.png: .* and 20 source samples drawn in a row disagree in size"):
        paired(source, None)[0]


def test_too_small_an_image_is_named(source: Items) -> None:
    with pytest.raises(DataError, match=r"images/0000\d.png: image is 24x16 .* the crop, 24x17"):
        paired(source, None, Framing(None, (24, 17)))[0]


def test_bad_arguments_are_named(source: Items, target: Items) -> None:
    with pytest.raises(DataError, match=r"00100\.png: expected a label"):
        paired(target, None)
    with pytest.raises(DataError, match="source: expected at least one image"):
        paired([], None)
    with pytest.raises(DataError, match="target: expected at least one image"):
        paired(source, [])
    with pytest.raises(DataError, match="batch_size: expected at least 1"):
        paired(source, None, batch_size=0)
    with pytest.raises(DataError, match=r"source: expected crops of one size, found \(\d+, \d+\) and"):
        PairedBatches([Pool(source, VIEW), Pool(source, WHOLE)], [], batch_size=1, seed=0)
    for weight in (0.0, -1.0, float("nan")):
        with pytest.raises(DataError, match=f"source: weight is {weight}, expected a number above 0"):
            PairedBatches([Pool(source, VIEW), Pool(source, VIEW, weight)], [], batch_size=1, seed=0)
    with pytest.raises(IndexError):
        paired(source, None)[-1]


def test_files_are_read_once_while_they_fit(source: Items, target: Items, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    read_image, read_pair = pairs.read_image, pairs.read_pair

    def counted_image(path: str, **options: Any) -> np.ndarray:
        read.append(path)
        return read_image(path, **options)

    def counted_pair(item: dict[str, Any], *options: Any) -> tuple[np.ndarray, np.ndarray]:
        read.append(item["file_name"])
        return read_pair(item, *options)

    monkeypatch.setattr(pairs, "read_image", counted_image)
    monkeypatch.setattr(pairs, "read_pair", counted_pair)
    kept = paired(source, target)
    first = [kept[t] for t in range(14)]
    assert len(read) == N_SOURCE + N_TARGET
    # Of a budget of two source images with labels, two are kept; the others are read each time.
    read.clear()
    little = paired(source, None, cache_bytes=2 * WIDTH * HEIGHT * 4)
    assert all(same({"source": little[t]["source"]}, {"source": first[t]["source"]}) for t in range(14))
    assert sorted(Counter(read).values()) == [1, 1, 6, 6, 6, 6, 6]


def test_cache_keeps_to_its_budget_and_travels_empty() -> None:
    loads = []

    def load(size: int) -> tuple[np.ndarray, None]:
        loads.append(size)
        return np.zeros(size, np.uint8), None

    small = ArrayCache(10)
    for key, size in (("a", 6), ("b", 5), ("c", 4), ("b", 5), ("a", 6), ("c", 4)):
        kept, _ = small.get(key, lambda size=size: load(size))  # type: ignore[misc]
        assert kept.size == size
        assert not kept.flags.writeable
    assert loads == [6, 5, 4, 5]
    pickle.loads(pickle.dumps(small)).get("a", lambda: load(6))
    assert loads == [6, 5, 4, 5, 6]


def test_workers_share_the_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "get_worker_info", lambda: SimpleNamespace(num_workers=3))
    kept = ArrayCache(30)
    loads: list[None] = []

    def load() -> tuple[np.ndarray, None]:
        loads.append(None)
        return np.zeros(6, np.uint8), None

    for key in ("a", "b", "a", "b"):
        kept.get(key, load)
    assert len(loads) == 3  # of ten bytes a worker, "a" took six


@pytest.mark.parametrize(
    ("share", "domain", "digest"),
    [
        (1.0, "source", "98e3cdba5aa0e021"),
        (0.1, "source", "18a5a1e70922280a"),
        (1.0, "target", "a838c001045a07e7"),
        (0.1, "target", "a838c001045a07e7"),
    ],
)
def test_batches_are_those_of_the_first_release(
    source: Items, target: Items, share: float, domain: str, digest: str
) -> None:
    """Written down before there was rare class sampling: whoever does without it sees the same images as ever."""
    dataset = paired(source, target, dataclasses.replace(VIEW, max_class_share=share), seed=3)
    found = hashlib.sha256()
    for t in range(9):
        for tensor in dataset[t][domain].values():
            found.update(tensor.numpy().tobytes())
    assert found.hexdigest()[:16] == digest


def rare(shown: dict[int, list[int]], min_crop_pixels: int = 0) -> RareClassSampler:
    """Draws for classes as often, of which these images show 100 pixels each."""
    pixels = np.zeros((N_SOURCE, 19), np.int64)
    for train_id, images in shown.items():
        pixels[images, train_id] = 100
    return RareClassSampler(RareClasses(1e6, 99, min_crop_pixels), pixels)


@pytest.mark.parametrize("workers", [1, 2])
def test_rare_classes_choose_source_images_and_nothing_of_the_target(
    source: Items, target: Items, workers: int
) -> None:
    plain, chosen = paired(source, target), paired(source, target, rare_classes=rare({4: [2], 9: [5]}))
    expected = [chosen[t] for t in range(9)]
    assert all(map(same, list(batches(chosen, 0, 9, workers, False)), expected))
    assert all(map(same, list(batches(chosen, 4, 9, workers, False)), expected[4:]))
    assert set(numbers(chosen, "source", 9)) == {2, 5}
    for t in range(9):
        assert same({"target": expected[t]["target"]}, {"target": plain[t]["target"]})
        assert not same({"source": expected[t]["source"]}, {"source": plain[t]["source"]})


def test_place_of_a_mismatch_is_drawn_again_for_a_rare_class(source: Items, caplog: pytest.LogCaptureFixture) -> None:
    dataset = paired(source, None, WHOLE, rare_classes=rare({4: [0, 2], 9: [2, 5, 6]}))
    usual = numbers(dataset, "source", 14)
    write(Path(source[0]["file_name"]).parent.parent, 2, label_width=WIDTH - 1)
    with caplog.at_level(logging.WARNING):
        dataset = paired(source, None, WHOLE, rare_classes=rare({4: [0, 2], 9: [2, 5, 6]}))
        drawn = [int(n) for batch in batches(dataset, 0, 14, 0, False) for n in batch["source"]["images"][:, 2, 0, 0]]
    assert [a for a, b in zip(drawn, usual, strict=True) if b != 2] == [b for b in usual if b != 2]
    assert {a for a, b in zip(drawn, usual, strict=True) if b == 2} == {0, 5, 6}
    assert [record.getMessage().split(":")[0] for record in caplog.records] == [
        f"skipped {source[2]['sem_seg_file_name']}"
    ]
    alone = paired(source, None, WHOLE, rare_classes=rare({4: [2]}))
    with pytest.raises(DataError, match=r"labels/00002.png: .* and 20 source samples drawn in a row disagree in size"):
        alone[0]


def test_rare_classes_of_other_images_are_named(source: Items) -> None:
    with pytest.raises(DataError, match="rare_classes: expected one of 3 source images, found 7"):
        paired(source[:3], None, rare_classes=rare({4: [2]}))


def test_source_view_share_reaches_the_crops(tmp_path: Path) -> None:
    write(tmp_path, 1)
    ids = np.full((HEIGHT, WIDTH), 7, np.uint8)
    ids[:, 16:] = 11
    Image.fromarray(ids).save(tmp_path / "labels/00001.png")
    items = LAYOUTS["gta"].scan(tmp_path, "train", labelled=True)
    loose = Framing(None, (8, 8))
    mean = {}
    for view in (loose, dataclasses.replace(loose, max_class_share=0.75)):
        labels = torch.cat([paired(items, None, view)[t]["source"]["labels"] for t in range(30)])
        mean[view.max_class_share] = (labels == 0).float().mean((1, 2)).sub(0.5).abs().gt(0.25).float().mean()
    assert mean[1.0] > 0.5
    assert mean[0.75] < 0.2
