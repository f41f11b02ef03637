"""From record.json to the table: what is read back, what is averaged, what is shown and what is not."""

from __future__ import annotations

import json
import math
import statistics
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from record_files import read_record, write_record

from results.files.errors import ResultsError
from results.records import record as records
from results.records.columns import COLUMNS, ScoreKey
from results.records.record import SCHEMA, Status, write_text
from results.tables import rows
from results.tables.cells import tabulated
from results.tables.class_means import said
from results.tables.frame import collect, from_folders
from results.tables.methods_table import MethodsTable
from results.tables.methods_table import methods_table as compare
from results.tables.notes import SELECTION
from results.tables.run_table import runs_table
from results.tables.written import write_tables


def record(method: str = "dacs", seed: int = 0, miou: float | None = 50.0, **changes: Any) -> dict[str, Any]:
    """A record as benchmarks/engine/runner.py writes it; one without mIoU has failed."""
    done = miou is not None
    whole: dict[str, Any] = {
        "id": f"{method}-{seed}",
        "spec": {"protocol": "streets", "method": method, "network": "daformer-lite0", "seed": seed},
        "oracle": method == "target-only",
        "classes": 19,
        "iterations": 500 if done else 40,
        "max_iterations": 500,
        "precision": "fp32",
        "hardware": {"name": "CPU of a laptop", "device": "cpu", "threads": 2},
        "reason": "" if done else "RuntimeError: disk full",
        "status": "finished" if done else "failed",
        "parameters": {"encoder": 3, "decoder": 4, "inference": 7, "training_only": 5},
        "seconds_per_iteration": 0.25,
        "peak_memory_mib": 900.5,
        "wall_seconds": 125.0,
    }
    if done:
        whole["result"] = {"student": {"miou": miou, "iou": {"road": 90.0, "train": None}}, "teacher": {"miou": miou}}
    return whole | changes


def runs_of(tmp_path: Path, *records: dict[str, Any]) -> pd.DataFrame:
    """The records, written and read back, in this order."""
    folders = []
    for number, content in enumerate(records):
        folders.append(tmp_path / f"run{number}")
        folders[-1].mkdir()
        write_record(folders[-1], content)
    return from_folders(folders)


def row(comparison: MethodsTable, method: str) -> pd.Series:
    return comparison.frame.set_index("method").loc[method]


def render(comparison: MethodsTable, form: str) -> str:
    return tabulated(comparison.columns, form)


# The classes that a mean is over


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


# record.json


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


# collect


def test_collect_finds_records_in_nested_folders_sorted(tmp_path: Path) -> None:
    for name, content in (
        ("streets/mrm/b", record("dacs+mrm", 1, 52.0)),
        ("streets/dacs/x/y/z", record("dacs", 0, 50.0)),
        ("streets/mrm/a", record("dacs+mrm", 0, 51.0)),
    ):
        (tmp_path / name).mkdir(parents=True)
        write_record(tmp_path / name, content)
    (tmp_path / "streets/mrm/begun").mkdir()  # a run folder without a record yet
    (tmp_path / "streets/mrm/begun/log.txt").write_text("")
    (tmp_path / "streets/mrm/begun/.record.json.123").write_text("{")  # killed while it wrote
    runs = collect(tmp_path)
    assert list(runs.columns) == [*COLUMNS, ScoreKey("mIoU", 19)]
    assert list(runs["miou"]) == [50.0, 51.0, 52.0]
    assert list(runs["folder"]) == [str(tmp_path / f"streets/{name}") for name in ("dacs/x/y/z", "mrm/a", "mrm/b")]
    pd.testing.assert_frame_equal(runs, collect(str(tmp_path)))


