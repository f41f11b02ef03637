"""Resized images on disk: the same batches, read once, made again where they are damaged or of other files."""

from __future__ import annotations

import logging
import os
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from PIL import Image

from datasets.base.errors import DataError
from datasets.base.framing import Framing
from datasets.batches import evaluation_set, pairs
from datasets.batches.evaluation_set import EvaluationSet
from datasets.batches.pairs import Batch, PairedBatches
from datasets.batches.pools import Pool
from datasets.batches.resized_files import ResizedFiles
from datasets.sets.layouts import LAYOUTS

VIEW = Framing((18, 12), (10, 8))


class Data(NamedTuple):
    root: Path
    items: list[dict[str, Any]]
    unlabelled: list[dict[str, Any]]
    kept: Path

    def batch(self, resized: bool = True) -> Batch:
        def pools(items: list[dict[str, Any]]) -> list[Pool]:
            return [Pool(items, VIEW, resized=ResizedFiles(self.kept, "fit") if resized else None)]

        return PairedBatches(pools(self.items), pools(self.unlabelled), batch_size=4, seed=0)[0]

    def files(self) -> list[Path]:
        return sorted(self.kept.glob("*/*"))


@pytest.fixture
def data(tmp_path: Path) -> Data:
    rng = np.random.default_rng(0)
    for number in range(4):
        for kind, pixels in (("images", (16, 24, 3)), ("labels", (16, 24))):
            (tmp_path / kind).mkdir(exist_ok=True)
            low, high = (0, 256) if kind == "images" else (7, 34)
            Image.fromarray(rng.integers(low, high, pixels, dtype=np.uint8)).save(tmp_path / f"{kind}/{number}.png")
    scan = LAYOUTS["gta"].scan
    return Data(tmp_path, scan(tmp_path, "train", True), scan(tmp_path, "train", False), tmp_path / "kept")


def same(one: Batch, other: Batch) -> bool:
    return all((one[domain][key] == other[domain][key]).all() for domain in one for key in one[domain])


def unread(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on no image is decoded."""

    def fails(*_: Any) -> None:
        raise AssertionError("decoded")

    for module in (pairs, evaluation_set):
        for name in ("read_image", "read_pair"):
            monkeypatch.setattr(module, name, fails)


def test_batches_are_those_without_and_are_decoded_once(data: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = data.batch(resized=False)
    assert not data.kept.exists()
    assert same(data.batch(), plain)
    assert len(data.files()) == 8 and not [file for file in data.files() if file.suffix != ".npz"]  # 4 with labels
    unread(monkeypatch)
    assert same(data.batch(), plain)


def test_evaluated_images_are_those_without(data: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    def seen(kept: ResizedFiles | None) -> list[dict[str, Any]]:
        return list(map(EvaluationSet(data.items, (12, 10), resized=kept).__getitem__, range(4)))

    plain, first = seen(None), seen(ResizedFiles(data.kept, "exactly"))
    unread(monkeypatch)
    for found in (first, seen(ResizedFiles(data.kept, "exactly"))):
        for item, expected in zip(found, plain, strict=True):
            assert item["label"].shape == (16, 24) and item["image"].shape == (3, 10, 12)
            assert (item["image"] == expected["image"]).all() and (item["label"] == expected["label"]).all()


@pytest.mark.parametrize("damage", ["cut", "flipped", "emptied", "unlabelled"])
def test_a_damaged_file_is_made_again(data: Data, damage: str, caplog: pytest.LogCaptureFixture) -> None:
    plain = data.batch()
    whole = {file: file.read_bytes() for file in data.files()}
    for file, content in whole.items():
        if damage == "unlabelled":
            with file.open("wb") as stream:
                np.savez(stream, other=np.zeros(3))
        else:
            middle = len(content) // 2
            flipped = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
            file.write_bytes({"cut": content[:middle], "flipped": flipped, "emptied": b""}[damage])
    assert same(data.batch(), plain)
    assert "cannot be used" in caplog.text
    assert {file: file.read_bytes() for file in data.files()} == whole


@pytest.mark.parametrize("kind", ["images", "labels"])
def test_another_image_or_label_of_the_same_name_is_read(data: Data, kind: str) -> None:
    data.batch()
    for number in range(4):
        path = data.root / f"{kind}/{number}.png"
        stat, pixels = path.stat(), np.array(Image.open(path))
        Image.fromarray(pixels[::-1]).save(path)
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))  # within a second
    assert same(data.batch(), data.batch(resized=False))
    assert len(data.files()) == (16 if kind == "images" else 12)


def test_another_rule_or_way_of_storing_classes_has_files_of_its_own(data: Data) -> None:
    data.batch()
    item = data.items[0]
    for kept, changed in ((ResizedFiles(data.kept, "other"), item),
                          (ResizedFiles(data.kept, "fit"), item | {"label_encoding": LAYOUTS["acdc"].label_encoding})):
        made = kept.get(changed, True, lambda: (np.zeros((1, 1, 3), np.uint8), np.zeros((1, 1), np.uint8)))
        assert made[0].shape == (1, 1, 3)  # fmt: skip


def test_a_missing_image_is_told_as_without(data: Data) -> None:
    Path(data.items[0]["file_name"]).unlink()
    with pytest.raises(DataError, match=r"0\.png: no such file"):
        data.batch()


def test_room_is_told_and_a_disk_without_it_is_refused(data: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    kept, mib = ResizedFiles(data.kept, "fit"), 2**20

    def told() -> str:
        return kept.told(data.items, lambda width, height: width * height * mib, "images of data")

    assert told() == f"images of data are kept in {data.kept}: 1.5 GiB, 0.0 GiB of which are there"
    usage = shutil.disk_usage(data.kept)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=mib))
    with pytest.raises(DataError, match=r"kept: images of data take 1\.5 GiB, .* 0\.0 GiB are free: expected more"):
        told()


def test_where_nothing_can_be_written_images_are_read_as_without(
    data: Data, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    data.kept.write_text("a file where the folder should be")
    with caplog.at_level(logging.WARNING):
        assert same(data.batch(), data.batch(resized=False))
    assert caplog.text.count("no further images are kept") == 2  # one of each domain
