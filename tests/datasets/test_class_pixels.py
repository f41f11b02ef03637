"""Pixels of each class: counted as the labels are read, kept beside them, and counted again when they change."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from datasets.base.errors import DataError
from datasets.checks import class_pixels as counting
from datasets.checks.class_pixels import class_pixels
from datasets.classes.labels import GREY, IGNORE, LABEL_IDS, SYNTHIA_IDS, LabelEncoding
from datasets.sets.layouts import LAYOUTS

Items = list[dict[str, Any]]
ROAD, BUILDING, POLE, CAR, LICENSE_PLATE = 7, 11, 17, 26, 34  # ids of Cityscapes; train ids 0, 2, 5, 13, none


def write(root: Path, number: int, *columns: int) -> None:
    """An image, and a label of 10 rows in which each id fills a column."""
    for kind in ("images", "labels"):
        (root / "gta" / kind).mkdir(parents=True, exist_ok=True)
    label = np.tile(np.array(columns, np.uint8), (10, 1))
    Image.fromarray(label).save(root / f"gta/labels/{number:05d}.png")
    Image.fromarray(np.full((*label.shape, 3), number, np.uint8)).save(root / f"gta/images/{number:05d}.png")


def scan(root: Path) -> Items:
    return LAYOUTS["gta"].scan(root / "gta", "train", labelled=True)


@pytest.fixture
def items(tmp_path: Path) -> Items:
    write(tmp_path, 1, ROAD, ROAD, ROAD, ROAD, BUILDING)
    write(tmp_path, 2, ROAD, ROAD, BUILDING, POLE, LICENSE_PLATE)
    write(tmp_path, 3, ROAD, ROAD, ROAD, LICENSE_PLATE, LICENSE_PLATE)
    return scan(tmp_path)


def expected_counts(*rows: dict[int, int]) -> list[list[int]]:
    return [[row.get(train_id, 0) for train_id in range(19)] for row in rows]


COUNTS = expected_counts({0: 40, 2: 10}, {0: 20, 2: 10, 5: 10}, {0: 30})


def no_reading(path: str, encoding: str) -> np.ndarray:
    raise AssertionError(f"{path} is read")


def counted(items: Items, tmp_path: Path, **options: Any) -> list[list[int]]:
    return class_pixels(items, 19, cache=tmp_path / "cache", **options).tolist()


def kept_files(tmp_path: Path) -> list[Path]:
    return [path for path in tmp_path.rglob("*") if "class_pixels-" in path.name or path.suffix in (".npz", ".part")]


def test_pixels_are_counted_by_train_id_without_the_ignored_ones(items: Items, tmp_path: Path) -> None:
    assert counted(items, tmp_path) == COUNTS
    assert class_pixels([], 19, cache=tmp_path).shape == (0, 19)


@pytest.mark.slow
def test_counts_equal_numpys_on_any_label_and_in_any_number_of_processes(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = []
    for number in range(70):
        ids = rng.choice([ROAD, BUILDING, CAR, LICENSE_PLATE], 1 + number, p=[0.6, 0.2, 0.1, 0.1])
        write(tmp_path, number, *ids)
        rows.append({0: 10 * (ids == ROAD).sum(), 2: 10 * (ids == BUILDING).sum(), 13: 10 * (ids == CAR).sum()})
    for workers in (1, 2):
        assert counted(scan(tmp_path), tmp_path, workers=workers) == expected_counts(*rows)
        (file,) = kept_files(tmp_path)
        file.unlink()
    Path(scan(tmp_path)[68]["sem_seg_file_name"]).write_bytes(b"no image")
    with pytest.raises(DataError, match=r"labels/00068.png: not an image, expected a label") as caught:
        counted(scan(tmp_path), tmp_path, workers=2)
    assert type(caught.value) is DataError
    assert "\n" not in str(caught.value)


def test_labels_are_read_as_their_data_set_stores_them(tmp_path: Path) -> None:
    stored = np.zeros((4, 6, 3), np.uint16)  # blue first: red holds the class, green the instance
    stored[:, :2, 2], stored[:, 2:5, 2], stored[..., 1] = 3, 10, 7
    cv2.imwrite(str(tmp_path / "1.png"), stored)
    item = {"sem_seg_file_name": str(tmp_path / "1.png"), "label_encoding": SYNTHIA_IDS}
    assert class_pixels([item], 19, cache=tmp_path).tolist() == expected_counts({0: 8, 11: 12})


def test_unusable_labels_are_one_line(items: Items, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"00002.png: expected train ids below 3, the number of classes, found 5$"):
        class_pixels(items, 3, cache=tmp_path)
    Path(items[1]["sem_seg_file_name"]).unlink()
    with pytest.raises(DataError, match=r"00002.png: cannot be read \(No such file or directory\), expected a label$"):
        counted(items, tmp_path)


def test_progress_is_shown_while_counting_and_not_otherwise(items: Items, tmp_path: Path) -> None:
    told: list[Any] = []

    @contextmanager
    def shown(title: str) -> Iterator[Callable[[int, int], None]]:
        told.append(title)
        yield lambda done, total: told.append((done, total))

    counted(items, tmp_path, shown=shown)
    assert told == ["counting class pixels", (3, 3)]
    counted(items, tmp_path, shown=shown)
    assert len(told) == 2


def test_counts_are_kept_beside_the_labels_and_hidden(
    items: Items, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted(items, tmp_path)
    (file,) = kept_files(tmp_path)
    assert file.parent == tmp_path / "gta/labels"
    assert file.name.startswith(".")
    assert scan(tmp_path) == items
    monkeypatch.setattr(counting, "read_label", no_reading)
    assert counted(items, tmp_path) == COUNTS
    # Another list of the same labels has a file of its own.
    with pytest.raises(AssertionError, match="is read"):
        counted(items[1:], tmp_path)
    assert counted(items, tmp_path) == COUNTS


def test_moved_data_keep_their_counts(items: Items, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counted(items, tmp_path)
    (tmp_path / "gta").rename(tmp_path / "elsewhere")
    (tmp_path / "there").mkdir()
    (tmp_path / "elsewhere").rename(tmp_path / "there/gta")
    monkeypatch.setattr(counting, "read_label", no_reading)
    assert counted(scan(tmp_path / "there"), tmp_path) == COUNTS


def _replaced(tmp_path: Path) -> list[list[int]]:
    write(tmp_path, 3, *[POLE] * 300)  # of another size in bytes
    return expected_counts({0: 40, 2: 10}, {0: 20, 2: 10, 5: 10}, {5: 3000})


def _replaced_by_as_many_bytes(tmp_path: Path) -> list[list[int]]:
    path = tmp_path / "gta/labels/00003.png"
    size = path.stat().st_size
    write(tmp_path, 3, CAR, CAR, CAR, LICENSE_PLATE, LICENSE_PLATE)
    assert path.stat().st_size == size
    os.utime(path, (path.stat().st_mtime + 60,) * 2)
    return expected_counts({0: 40, 2: 10}, {0: 20, 2: 10, 5: 10}, {13: 30})


def _added(tmp_path: Path) -> list[list[int]]:
    write(tmp_path, 4, CAR)
    return [*COUNTS, *expected_counts({13: 10})]


def _removed(tmp_path: Path) -> list[list[int]]:
    (tmp_path / "gta/images/00001.png").unlink()
    return COUNTS[1:]


def _renamed(tmp_path: Path) -> list[list[int]]:
    for kind in ("images", "labels"):
        (tmp_path / f"gta/{kind}/00001.png").rename(tmp_path / f"gta/{kind}/00009.png")
    return [*COUNTS[1:], COUNTS[0]]


@pytest.mark.parametrize("change", [_replaced, _replaced_by_as_many_bytes, _added, _removed, _renamed])
def test_changed_labels_are_counted_again(
    items: Items, tmp_path: Path, change: Callable[[Path], list[list[int]]]
) -> None:
    counted(items, tmp_path)
    expected = change(tmp_path)
    assert counted(scan(tmp_path), tmp_path) == expected


def test_another_table_or_number_of_classes_is_counted_again(
    items: Items, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted(items, tmp_path)
    assert class_pixels(items, 6, cache=tmp_path).tolist() == [row[:6] for row in COUNTS]
    own = [item | {"label_encoding": LabelEncoding.of(GREY, {ROAD: 4}, others=IGNORE)} for item in items]
    assert counted(own, tmp_path) == expected_counts({4: 40}, {4: 20}, {4: 30})
    table = LABEL_IDS.table.copy()
    table[POLE] = 2
    monkeypatch.setattr(LabelEncoding, "table", table)
    assert counted(items, tmp_path)[1] == expected_counts({0: 20, 2: 20})[0]


def _cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-40])


def _other_shape(file: Path) -> None:
    with np.load(file) as kept:
        fingerprint = kept["fingerprint"]
    np.savez(file, counts=np.ones((2, 2)), fingerprint=fingerprint)


@pytest.mark.parametrize(
    "damage", [lambda file: file.write_bytes(b""), lambda file: file.write_bytes(b"x"), _cut, _other_shape]
)
def test_damaged_file_is_made_again_with_a_warning(
    items: Items, tmp_path: Path, damage: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    counted(items, tmp_path)
    (file,) = kept_files(tmp_path)
    damage(file)
    assert counted(items, tmp_path) == COUNTS
    (warning,) = caplog.messages
    assert warning.startswith(f"{file}: cannot be used (")
    assert counted(items, tmp_path) == COUNTS
    assert len(caplog.messages) == 1


@pytest.mark.slow
def test_no_single_damaged_byte_gives_wrong_counts(items: Items, tmp_path: Path) -> None:
    counted(items, tmp_path)
    (file,) = kept_files(tmp_path)
    content = file.read_bytes()
    for place in range(len(content)):
        for bits in (0xFF, 0x01):
            damaged = bytearray(content)
            damaged[place] ^= bits
            file.write_bytes(damaged)
            assert counted(items, tmp_path) == COUNTS


def refuse_writing(monkeypatch: pytest.MonkeyPatch, *folders: Path) -> None:
    """As a file system mounted read-only does, to root too."""
    usual = Path.open

    def guarded(self: Path, mode: str = "r", *rest: Any, **options: Any) -> Any:
        if "w" in mode and any(self.is_relative_to(folder) for folder in folders):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        return usual(self, mode, *rest, **options)

    monkeypatch.setattr(Path, "open", guarded)


def test_counts_of_read_only_data_go_to_the_users_cache(
    items: Items, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    refuse_writing(monkeypatch, tmp_path / "gta")
    assert counted(items, tmp_path) == COUNTS
    (file,) = kept_files(tmp_path)
    assert file.parent == tmp_path / "cache/class_pixels"
    _replaced(tmp_path)
    assert counted(items, tmp_path)[2] == expected_counts({5: 3000})[0]
    monkeypatch.setattr(counting, "read_label", no_reading)
    assert counted(items, tmp_path)[2] == expected_counts({5: 3000})[0]
    assert caplog.messages == []


def test_counts_that_cannot_be_kept_serve_once(
    items: Items, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    refuse_writing(monkeypatch, tmp_path)
    assert counted(items, tmp_path) == COUNTS
    (warning,) = caplog.messages
    assert warning.startswith(f"the counted pixels are not kept: {tmp_path / 'gta/labels'} (Read-only file system) and")
    assert kept_files(tmp_path) == []


def test_half_written_file_is_not_left(items: Items, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def disk_full(stream: Any, **arrays: Any) -> None:
        stream.write(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(np, "savez_compressed", disk_full)
    assert counted(items, tmp_path) == COUNTS
    assert kept_files(tmp_path) == []


def test_counting_at_once_is_harmless(items: Items, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    together, usual = threading.Barrier(2, timeout=10), counting._write

    def write_together(*arguments: Any) -> None:
        together.wait()
        usual(*arguments)

    monkeypatch.setattr(counting, "_write", write_together)
    found: list[list[list[int]]] = []
    threads = [threading.Thread(target=lambda: found.append(counted(items, tmp_path))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [COUNTS, COUNTS]
    assert len(kept_files(tmp_path)) == 1
    assert counted(items, tmp_path) == COUNTS
