"""Published IoU of classes: beside runs of its protocol, network and class set alone, with differences and sources."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pytest
from written_runs import write_run

from results import compare
from results.page.gather import gather
from results.records.scores import STUDENT
from results.tables.scores_by_seed import LAST

IOU = {0: {"road": 95.0, "train": 60.0, "cat": 1.0}, 1: {"road": 97.0, "train": 64.0, "cat": 3.0}}
PUBLISHED_RUNS = {"protocol": "gta-cityscapes", "network": "daformer-mitb5"}  # road 95.7, train 65.1 of DAFormer


def write_runs(
    folder: Path, method: str, classes: int = 19, changed: dict[str, Any] | None = None, **spec: str
) -> None:
    """Two seeds of `IOU`, 40,000 iterations in bf16."""
    config = "SOLVER: {ITERS: 40000, BATCH: 2, PRECISION: bf16}\nINPUT: {CROP: [512, 512]}\n"
    for seed, iou in IOU.items():
        of = {**PUBLISHED_RUNS, "method": method, "seed": seed, **spec}
        result = {"student": {"miou": 60.0, "iou": iou}}
        to = folder / f"{method}-{seed}"
        more: dict[str, Any] = {"spec": of, "classes": classes, "result": result, "changed_settings": changed or {}}
        write_run(to, method, seed, None, None, **more)
        (to / "config.yaml").write_text(config)


def called(capsys: pytest.CaptureFixture[str], *words: str | Path) -> str:
    assert compare.main(list(map(str, words))) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out


def test_published_classes_stand_beside_measured_ones(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_runs(tmp_path, "daformer")
    write_runs(tmp_path, "hrda")  # of which no IoU of classes is known
    out = called(capsys, tmp_path, "--classes", "--published", "--format", "markdown")
    heads, _, road, train, cat = ([cell.strip() for cell in line.split("|")[1:-1]] for line in out.splitlines()[:5])
    assert heads == ["class", "daformer", "daformer, published", "hrda"]
    assert road == ["road", "96.0 ± 1.4", "95.7 (+0.3)", "96.0 ± 1.4"]
    assert train == ["train", "62.0 ± 2.8", "65.1 (-3.1)", "62.0 ± 2.8"]
    assert cat == ["cat", "2.0 ± 1.4", "-", "2.0 ± 1.4"]  # not among those that were published
    assert "daformer, published: Hoyer et al. 2022 (DAFormer), as quoted alike in" in out
    assert "daformer, not as published: precision bf16 (fp32)." in out and "hrda, " not in out.partition("\n\n")[2]
    plain = called(capsys, tmp_path, "--classes", "--format", "markdown")
    assert "ublished" not in plain
    text = called(capsys, tmp_path, "--classes", "--published", "--baseline", "hrda", "--format", "csv")
    lines = {(line["class"], line["row"]): line for line in csv.DictReader(io.StringIO(text))}
    line = lines["train", "daformer"]
    assert (line["published_iou"], line["not_as_published"]) == ("65.1", "precision bf16 (fp32)")
    assert "SeCo" in line["published_source"] and line["difference"] == "0.0"
    for of in (("road", "hrda"), ("cat", "daformer")):
        assert (lines[of]["published_iou"], lines[of]["published_source"]) == ("", "")


@pytest.mark.parametrize(
    "other",
    [
        {"network": "daformer-mitb2"},
        {"protocol": "streets"},
        {"method": "dacs"},
        {"classes": 16},
        {"changed": {"SAMPLING.TEMPERATURE": 0.1}},
    ],
    ids=lambda other: next(iter(other)),
)
def test_runs_of_another_kind_have_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], other: dict[str, Any]
) -> None:
    write_runs(tmp_path, **{"method": "daformer"} | other)
    out = called(capsys, tmp_path, "--classes", "--published", "--format", "csv")
    lines = list(csv.DictReader(io.StringIO(out)))
    assert len(lines) == 3 and {line["published_iou"] + line["published_source"] for line in lines} == {""}
    assert "ublished" not in called(capsys, tmp_path, "--classes", "--published")


def test_the_report_has_them(tmp_path: Path) -> None:
    write_runs(tmp_path, "daformer")
    found = gather([str(tmp_path)], [], None, STUDENT, LAST, pytest.fail)
    table = found["classes"]
    assert list(table.heads) == ["class", "daformer", "daformer, published"] and "published" in table.caption
    cells = {row[0].text: row[2] for row in table.rows}
    assert (cells["road"].text, cells["road"].number, cells["road"].note) == ("95.7", 95.7, "+0.3")
    assert cells["cat"].number is None and cells["cat"].note == ""
    assert found["class_notes"][1] == "daformer, not as published: precision bf16 (fp32)."
