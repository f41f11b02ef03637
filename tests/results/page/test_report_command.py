"""results/report.py: what the page says of run folders and leaves out, and that nothing of others is markup."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from detectron2.config import CfgNode
from html_page import Page
from reported_runs import write_all, write_reported
from scipy import stats
from written_runs import write_run

from benchmarks.config.overrides import parse_pairs
from benchmarks.config.run import Run
from benchmarks.config.run_id import run_id
from benchmarks.config.spec import RunSpec
from benchmarks.engine.run_record import initial_record
from results import report

HOSTILE = "<script>alert(1)</script>"


def page(capsys: pytest.CaptureFixture[str], *words: str | Path, code: int = 0) -> Page:
    out = Path(words[0]) / "page.html"
    assert report.main([*map(str, words), "--out", str(out)]) == code, capsys.readouterr().err
    capsys.readouterr()
    return Page(out.read_text())


def changed(folder: Path, **values: Any) -> None:
    record = json.loads((folder / "record.json").read_text())
    (folder / "record.json").write_text(json.dumps(record | values))


def two_methods(runs: Path) -> None:
    for method, scores in (("dacs", (21.0, 24.0, 22.5)), ("dacs+mrm", (23.0, 25.5, 24.75))):
        for seed, miou in enumerate(scores):
            write_run(runs / method / f"{seed}", method, seed, miou, 0.4)


def test_the_main_table_has_means_and_paired_differences(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    two_methods(tmp_path)
    heads, dacs, mrm = page(capsys, tmp_path, "--baseline", "dacs").tables["main-table"]
    assert heads[:2] == ["method", "mIoU (19)"] and dacs[1] == "22.5 ± 1.5" and dacs[3] == "–"
    interval = stats.ttest_rel([23.0, 25.5, 24.75], [21.0, 24.0, 22.5]).confidence_interval(0.95)
    text = f"[+{interval.low:.1f}, +{interval.high:.1f}]"
    assert mrm == ["dacs+mrm", "24.4 ± 1.3", "3", "+1.9 ± 0.4", text, "3 of 3", "350", "0.500", "700 MiB"]


@pytest.fixture(scope="module")
def all_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five methods of two seeds and what did not finish; one record is damaged, one says all that was set."""
    runs = tmp_path_factory.mktemp("runs")
    write_all(runs, seeds=2)
    (runs / "dacs" / "None-1" / "record.json").write_text("{")
    changed(runs / "dacs+mic" / "None-0", seconds_per_iteration=float("nan"), peak_memory_mib=None)
    settings = {"SOLVER.ITERS": 350, "INPUT.CROP": [64, 64], "WEIGHTS": "my weights"}
    changed(runs / "dacs" / "None-0", changed_settings=settings)
    return runs


@pytest.fixture(scope="module")
def everything(all_runs: Path) -> Page:
    """The report of `all_runs`."""
    assert report.main([str(all_runs), "--baseline", "dacs", "--out", str(all_runs / "report.html")]) == 1
    return Page((all_runs / "report.html").read_text())


@pytest.mark.slow
def test_the_page_loads_nothing_and_runs_its_own_script_alone(everything: Page) -> None:
    found = everything
    assert len(found.elements["script"]) == 1 and found.elements["script"][0] == {}
    policy = next(each["content"] for each in found.elements["meta"] if "http-equiv" in each)
    assert policy is not None and policy.startswith("default-src 'none'; img-src data:;") and "'sha256-" in policy
    attributes = [pair for each in found.elements.values() for element in each for pair in element.items()]
    loaded = [str(value) for name, value in attributes if name in ("src", "href", "srcset", "data", "xlink:href")]
    assert loaded and all(value.startswith(("#", "data:")) for value in loaded)
    ids = [value for name, value in attributes if name == "id"]
    assert len(ids) == len(set(ids))
    links = {value[1:] for value in loaded if value.startswith("#")}
    assert links | {value for name, value in attributes if name in ("aria-labelledby", "aria-describedby")} <= set(ids)