def test_each_column_comes_from_its_field(tmp_path: Path) -> None:
    content = record("target-only", 3, 61.5, classes=16)
    content["result"]["teacher"]["miou"] = 62.5
    content["validation"] = {"labelled_pixels": {"road": 9, "train": 0}, "left_out": {"16": ["train"]}}
    content["result"]["criteria"] = {"source_miou": 41.5, "confidence": 0.875}
    expected = {
        "run": "target-only-3",
        "protocol": "streets",
        "method": "target-only",
        "network": "daformer-lite0",
        "seed": 3,
        "status": "finished",
        "reason": "",
        "oracle": True,
        "classes": 16,
        "counted": 15,
        "left_out": "train",
        "miou": 61.5,
        "teacher_miou": 62.5,
        "source_miou": 41.5,
        "confidence": 0.875,
        "iterations": 500,
        "max_iterations": 500,
        "seconds_per_iteration": 0.25,
        "peak_memory_mib": 900.5,
        "wall_seconds": 125.0,
        "parameters": 7,
        "hardware": "CPU of a laptop",
        "precision": "fp32",
        "folder": str(tmp_path / "run0"),
        ScoreKey("mIoU", 16): 61.5,
    }
    assert runs_of(tmp_path, content).iloc[0].to_dict() == expected


def test_a_run_that_just_began_has_a_row_without_figures(tmp_path: Path) -> None:
    begun = record(miou=None, status="running", reason="", iterations=0)
    for key in ("parameters", "seconds_per_iteration", "peak_memory_mib", "wall_seconds"):
        del begun[key]
    found = runs_of(tmp_path, begun).iloc[0]
    assert found["status"] == "running"
    assert found[["miou", "teacher_miou", "seconds_per_iteration", "wall_seconds", "parameters"]].isna().all()


def test_folders_without_a_record_are_left_out(tmp_path: Path) -> None:
    assert len(from_folders([tmp_path, tmp_path / "nowhere"])) == 0
    assert list(from_folders([]).columns) == list(COLUMNS)
    assert len(collect(tmp_path)) == 0


# compare


def test_mean_and_sample_deviation_over_seeds(tmp_path: Path) -> None:
    values = [50.25, 51.5, 54.0]
    found = row(compare(runs_of(tmp_path, *(record(seed=s, miou=m) for s, m in enumerate(values)))), "dacs")
    assert found["n"] == 3
    assert found["miou"] == pytest.approx(statistics.mean(values), rel=1e-15)
    assert found["deviation"] == pytest.approx(statistics.stdev(values), rel=1e-14)  # n - 1


def test_one_seed_shows_no_deviation(tmp_path: Path) -> None:
    comparison = compare(runs_of(tmp_path, record(miou=50.25)))
    assert np.isnan(row(comparison, "dacs")["deviation"])
    for form in ("simple", "github"):
        table = render(comparison, form)
        assert "50.2" in table and "±" not in table and "nan" not in table and "n=" not in table


def test_the_difference_is_paired_over_the_seeds_that_both_have(tmp_path: Path) -> None:
    """Seeds 1 and 2 are common: (53 - 51 + 51 - 55) / 2 = -1, though the means differ by +13."""
    reference = [record("dacs", seed, miou) for seed, miou in ((0, 20.0), (1, 51.0), (2, 55.0))]
    other = [record("dacs+mrm", seed, miou) for seed, miou in ((2, 51.0), (1, 53.0), (7, 61.0))]
    comparison = compare(runs_of(tmp_path, *reference, *other))
    assert list(comparison.frame["method"]) == ["dacs", "dacs+mrm"]
    found = row(comparison, "dacs+mrm")
    assert (found["difference"], found["difference_n"], found["n"]) == (-1.0, 2, 3)
    assert found["miou"] - row(comparison, "dacs")["miou"] == pytest.approx(13.0)
    assert np.isnan(row(comparison, "dacs")["difference"])
    assert "-1.0 ± 4.2 (n=2)" in render(comparison, "simple")


def test_methods_without_a_common_seed_show_no_difference(tmp_path: Path) -> None:
    comparison = compare(runs_of(tmp_path, record("dacs", 0), record("dacs+mrm", 1, 55.0)))
    found = row(comparison, "dacs+mrm")
    assert found["difference_n"] == 0 and np.isnan(found["difference"])
    assert comparison.columns["vs dacs"] == ["-", "-"]


