"""results/compare.py: figures against scipy, rows that cannot be one, every format, and what is left out."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import yaml
from scipy import stats
from written_runs import write_run

from results import compare
from results.records.image_counts import sparse_counts, write_counts

DACS = {0: 21.0, 1: 24.0, 2: 22.5}
MRM = {0: 23.0, 1: 25.5, 2: 24.75}


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Two methods of three seeds, in a folder."""
    for method, scores in (("dacs", DACS), ("dacs+mrm", MRM)):
        for seed, miou in scores.items():
            write_run(tmp_path / "runs" / method / f"{seed}", method, seed, miou, 0.4)
    return tmp_path / "runs"


def called(capsys: pytest.CaptureFixture[str], *words: str | Path) -> tuple[int, str, str]:
    code = compare.main(list(map(str, words)))
    return (code, *capsys.readouterr())


def settings(folder: Path, **keys: Any) -> None:
    content: dict[str, Any] = {}
    for key, value in keys.items():
        section, name = key.split("__")
        content.setdefault(section, {})[name] = value
    (folder / "config.yaml").write_text(yaml.safe_dump(content))


def test_means_and_paired_differences_are_scipys(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = called(capsys, runs, "--baseline", "dacs", "--format", "csv")
    assert (code, err) == (0, "")
    dacs, mrm = csv.DictReader(io.StringIO(out))
    theirs, ours = np.array(list(DACS.values())), np.array(list(MRM.values()))
    interval = stats.ttest_rel(ours, theirs).confidence_interval(0.95)
    expected = {
        "miou": ours.mean(),
        "deviation": ours.std(ddof=1),
        "difference": (ours - theirs).mean(),
        "difference_deviation": (ours - theirs).std(ddof=1),
        "low": interval.low,
        "high": interval.high,
    }
    assert {name: float(mrm[name]) for name in expected} == pytest.approx(expected)
    assert (mrm["better"], mrm["difference_n"], dacs["difference"], dacs["low"]) == ("3", "3", "", "")


@pytest.mark.parametrize(("metric", "told"), [("ECE", {}), ("wrong", {"lower_is_better": ["wrong"]})])
def test_less_of_an_error_is_better(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], metric: str, told: dict[str, list[str]]
) -> None:
    """ECE is known for it; of a plug-in's metric the records say it."""
    for method, errors in (("dacs", (9.0, 8.0)), ("mic", (7.0, 7.6))):
        for seed, error in enumerate(errors):
            result = {"student": {"miou": 40.0, "metrics": {metric: {"19": error}}, **told}}
            write_run(tmp_path / f"runs/{method}{seed}", method, seed, 40.0, 0.4, result=result)
    words = tmp_path / "runs", "--columns", metric, "--baseline", "dacs"
    rows = called(capsys, *words)[1].splitlines()
    assert metric in rows[0] and "-1.2 ± 1.1" in rows[3] and rows[3].endswith("2 of 2")
    dacs, mic = (line for line in called(capsys, *words, "--format", "latex")[1].splitlines() if r"$\pm$" in line)
    assert r"\underline{8.5" in dacs and r"\textbf{7.3" in mic


def test_all_scores_that_are_named_are_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = {"dacs": ((50.0, 9.0), (52.0, 8.0)), "mic": ((49.0, 7.0), (52.5, 7.6)), "mrm": ((60.0, None),)}
    for method, values in found.items():
        for seed, (road, error) in enumerate(values):
            student = {"miou": 40.0 + seed, "iou": {"road": road}, "metrics": {"ECE": {"19": error}}}
            write_run(tmp_path / f"runs/{method}{seed}", method, seed, None, 0.4, result={"student": student})
    words = tmp_path / "runs", "--columns", "19,road,ECE"
    dacs, mic, mrm = called(capsys, *words, "--baseline", "dacs", "--format", "markdown")[1].splitlines()[2:5]
    assert "51.0 ± 1.4" in dacs and "8.5 ± 0.7" in dacs and "(" not in dacs
    assert "50.8 ± 2.5 (-0.2 ± 1.1)" in mic and "7.3 ± 0.4 (-1.2 ± 1.1)" in mic and "+0.0 ± 0.0" in mic
    assert "60.0 (+10.0)" in mrm and " - (-) " in mrm
    plain = called(capsys, *words, "--format", "markdown")[1]
    assert "(" not in "".join(plain.splitlines()[2:5])
    out = called(capsys, *words, "--baseline", "dacs", "--format", "csv")[1]
    line = {row["method"]: row for row in csv.DictReader(io.StringIO(out))}["mic"]
    assert (line["better"], line["iou_better_road"], line["ece_better"]) == ("0", "1", "2")
    assert float(line["iou_difference_road"]) == -0.25 and float(line["ece_difference"]) == pytest.approx(-1.2)


