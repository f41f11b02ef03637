"""Rare class sampling: its probabilities and draws, the crops drawn for a class, and its part in a run."""

from __future__ import annotations

import math
import pickle
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from detectron2.config import CfgNode
from PIL import Image

from benchmarks.config.run_id import run_id
from benchmarks.config.spec import RunSpec
from benchmarks.core.errors import ConfigError
from benchmarks.data.data_checks import check_data
from benchmarks.data.from_config import data_root, training_set
from datasets.base.errors import DataError
from datasets.base.framing import Framing
from datasets.batches.pairs import PairedBatches
from datasets.batches.pools import Pool
from datasets.batches.rare_classes import RareClasses, RareClassSampler, class_probabilities
from datasets.checks.class_pixels import class_pixels
from datasets.sets.layouts import LAYOUTS
from methods.framework.recipes import parse

RARE = {"SAMPLING.RARE_CLASSES": True, "SAMPLING.MIN_PIXELS": 30, "SAMPLING.MIN_CROP_PIXELS": 15}


def by_hand(shares: dict[int, float], temperature: float) -> list[float]:
    """P(c) for the classes of `shares`, written out."""
    weights = {c: math.exp((1 - share) / temperature) for c, share in shares.items()}
    return [weights.get(c, 0.0) / sum(weights.values()) for c in range(19)]


def table(*rows: dict[int, int]) -> np.ndarray:
    return np.array([[row.get(c, 0) for c in range(19)] for row in rows], np.int64)


@pytest.mark.parametrize("temperature", [0.01, 0.1, 1.0])
def test_probabilities_are_those_of_the_drawn_labels(tmp_path: Path, temperature: float) -> None:
    """Three labels of 10 x 10: road 246, building 40, pole 4 and 10 ignored pixels."""
    rows = [[7] * 90 + [11] * 10, [7] * 80 + [11] * 16 + [17] * 4, [7] * 76 + [11] * 14 + [34] * 10]
    for kind in ("images", "labels"):
        (tmp_path / kind).mkdir()
    for number, row in enumerate(rows):
        label = np.array(row, np.uint8).reshape(10, 10)
        Image.fromarray(label).save(tmp_path / f"labels/{number}.png")
        Image.fromarray(np.zeros((10, 10, 3), np.uint8)).save(tmp_path / f"images/{number}.png")
    pixels = class_pixels(LAYOUTS["gta"].scan(tmp_path, "train", labelled=True), 19, cache=tmp_path)
    sampler = RareClassSampler(RareClasses(temperature, min_pixels=3), pixels)
    expected = by_hand({0: 246 / 290, 2: 40 / 290, 5: 4 / 290}, temperature)
    assert sampler.probabilities == pytest.approx(expected, rel=1e-9)
    assert sampler.probabilities.sum() == pytest.approx(1)


def test_probabilities_at_the_ends_of_the_temperature() -> None:
    pixels, drawn = np.array([900, 100, 0]), np.array([True, True, False])
    assert class_probabilities(pixels / pixels.sum(), 1e-9, drawn).tolist() == [0, 1, 0]
    assert class_probabilities(pixels / pixels.sum(), 1e9, drawn) == pytest.approx([0.5, 0.5, 0])
    # Of a hundredth, the published one: e^(-80) to 1, that is 1.8e-35.
    assert class_probabilities(pixels / pixels.sum(), 0.01, drawn)[0] == pytest.approx(math.exp(-80))


def test_a_class_that_no_image_shows_enough_of_leaves_its_share_to_the_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    pixels = table({0: 500, 2: 100}, {0: 400, 2: 101, 5: 100}, {0: 100})
    sampler = RareClassSampler(RareClasses(1.0, min_pixels=100), pixels)
    # The shares count every pixel; the softmax is over the classes of which some label has 101 or more.
    assert sampler.probabilities == pytest.approx(by_hand({0: 1000 / 1301, 2: 201 / 1301}, 1.0))
    assert caplog.messages == [
        "rare class sampling leaves out train id 5 (at most 100): no label has more than SAMPLING.MIN_PIXELS = 100 "
        "pixels of it"
    ]
    # Road's one image with exactly 100 is not drawn, building's neither.
    drawn = {(sampler.draw(0, t, 0)[0], sampler.draw(0, t, 0)[1].train_id) for t in range(200)}
    assert drawn == {(0, 0), (1, 0), (1, 2)}