def test_what_others_wrote_is_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for seed in (0, 1):
        write_reported(tmp_path / f"{seed}", "dacs", seed)
        spec = {"protocol": HOSTILE, "method": f"dacs{HOSTILE}", "network": f'"{HOSTILE}', "seed": seed}
        iou = {f"road{HOSTILE}": 50.0, "sky'\"": 40.0}
        changed(
            tmp_path / f"{seed}",
            spec=spec,
            result={"student": {"miou": 45.0, "iou": iou}},
            versions={HOSTILE: HOSTILE},
            git={"commit": HOSTILE},
            hardware={"name": HOSTILE, "threads": HOSTILE},
            changed_settings={HOSTILE: HOSTILE},
        )
        (tmp_path / f"{seed}" / "config.yaml").write_text(yaml.safe_dump({f"A{HOSTILE}": f"{HOSTILE}{seed}"}))
    write_run(tmp_path / "bad", HOSTILE, 3, None, None, status="failed", reason=f"{HOSTILE} {'x' * 10**6}")
    (tmp_path / "<img src=x>").mkdir()
    (tmp_path / "<img src=x>" / "record.json").write_text("{")
    (tmp_path / "0" / "metrics.json").write_text(f'{{"iteration": 9, "pseudo_label_{HOSTILE}": 0.5}}\n')
    found = page(capsys, tmp_path, code=1)
    assert len(found.elements["script"]) == 1
    assert all(str(each["src"]).startswith("data:image/") for each in found.elements["img"])
    assert found.tables["class-table"][1][0] == f"road{HOSTILE}"
    assert any(row[0].endswith(f", A{HOSTILE} {HOSTILE}0") for row in found.tables["run-table"])
    assert f"'{HOSTILE}' '{HOSTILE}'" in found.text and "<img src=x>" in found.text
    assert len(found.text) < 30_000 and HOSTILE in found.tables["unfinished-table"][1][3]


@pytest.mark.slow
def test_what_is_not_finished_damaged_or_unknown_is_told(everything: Page) -> None:
    found = everything
    stopped = {row[2]: row[3] for row in found.tables["unfinished-table"][1:]}
    assert stopped == {
        "diverged": "loss_mrm is nan in iteration 17",
        "failed": "CUDA out of memory",
        "lost": "lost: its process is gone (node 7)",
        "stopped": "pruned by the search",
        "running": "–",
    }
    assert "left out: " in found.text and "None-1" in found.text
    run = next(row for row in found.tables["run-table"] if row[:2] == ["dacs+mic", "0"])
    assert run[5:7] == ["–", "–"]
    assert next(row for row in found.tables["run-table"] if row[2] == "failed")[3] == "–"