def test_the_first_method_is_the_reference_whatever_its_name(tmp_path: Path) -> None:
    comparison = compare(runs_of(tmp_path, record("source-only", 0, 40.0), record("dacs", 0, 43.0)))
    assert list(comparison.frame["method"]) == ["source-only", "dacs"]
    assert row(comparison, "dacs")["difference"] == 3.0
    assert "vs source-only" in render(comparison, "simple")


def test_failed_and_diverged_runs_are_counted_and_never_averaged(tmp_path: Path) -> None:
    """Even where their record holds a score and figures, as that of a run made again with other code may."""
    worthless = {"result": {"student": {"miou": 1.0}}, "seconds_per_iteration": 9.0, "peak_memory_mib": 9e9}
    comparison = compare(
        runs_of(
            tmp_path,
            record("dacs", 0, 50.0),
            record("dacs", 1, None, status="diverged", iterations=9999, **worthless),
            record("dacs", 2, 52.0),
            record("dacs+mrm", 0, None),
            record("dacs+mrm", 1, None),
            record("dacs+mrm", 2, None, status="diverged", **worthless),
            record("dacs+mrm", 3, None, status="running", **worthless),
            record("dacs+mic", 1, 58.0),
        )
    )
    found = row(comparison, "dacs")
    assert (found["miou"], found["n"], found["unfinished"]) == (51.0, 2, "1 diverged")
    assert (found["iterations"], found["seconds_per_iteration"], found["peak_memory_mib"]) == (500, 0.25, 900.5)
    none = row(comparison, "dacs+mrm")
    assert none["n"] == 0 and none[["miou", "deviation", "difference", "seconds_per_iteration"]].isna().all()
    assert sorted(none["unfinished"].split(", ")) == ["1 diverged", "1 running", "2 failed"]
    mic = row(comparison, "dacs+mic")  # the reference's run of its seed diverged: no pair
    assert mic["difference_n"] == 0 and mic["unfinished"] == ""
    table = cells(render(comparison, "github"))
    assert table[0][1:] == ["51.0 ± 1.4", "2", "-", "500", "0.250", "900 MiB", "1 diverged"]
    assert table[1][1:7] == ["-", "0", *["-"] * 4] and "2 failed" in table[1][7]


def test_a_reference_that_never_finished_leaves_the_others_without_difference(tmp_path: Path) -> None:
    comparison = compare(runs_of(tmp_path, record("dacs", 0, None), record("dacs+mrm", 0, 55.0)))
    assert row(comparison, "dacs+mrm")["miou"] == 55.0
    assert row(comparison, "dacs+mrm")["difference_n"] == 0
    assert [line[:3] for line in cells(render(comparison, "github"))] == [
        ["dacs", "-", "-"],
        ["dacs+mrm", "55.0", "-"],
    ]


def test_time_and_memory_are_medians_over_seeds(tmp_path: Path) -> None:
    figures = ((0.1, 100.0), (0.2, 300.0), (9.0, 200.0))
    records = [
        record(seed=seed, seconds_per_iteration=seconds, peak_memory_mib=memory)
        for seed, (seconds, memory) in enumerate(figures)
    ]
    found = row(compare(runs_of(tmp_path, *records)), "dacs")
    assert (found["seconds_per_iteration"], found["peak_memory_mib"]) == (0.2, 200.0)


def test_two_runs_of_one_method_and_seed_are_not_taken_for_two_seeds(tmp_path: Path) -> None:
    """collect() also finds the runs of other overrides (500 and 1000 iterations, say) below one folder."""
    runs = runs_of(tmp_path, record("dacs", 0, 50.0), record("dacs", 0, 60.0), record("dacs+mrm", 0, 55.0))
    with pytest.raises(ResultsError, match="dacs"):
        compare(runs)


def test_n_counts_the_seeds_that_the_mean_is_of(tmp_path: Path) -> None:
    scoreless = record("dacs", 1, 50.0, result={"student": {"miou": None}})  # no scored class occurs
    assert row(compare(runs_of(tmp_path, record("dacs", 0, 50.0), scoreless)), "dacs")["n"] == 1


