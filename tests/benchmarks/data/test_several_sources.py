"""Several sources and targets from files to batches: classes of the union, checks, fingerprints, what is held out."""

from __future__ import annotations

import logging
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from detectron2.config import CfgNode
from tiny_published import write_published

from benchmarks.config.run import Run
from benchmarks.config.spec import RunSpec
from benchmarks.data.data_checks import check_files, used_sets
from benchmarks.data.data_report import check_all
from benchmarks.data.from_config import confidence_set, held_out_set, target_labels, training_set
from benchmarks.state.fingerprint import Listings
from benchmarks.trained.licences import data_names, terms
from datasets.base.errors import DataError
from datasets.batches.pairs import PairedBatches
from datasets.batches.rare_classes import class_probabilities
from datasets.checks.class_pixels import class_pixels
from methods.framework.recipes import parse

SMALL: dict[str, Any] = {
    "INPUT.CROP": (32, 32),
    "INPUT.SOURCE_RESIZE": (48, 32),
    "INPUT.TARGET_RESIZE": (48, 32),
    "INPUT.MAX_CLASS_SHARE": 1.0,
    "SAMPLING.MIN_PIXELS": 10,
    "SAMPLING.MIN_CROP_PIXELS": 10,
    "SOLVER.BATCH": 4,
    "DATA.IGNORED_ROWS": (0, 0),
    "DATA.SOURCE": ["gta", {"LAYOUT": "synthia", "SCALE": 1.5, "WEIGHT": 3}],
    "DATA.TARGET": ["cityscapes", {"LAYOUT": "acdc", "MARGINS": False}],
}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_published(tmp_path_factory.mktemp("data"))


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEGSHIFT_CACHE", str(tmp_path / "cache"))


def config(root: Path, method: str = "dacs", **changed: Any) -> CfgNode:
    given = {key.replace("__", "."): value for key, value in changed.items()}
    return RunSpec("gta-cityscapes", method, overrides={**SMALL, "DATA.ROOT": str(root), **given}).resolve()


def batches(cfg: CfgNode) -> PairedBatches:
    return training_set(cfg, parse(cfg.METHOD), Path(cfg.DATA.ROOT))


def test_batches_are_of_all_data_sets_each_in_its_own_way(root: Path) -> None:
    train = batches(config(root, "daformer", INPUT__TARGET_MARGINS=[20, 0, 0]))
    source, target = train._source.pools, train._target.pools  # type: ignore[union-attr]
    assert [(len(pool.items), pool.weight, pool.view.resize) for pool in source] == [(3, 1, (48, 32)), (3, 3, (72, 48))]
    assert [(len(pool.items), pool.view.margins) for pool in target] == [(3, (20, 0, 0)), (12, (0, 0, 0))]
    valid = np.concatenate([train[t]["target"]["valid"].numpy().all((1, 2)) for t in range(20)])
    assert 20 < valid.sum() < 60  # the margins are of the one alone
    labels = target_labels(config(root), batches(config(root)), root)(0)
    assert labels is not None and labels.shape == (4, 32, 32)


def test_rare_classes_are_counted_over_the_sources_that_label_them(root: Path) -> None:
    train = batches(config(root, "daformer", SAMPLING__TEMPERATURE=0.3))
    counts = [
        class_pixels(pool.items, 19, cache=root / "cache").sum(0).astype(float) for pool in train._source.pools
    ]
    gta, synthia = (count / count.sum() for count in counts)
    expected = (gta + 3 * synthia) / 4
    expected[[9, 14, 16]] = gta[[9, 14, 16]]  # terrain, truck and train: SYNTHIA says nothing of them
    assert gta[9] > 0
    for pool, shares in zip(train._source.pools, (gta, synthia), strict=True):
        assert pool.rare_classes is not None
        probabilities = class_probabilities(expected, 0.3, shares > 0)
        np.testing.assert_allclose(pool.rare_classes.probabilities, probabilities)
    drawn = Counter(train._source._order.pool(position) for position in range(400))
    assert drawn[1] == pytest.approx(300, abs=35)


