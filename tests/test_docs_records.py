"""Tables of README and docs that have their records in ``docs/records`` are what the records give."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.core.checkout import ROOT
from benchmarks.tools import page_tables
from benchmarks.tools.page_tables import RECORDS, MarkedTable, made, marked_tables, pages_with_tables, renewed
from benchmarks.trained.cleaned import clean_record, clean_text
from results.records.folders import run_folders
from results.records.image_counts import read_counts
from results.records.record import read_record
from results.records.settings import run_settings

MOST_BYTES = 8 * 2**20
TABLES = [(page, table) for page in pages_with_tables() for table in marked_tables(page.read_text(encoding="utf-8"))]
FOLDERS = run_folders(ROOT / RECORDS).folders


@pytest.mark.slow
@pytest.mark.parametrize(("page", "table"), TABLES, ids=[f"{page.name}: {table.command[1]}" for page, table in TABLES])
def test_a_table_is_what_its_records_give(page: Path, table: MarkedTable) -> None:
    assert made(table.command) == table.text, f"{page.name}: python -m benchmarks.tools.page_tables renews it"


def test_each_folder_of_records_has_its_table() -> None:
    named = {word for _, table in TABLES for word in table.command if word.startswith(f"{RECORDS}/")}
    there = {f"{RECORDS}/{path.name}" for path in (ROOT / RECORDS).iterdir() if path.is_dir()}
    assert named == there and there
    files = [path for path in (ROOT / RECORDS).rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < MOST_BYTES


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_records_are_of_finished_runs_and_of_no_machine(folder: Path) -> None:
    record = read_record(folder)
    assert record is not None and record.status == "finished" and record.lacks == ""
    assert run_settings(folder)["SEED"] == record.spec.seed
    assert read_counts(folder, "student") is not None
    assert clean_record(record.content) == record.content
    assert clean_text((folder / "config.yaml").read_text()) == (folder / "config.yaml").read_text()
    assert {path.name for path in folder.iterdir()} <= {
        *("record.json", "config.yaml", "counts-student.npz", "counts-teacher.npz", "metrics.json")
    }
    assert json.loads((folder / "record.json").read_text())["git"]["dirty"] is False  # of code that can be had


@pytest.mark.slow
def test_tables_of_the_paper_can_stand_on_a_page() -> None:
    rest = ("--iters", "250", "--seeds", "0", "TERMS.MRM.DIM", "128", "TERMS.MRM.HEADS", "4")
    text = made(("ablations/paper.py", "--only", "view,resolution", "--records", f"{RECORDS}/ablations", *rest))
    assert text.startswith("Masked Representation Modeling (arXiv 2509.13801): streets. Seeds 0. ")
    assert text.count("\n## ") == 2 and text.count("| finished | ") == 3 + 4 and text.count("|  missing | ") == 1


PAGE = """# A page

<!-- table: results/compare.py docs/records/x --baseline dacs -->

| old |

| more |

<!-- table ends -->

Text.
"""


def test_a_marked_table_is_found_and_renewed(monkeypatch: pytest.MonkeyPatch) -> None:
    command = ("results/compare.py", "docs/records/x", "--baseline", "dacs")
    assert marked_tables(PAGE) == [MarkedTable(command, "| old |\n\n| more |")]
    monkeypatch.setattr(page_tables, "made", lambda words: f"| new of {words[1]} |")
    assert renewed(PAGE) == PAGE.replace("| old |\n\n| more |", "| new of docs/records/x |")
    assert renewed(renewed(PAGE)) == renewed(PAGE)
    assert renewed("Text.\n") == "Text.\n"


@pytest.mark.parametrize(
    ("command", "fault"),
    [
        (("benchmarks/run.py", "docs/records/x"), "expected a command of results/"),
        (("ablations/run.py", "lambda", "--output", "docs/records/x"), "ablations/paper.py --records, of a folder"),
        (("ablations/run.py", "lambda", "--records", "runs"), "of a folder below docs/records"),
        (("ablations/paper.py", "--only", "ratio", "--show"), "of a folder below docs/records"),
        (("results/compare.py", "runs"), "of a folder below docs/records"),
        (("results/compare.py", "docs/records/nothing"), "exit code 2"),
    ],
)
def test_a_table_of_nothing_is_an_error(command: tuple[str, ...], fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        made(command)
