"""Small predictions in a run folder: below a megabyte, read back as written, and left out by name where damaged."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from results.files.errors import ResultsError
from results.records.examples import MOST_BYTES, Example, Examples, examples_folder, read_examples, write_examples
from results.records.folders import run_folders

CLASSES, COLORS = ["road", "sky", "pole"], [(128, 64, 128), (70, 130, 180), (153, 153, 153)]


def drawn(count: int, width: int = 32, height: int = 16, noise: bool = False) -> Examples:
    rng = np.random.default_rng(0)
    images = []
    for number in range(count):
        image = np.full((height, width, 3), (40, 100, 200), np.uint8)
        if noise:
            image = rng.integers(0, 256, (height, width, 3)).astype(np.uint8)
        label, student, teacher = (rng.choice(3, (height, width)).astype(np.uint8) for _ in range(3))
        label[:4] = 255
        predictions = {"student": student, "teacher": teacher}
        images.append(Example(f"frankfurt_{number}", 7 * number, image, label, predictions))
    return Examples(CLASSES, COLORS, images)


def read(folder: Path) -> Examples:
    found = read_examples(folder)
    assert found is not None
    return found


def test_what_is_written_is_read_and_the_index_is_as_agreed(tmp_path: Path) -> None:
    written = drawn(2)
    write_examples(tmp_path, written)
    found = read(tmp_path)
    assert (found.classes, found.colors, found.left_out) == (CLASSES, COLORS, [])
    for one, other in zip(found.images, written.images, strict=True):
        assert (one.name, one.index) == (other.name, other.index)
        assert np.abs(one.image.astype(int) - other.image).max() <= 4  # JPEG
        for key, train_ids in {"label": other.label, **other.predictions}.items():
            back = one.label if key == "label" else one.predictions[key]
            assert back is not None and np.array_equal(back, train_ids)
    index = json.loads((tmp_path / "examples/index.json").read_text())
    assert {key: value for key, value in index.items() if key != "images"} == {
        "classes": CLASSES, "colors": [list(color) for color in COLORS], "ignored": 255,
    }  # fmt: skip
    assert index["images"][1] == {
        "name": "frankfurt_1", "index": 7, "image": "01-image.jpg", "label": "01-label.png",
        "student": "01-student.png", "teacher": "01-teacher.png",
    }  # fmt: skip
    with Image.open(tmp_path / "examples/01-label.png") as picture:
        assert picture.mode == "L" and np.array_equal(np.asarray(picture), written.images[1].label)


def test_without_labels_and_teacher_there_are_no_such_files(tmp_path: Path) -> None:
    (example,) = drawn(1).images
    alone = Example("a", 0, example.image, None, {"student": example.predictions["student"]})
    write_examples(tmp_path, Examples(CLASSES, COLORS, [alone]))
    names = {path.name for path in examples_folder(tmp_path).iterdir()}
    assert names == {"index.json", "00-image.jpg", "00-student.png"}
    (found,) = read(tmp_path).images
    assert found.label is None and set(found.predictions) == {"student"}


def test_a_run_of_before_has_none(tmp_path: Path) -> None:
    assert read_examples(tmp_path) is None
    (tmp_path / "examples").write_text("a file")
    assert read_examples(tmp_path) is None


def test_all_take_less_than_a_megabyte_whatever_they_show(tmp_path: Path) -> None:
    write_examples(tmp_path, drawn(24, 256, 256, noise=True))
    size = sum(path.stat().st_size for path in examples_folder(tmp_path).iterdir())
    assert 0.3 * MOST_BYTES < size < MOST_BYTES
    indices = [each.index for each in read(tmp_path).images]
    assert len(indices) > 2 and len({after - before for before, after in pairwise(indices)}) == 1


def test_a_folder_is_written_anew_and_what_a_link_leads_to_is_left(tmp_path: Path) -> None:
    elsewhere, run = tmp_path / "elsewhere", tmp_path / "run"
    elsewhere.mkdir()
    run.mkdir()
    examples_folder(run).symlink_to(elsewhere)
    write_examples(run, drawn(1))
    assert not list(elsewhere.iterdir()) and not examples_folder(run).is_symlink()
    (examples_folder(run) / "step.png").write_bytes(b"of a step")
    (examples_folder(run) / ".00-image.jpg.123").write_bytes(b"half")
    write_examples(run, drawn(2))
    assert len(read(run).images) == 2
    assert (examples_folder(run) / "step.png").is_file()
    assert not (examples_folder(run) / ".00-image.jpg.123").exists()


def test_an_index_is_there_only_with_all_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_examples(tmp_path, drawn(1))
    (examples_folder(tmp_path) / "01-label.png").mkdir()  # so that it cannot be written
    with pytest.raises(OSError):
        write_examples(tmp_path, drawn(2))
    assert read_examples(tmp_path) is None


def _text(path: Path) -> None:
    path.write_text("no picture")


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-30])


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _large(path: Path) -> None:
    Image.new("L", (4000, 3000)).save(path)


def _foreign(path: Path) -> None:
    Image.new("L", (32, 16), 3).save(path)


def _smaller(path: Path) -> None:
    Image.new("L", (16, 16)).save(path)


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (Path.unlink, "damaged (No such file or directory), expected a PNG"),
        (_text, "damaged (cannot identify image file"),
        (_cut, "damaged ("),
        (_pipe, "it is a pipe"),
        (_large, "expected mode L and at most 256 pixels"),
        (_foreign, "expected train ids below 3"),
        (_smaller, "expected a map as large as its image"),
    ],
)
def test_a_damaged_picture_leaves_its_example_out_by_name(
    tmp_path: Path, damage: Callable[[Path], None], told: str
) -> None:
    write_examples(tmp_path, drawn(2))
    path = examples_folder(tmp_path) / "00-student.png"
    damage(path)
    found = read(tmp_path)
    assert [each.name for each in found.images] == ["frankfurt_1"]
    (line,) = found.left_out
    assert line.startswith(f"{path}: ") and told in line and "\n" not in line


@pytest.mark.parametrize("name", ["../../outside.png", "/etc/passwd", "..", "a\0b", ""])
def test_no_file_of_another_folder_is_read(tmp_path: Path, name: str) -> None:
    write_examples(tmp_path, drawn(1))
    Image.new("L", (32, 16)).save(tmp_path.parent / "outside.png")
    path = examples_folder(tmp_path) / "index.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"images": [_entry(path) | {"student": name}]}))
    found = read(tmp_path)
    assert not found.images and "is no name of a file of this folder" in found.left_out[0]


def _entry(path: Path) -> dict[str, Any]:
    entry: dict[str, Any] = json.loads(path.read_text())["images"][0]
    return entry


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"classes": []}, "0 classes, expected 1 to 254"),
        ({"classes": "road"}, "classes is 'road', expected a list"),
        ({"colors": [[1, 2, 3], [4, 5, 6]]}, "expected three numbers"),
        ({"colors": [[1, 2, 3], [4, 5, 6], [7, 8, 256]]}, "expected three numbers"),
        ({"colors": [[1, 2, 3], [4, 5, 6], [7, 8, None]]}, "a whole number"),
        ({"ignored": 254}, "ignored is 254, expected 255"),
        ({"images": [{}] * 25}, "25 images, expected at most 24"),
        ({"images": [None]}, "images[0] is null"),
        ({"images": [{"index": -1}]}, "images[0].index is -1"),
        (None, "classes, expected 1 to 254"),
    ],
)
def test_an_index_that_no_run_wrote_is_refused_by_name(tmp_path: Path, changes: Any, told: str) -> None:
    write_examples(tmp_path, drawn(1))
    path = examples_folder(tmp_path) / "index.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes if changes else []))
    with pytest.raises(ResultsError) as refused:
        read_examples(tmp_path)
    assert str(refused.value).startswith(f"{path}: expected the index of a run's examples (")
    assert told in str(refused.value) and "\n" not in str(refused.value)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[" * 100_000])
def test_an_index_that_is_no_json_is_refused(tmp_path: Path, content: bytes) -> None:
    write_examples(tmp_path, drawn(1))
    (examples_folder(tmp_path) / "index.json").write_bytes(content)
    with pytest.raises(ResultsError, match="expected the index of a run's examples"):
        read_examples(tmp_path)


def test_no_runs_are_looked_for_among_the_examples_of_a_run(tmp_path: Path) -> None:
    group = tmp_path / "examples"  # a folder of runs may have that name
    runs = [group / "first", group / "first" / "nested"]
    for run in [*runs, runs[0] / "examples" / "none"]:
        run.mkdir(parents=True)
        (run / "record.json").touch()
    assert run_folders(tmp_path).folders == runs