def of_two_sets(method: str, seed: int, sixteen: float, thirteen: float) -> dict[str, Any]:
    """A record of SYNTHIA -> Cityscapes."""
    by_classes = {"16": sixteen, "13": thirteen}
    result = {"student": {"miou": sixteen, "miou_by_classes": by_classes}}
    return record(method, seed, sixteen, classes=16, class_sets=[16, 13], result=result)


def test_every_number_names_its_class_set(tmp_path: Path) -> None:
    baseline = of_two_sets("dacs", 0, 48.0, 55.0), of_two_sets("dacs", 1, 50.0, 56.0)
    runs = runs_of(tmp_path, *baseline, of_two_sets("dacs+mrm", 0, 55.0, 62.5))
    assert list(runs.columns) == [*COLUMNS, ScoreKey("mIoU", 16), ScoreKey("mIoU", 13)]
    comparison = compare(runs)
    found = row(comparison, "dacs")
    assert (found["classes"], found["miou"]) == (16, 49.0)
    assert (found["miou_13"], found["n_13"]) == (55.5, 2)
    assert found["deviation_13"] == pytest.approx(statistics.stdev([55.0, 56.0]))
    table = render(comparison, "github")
    head = [cell.strip() for cell in table.splitlines()[0].strip("|").split("|")]
    assert head[:5] == ["method", "mIoU (16)", "mIoU (13)", "n", "vs dacs (16)"]
    assert cells(table)[0][1:5] == ["49.0 ± 1.4", "55.5 ± 0.7", "2", "-"]
    assert cells(table)[1][1:5] == ["55.0", "62.5", "1", "+7.0"]
    csv, _ = write_tables(comparison.columns, comparison.frame, "", tmp_path / "table")
    assert {"classes", "miou", "miou_13", "deviation_13"} <= set(pd.read_csv(csv).columns)