def test_realised_frequencies_are_the_probabilities_and_uniform_within_a_class() -> None:
    pixels = table({0: 60, 2: 30}, {0: 50, 5: 9}, {0: 40, 2: 20}, {2: 1})
    sampler = RareClassSampler(RareClasses(0.5, min_pixels=5), pixels)
    shares = {0: 150 / 210, 2: 51 / 210, 5: 9 / 210}
    n, classes, images = 6000, Counter[int](), Counter[tuple[int, int]]()
    for draw in range(n):
        image, wanted = sampler.draw(1, draw // 2, draw % 2)
        classes[wanted.train_id] += 1
        images[wanted.train_id, image] += 1
    for train_id, p in enumerate(by_hand(shares, 0.5)):
        assert abs(classes[train_id] - n * p) <= 4 * math.sqrt(n * p * (1 - p))
    for train_id, showing in {0: (0, 1, 2), 2: (0, 2), 5: (1,)}.items():
        p = 1 / len(showing)
        for image in showing:
            assert abs(images[train_id, image] - classes[train_id] * p) <= 4 * math.sqrt(
                classes[train_id] * p * (1 - p)
            )
    assert set(images) == {(0, 0), (0, 1), (0, 2), (2, 0), (2, 2), (5, 1)}


def test_draw_is_a_function_of_its_key() -> None:
    sampler = RareClassSampler(RareClasses(1e6, 0, 7), np.ones((50, 19), np.int64))
    keys = [(seed, t, i, attempt) for seed in (0, 1) for t in range(5) for i in range(2) for attempt in range(3)]
    drawn = [sampler.draw(*key) for key in keys]
    assert [sampler.draw(*key) for key in reversed(keys)] == drawn[::-1]
    assert [pickle.loads(pickle.dumps(sampler)).draw(*key) for key in keys] == drawn
    assert len(set(drawn)) > 50  # of 60 draws from 950 pairs
    assert {wanted.pixels for _, wanted in drawn} == {7}


def test_unusable_settings_and_counts_are_one_line() -> None:
    for key, value in (("temperature", 0.0), ("temperature", math.nan), ("min_pixels", -1), ("min_crop_pixels", -1)):
        with pytest.raises(DataError, match=rf"^SAMPLING\.{key.upper()} is {value}, expected"):
            RareClasses(**{key: value})
    expected = r"^SAMPLING.MIN_PIXELS is 3000, expected .* the largest of 2 labels is 3000 pixels of one class$"
    with pytest.raises(DataError, match=expected):
        RareClassSampler(RareClasses(), table({0: 3000, 5: 10}, {0: 12}))
    with pytest.raises(DataError, match="the largest of 1 labels is 0 pixels"):
        RareClassSampler(RareClasses(min_pixels=0), table({}))


# --- the crops of a batch


PLACES = [(2, 2), (46, 4), (20, 46), (40, 40)]  # of a square of 12 x 12 in each of four images of 60 x 60


@pytest.fixture
def scenes(tmp_path: Path) -> list[dict[str, Any]]:
    """Road, and a square of building, pole, car, pole."""
    for kind in ("images", "labels"):
        (tmp_path / kind).mkdir()
    for number, ((x, y), stored) in enumerate(zip(PLACES, (11, 17, 26, 17), strict=True)):
        label = np.full((60, 60), 7, np.uint8)
        label[y : y + 12, x : x + 12] = stored
        Image.fromarray(label).save(tmp_path / f"labels/{number}.png")
        Image.fromarray(np.full((60, 60, 3), number, np.uint8)).save(tmp_path / f"images/{number}.png")
    return LAYOUTS["gta"].scan(tmp_path, "train", labelled=True)


def chance(place: tuple[int, int], pixels: int) -> float:
    """That a crop of 24 x 24 has more than so many pixels of the square."""
    across, down = ([max(0, min(start + 24, at + 12) - max(start, at)) for start in range(60 - 24 + 1)] for at in place)
    return float(np.mean([[width * height > pixels for width in across] for height in down]))


@pytest.mark.parametrize(("min_crop_pixels", "crops"), [(72, 11), (10**6, 1)])
def test_crops_show_the_class_that_they_were_drawn_for(
    scenes: list[dict[str, Any]], tmp_path: Path, min_crop_pixels: int, crops: int
) -> None:
    """Where 73 pixels are asked for, the best of 11 crops; where more than there are, a crop as any other."""
    settings = RareClasses(0.1, min_pixels=100, min_crop_pixels=min_crop_pixels)
    sampler = RareClassSampler(settings, class_pixels(scenes, 19, cache=tmp_path))
    pool = Pool(scenes, Framing(None, (24, 24)), rare_classes=sampler)
    dataset = PairedBatches([pool], [], batch_size=2, seed=0)
    found, expected = [], []
    for t in range(200):
        batch = dataset[t]["source"]
        for i in range(2):
            image, wanted = sampler.draw(0, t, i)
            assert (batch["images"][i] == image).all()
            if wanted.train_id:  # road is everywhere
                found.append(int((batch["labels"][i] == wanted.train_id).sum()) > 72)
                expected.append(1 - (1 - chance(PLACES[image], 72)) ** crops)
    assert len(found) > 380
    assert np.mean(found) == pytest.approx(np.mean(expected), abs=0.06)


# --- in a run


def test_config_reaches_the_batches(small_config: Callable[..., CfgNode]) -> None:
    plain, rare = small_config("dacs"), small_config("dacs", overrides=RARE)
    recipe, root = parse("dacs"), data_root(plain)
    without, chosen = training_set(plain, recipe, root), training_set(rare, recipe, root)
    for t in range(3):
        assert chosen[t]["target"]["images"].equal(without[t]["target"]["images"])
        assert not chosen[t]["source"]["images"].equal(without[t]["source"]["images"])
    # What was counted is kept, and not counted again. (Other tests hold images out of this cache: other files.)
    kept = {path: path.stat().st_mtime_ns for path in (root / "gta/labels").glob(".class_pixels-*.npz")}
    training_set(rare, recipe, root)
    assert kept and kept == {path: path.stat().st_mtime_ns for path in kept}
    assert len(list((root / "gta/labels").glob(".class_pixels-*.npz"))) == len(kept)


def test_oracle_counts_the_labels_of_the_target(small_config: Callable[..., CfgNode]) -> None:
    cfg = small_config("target-only", overrides=RARE)
    root, told = data_root(cfg), []

    def shown(title: str) -> Any:
        told.append(title)
        raise KeyboardInterrupt

    folder = root / "cityscapes/gtFine/train"
    with pytest.raises(KeyboardInterrupt):
        check_data(cfg, parse("target-only"), shown)
    assert told == ["counting class pixels"]
    assert list(folder.glob(".class_pixels-*")) == []
    check_data(cfg, parse("target-only"))
    (file,) = folder.glob(".class_pixels-*.npz")
    assert np.load(file)["counts"].shape == (5, 19)
    check_data(cfg, parse("target-only"), shown)  # counted before: nothing to show
    batch = training_set(cfg, parse("target-only"), root)[0]
    assert batch["source"]["labels"].shape == (2, 64, 64)


def test_minimum_that_no_label_exceeds_names_its_key(small_config: Callable[..., CfgNode]) -> None:
    cfg = small_config("dacs", overrides=RARE | {"SAMPLING.MIN_PIXELS": 8192})
    with pytest.raises(DataError, match=r"^SAMPLING\.MIN_PIXELS is 8192, expected a number that some class exceeds"):
        check_data(cfg, parse("dacs"))


def test_settings_count_in_the_runs_id_where_they_are_used(small_config: Callable[..., CfgNode]) -> None:
    changes = [{"SAMPLING.TEMPERATURE": 0.1}, {"SAMPLING.MIN_PIXELS": 31}, {"SAMPLING.MIN_CROP_PIXELS": 16}]
    assert len({run_id(small_config("dacs", overrides=change)) for change in [{}, *changes]}) == 1
    used = [run_id(small_config("dacs", overrides=RARE | change)) for change in [{}, *changes]]
    assert len({run_id(small_config("dacs")), *used}) == 5


@pytest.mark.parametrize("value", [0, -0.5, math.nan, math.inf])
def test_temperature_is_above_zero(value: float) -> None:
    with pytest.raises(ConfigError, match=r"SAMPLING.TEMPERATURE is .*, expected a finite number above 0"):
        RunSpec("streets", "dacs", overrides={"SAMPLING.TEMPERATURE": value}).resolve()
