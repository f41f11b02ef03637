"""The table of runs: a row a record, a column a field."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from made_records import record, runs_of
from record_files import write_record

from results.records.columns import COLUMNS, ScoreKey
from results.tables.frame import collect, from_folders


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
    content["labelled_target"] = {"amount": "1/16", "images": 186, "of": 2975}
    content["result"]["student"]["lower_is_better"] = ["wrong"]
    content["shared"] = {"iterations": 125, "of": 500, "others": 2}
    expected = {
        "run": "target-only-3",
        "protocol": "streets",
        "method": "target-only",
        "network": "daformer-lite0",
        "seed": 3,
        "status": "finished",
        "reason": "",
        "oracle": True,
        "target_labels": "1/16 (186 of 2975)",
        "classes": 16,
        "counted": 15,
        "left_out": "train",
        "lower_is_better": "wrong",
        "miou": 61.5,
        "teacher_miou": 62.5,
        "source_miou": 41.5,
        "confidence": 0.875,
        "iterations": 500,
        "max_iterations": 500,
        "seconds_per_iteration": 0.25,
        "peak_memory_mib": 900.5,
        "shared": 0.25,
        "others": 2,
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
