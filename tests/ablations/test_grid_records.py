"""Grids of records that others have published: found by their ids, whatever their folders are called."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest
from grid_runs import rows_of, write_run, write_runs
from record_files import read_record, write_record
from trained_runs import Command, assert_one_line, call

import ablations.run
from ablations.sweep.records import rows_of_records
from benchmarks.config.former_ids import former_ids


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> Command:
    monkeypatch.chdir(tmp_path)
    return lambda *words: call(ablations.run, list(words), monkeypatch, capfd)


def test_the_table_of_published_records_is_that_of_the_runs(command: Command, tmp_path: Path) -> None:
    rows, records = rows_of("lambda", seeds=[0, 1], output=tmp_path / "runs"), tmp_path / "records"
    write_runs(rows, {"0": [22.0, 23.0], "0.1": [23.0, 25.0]})
    for row in rows[:2]:
        for run in row.runs:
            shutil.copytree(run.folder, records / f"streets-{run.id}")
    (records / "damaged").mkdir()
    (records / "damaged" / "record.json").write_text("{")
    words = ("lambda", "--seeds", "0,1", "--output", "out", "--plots", "png", "--records", "records")
    ended = command(*words)
    assert ended.code == 1  # four settings have no runs
    assert ended.err.startswith("left out: records/damaged/record.json: expected a JSON record")
    assert "runs: records\n" in ended.out
    (table,) = (tmp_path / "out").glob("lambda-*.csv")
    made = pd.read_csv(table, keep_default_na=False)
    assert made["miou"].tolist()[:2] == ["22.5", "24.0"] and made["difference"][1] == "1.5"
    assert made["unfinished"].tolist() == ["", ""] + ["2 not started"] * 4
    assert len(list(records.iterdir())) == 5  # nothing was made there
    shutil.rmtree(records / "damaged")
    shutil.copytree(records / f"streets-{rows[0].runs[0].id}", records / "twice")
    assert_one_line(command(*words), f"streets-{rows[0].runs[0].id} and records/twice are one run")


def test_records_of_earlier_versions_are_found_by_the_ids_of_then(tmp_path: Path) -> None:
    rows = rows_of("lambda", seeds=[0], output=tmp_path / "runs")
    then = former_ids(rows[0].cfg)[1]
    write_run(rows[0].cfg, folder := tmp_path / "records" / "published", 22.0)
    write_record(folder, (read_record(folder) or {}) | {"id": then})
    found = rows_of_records(rows, tmp_path / "records", lambda line: None)
    assert found[0].runs[0].folder == folder and then != rows[0].runs[0].id
    assert not any(run.folder.exists() for row in found[1:] for run in row.runs)