def test_classes_show_the_paired_difference_bold_where_its_interval_leaves_out_0(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    two_methods(tmp_path)
    for seed in range(3):
        iou = {"road": 50.0 + seed, "sky": 9.0}
        changed(tmp_path / "dacs" / f"{seed}", result={"student": {"miou": 20.0, "iou": iou}})
        iou = {"road": 54.0 + seed + seed % 2, "sky": 9.0 + (-1) ** seed}
        changed(tmp_path / "dacs+mrm" / f"{seed}", result={"student": {"miou": 21.0, "iou": iou}})
    found = page(capsys, tmp_path, "--baseline", "dacs")
    assert found.tables["class-table"][1:] == [
        ["road", "51.0 ± 1.0", "55.3 ± 1.2/+4.3 ± 0.6"],
        ["sky", "9.0 ± 0.0", "9.3 ± 1.2/+0.3 ± 1.2"],
    ]
    assert found.elements["small"] == [{"class": "holds"}, {}]
    cells = [each for each in found.elements["td"] if "style" in each]
    assert [(str(each["class"]).split()[-1], each["style"]) for each in cells] == [
        ("up", "--share: 1.0"),
        ("up", f"--share: {round(1 / 13, 3)}"),
    ]


def test_curves_are_means_over_seeds_where_all_seeds_have_a_point(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    two_methods(tmp_path)
    for seed in range(3):
        curve = [{"iteration": 100, "miou": 10.0 + seed}, {"iteration": 200, "miou": 20.0}]
        if seed == 1:
            curve.append({"iteration": 150, "miou": 90.0})
        changed(tmp_path / "dacs" / f"{seed}", curve=curve)
    assert page(capsys, tmp_path).tables["curve1-table"] == [
        ["iteration", "dacs"],
        ["100", "11.0 ± 1.0"],
        ["200", "20.0 ± 0.0"],
    ]


def test_settings_that_runs_of_a_recipe_differ_in_are_drawn_against_the_baseline(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed in (0, 1):
        write_run(tmp_path / f"dacs-{seed}", "dacs", seed, 20.0 + 3 * seed, None)
        for ratio in (0.2, 0.4):
            write_run(tmp_path / f"{ratio}-{seed}", "dacs+mrm", seed, 21.0 + 3 * seed + 10 * ratio + seed / 2, ratio)
    found = page(capsys, tmp_path, "--baseline", "dacs")
    rows = found.tables["ablation1-table"]
    assert rows[0] == ["TERMS.MRM.RATIO", "mIoU (%)", "n", "vs dacs", "95% (seeds)"]
    assert [(row[0], row[3]) for row in rows[1:]] == [("0.2", "+3.2 ± 0.4"), ("0.4", "+5.2 ± 0.4")]
    assert "mIoU difference to dacs" in found.text and "ablation2-table" not in found.tables
    assert "mIoU difference" not in page(capsys, tmp_path).text


def test_no_two_rows_of_a_figure_are_drawn_alike(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_run(tmp_path / "0dacs", "dacs", 0, 20.0, None)
    for step in range(12):
        write_run(tmp_path / f"1{step}", "dacs+mrm", 0, 20.0, step / 12)
    page(capsys, tmp_path)
    legend = (tmp_path / "page.html").read_text().rpartition('<ul class="legend">')[2].partition("</ul>")[0]
    looks = re.findall(r'style="(--light[^"]+)">.*?class="mark" d="([^"]+)"', legend, re.DOTALL)
    assert len(looks) == len(set(looks)) == 13
    assert looks[0][0] == "--light: #0072B2; --dark: #4AA8E0"  # of dacs, as in all plots


def test_cost_is_beside_mIoU_and_an_oracle_is_on_no_front(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = {"dacs": (20.0, 0.5), "mic": (19.0, 0.9), "mrm": (22.0, 0.7), "target-only": (40.0, 0.1)}
    for method, (miou, seconds) in found.items():
        oracle = method == "target-only"
        write_run(tmp_path / method, method, 0, miou, None, seconds_per_iteration=seconds, oracle=oracle)
    beside = {"seconds_per_iteration": 0.2, "shared": {"iterations": 3, "of": 9, "others": 1}}
    write_run(tmp_path / "hrda", "hrda", 0, 30.0, None, **beside)
    shown = page(capsys, tmp_path)
    rows = shown.tables["cost1-table"][1:]
    assert [row[1:2] + row[3:] for row in rows] == [["0.500", "yes"], ["0.900", "–"], ["0.700", "yes"], ["0.100", "–"]]
    assert [row[:2] for row in shown.tables["cost3-table"][1:]] == [["hrda", "0.200"]]  # of a shared machine, apart
    assert shown.text.count("0.200 †") == 2 and "† With other runs on the same GPU or cores" in shown.text


def test_pseudo_labels_are_of_the_last_making_of_each_iteration(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_run(tmp_path / "0", "dacs", 0, 20.0, None, max_iterations=40, iterations=40)
    lines = [{"iteration": at, "pseudo_label_confidence": 0.1, "lr": 1} for at in (19, 39)]
    lines += [{"iteration": 39, "pseudo_label_confidence": 0.5}, {"iteration": 59, "pseudo_label_confidence": None}]
    lines += [{"iteration": 39, "gradient_norm/student": 2.5}]
    text = "\n".join(map(json.dumps, lines)) + '\n{"iteration": 49, "pseudo_label_confidence": 0.'
    (tmp_path / "0" / "metrics.json").write_text(text)
    found = page(capsys, tmp_path)
    assert found.tables["training1-table"][1:] == [["20", "0.100"], ["40", "0.500"]]
    assert found.tables["training2-table"][1:] == [["40", "2.500"]]
    assert "Gradient norm of student: streets, daformer-lite0" in found.text
    assert "Pseudo-label confidence: streets, daformer-lite0" in found.text
    assert "whose largest probability reaches the threshold. Of one seed each." in found.text


@pytest.mark.slow
def test_settings_versions_and_commands_are_those_of_the_records(everything: Page) -> None:
    found = everything
    differing = {row[0]: row[1:] for row in found.tables["differing"]}
    assert differing["TERMS.MRM.RATIO"] == ["–", "–", "0.2", "0.4", "0.6", "–", "–"]
    assert {"SOLVER.ITERS", "INPUT.CROP"} <= {row[0] for row in found.tables["alike"]} and "SEED" not in found.text
    environments = found.tables["made-with"][1:]
    assert [row[3] for row in environments] == ["0f9a4232f706", "–", "0f9a4232f706 and changes"]
    assert environments[0][2] == "python 3.11.7, torch 2.13.0" and "dacs: seed 0;" in environments[0][4]
    words = "python benchmarks/run.py --protocol streets --methods dacs --network daformer-lite0 --seeds 0"
    assert f"{words} SOLVER.ITERS 350 INPUT.CROP '[64, 64]' WEIGHTS 'my weights'" in found.text
    words = "--methods dacs+mrm --network daformer-lite0 --seeds 1 TERMS.MRM.RATIO 0.6"
    assert words in found.text and found.text.count("(its record does not say all that was set)") == 17


@pytest.mark.slow
def test_the_oracle_rule_has_no_classes_and_says_why(all_runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = page(capsys, all_runs, "--rule", "oracle", "--baseline", "dacs", code=1)
    assert "class-table" not in found.tables and "records keep mIoU of the student alone" in found.text
    assert "an oracle, and no result of adaptation" in found.text


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--baseline", "mic"], "--baseline mic: no run is of it, expected one of dacs, dacs+mrm"),
        (["--where", "method=mic"], "--where method=mic: no run is so, expected one of dacs, dacs+mrm"),
        (["--out", "no/such/report.html"], "--out no/such/report.html: cannot be written (No such file"),
        (["no-such-folder"], "no-such-folder: no such folder"),
    ],
)
def test_a_slip_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], line: str
) -> None:
    two_methods(tmp_path)
    out = [] if "--out" in words else ["--out", str(tmp_path / "report.html")]
    assert report.main([str(tmp_path), *words, *out]) == 2
    shown, err = capsys.readouterr()
    assert shown == "" and err.startswith(f"error: {line}") and len(err.splitlines()) == 1
    assert not (tmp_path / "report.html").exists()


def test_help_names_each_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        report.main(["--help"])
    options = set(re.findall(r"--[a-z]+", capsys.readouterr().out))
    assert {"--out", "--where", "--baseline", "--rule", "--model"} <= options


def test_the_command_of_a_run_makes_the_run_of_the_same_id(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], small_config: Callable[..., CfgNode]
) -> None:
    cfg = small_config("dacs+mrm", 3, {"TERMS.MRM.RATIO": 0.7, "WEIGHTS": "none", "TEST.SLIDING": True})
    record = initial_record(Run.at(tmp_path / "run", cfg)).content
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "record.json").write_text(json.dumps({"schema": 1, **record}))
    text = page(capsys, tmp_path).text
    line = next(line for line in text.splitlines() if "benchmarks/run.py" in line)
    words = shlex.split(line.partition("benchmarks/run.py")[2])
    assert words[:8:2] == ["--protocol", "--methods", "--network", "--seeds"] and "TERMS.MRM.RATIO" in words
    again = RunSpec(words[1], words[3], words[5], int(words[7]), parse_pairs(words[8:])).resolve()
    assert run_id(again) == run_id(cfg)