@pytest.mark.parametrize(
    "options",
    [["--columns", "road", "--baseline", "dacs"], ["--classes"], ["--rule", "oracle"], ["--published"]],
    ids=lambda options: options[0],
)
def test_records_are_read_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, options: list[str]
) -> None:
    for method in ("dacs", "mic"):
        result = {"student": {"miou": 40.0, "iou": {"road": 50.0}}}
        write_run(tmp_path / f"runs/{method}", method, 0, None, None, result=result)
    monkeypatch.setattr("results.tables.rows.read_record", None)
    code, out, err = called(capsys, tmp_path / "runs", *options)
    assert (code, err) == (0, "") and out.count("mic")


def test_the_table_shows_the_paired_deviation_and_not_that_of_the_scores(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The scores deviate by 1.5 and 1.3 over seeds, the differences by 0.4."""
    out = called(capsys, runs, "--baseline", "dacs")[1].splitlines()
    assert out[0].split("  ")[0] == "method" and "vs dacs" in out[0] and "95% (images" not in out[0]
    assert out[2].split() == ["dacs", "22.5", "±", "1.5", "3", "-", "-", "-"]
    assert " ".join(out[3].split()) == "dacs+mrm 24.4 ± 1.3 3 +1.9 ± 0.4 [+1.0, +2.9] 3 of 3"
    assert any("paired by seed" in line for line in out)


def test_seeds_that_only_one_has_are_in_its_mean_and_in_no_difference(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(runs / "dacs" / "0")
    out = called(capsys, runs, "--baseline", "dacs")[1]
    assert "+1.9 ± 0.5" in out and "2 of 2" in out
    assert called(capsys, runs, "--where", "seed=0", "--baseline", "dacs")[0] == 2
    for seed in (1, 2):
        shutil.rmtree(runs / "dacs" / f"{seed}")
    write_run(runs / "dacs" / "7", "dacs", 7, 20.0, 0.4)
    code, out, err = called(capsys, runs, "--baseline", "dacs")
    assert code == 0 and "dacs+mrm: no difference to dacs, no seed in common" in err


def test_runs_of_other_settings_are_rows_of_their_own_told_apart_by_key(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed in (0, 1):
        folder = runs / f"more-{seed}"
        write_run(folder, "dacs+mrm", seed, 30.0 + seed, None)
        settings(folder, SOLVER__ITERS=350, TERMS__MRM={"RATIO": 0.7}, INPUT__CROP=[9, 9], TEST__PERIOD=seed)
    out = called(capsys, runs, "--baseline", "dacs")[1]
    first, second = (line for line in out.splitlines() if line.startswith("dacs+mrm"))
    assert "TERMS.MRM.RATIO 0.4" in first and "24.4" in first
    assert "TERMS.MRM.RATIO 0.7" in second and "30.5" in second and "2 of 2" in second


def test_two_finished_runs_of_a_seed_are_refused_and_a_folder_given_twice_is_one(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert called(capsys, runs, runs / "dacs" / "0")[0] == 0
    shutil.copytree(runs / "dacs" / "0", runs / "again")
    code, _, err = called(capsys, runs)
    assert code == 2 and len(err.splitlines()) == 1
    assert "dacs has two finished runs of seed 0" in err and "again" in err and "dacs/0" in err


def test_longer_runs_are_not_compared_with_a_shorter_baseline(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for seed in MRM:
        shutil.rmtree(runs / "dacs+mrm" / f"{seed}")
        write_run(runs / f"long-{seed}", "dacs+mrm", seed, 40.0, 0.4, iterations=700, max_iterations=700)
    code, out, err = called(capsys, runs, "--baseline", "dacs")
    assert code == 0 and "the baseline has other max iterations" in err and "+1" not in out


def test_a_baseline_that_differs_in_more_than_the_method_is_told(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder in sorted(runs.glob("*/*")):
        batch = 4 if folder.parent.name == "dacs" else 2
        settings(folder, SOLVER__BATCH=batch, TERMS__MRM={"RATIO": batch / 10}, INPUT__CROP=[9, 9])
    code, out, err = called(capsys, runs, "--baseline", "dacs")
    assert code == 0 and "+1.9 ± 0.4" in out
    assert err == "dacs+mrm: dacs has other SOLVER.BATCH, not the method alone\n"


def test_what_is_not_finished_is_counted_with_its_reason_and_what_is_damaged_is_named(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_run(runs / "bad-3", "dacs", 3, None, 0.4, status="diverged", reason="loss_mrm is nan in iteration 7")
    (runs / "dacs" / "1" / "record.json").write_text("{")
    code, out, err = called(capsys, runs)
    assert code == 1 and "dacs/1" in err
    assert "1 diverged: dacs seed 3 (loss_mrm is nan in iteration 7)." in out
    assert "21.8 ± 1.1" in out and " 2" in out


def test_class_sets_classes_metrics_and_models(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for folder in sorted(runs.glob("*/*")):
        record = json.loads((folder / "record.json").read_text())
        miou = record["result"]["student"]["miou"]
        scores = {"miou": miou, "miou_by_classes": {"19": miou, "13": miou + 10}, "iou": {"road": 90.0, "sky": miou}}
        record["result"] = {"student": scores, "teacher": {**scores, "miou": miou + 1}}
        (folder / "record.json").write_text(json.dumps(record))
    out = called(capsys, runs)[1].splitlines()
    assert out[0].split() == ["method", "mIoU", "(19)", "mIoU", "(13)", "n"] and "32.5 ± 1.5" in out[2]
    out = called(capsys, runs, "--columns", "sky,13", "--baseline", "dacs")[1].splitlines()
    assert out[0].startswith("method") and "IoU sky" in out[0] and "+1.9 ± 0.4" in out[3]
    code, _, err = called(capsys, runs, "--columns", "moon")
    assert code == 2 and "--columns moon: expected" in err and "road, sky" in err
    out = called(capsys, runs, "--classes", "--baseline", "dacs")[1]
    assert "24.4 ± 1.3 (+1.9 ± 0.4)" in out and "90.0 ± 0.0 (+0.0 ± 0.0)" in out
    assert "25.4 ± 1.3" in called(capsys, runs, "--model", "teacher")[1]


def test_means_are_over_the_classes_that_all_runs_count(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of a record of before, the 0 of a class that no label has counted: 19 classes there, 18 in the others."""
    for folder in sorted(runs.glob("*/*")):
        record = json.loads((folder / "record.json").read_text())
        iou = {f"class{index}": 38.0 for index in range(18)} | {"train": None}
        if folder.parent.name == "dacs":
            iou["train"] = 0.0
        known = [value for value in iou.values() if value is not None]
        record["result"]["student"] = {"miou": sum(known) / len(known), "iou": iou}
        (folder / "record.json").write_text(json.dumps(record))
    out = called(capsys, runs, "--baseline", "dacs")[1]
    assert out.count("38.0 ± 0.0") == 2 and "+0.0 ± 0.0" in out and "36.0" not in out
    assert "streets: Means leave out train" in out


def test_the_oracle_rule_takes_the_best_evaluated_iterate_and_says_so(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = json.loads((runs / "dacs" / "0" / "record.json").read_text())
    record["curve"] = [{"iteration": 100, "miou": 51.0}, {"iteration": 350, "miou": 21.0}]
    (runs / "dacs" / "0" / "record.json").write_text(json.dumps(record))
    words = [runs, "--where", "method=dacs", "--where", "seed=0"]
    assert "21.0" in called(capsys, *words)[1]
    out = called(capsys, *words, "--rule", "oracle")[1]
    assert "51.0" in out and "an oracle" in out
    assert called(capsys, *words, "--rule", "oracle", "--model", "teacher")[0] == 2


def test_intervals_over_images_are_there_where_all_runs_left_counts_of_the_same_images(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    for folder in sorted(runs.glob("*/*")):
        record = json.loads((folder / "record.json").read_text())
        hit = 70 if "mrm" in folder.parent.name else 60
        matrices = [np.diag(rng.poisson(hit, 19)) + rng.poisson(1, (19, 19)) for _ in range(12)]
        write_counts(folder, "student", sparse_counts(matrices))
        pixels = {f"class{index}": 100 for index in range(19)}
        record |= {"validation": {"labelled_pixels": pixels, "left_out": {"19": []}}}
        record |= {"data": {"VAL": {"count": 12, "images": "one"}}}
        (folder / "record.json").write_text(json.dumps(record))
    code, out, _ = called(capsys, runs, "--baseline", "dacs", "--format", "csv")
    mrm = list(csv.DictReader(io.StringIO(out)))[1]
    low, high = float(mrm["low_images"]), float(mrm["high_images"])
    assert code == 0 and 0 < low < high < 10
    out = called(capsys, runs, "--baseline", "dacs", "--where", "seed=0")[1]
    assert "+2.0" in out and "95%" not in out.splitlines()[0]  # of one seed it would be of the images alone
    (folder / "counts-student.npz").write_bytes(b"cut")
    code, out, err = called(capsys, runs, "--baseline", "dacs")
    assert code == 1 and "95% (images" not in out.splitlines()[0] and "+" in out  # the table is there all the same
    assert "no interval over images of dacs+mrm" in err and "counts-student.npz" in err
    record["data"]["VAL"]["images"] = "others"
    (folder / "record.json").write_text(json.dumps(record))
    code, out, _ = called(capsys, runs, "--baseline", "dacs")
    assert "95% (images" not in out.splitlines()[0] and "different images of DATA.VAL" in out


def test_drawn_images_are_the_same_where_as_many_pixels_have_each_class(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder in sorted(runs.glob("*/*")):
        record = json.loads((folder / "record.json").read_text())
        write_counts(folder, "student", sparse_counts([np.eye(19, dtype=int)] * 2))
        pixels = {f"class{index}": 2 for index in range(19)}
        record |= {"data": {}, "validation": {"labelled_pixels": pixels, "left_out": {"19": []}}}
        (folder / "record.json").write_text(json.dumps(record))
    assert "95% (images" in called(capsys, runs, "--baseline", "dacs")[1].splitlines()[0]
    record["validation"]["labelled_pixels"]["class0"] = 3
    (folder / "record.json").write_text(json.dumps(record))
    assert "95% (images" not in called(capsys, runs, "--baseline", "dacs")[1].splitlines()[0]


def test_latex_compiles_as_it_is_with_names_escaped_and_the_best_bold(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed in (0, 1):
        write_run(runs / f"odd-{seed}", "a_b&c%$#{}~^\\<|>\"λ±日", seed, 10.0 + seed, 0.4)
    text = called(capsys, runs, "--baseline", "dacs", "--format", "latex")[1]
    assert r"\textbf{24.4\,{\scriptsize $\pm$ 1.3}}" in text and r"\underline{22.5" in text
    assert r"a\_b\&c\%\$\#\{\}" in text and "日" not in text
    if (tex := shutil.which("pdflatex")) is None:
        assert not os.environ.get("SEGSHIFT_REQUIRE_LATEX"), "pdflatex is not installed"
        pytest.skip("pdflatex is not installed")
    preamble = r"\documentclass{article}\usepackage[T1]{fontenc}\usepackage{booktabs}"
    document = rf"{preamble}\begin{{document}}{text}\end{{document}}"
    (tmp_path / "table.tex").write_text(document)
    made = subprocess.run(
        [tex, "-interaction=nonstopmode", "-halt-on-error", "table.tex"], cwd=tmp_path, capture_output=True, text=True
    )
    assert made.returncode == 0, made.stdout[-2000:]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--baseline", "mic"], "--baseline mic: no run is of it, expected one of dacs, dacs+mrm"),
        (["--by", "colour"], "--by colour: expected one or more of method"),
        (["--where", "method=mic"], "--where method=mic: no run is so, expected one of dacs, dacs+mrm"),
        (["--where", "SOLVER.ITER=3"], "no run has the config key SOLVER.ITER; did you mean SOLVER.ITERS?"),
        (["--where", "seed"], "--where seed: expected KEY=VALUE"),
        (["--format", "parquet"], "--format parquet: expected --out FILE"),
        (["--out", "no/such/folder.md"], "--out no/such/folder.md: cannot be written (No such file"),
    ],
)
def test_a_slip_is_one_line(runs: Path, capsys: pytest.CaptureFixture[str], words: list[str], line: str) -> None:
    code, out, err = called(capsys, runs, *words)
    assert (code, out) == (2, "") and err.startswith(f"error: {line}") and len(err.splitlines()) == 1


def test_html_is_a_page_in_which_names_are_text(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_run(runs / "odd", "<script>alert(1)</script>&amp;", 0, 10.0, 0.4)
    out = called(capsys, runs, "--format", "html")[1]
    assert "&lt;script&gt;alert(1)&lt;/script&gt;&amp;amp;" in out and "<script" not in out
    rows = list(ElementTree.fromstring(out.partition("<div")[2].partition(">")[2].partition("</div>")[0]).iter("tr"))
    assert ["".join(cell.itertext()) for cell in rows[1]] == ["dacs", "22.5 ± 1.5", "3"]
    assert "sample deviation over seeds" in out and "http" not in out


def test_classes_have_every_format(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for folder in sorted(runs.glob("*/*")):
        record = json.loads((folder / "record.json").read_text())
        miou = record["result"]["student"]["miou"]
        record["result"]["student"] |= {"iou": {"traffic light": miou, "sky": 90.0}}
        (folder / "record.json").write_text(json.dumps(record))
    words = [runs, "--classes", "--baseline", "dacs", "--format"]
    lines = list(csv.DictReader(io.StringIO(called(capsys, *words, "csv")[1])))
    assert [(line["class"], line["row"]) for line in lines[:2]] == [
        ("traffic light", "dacs"),
        ("traffic light", "dacs+mrm"),
    ]
    assert float(lines[1]["iou"]) == pytest.approx(np.mean(list(MRM.values()))) and lines[1]["better"] == "3"
    text = called(capsys, *words, "latex")[1]
    assert r"traffic light & 22.5\,{\scriptsize $\pm$ 1.5} & 24.4\,{\scriptsize $\pm$ 1.3 (+1.9 $\pm$ 0.4)}" in text
    assert "<td>90.0 ± 0.0 (+0.0 ± 0.0)</td>" in called(capsys, *words, "html")[1]


def test_a_file_is_written_whole_and_rows_are_named_by_what_is_asked(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "table.md"
    assert called(capsys, runs, "--by", "method,network", "--format", "markdown", "--out", out) == (0, "", "")
    assert out.read_text().splitlines()[0].replace(" ", "").startswith("|method|network|mIoU(19)|n|")
    assert called(capsys, runs, "--where", "TERMS.MRM.RATIO=0.4", "--where", "INPUT.CROP=9x9")[0] == 0


def test_a_config_key_has_a_column_and_tells_nothing_apart_in_another(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed in (0, 1):
        folder = runs / f"more-{seed}"
        write_run(folder, "dacs+mrm", seed, 30.0 + seed, 0.7)
    out = called(capsys, runs, "--baseline", "dacs", "--keys", "TERMS.MRM.RATIO", "--columns", "cost")[1].splitlines()
    assert [line.split()[:2] for line in out[2:5]] == [["dacs", "0.4"], ["dacs+mrm", "0.4"], ["dacs+mrm", "0.7"]]
    assert out[0].split()[:2] == ["method", "TERMS.MRM.RATIO"] and "setting" not in out[0]
    assert out[2].split()[-4:] == ["350", "0.500", "700", "MiB"] and "30.5 ± 0.7" in out[4]
    code, _, err = called(capsys, runs, "--keys", "TERMS.MRM.RATO")
    assert code == 2 and "no run has the config key TERMS.MRM.RATO; did you mean TERMS.MRM.RATIO?" in err


def published_run(folder: Path, method: str, miou: float, changed: dict[str, Any] | None, **content: Any) -> None:
    spec = {"protocol": "gta-cityscapes", "method": method, "network": "daformer-mitb5", "seed": 0}
    write_run(folder, method, 0, miou, None, spec=spec, changed_settings=changed)
    (folder / "config.yaml").write_text(yaml.safe_dump(content))


def test_published_figures_stand_beside_runs_of_their_names_with_what_is_not_as_published(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """DAFormer: 68.3, and 70.3 with MRM (results/published.csv), 40,000 iterations in fp32."""
    solver = {"ITERS": 350, "BATCH": 2, "PRECISION": "bf16"}
    whole = {"SOLVER": solver, "INPUT": {"CROP": [512, 512]}}
    published_run(tmp_path / "a", "daformer", 60.0, {"SOLVER.ITERS": 350, "SAMPLING.TEMPERATURE": 0.1}, **whole)
    view = {"TERMS": {"MRM": {"VIEW": "target"}}}  # which one is published is not known
    changed = {"SOLVER.ITERS": 350, "SOLVER.LR": 1.0, "TERMS.MRM.VIEW": "target"}
    published_run(tmp_path / "b", "daformer+mrm", 61.0, changed, **whole, **view)
    large = {"SOLVER": {**solver, "ITERS": 40000}, "INPUT": {"CROP": [1024, 1024]}}
    published_run(tmp_path / "c", "hrda", 60.0, {"TEST.PERIOD": 9}, **large, **view)
    published_run(tmp_path / "d", "hrda+mic", 60.0, None, SOLVER={"ITERS": 40000})
    published_run(tmp_path / "e", "dacs", 60.0, {}, **whole)  # published on other networks alone
    published_run(tmp_path / "f", "hrda+mrm", 60.0, {"DATA.SOURCE_2.LAYOUT": "synthia"}, **large)
    code, out, err = called(capsys, tmp_path, "--published", "--format", "csv")
    assert (code, err) == (0, "")
    found = {line["method"]: line for line in csv.DictReader(io.StringIO(out))}
    # Another method; another network; another source.
    assert [found[name]["published_miou"] for name in ("daformer", "dacs", "hrda+mrm")] == ["", "", ""]
    assert (found["daformer+mrm"]["published_miou"], found["hrda"]["published_miou"]) == ("70.3", "73.8")
    told = "SOLVER.LR 1.0, training not stated there, TERMS.MRM.VIEW target (not stated)"
    assert found["daformer+mrm"]["not_as_published"] == told
    assert found["hrda"]["not_as_published"] == "precision bf16 (fp32)"
    assert found["hrda+mic"]["not_as_published"] == (
        "batch not known (2), crop not known (1024x1024), precision not known (fp32), settings not in the records"
    )
    assert found["hrda"]["published_source"] == "Hoyer et al. 2022 (HRDA)"
    code, out, _ = called(capsys, tmp_path, "--published", "--where", "method=hrda", "--format", "markdown")
    assert " 73.8 " in out and "-13.8" in out
    assert "Published: Hoyer et al. 2022 (HRDA). Not as published: precision bf16 (fp32)." in out
    out = called(capsys, tmp_path, "--published", "--baseline", "hrda")[1]
    assert "published difference" in out and "+2.1" in out  # 75.9 of hrda+mic - 73.8
