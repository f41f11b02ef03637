"""The classes that a mean is over: the same for all runs of a table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from made_records import record, render, row, runs_of
from record_files import write_record

from results.tables.class_means import said
from results.tables.frame import from_folders
from results.tables.methods_table import methods_table as compare
from results.tables.run_table import runs_table


def scored(method: str, iou: dict[str, float | None], **changes: Any) -> dict[str, Any]:
    """A record of before, whose mean is over the classes that have an IoU."""
    known = [value for value in iou.values() if value is not None]
    student = {"miou": sum(known) / len(known), "iou": iou}
    return record(method, **{"classes": len(iou), "result": {"student": student}} | changes)


def without(*names: str) -> dict[str, Any]:
    pixels = {name: 0 if name in names else 500 for name in ("road", "sky", "car")}
    return {"labelled_pixels": pixels, "left_out": {"3": list(names)}}


def test_means_of_records_of_before_over_different_classes_are_made_over_the_same(tmp_path: Path) -> None:
    """No label has a car, and the first method predicts one somewhere."""
    runs = runs_of(
        tmp_path,
        scored("source-only", {"road": 50.0, "sky": 32.8, "car": 0.0}),
        scored("dacs", {"road": 52.0, "sky": 30.6, "car": None}),
    )
    assert (runs["miou"] == [pytest.approx(27.6), pytest.approx(41.3)]).all()
    comparison = compare(runs)
    assert row(comparison, "source-only")["miou"] == pytest.approx(41.4)
    assert row(comparison, "dacs")["miou"] == pytest.approx(41.3)
    assert row(comparison, "dacs")["difference"] == pytest.approx(-0.1)
    assert "mIoU (2 of 3)" in render(comparison, "simple") and "mIoU (3)" not in render(comparison, "simple")
    assert said(runs) == (
        "Means leave out car: no validation pixel is labelled so. Records of before count them where they are "
        "predicted: their means are computed again without"
    )


def test_means_that_cannot_be_made_over_the_same_classes_are_not_compared(tmp_path: Path) -> None:
    """The record of the first has no IoU of a class that it counts."""
    first = scored("source-only", {"road": 50.0, "sky": 40.0, "car": None})
    second = scored("dacs", {"road": 50.0, "sky": None, "car": 20.0})
    runs = runs_of(tmp_path, first, second, scored("mic", {"road": 50.0, "sky": 1.0, "car": 1.0}))
    assert compare(runs).frame["miou"].tolist() == [50.0, 50.0, 50.0]  # road alone
    first["validation"] = {"labelled_pixels": {}, "left_out": {"16": ["car"]}}
    second["validation"] = {"labelled_pixels": {}, "left_out": {"16": []}}
    (tmp_path / "again").mkdir()
    runs = runs_of(tmp_path / "again", *(content | {"classes": 16} for content in (first, second)))
    comparison = compare(runs)
    assert comparison.frame["miou"].isna().tolist() == [False, True]
    assert comparison.frame["difference_n"].tolist() == [0, 0]
    assert "cannot be compared" in said(runs)


def test_a_record_says_which_classes_its_means_leave_out(tmp_path: Path) -> None:
    """Car, which the second method predicts somewhere."""
    iou = {"road": 50.0, "sky": 40.0, "car": None}
    new = {"validation": without("car")}
    contents = scored("source-only", iou, **new), scored("dacs", iou | {"car": 0.0}, **new)
    contents[1]["result"]["student"]["miou"] = 45.0
    runs = runs_of(tmp_path, *contents)
    assert runs["counted"].tolist() == [2, 2] and runs["left_out"].tolist() == ["car", "car"]
    assert compare(runs).frame["difference"].tolist()[1] == 0
    assert "mIoU (2 of 3)" in render(compare(runs), "github")
    assert said(runs) == "Means leave out car: no validation pixel is labelled so"
    assert "45.0 (2 classes)" in runs_table(runs, "table")
    for mixed in (scored("mic", iou | {"car": 6.0}), scored("mic", iou)):  # a record of before beside them
        write_record(tmp_path / "run0", mixed)
        together = from_folders([tmp_path / "run0", tmp_path / "run1"])
        assert compare(together).frame["miou"].tolist() == [45.0, 45.0]
    every = runs_of(tmp_path / "run0", scored("mic", {"road": 1.0, "sky": 1.0, "car": 1.0}, validation=without()))
    assert said(every) == "" and "mIoU (3)" in render(compare(every), "github")
    (tmp_path / "other").mkdir()
    assert said(runs_of(tmp_path / "other", record(), record("mic"))) == ""  # records that do not say
