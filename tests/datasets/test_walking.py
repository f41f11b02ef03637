"""Folders with links, circles and names that look like patterns: the same images by every command."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from benchmarks.core.errors import ConfigError
from benchmarks.trained.image_files import Found, find_images
from datasets.base.errors import DataError
from datasets.classes.labels import TRAIN_IDS
from datasets.files import walking
from datasets.sets import folders
from datasets.sets.folders import scan_folders


def touched(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def found(folder: Path, *words: str) -> list[str]:
    images, _ = find_images([f"{folder}/{word}" for word in words], left_out=folder / "out")
    return [image.relative_to(folder).as_posix() for image in images]


def scanned(folder: Path, images: str) -> list[str]:
    return [item["relative"] for item in scan_folders(folder, images, "", None, "DATA.VAL")]


@pytest.fixture
def linked(tmp_path: Path) -> Path:
    """Four images: two in the folder, two in one that a link leads to; and links that lead in circles."""
    touched(tmp_path, "in/a.png", "in/x/b.png", "elsewhere/c.png", "elsewhere/deep/d.png", "beside.png")
    (tmp_path / "in/link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "in/itself").symlink_to(tmp_path / "in")
    (tmp_path / "in/x/up").symlink_to(tmp_path)
    (tmp_path / "elsewhere/deep/back").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "in/nowhere").symlink_to(tmp_path / "nowhere")
    (tmp_path / "in/round").symlink_to(tmp_path / "in/round")
    return tmp_path


FOUR = ["a.png", "link/c.png", "link/deep/d.png", "x/b.png"]


def test_links_are_followed_and_circles_cut_and_said(
    linked: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert sorted(found(linked / "in", "")) == FOUR
    assert sorted(found(linked / "in", "**/*.png")) == FOUR
    _, left_out = find_images([str(linked / "in")], left_out=linked / "out")
    circles = [f"{linked}/in/{link}" for link in ("itself", "link/deep/back", "x/up")]
    line = f"3 links to a folder that it lies in: {', '.join(circles)}"
    assert left_out == [line]
    monkeypatch.setattr(folders, "_said", set())
    for _ in range(2):
        assert scanned(linked, "in") == FOUR
    assert scanned(linked, "in/**/*.png") == FOUR
    assert [record.getMessage() for record in caplog.records] == [f"left out {line}"]


def test_two_links_to_one_folder_are_no_circle(tmp_path: Path) -> None:
    """Who links a folder twice wants its images twice."""
    touched(tmp_path, "one/a.png")
    for name in ("in/x", "in/y"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).symlink_to(tmp_path / "one")
    assert scanned(tmp_path, "in") == ["x/a.png", "y/a.png"]
    assert found(tmp_path, "in") == ["in/x/a.png"]  # each image is predicted once


def test_a_folder_that_cannot_be_listed_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touched(tmp_path, "a.png", "shut/b.png")
    listed = walking._listed

    def refused(folder: Path) -> tuple[list[str], list[str]]:
        if folder.name == "shut":  # root could list any
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return listed(folder)

    monkeypatch.setattr(walking, "_listed", refused)
    told = f"{tmp_path}/shut, which cannot be listed (Permission denied)"
    assert find_images([str(tmp_path)], left_out=tmp_path / "out") == Found([tmp_path / "a.png"], [told])
    with pytest.raises(DataError, match=r"shut: cannot be listed \(Permission denied\)"):
        scanned(tmp_path, ".")


# Names that look like patterns


def test_a_path_that_exists_is_no_pattern(tmp_path: Path) -> None:
    touched(tmp_path, "set [a]/1.png", "set [a]/2.png", "set a/3.png", "b[1].png", "b1.png", "what?/4.png", "s*/5.png")
    assert found(tmp_path, "set [a]/*.png") == ["set [a]/1.png", "set [a]/2.png"]
    assert found(tmp_path, "set [a]") == ["set [a]/1.png", "set [a]/2.png"]
    assert found(tmp_path, "b[1].png") == ["b[1].png"]
    assert found(tmp_path, "what?/[0-9].png", "s*/*") == ["what?/4.png", "s*/5.png"]
    # no path of that name: patterns
    assert found(tmp_path, "set [ab]/*.png") == ["set a/3.png"]
    assert found(tmp_path, "b?.png", "set*/[12].png") == ["b1.png", "set [a]/1.png", "set [a]/2.png"]
    with pytest.raises(ConfigError, match="no such file"):
        find_images([f"{tmp_path}/set [cd]/*.png"], left_out=tmp_path / "out")


def test_folders_with_stars_in_their_names_are_folders(tmp_path: Path) -> None:
    touched(tmp_path, "s*/x/1.png", "sea/x/2.png", "s*/2.png", "[a]/3.png")
    assert scanned(tmp_path, "s*") == ["2.png", "x/1.png"]
    assert scanned(tmp_path, "s*/*/*.png") == ["x/1.png"]
    assert scanned(tmp_path, "se*/*/*.png") == ["sea/x/2.png"]
    assert scanned(tmp_path, "[a]") == ["3.png"]


@pytest.mark.parametrize("images", ["../x", "../x/", "../x/*.png", "..//x", "./../x/./*.png"])
def test_a_folder_beside_is_the_one_that_was_written(tmp_path: Path, images: str) -> None:
    touched(tmp_path, "x/a.png", "folder/x/wrong.png")
    (item,) = scan_folders(tmp_path / "folder", images, images, TRAIN_IDS, "DATA.VAL")
    assert item["file_name"] == item["sem_seg_file_name"] == f"{tmp_path}/folder/../x/a.png"
    assert item["relative"] == "a.png"


def test_a_hidden_folder_is_the_one_that_was_written(tmp_path: Path) -> None:
    touched(tmp_path, ".x/a.png", "x/wrong.png")
    assert scanned(tmp_path, ".x") == ["a.png"]
    assert scanned(tmp_path, ".x/*.png") == ["a.png"]
    assert scanned(tmp_path, "./x") == ["wrong.png"]
