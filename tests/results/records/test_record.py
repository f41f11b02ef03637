"""record.json: what is read back is what was written, and what is wrong is named."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from made_records import record
from record_files import read_record, write_record

from results.files.errors import ResultsError
from results.records import record as records
from results.records.record import SCHEMA, Status, write_text
from results.tables.frame import collect


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    content = record(miou=0.1 + 0.2)
    assert read_record(tmp_path) is None
    write_record(tmp_path, content)
    assert read_record(tmp_path) == content
    assert json.loads((tmp_path / "record.json").read_text()) == {"schema": SCHEMA, **content}
    write_record(tmp_path, record(miou=None))
    again = read_record(tmp_path)
    assert again is not None and again["status"] == "failed"
    assert [path.name for path in tmp_path.iterdir()] == ["record.json"]  # nothing temporary is left


def test_what_a_record_says_is_read_once_and_what_is_not_known_is_kept(tmp_path: Path) -> None:
    """A key of a newer version, a model without scores, and a null: each is written again as it was."""
    content = record(classes=16, later={"a": [1]}, job=None, curve=[{"iteration": 250, "miou": 40.0, "later": 1.0}])
    content["result"]["student"] |= {"miou_by_classes": {"16": 50.0, "13": 55.5}, "later": True}
    write_record(tmp_path, content)
    found = records.read_record(tmp_path)
    assert found is not None and found.status is Status.FINISHED and found.is_over and not found.lacks
    assert (found.spec.method, found.classes, found.hardware.name) == ("dacs", 16, "CPU of a laptop")
    student, teacher = found.result.student, found.result.teacher
    assert student.headline == 50.0 and student.means == {"mIoU": {16: 50.0, 13: 55.5}} and teacher.means == {}
    assert student.by_class == {"IoU": {"road": 90.0, "train": None}}
    assert (found.curve[0].iteration, found.curve[0].miou, found.curve[0].source_miou) == (250, 40.0, None)
    assert (found.result.criteria.confidence, found.validation, found.data) == (None, None, {})
    stopped = found.changed(status=Status.STOPPED, reason="by hand")
    records.write_record(tmp_path, stopped)
    assert read_record(tmp_path) == content | {"status": "stopped", "reason": "by hand"}
    assert list(stopped.content) == list(content)
    assert not stopped.is_over and records.read_record(tmp_path) == stopped


@pytest.mark.parametrize("name", ["id", "spec", "spec.seed", "hardware.name", "max_iterations"])
def test_a_record_that_lacks_what_every_run_has_is_named_in_tables(tmp_path: Path, name: str) -> None:
    content = record()
    *outer, last = name.split(".")
    del (content[outer[0]] if outer else content)[last]
    write_record(tmp_path, content)
    told: list[str] = []
    assert collect(tmp_path, told.append).empty
    lacks = "spec.protocol" if name == "spec" else name
    assert told == [f"left out: {tmp_path / 'record.json'}: has no {lacks}, expected the record of a run"]


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "table.md"
    write_text(path, "old")

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            write_text(path, "new")
    assert path.read_text() == "old"
    write_text(path, "new")
    assert path.read_text() == "new"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "expected a JSON record"),
        (b'{"schema": 1, "status": "fini', "expected a JSON record"),
        (b"\xff\xfe\x00", "expected a JSON record"),
        (b"[]", f"expected a record of schema {SCHEMA}, found 'list'"),
        (b"{}", f"expected a record of schema {SCHEMA}, found None"),
        (b'{"schema": 99, "status": "finished"}', f"expected a record of schema {SCHEMA}, found 99"),
        (b'{"schema": 1, "status": "done"}', "status is 'done', expected one of pending, running, finished, failed"),
    ],
)
def test_a_broken_record_is_told_by_its_file(tmp_path: Path, content: bytes, expected: str) -> None:
    folder = tmp_path / "streets" / "dacs"
    folder.mkdir(parents=True)
    (folder / "record.json").write_bytes(content)
    with pytest.raises(ResultsError) as caught:
        read_record(folder)
    told = [str(caught.value)]
    assert collect(folder, lambda line: told.append(line.removeprefix("left out: "))).empty
    assert len(told) == 2
    for line in told:
        assert line.startswith(f"{folder / 'record.json'}: ") and expected in line
        assert len(line.splitlines()) == 1


def test_a_record_that_is_a_folder_is_told_by_its_file(tmp_path: Path) -> None:
    (tmp_path / "record.json").mkdir()
    with pytest.raises(ResultsError, match=r"record\.json: expected a JSON record"):
        read_record(tmp_path)


@pytest.mark.parametrize(
    "change", [{"spec": None}, {"hardware": None}, {"spec": {"method": "dacs"}}, {"result": {"student": 3}}]
)
def test_a_record_that_lacks_a_field_is_told_by_its_file(tmp_path: Path, change: dict[str, Any]) -> None:
    content = record() | change
    write_record(tmp_path, {key: value for key, value in content.items() if value is not None})
    told: list[str] = []
    assert collect(tmp_path, told.append).empty
    assert len(told) == 1 and told[0].startswith(f"left out: {tmp_path / 'record.json'}: ")


def test_records_are_valid_json_for_other_readers(tmp_path: Path) -> None:
    """JSON has no word for a number that is none, or beyond all."""
    write_record(tmp_path, record(miou=math.nan, seconds_per_iteration=math.inf))

    def refuse(name: str) -> None:
        raise AssertionError(name)

    written = json.loads((tmp_path / "record.json").read_text(), parse_constant=refuse)
    assert (written["result"]["student"]["miou"], written["seconds_per_iteration"]) == (None, None)
    assert written["peak_memory_mib"] == 900.5
