"""Files that take a name's place: whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from results.files.plain_file import read_plain, replacing


def test_a_file_takes_the_place_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("before")
    with replacing(path) as file:
        file.write(b"after")
        assert path.read_text() == "before"
    assert path.read_text() == "after"
    assert [each.name for each in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize("error", [OSError("disk"), KeyboardInterrupt(), RuntimeError("torch")])
def test_after_an_error_the_one_before_is_left_alone(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "a"
    path.write_text("before")
    with pytest.raises(type(error)), replacing(path) as file:
        file.write(b"half")
        raise error
    assert path.read_text() == "before"
    assert [each.name for each in tmp_path.iterdir()] == ["a"]


def test_a_file_is_read_to_its_end_however_little_comes_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").write_bytes(bytes(range(100)))
    read = os.read
    monkeypatch.setattr(os, "read", lambda handle, most: read(handle, min(most, 7)))
    assert read_plain(tmp_path / "a", 100) == bytes(range(100))
    with pytest.raises(OSError, match="more than 99 bytes"):
        read_plain(tmp_path / "a", 99)


def test_a_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    target, path = tmp_path / "target", tmp_path / "a"
    target.write_text("of another")
    path.symlink_to(target)
    with replacing(path) as file:
        file.write(b"ours")
    assert target.read_text() == "of another"
    assert not path.is_symlink() and path.read_text() == "ours"
