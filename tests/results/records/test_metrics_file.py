"""metrics.json: values by iteration, and the numbers alone that are published."""

from __future__ import annotations

from pathlib import Path

import pytest

from results.files.errors import ResultsError
from results.records.metrics import numbers_alone, read_metrics

LINES = """{"iteration": 19, "loss_mixed": 0.25, "lr": 1e-3}
{"iteration": 39, "loss_mixed": NaN, "student/mIoU": 20.5}
{"iteration": 19, "loss_mixed": 0.125, "note": "/home/somebody", "list": [1]}
[1, 2]
{"iteration": 59, "loss_mi"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "metrics.json").write_text(LINES)
    return tmp_path


def test_the_last_value_of_an_iteration_counts_and_what_is_no_number_does_not(folder: Path) -> None:
    assert read_metrics(folder, "loss_", "student/") == {"loss_mixed": {19: 0.125}, "student/mIoU": {39: 20.5}}


def test_numbers_alone_are_published(folder: Path, tmp_path: Path) -> None:
    text = numbers_alone(folder)
    assert text.split("\n") == [
        '{"iteration": 19, "loss_mixed": 0.25, "lr": 0.001}',
        '{"iteration": 39, "loss_mixed": NaN, "student/mIoU": 20.5}',
        '{"iteration": 19, "loss_mixed": 0.125}',
        "",
    ]
    (tmp_path / "metrics.json").write_text(text)
    assert numbers_alone(tmp_path) == text


def test_no_file_is_nothing_and_no_text_is_named(tmp_path: Path) -> None:
    assert numbers_alone(tmp_path) == "" and read_metrics(tmp_path, "loss_") == {}
    (tmp_path / "metrics.json").write_bytes(b"\xff")
    with pytest.raises(ResultsError, match=r"metrics\.json: expected lines of JSON"):
        numbers_alone(tmp_path)
