"""``runs/index.csv``: what the records say, whoever wrote them, at once or at the next look."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path

import pytest
from record_files import read_record, write_record
from written_runs import write_run

from benchmarks.core.checkout import ROOT
from results.tables import run_index
from results.tables.run_index import COLUMNS, INDEX, note_in_index, refresh_index


def place(output: Path, method: str, name: str) -> Path:
    return output / "streets" / method / "daformer-lite0" / name


def lines(output: Path) -> dict[str, dict[str, str]]:
    """The lines by the run folder's name."""
    with (output / INDEX).open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert all(list(row) == [*COLUMNS] for row in rows)
    return {Path(row["folder"]).name: row for row in rows}


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """An output folder of before there was an index."""
    output = tmp_path / "runs"
    write_run(place(output, "dacs", "a"), "dacs", 3, 41.5, 0.4)
    write_run(place(output, "dacs+mrm", "b"), "dacs+mrm", 0, None, 0.4, status="running", iterations=70,
              curve=[{"iteration": 35, "miou": 7.5}, {"iteration": 70, "miou": 9.25}])  # fmt: skip
    write_run(place(output, "dacs", "c"), "dacs", 1, None, 0.4, status="diverged", reason="loss is nan")
    write_run(place(output, "dacs", "d"), "dacs", 2, 1.0, 0.4)
    (place(output, "dacs", "d") / "record.json").write_text("{")
    return output


def test_a_line_says_what_the_record_says(runs: Path) -> None:
    os.utime(place(runs, "dacs", "a") / "record.json", (1e9, 1e9))
    assert refresh_index(runs)
    found = lines(runs)
    assert list(found) == ["b", "a", "c", "d"]  # by folder
    a, b, c, d = (found[name] for name in "abcd")
    assert a["folder"] == "streets/dacs/daformer-lite0/a"
    shown = ("run", "protocol", "method", "network", "seed", "status", "miou", "iterations")
    then = datetime.fromtimestamp(1e9, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert [a[name] for name in shown] == ["a", "streets", "dacs", "daformer-lite0", "3", "finished", "41.5", "350"]
    assert a["finished"] == then
    assert (b["status"], b["miou"], b["iterations"], b["finished"]) == ("running", "9.25", "70", "")
    assert c["status"] == "diverged" and c["finished"]
    assert (d["run"], d["status"], d["miou"]) == ("d", "damaged", "")


def test_what_is_known_is_not_read_again(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert refresh_index(runs)
    before, asked = (runs / INDEX).stat().st_mtime_ns, list[str]()
    read = run_index.read_record
    monkeypatch.setattr(run_index, "read_record", lambda folder: (asked.append(folder.name), read(folder))[1])
    assert refresh_index(runs)
    assert asked == [] and (runs / INDEX).stat().st_mtime_ns == before  # nor written
    record = read_record(place(runs, "dacs+mrm", "b")) or {}
    write_record(place(runs, "dacs+mrm", "b"), record | {"status": "stopped"})  # and nobody noted it: it was lost
    (place(runs, "dacs", "c") / "record.json").unlink()
    write_run(place(runs, "dacs", "e"), "dacs", 5, 12.0, 0.4)
    assert refresh_index(runs)
    assert sorted(asked) == ["b", "e"]
    found = lines(runs)
    assert set(found) == {"a", "b", "d", "e"} and found["b"]["status"] == "stopped" and found["e"]["miou"] == "12.0"


def test_a_change_is_noted(runs: Path) -> None:
    folder = place(runs, "dacs+mrm", "b")
    assert note_in_index(folder)
    assert set(lines(runs)) == {"b"}  # the others come when somebody looks
    assert refresh_index(runs)
    write_record(folder, (read_record(folder) or {}) | {"status": "finished", "result": {"student": {"miou": 33.0}}})
    assert note_in_index(folder)
    assert lines(runs)["b"]["status"] == "finished" and lines(runs)["b"]["miou"] == "33.0" and len(lines(runs)) == 4


def test_a_folder_that_lies_elsewhere_is_in_no_index(runs: Path, tmp_path: Path) -> None:
    write_run(tmp_path / "of" / "somebody" / "else" / "x", "dacs", 0, 1.0, 0.4)
    again = place(runs, "dacs", "a") / ".again"  # made anew, and not in its place yet
    write_run(again, "dacs", 0, 1.0, 0.4)
    assert not note_in_index(tmp_path / "of/somebody/else/x") and not note_in_index(again)
    assert not note_in_index(place(runs, "dacs", "nothing"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["of", "runs"]
    assert [path.name for path in runs.iterdir()] == ["streets"]


@pytest.mark.parametrize("content", ["", "a,b\n1,2\n", "\0\xff", "folder\n"])
def test_an_index_of_others_is_made_again(runs: Path, content: str) -> None:
    (runs / INDEX).write_text(content)
    assert refresh_index(runs)
    assert set(lines(runs)) == {"a", "b", "c", "d"}


def test_no_link_is_followed_and_what_cannot_be_written_stops_nobody(runs: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    (runs / INDEX).symlink_to(tmp_path / "mine")
    assert refresh_index(runs)
    assert (tmp_path / "mine").read_text() == "mine" and not (runs / INDEX).is_symlink()
    (runs / INDEX).unlink()
    (runs / INDEX).mkdir()
    assert not refresh_index(runs) and not note_in_index(place(runs, "dacs", "a"))
    (runs / run_index._LOCK).unlink()
    (runs / run_index._LOCK).symlink_to(tmp_path / "other")
    assert not refresh_index(runs) and not (tmp_path / "other").exists()
    assert not refresh_index(tmp_path / "nowhere")


def test_no_cell_is_a_formula(tmp_path: Path) -> None:
    write_run(place(tmp_path, "dacs", "=1+1"), "dacs", 0, 1.0, 0.4)
    assert refresh_index(tmp_path)
    assert lines(tmp_path)["=1+1"]["run"] == "'=1+1"


NOTE = """
import sys
from pathlib import Path
from results.tables.run_index import note_in_index
print("ready", flush=True)
sys.stdin.readline()
for name in sys.argv[2:]:
    assert note_in_index(Path(sys.argv[1], name))
"""


@pytest.mark.slow
def test_several_processes_lose_nothing(tmp_path: Path) -> None:
    names = [f"{i:03d}" for i in range(60)]
    for name in names:
        write_run(place(tmp_path, "dacs", name), "dacs", int(name), 1.0, None)
    group = place(tmp_path, "dacs", "")
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    parts = [subprocess.Popen([sys.executable, "-c", NOTE, group, *names[i::4]], cwd=ROOT, **pipes) for i in range(4)]
    assert [part.stdout.readline() for part in parts] == ["ready\n"] * 4
    for part in parts:  # at once
        part.stdin.write("go\n")
        part.stdin.flush()
    for part in parts:
        part.communicate()
    assert [part.returncode for part in parts] == [0] * 4
    assert list(lines(tmp_path)) == names