def test_further_class_sets_are_read_with_the_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of ten thousand runs no record is opened twice."""
    runs = runs_of(tmp_path, of_two_sets("dacs", 0, 48.0, 55.0), of_two_sets("dacs", 1, 50.0, 56.0))
    monkeypatch.setattr(rows, "read_record", pytest.fail)
    assert row(compare(runs), "dacs")["miou_13"] == 55.5


def test_a_record_of_before_there_were_several_class_sets_has_its_headline(tmp_path: Path) -> None:
    runs = runs_of(tmp_path, record("dacs", 0, 48.0, classes=16), of_two_sets("dacs", 1, 50.0, 56.0))
    assert runs[ScoreKey("mIoU", 16)].tolist() == [48.0, 50.0]
    assert np.isnan(runs[ScoreKey("mIoU", 13)][0]) and runs[ScoreKey("mIoU", 13)][1] == 56.0
    table = cells(render(compare(runs), "github"))
    assert table[0][1:4] == ["49.0 ± 1.4", "56.0 (n=1)", "2"]


def test_numbers_over_different_class_sets_are_not_compared(tmp_path: Path) -> None:
    comparison = compare(runs_of(tmp_path, record("dacs", 0, 50.0), record("dacs+mrm", 0, 50.0, classes=16)))
    assert comparison.frame["difference_n"].tolist() == [0, 0]
    assert comparison.columns["method"] == ["dacs", "dacs+mrm"] and set(comparison.columns["vs dacs"]) == {"-"}


def test_no_runs_give_one_line(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match="no runs to compare"):
        compare(collect(tmp_path))


# As printed and written


def cells(table: str) -> list[list[str]]:
    """The rows of a Markdown table without its head."""
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]


@pytest.fixture
def comparison(tmp_path: Path) -> MethodsTable:
    return compare(
        runs_of(
            tmp_path,
            record("dacs", 0, 50.0),
            record("dacs", 1, 52.0),
            record("dacs+mrm", 0, 100 / 3),
            record("dacs+mrm", 1, None, status="diverged"),
            record("target-only", 0, 70.06),
            record("target-only", 1, 71.0),
        )
    )


def test_simple_table(comparison: MethodsTable) -> None:
    assert [" ".join(line.split()) for line in render(comparison, "simple").splitlines() if "--" not in line] == [
        "method mIoU (19) n vs dacs 95% (seeds) better iterations s/iteration peak memory unfinished",
        "dacs 51.0 ± 1.4 2 - - - 500 0.250 900 MiB",
        "dacs+mrm 33.3 1 -16.7 - 0 of 1 500 0.250 900 MiB 1 diverged",
        "target-only (oracle) 70.5 ± 0.7 2 +19.5 ± 0.7 [+12.8, +26.3] 2 of 2 500 0.250 900 MiB",
    ]


def test_github_table(comparison: MethodsTable) -> None:
    lines = render(comparison, "github").splitlines()
    assert all(line.startswith("|") and line.endswith("|") and line.count("|") == 11 for line in lines)
    assert set(lines[1]) <= set("|-:")
    assert cells(render(comparison, "github")) == [
        ["dacs", "51.0 ± 1.4", "2", "-", "-", "-", "500", "0.250", "900 MiB", ""],
        ["dacs+mrm", "33.3", "1", "-16.7", "-", "0 of 1", "500", "0.250", "900 MiB", "1 diverged"],
        ["target-only (oracle)", "70.5 ± 0.7", "2", "+19.5 ± 0.7", "[+12.8, +26.3]", "2 of 2", "500", "0.250", "900 MiB", ""],  # noqa: E501
    ]


def test_one_method_is_not_compared_with_itself(tmp_path: Path) -> None:
    one = compare(runs_of(tmp_path, record("dacs", 0), record("dacs", 1)))
    assert "vs" not in render(one, "simple").split()
    csv, markdown = write_tables(one.columns, one.frame, "", tmp_path / "my-v1.2-net")
    assert (csv.name, markdown.name) == ("my-v1.2-net.csv", "my-v1.2-net.md")


def test_no_column_of_unfinished_runs_where_all_finished(tmp_path: Path) -> None:
    table = render(compare(runs_of(tmp_path, record())), "github")
    assert "unfinished" not in table and cells(table) == [["dacs", "50.0", "500", "0.250", "900 MiB"]]


def test_an_oracle_is_marked_by_its_record_and_not_by_its_name(tmp_path: Path) -> None:
    table = render(compare(runs_of(tmp_path, record("upper", 0, oracle=True), record("dacs", 0))), "github")
    assert [line[0] for line in cells(table)] == ["upper (oracle)", "dacs"]


def test_csv_keeps_every_digit_and_markdown_says_how_the_number_was_chosen(
    comparison: MethodsTable, tmp_path: Path
) -> None:
    stem = tmp_path / "streets-daformer-lite0"
    csv, markdown = write_tables(comparison.columns, comparison.frame, f"streets. {SELECTION}.", stem)
    assert (csv.name, markdown.name) == ("streets-daformer-lite0.csv", "streets-daformer-lite0.md")
    back = pd.read_csv(csv, dtype=str, keep_default_na=False)  # digits as they are, for pandas' own parser may round
    assert list(back.columns) == list(comparison.frame.columns)
    for column in ("miou", "deviation", "difference", "seconds_per_iteration", "peak_memory_mib"):
        digits = [float(text or "nan") for text in back[column]]
        np.testing.assert_array_equal(digits, comparison.frame[column].astype(float))  # NaN equals NaN, no tolerance
    for column in ("method", "oracle", "n", "difference_n", "unfinished"):
        assert list(back[column]) == [str(value) for value in comparison.frame[column]]
    assert pd.read_csv(csv)["miou"][1] == pytest.approx(100 / 3, rel=1e-15)
    text = markdown.read_text(encoding="utf-8")
    assert text == f"{render(comparison, 'github')}\n\nstreets. {SELECTION}.\n"
    assert "last iterate" in SELECTION


def test_records_are_valid_json_for_other_readers(tmp_path: Path) -> None:
    """JSON has no word for a number that is none, or beyond all."""
    write_record(tmp_path, record(miou=math.nan, seconds_per_iteration=math.inf))

    def refuse(name: str) -> None:
        raise AssertionError(name)

    written = json.loads((tmp_path / "record.json").read_text(), parse_constant=refuse)
    assert (written["result"]["student"]["miou"], written["seconds_per_iteration"]) == (None, None)
    assert written["peak_memory_mib"] == 900.5