def test_what_one_source_does_not_label_is_no_fault_of_it(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    cfg = config(root)
    with caplog.at_level(logging.WARNING):
        check_files(cfg, parse("dacs"))
    told = {message.split(":")[0]: message for message in caplog.messages if "no label has a pixel" in message}
    assert set(told) == {"DATA.SOURCE", "DATA.SOURCE_2", "DATA.VAL"}  # these few files lack classes
    assert "they cannot be learned from it" in told["DATA.SOURCE_2"]
    assert not any(name in told["DATA.SOURCE_2"] for name in ("terrain", "truck", "train"))
    assert "train" in told["DATA.SOURCE"] and "train" in told["DATA.VAL"]
    reports = list(check_all(cfg, workers=1))
    assert [report.role for report in reports] == ["SOURCE", "SOURCE_2", "TARGET", "TARGET_2", "VAL"]
    assert [report.faults for report in reports] == [0] * 5
    lacking = next(line for line in reports[1].text.splitlines() if "no label has a pixel of" in line)
    assert "bus" in lacking and "train" not in lacking


def test_a_missing_folder_is_told_by_its_own_name(root: Path) -> None:
    sources = ["gta", {"LAYOUT": "synthia", "FOLDER": "elsewhere"}]
    with pytest.raises(DataError, match=r"elsewhere/GT/LABELS: no such folder, expected RGB/\*\.png"):
        batches(config(root, DATA__SOURCE=sources))


def test_fingerprints_and_licences_are_of_all(root: Path, tmp_path: Path) -> None:
    listings = Listings()

    def fingerprints(method: str) -> dict[str, Any]:
        cfg = config(root, method)
        return {role: "labels" in each for role, each in listings.of(Run.at(tmp_path, cfg)).items()}

    assert fingerprints("dacs") == {
        "SOURCE": True, "SOURCE_2": True, "TARGET": False, "TARGET_2": False, "VAL": True
    }  # fmt: skip
    assert fingerprints("source-only") == {"SOURCE": True, "SOURCE_2": True, "VAL": True}
    assert fingerprints("target-only") == {"TARGET": True, "TARGET_2": True, "VAL": True}
    found = listings.of(Run.at(tmp_path, config(root)))
    assert found["TARGET_2"]["count"] == 12 and found["SOURCE"] != found["SOURCE_2"]
    assert data_names(config(root)) == ["gta", "synthia", "cityscapes", "acdc"]
    assert [line.split(" ")[0] for line in terms(config(root, "source-only"))[:2]] == ["GTA", "SYNTHIA"]


def test_the_oracle_learns_from_all_targets(root: Path) -> None:
    cfg = config(root, "target-only", DATA__TARGET=["cityscapes", {"LAYOUT": "acdc", "SCALE": 1.5}])
    assert [used.role for used in used_sets(cfg, parse("target-only"), root)] == ["TARGET", "TARGET_2", "VAL"]
    pools = batches(cfg)._source.pools
    assert [(len(pool.items), pool.view.resize) for pool in pools] == [(3, (48, 32)), (12, (72, 48))]


def test_few_labels_are_of_the_first_target(root: Path, tmp_path: Path) -> None:
    for method, learned in (("dacs+semi", {"SOURCE": True, "SOURCE_2": True}), ("target-only", {})):
        cfg = config(root, method, DATA__LABELLED_TARGET="2")
        found = Listings().of(Run.at(tmp_path, cfg))
        of_targets = {} if method == "target-only" else {"TARGET_2": False}
        assert {role: "labels" in each for role, each in found.items()} == {
            **learned, "TARGET": True, **of_targets, "VAL": True
        }  # fmt: skip
        train = batches(cfg)
        few = train._source if method == "target-only" else train._labelled
        assert few is not None and [len(pool.items) for pool in few.pools] == [2]
        assert "cityscapes" in few.pools[0].items[0]["file_name"]
        assert [used.role for used in used_sets(cfg, parse(method), root) if used.few] == ["TARGET"] * bool(learned)
    assert data_names(config(root, "source-only+semi", DATA__LABELLED_TARGET="2")) == ["gta", "synthia", "cityscapes"]


def test_each_source_holds_out_its_part_by_weight(root: Path) -> None:
    cfg = config(root, TEST__SOURCE_IMAGES=3)  # 0.75 and 2.25 of them
    held_out = held_out_set(cfg, root)
    assert held_out is not None and len(held_out) == 3
    shown = [(Path(item["file_name"]).name, tuple(item["image"].shape)) for item in (held_out[i] for i in range(3))]
    assert shown == [("00002.png", (3, 32, 48)), ("0000001.png", (3, 48, 72)), ("0000002.png", (3, 48, 72))]
    assert [len(pool.items) for pool in batches(cfg)._source.pools] == [2, 1]
    with pytest.raises(DataError, match=r"TEST\.SOURCE_IMAGES is 4, 3 of them of DATA\.SOURCE_2, expected fewer than"):
        held_out_set(config(root, TEST__SOURCE_IMAGES=4), root)


def test_confidence_is_of_all_targets(root: Path) -> None:
    cfg = config(root, TEST__CONFIDENCE_IMAGES=15, INPUT__TARGET_MARGINS=[20, 0, 0])
    dataset = confidence_set(cfg, root)
    assert dataset is not None and len(dataset) == 15
    assert [bool(dataset[i]["inside"].all()) for i in (0, 2, 3, 14)] == [False, False, True, True]
    with pytest.raises(DataError, match="at most the 15 training images of the target"):
        confidence_set(config(root, TEST__CONFIDENCE_IMAGES=16), root)


def test_resized_files_of_each_give_the_same_batches(root: Path, tmp_path: Path) -> None:
    plain, kept = batches(config(root)), batches(config(root, DATA__CACHE_RESIZED=True))
    expected = [plain[t] for t in range(4)]
    for dataset in (kept, batches(config(root, DATA__CACHE_RESIZED=True))):
        for t, batch in enumerate(expected):
            for domain in batch:
                assert all(batch[domain][key].equal(dataset[t][domain][key]) for key in batch[domain])
    names = {path.name.rpartition("-")[0] for path in (tmp_path / "cache/resized").iterdir()}
    assert names == {"images-fit-48x32", "RGB-fit-72x48", "ulm-fit-48x32", "rgb_anon-fit-48x32"}
