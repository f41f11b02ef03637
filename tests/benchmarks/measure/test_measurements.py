"""What is measured of data, evaluation and start: counts, sizes, and that each way to count agrees."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from conftest import NETWORK

from benchmarks.config.spec import RunSpec
from benchmarks.engine.build import build_student
from benchmarks.measure import loading, scoring, starting
from benchmarks.measure.machine import machine
from benchmarks.measure.photos import CITYSCAPES, photo, write_photos
from benchmarks.measure.spread import Spread

GTA, CITY = (96, 54), (128, 64)
SMALL = {
    "INPUT.CROP": (32, 32),
    "INPUT.SOURCE_RESIZE": (72, 40),
    "INPUT.TARGET_RESIZE": (64, 32),
    "TEST.RESIZE": (64, 32),
    "WEIGHTS": "none",
    "DEVICE": "cpu",
}


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    write_photos(folder, 3, GTA, CITY)
    return folder


def test_spread_by_hand() -> None:
    spread = Spread.of([4.0, 1.0, 2.0, 3.0, 5.0])
    assert (spread.median, spread.low, spread.high, spread.number) == (3, 2, 4, 5)
    assert spread.per(12) == Spread(4, 3, 6, 5)  # of seconds how many a second
    assert spread.text(1) == "3.0 (2.0-4.0)"


def test_images_are_counted_and_decoded(photos: Path) -> None:
    cfg = RunSpec("gta-cityscapes", "dacs", None, 0, SMALL).resolve()
    batches, bare = loading.measure(cfg, photos, 3, 1, [0.06, 1e9])
    assert (batches["what"], bare["what"]) == ("files to batches", "bare decoding")
    assert batches["images"] == bare["images"] == 4  # one batch of 2 + 2; a half one is not
    assert batches["files"] == 2 + 2 + 2  # images of both, labels of the source
    assert batches["files_mib"] > 0 and batches["images_per_second"]["number"] == 1
    assert batches["workers"]["1e+09"] == 1 and bare["workers"] == {}
    (row, _) = loading.measure(RunSpec("gta-cityscapes", "source-only", None, 0, SMALL).resolve(), photos, 2, 1, [1.0])
    assert (row["images"], row["files"]) == (2, 4)


def test_workers_by_hand() -> None:
    assert [loading.workers(0.2, step) for step in (0.06, 0.1, 0.2, 1.0)] == [4, 2, 1, 1]


def test_a_file_is_decoded_to_the_pixels_that_were_written(photos: Path) -> None:
    assert np.array_equal(loading.decode(photos / "gta/images/00001.png"), photo(GTA, 1))
    label = loading.decode(photos / "gta/labels/00001.png")
    assert label.shape == (GTA[1], GTA[0]) and set(np.unique(label)) <= {0, *range(7, 34)}


def test_a_photo_is_as_hard_to_compress_as_real_ones() -> None:
    """Cityscapes' have 2.3 MB, GTA's 2.4."""
    _, content = cv2.imencode(".png", photo(CITYSCAPES, 0))
    assert 2.1e6 < len(content) < 2.5e6


def test_every_way_to_count_agrees(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cfg = RunSpec("gta-cityscapes", "source-only", None, 0, SMALL).resolve()
    rows = scoring.count_ways(cfg, tmp_path, 1, torch.device("cpu"), (48, 96))
    assert [row["what"].split()[-1] for row in rows] == ["counts", "counts", "numpy.bincount", "PNGs"]
    assert all(row["maps_per_second"]["median"] > 0 and row["size"] == "96x48" for row in rows)
    wrong = scoring.by_bincount
    monkeypatch.setattr(scoring, "by_bincount", lambda *given: wrong(*given).T)
    with pytest.raises(AssertionError, match="logits to counts"):
        scoring.count_ways(cfg, tmp_path, 1, torch.device("cpu"), (48, 96))


def test_counts_by_hand() -> None:
    label = np.array([[0, 1, 255], [1, 1, 2]], np.uint8)
    prediction = np.array([[0, 2, 1], [1, 0, 2]])
    assert scoring.by_bincount(label, prediction, 3).tolist() == [[1, 0, 0], [1, 1, 1], [0, 0, 1]]


def test_an_evaluation_has_its_networks_time_in_it(photos: Path) -> None:
    cfg = RunSpec("gta-cityscapes", "source-only", NETWORK, 0, SMALL | {"NUM_WORKERS": 0}).resolve()
    student = build_student(cfg)
    row = scoring.measure_evaluation(cfg, student, photos, 2, torch.device("cpu"), times=2)
    assert (row["images"], row["network"], row["workers"]) == (4, NETWORK, 0)
    assert row["network_seconds"] > 0 and row["to_network"] == row["seconds"] / row["network_seconds"]
    assert "forward" not in vars(student.encoder) and student.training


def test_starts_are_timed_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []

    def command(*words: str) -> float:
        order.append("help" if "--help" in words else "table")
        return float(len(order))

    def first_step(method: str, network: str | None, values: dict[str, Any], folder: Path) -> float:
        order.append(f"{method} {network} {folder.name}")
        return float(len(order))

    monkeypatch.setattr(starting, "command", command)
    monkeypatch.setattr(starting, "first_step", first_step)
    rows = starting.measure(2, "dacs", "tiny")
    assert order == ["table", "help", "help", "dacs tiny cold0", "table", "help", "dacs tiny cold1", "table"]
    assert [row["seconds"]["median"] for row in rows] == [(3 + 6) / 2, (4 + 7) / 2, (5 + 8) / 2]


def test_the_machine_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "__version__", "2.99.0+cu999")  # with its build, which the distribution may not name
    found = machine(torch.device("cpu"))
    assert found["hardware"]["threads"] == torch.get_num_threads() and found["versions"]["torch"] == "2.99.0+cu999"
