"""``python results/collect.py``: every run of a folder, for people and for programs."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from written_runs import write_run

from benchmarks.core.checkout import ROOT
from results.collect import main
from results.records.columns import COLUMNS


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    write_run(tmp_path / "runs/a", "dacs", 0, 100 / 3, None)
    write_run(tmp_path / "runs/b", "dacs+mrm", 0, 21.5, 0.4)
    write_run(
        tmp_path / "runs/c", "dacs+mrm", 1, 1.0, 0.9, status="diverged", iterations=40, reason="loss_mrm is nan"
    )
    return tmp_path / "runs"


def printed(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(list(words)) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_a_table_has_a_line_a_run_and_no_score_of_one_that_diverged(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = printed(capsys, str(runs), "--format", "markdown", "--keys", "TERMS.MRM.RATIO,INPUT.CROP").splitlines()
    head = cells(lines[0])
    assert head[:6] == ["run", "protocol", "method", "network", "seed", "status"]
    rows = [dict(zip(head, cells(line), strict=True)) for line in lines[2:]]
    picked = [[row[name] for name in ("run", "status", "TERMS.MRM.RATIO", "mIoU (19)", "iterations")] for row in rows]
    assert picked == [
        ["a", "finished", "-", "33.3", "350"],
        ["b", "finished", "0.4", "21.5", "350"],
        ["c", "diverged", "0.9", "-", "40 of 350"],
    ]
    assert [row["INPUT.CROP"] for row in rows] == ["-", "[9, 9]", "[9, 9]"]
    simple = printed(capsys, str(runs)).splitlines()
    assert len(simple) == 2 + 3 and "TERMS" not in simple[0]


def test_csv_has_all_columns_at_full_precision(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = printed(capsys, str(runs), "--format", "csv", "--keys", "TERMS.MRM.RATIO")
    back = pd.read_csv(io.StringIO(out))
    assert list(back.columns) == [*COLUMNS, "miou_19", "TERMS.MRM.RATIO"]
    assert repr(100 / 3) in out.splitlines()[1] and back["reason"][2] == "loss_mrm is nan"
    assert back["TERMS.MRM.RATIO"].tolist()[1:] == [0.4, 0.9] and pd.isna(back["TERMS.MRM.RATIO"][0])


def test_latex_is_a_tabular_with_what_is_special_escaped(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_run(runs / "d_1", "dacs", 3, 40.0, None)
    lines = printed(capsys, str(runs), "--format", "latex").splitlines()
    assert lines[0].startswith(r"\begin{tabular}{lr") and lines[-1] == r"\end{tabular}"
    assert sum(line.rstrip().endswith(r"\\") for line in lines) == 1 + 4
    assert any(r"d\_1" in line for line in lines)


@pytest.mark.parametrize("form", ["table", "csv"])
def test_runs_of_different_images_are_told_beside_the_table(
    form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    known = {"SOURCE": {"count": 3, "images": "a" * 16}, "VAL": {"count": 2, "images": "b" * 16, "labels": "c" * 16}}
    other = {**known, "VAL": known["VAL"] | {"labels": "d" * 16}}
    for name, data in (("a", known), ("b", known), ("c", None)):
        write_run(tmp_path / f"runs/{name}", name, 0, 50.0, None, **({} if data is None else {"data": data}))
    printed(capsys, str(tmp_path / "runs"), "--format", form)  # nothing on stderr
    write_run(tmp_path / "runs/d", "d", 0, 50.0, None, data=other)
    assert main([str(tmp_path / "runs"), "--format", form]) == 0
    out, err = capsys.readouterr()
    assert err == "The runs were made with different labels of DATA.VAL (streets): they cannot be compared.\n"
    assert err not in out  # which may go on to another program


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["nowhere"], "error: nowhere: no such folder, expected one that holds run folders"),
        (["runs", "--keys", "TERMS.MRM.RATO"], "error: no run has the config key TERMS.MRM.RATO; did you mean TERMS"),
        (["empty"], "error: empty: no run there, expected run folders with a record.json"),
    ],
)
def test_what_is_wrong_is_one_line(
    runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str], line: str
) -> None:
    monkeypatch.chdir(runs.parent)
    Path("empty").mkdir()
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith(line) and len(err.splitlines()) == 1


def test_a_config_that_is_broken_is_told_by_its_file(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (runs / "b" / "config.yaml").write_text("A: [")
    assert main([str(runs), "--keys", "SOLVER.ITERS"]) == 1
    out, err = capsys.readouterr()
    assert err.startswith(f"left out: {runs / 'b' / 'config.yaml'}: expected YAML") and len(err.splitlines()) == 1
    assert [line.split()[:7][-1] for line in out.splitlines()[2:]] == ["-", "-", "350"]  # the rest is shown
    assert main([str(runs)]) == 0  # where no key was asked for, no config is read


def test_as_a_process_from_another_folder(runs: Path) -> None:
    """A module called ``record`` beside it is not in the way, and neither torch nor detectron2 is needed."""
    (runs.parent / "record.py").write_text("raise SystemExit('shadowed')\n")
    done = subprocess.run(
        [sys.executable, "-X", "importtime", str(ROOT / "results" / "collect.py"), "--format", "csv"],
        cwd=runs.parent,
        env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0 and done.stdout.startswith("run,protocol,method,")
    imported = {line.split("|")[-1].strip() for line in done.stderr.splitlines()}
    assert "pandas" in imported and not imported & {"torch", "detectron2"}
