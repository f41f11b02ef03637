"""From a grid's records to its table and its published figures; and the command as a whole."""

from __future__ import annotations

import json
import math
import os
import re
import statistics
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from conftest import NETWORK
from counted_costs import COUNTER
from full_disk import refuse_new_files
from grid_runs import Scores, rows_of, write_run, write_runs
from matplotlib.figure import Figure
from trained_runs import Ended, assert_one_line, call

import ablations.run
import ablations.sweep.report
from ablations.profiling import step_cost
from ablations.sweep.expand import Row
from ablations.sweep.grid import grids, read_grid
from ablations.sweep.grid_plot import _Defaults, _is_published
from ablations.sweep.published_figures import beside
from ablations.sweep.report import Report, report, write_report
from benchmarks.config.run_id import run_id
from benchmarks.launch import compare, here
from benchmarks.launch.dry_run import dry_run
from benchmarks.launch.launcher import Launcher
from results.plots.style import PAGE
from results.records.record import Record, read_record
from results.tables.frame import from_folders
from results.tables.rows import Row as TableRow
from results.tables.rows import runs_of


def listed(rows: Sequence[Row]) -> list[tuple[str, Any]]:
    return [(row.label, run) for row in rows for run in row.runs]


LAMBDA: Scores = {
    "0": [22.0, 23.0, 24.0],
    "0.1": [23.0, 23.5, "diverged"],
    "0.5": [21.0, 21.0, 21.0],
    "1": ["failed", "diverged", "diverged"],
    "2": [20.0],
}


def test_rows_are_means_and_differences_seed_by_seed(tmp_path: Path) -> None:
    grid, rows = read_grid("lambda"), rows_of("lambda", output=tmp_path)
    write_runs(rows, LAMBDA)
    made = report(grid, rows, {}, "Title")
    frame = made.frame.set_index("setting")
    assert list(frame.index) == ["0", "0.1", "0.5", "1", "2", "10"]
    assert frame.loc["0.1", "miou"] == 23.25
    assert frame.loc["0.1", "deviation"] == pytest.approx(statistics.stdev([23.0, 23.5]))
    assert frame.loc["0.1", "difference"] == pytest.approx(0.75)  # (23 - 22 + 23.5 - 23) / 2, not 23.25 - 23
    assert list(frame["difference_n"]) == [0, 2, 3, 0, 1, 0]
    assert frame.loc["0.5", "difference"] == -2.0
    assert list(frame["n"]) == [3, 2, 3, 0, 1, 0]
    assert math.isnan(frame.loc["10", "miou"])
    told = ["", "1 diverged", "", "2 diverged, 1 failed", "2 not started", "3 not started"]
    assert list(frame["unfinished"]) == told
    assert made.failed
    assert made.shown["λ"] == list(frame.index) and made.shown["unfinished"] == told
    assert made.shown["mIoU (19)"][:4] == ["23.0 ± 1.0", "23.2 ± 0.4", "21.0 ± 0.0", "-"]
    assert made.shown["n"] == ["3", "2", "3", "0", "1", "0"]
    assert made.shown["vs λ 0"] == ["-", "+0.8 ± 0.4", "-2.0 ± 1.0", "-", "-2.0", "-"]
    assert made.shown["better"] == ["-", "2 of 2", "0 of 3", "-", "0 of 1", "-"]
    assert "published" not in made.shown and "iterations" not in made.shown
    for part in ("Title, 19 classes, 350 iterations, seeds 0, 1, 2", "last iterate", "TERMS.MRM.RATIO 0.4"):
        assert part in made.caption
    assert "Published" not in made.caption and "Set besides" not in made.caption


def test_damaged_records_are_counted_and_named(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    grid, rows = read_grid("lambda"), rows_of("lambda", output=tmp_path)
    write_runs(rows, {"0": [22.0, 23.0, 24.0], "0.1": [23.0, 23.5], "0.5": [21.0]})
    records = [row.runs[0].folder / "record.json" for row in rows[:3]]
    records[0].write_text("{")
    records[1].write_text('{"schema": 1, "status": "finished"}')  # without the fields of a table
    records[2].unlink()
    os.mkfifo(records[2])
    made = report(grid, rows, {}, "Title")
    frame = made.frame.set_index("setting")
    told = ["1 damaged", "1 damaged, 1 not started", "1 damaged, 2 not started", "3 not started"]
    assert list(frame["unfinished"])[:4] == told
    assert frame.loc["0", "miou"] == 23.5 and made.failed
    ids = ", ".join(path.parent.name for path in records)
    assert f" Left out, since their records are damaged: {ids}." in made.caption
    err = capfd.readouterr().err
    assert all(str(path) in err for path in records)


def test_a_reference_without_runs_leaves_no_difference(tmp_path: Path) -> None:
    rows = rows_of("lambda", seeds=[0], output=tmp_path)
    write_runs(rows, {"0.1": [23.0], "0.5": [21.0]})
    frame = report(read_grid("lambda"), rows, {}, "T").frame
    assert frame["difference"].isna().all() and list(frame["n"]) == [0, 1, 1, 0, 0, 0]
    nothing = report(read_grid("lambda"), rows_of("lambda", seeds=[0], output=tmp_path / "empty"), {}, "T").frame
    assert list(nothing["unfinished"]) == ["1 not started"] * 6 and nothing["miou"].isna().all()


def test_a_grid_of_stability_counts_what_diverged_and_has_norms_of_gradients(tmp_path: Path) -> None:
    """Of runs that came to an end: one that failed, or goes on, may yet diverge."""
    rows = rows_of("mask-ratio", output=tmp_path)[:4]
    write_runs(
        rows,
        {
            "without MRM": [22.0, 23.0, 24.0],
            "0.1": [23.0, "diverged", "failed"],
            "0.2": ["diverged", "diverged", "diverged"],
            "0.3": ["running"],
        },
    )
    for row, norms in ((rows[1], [[1.0, 3.0], [2.0, None, 70.0], [999.0]]), (rows[3], [[888.0]])):
        for run, each in zip(row.runs, norms, strict=False):
            lines = [{"iteration": at, "gradient_norm/student": norm} for at, norm in enumerate(each)]
            (run.folder / "metrics.json").write_text("".join(json.dumps(line) + "\n" for line in lines))
    made = report(read_grid("mask-ratio"), rows, {}, "T")
    assert made.shown["diverged"] == ["0 of 3", "1 of 2", "3 of 3", "0 of 0"]
    assert made.shown["gradient norm"] == ["-", "2.5, at most 70", "-", "-"]
    frame = made.frame.set_index("setting")
    assert list(frame["diverged"]) == [0, 1, 3, 0] and list(frame["ended"]) == [3, 2, 3, 0]
    assert (frame.loc["0.1", "gradient_norm"], frame.loc["0.1", "largest_gradient_norm"]) == (2.5, 70.0)
    assert "Diverged: of the runs that came to an end. Gradient norm: the student's" in made.caption
    without = report(read_grid("mask-ratio"), [rows[0], rows[2]], {}, "T")  # as published records are
    assert "gradient norm" not in without.shown
    assert "Diverged: of the runs that came to an end." in without.caption and "Gradient norm" not in without.caption
    assert {"stability": True, "cost": False}.items() <= vars(read_grid("mask-ratio")).items()
    assert read_grid("rebuilder-blocks").stability and not read_grid("lambda").stability


def test_each_architecture_has_a_reference_of_its_own(tmp_path: Path) -> None:
    rows = rows_of("architectures", "gta-cityscapes", seeds=[0], output=tmp_path)
    scores = {row.label: [50.0 + index] for index, row in enumerate(rows)}
    scores[rows[-1].label] = [70.0]
    write_runs(rows, scores)
    made = report(read_grid("architectures"), rows, {}, "T")
    assert made.shown["vs host alone"] == ["-", "+1.0"] * 4 + ["-", "+12.0"]
    assert made.shown["published"][:4] == ["52.0", "55.1", "54.7", "59.3"]
    assert made.shown["published difference"] == ["-", "+3.1", "-", "+4.6", "-", "+2.9", "-", "+2.1", "-", "+2.2"]
    assert list(made.shown)[:2] == ["architecture", "added to the host"]


# Published figures


def published(name: str, protocol: str = "gta-cityscapes", **given: Any) -> dict[str, tuple[Any, Any]]:
    """mIoU (or words) and difference by label, where there is one."""
    rows = rows_of(name, protocol, **({"seeds": [0]} | given))
    empty = TableRow({}, {}, runs_of(from_folders([])))
    found = zip(rows, beside(read_grid(name), rows, [empty] * len(rows)), strict=True)
    figures = {row.label: (each.note or each.miou, each.difference) for row, each in found}
    return {label: figure for label, figure in figures.items() if figure != (None, None)}


@pytest.mark.slow
def test_published_figures_stand_beside_runs_of_the_same_kind_alone() -> None:
    host = {"without MRM": (52.1, None)}
    ratios = {**host, "0.2": (54.3, 2.2), "0.4": (55.9, 3.8), "0.6": (55.2, 3.1), "0.8": (54.1, 2.0)}
    assert published("mask-ratio") == ratios
    assert published("mask-ratio", overrides={"SOLVER.ITERS": 100}) == ratios  # the caption says how many
    assert published("mask-ratio", network="daformer-lite0") == {}
    assert published("mask-ratio", "streets") == {}
    assert published("mask-ratio", "streets", network="deeplabv2-r101") == {}
    assert published("mask-ratio", "synthia-cityscapes", overrides={"TEST.CLASSES": 13}) == {}
    # Another lambda in all rows: only the host alone is what was published.
    assert published("mask-ratio", overrides={"TERMS.MRM.WEIGHT": 0.5}) == host
    assert published("mask-ratio", overrides={"SELF_TRAINING.THRESHOLD": 0.5}) == {}
    # Of other hosts and networks the figures of whole recipes are known, not those of settings.
    daformer = {"without MRM": (68.3, None), "0.4": (70.3, 2.0)}
    assert published("mask-ratio", host="daformer", network="daformer-mitb5") == daformer
    assert published("lambda", "synthia-cityscapes") == {"0": (48.3, None), "1": (55.8, 7.5)}


def test_published_differences_and_words() -> None:
    assert published("objective")["mask without rebuilding"] == (None, -0.2)
    assert published("rebuilder-resolution")["64"] == ("out of memory", None)
    domain = {"source": (None, 0.8), "target": (55.9, 3.8), "source and target": (None, 3.1)}
    assert published("domain") == {"without MRM": (52.1, None), **domain}
    location = {"none": (52.1, None), "input": (54.0, 1.9), "latent": (55.9, 3.8)}
    assert published("masking-location") == location
    plane = published("ratio-by-lambda")
    assert len(plane) == 9 and plane["0.4, 10"] == (52.1, 0.0) and plane["0.8, 1"] == (54.1, 2.0)
    components = published("components")
    assert components["mic"] == (64.2, 12.1) and components["mic + mrm"] == (67.1, 15.0)


def test_published_figures_stand_beside_either_view_of_mrm_which_is_told(tmp_path: Path) -> None:
    """The paper does not state the view: its figure may be of either."""
    host = {"without MRM": (52.1, None)}
    assert published("view") == host | {"class-mixed": (55.9, 3.8), "plain target": (55.9, 3.8)}
    overrides = {"TERMS.MRM.VIEW": "target"}
    assert published("trained-part", overrides=overrides) == published("trained-part") != {}
    rows = rows_of("view", "gta-cityscapes", seeds=[0], output=tmp_path)
    write_runs(rows, {"without MRM": [50.0], "class-mixed": [51.0], "plain target": [52.0]})
    made = report(replace(read_grid("view"), cost=False), rows, {}, "T")
    assert list(made.frame["not_as_published"])[1:] == [
        "TERMS.MRM.VIEW mixed (not stated)", "TERMS.MRM.VIEW target (not stated)"
    ]  # fmt: skip
    assert not any(_is_published(read_grid("view"), row, _Defaults()) for row in rows)  # no star


def test_published_columns_and_their_source_are_in_the_table(tmp_path: Path) -> None:
    rows = rows_of("rebuilder-resolution", "gta-cityscapes", seeds=[0], output=tmp_path)
    write_runs(rows, {"without MRM": [50.0], "16": [51.0]})
    grid = replace(read_grid("rebuilder-resolution"), cost=False)
    made = report(grid, rows, {"SOLVER.BATCH": 4, "DEVICE": "cpu"}, "T")
    assert made.shown["published"] == ["52.1", "55.6", "55.9", "54.1", "out of memory"]
    assert made.shown["published difference"] == ["-", "+3.5", "+3.8", "+2.0", "-"]
    assert made.shown["vs published"] == ["-2.1", "-", "-4.9", "-", "-"]  # of what was measured
    assert "Published: arXiv 2509.13801, ablation of the Rebuilder, on one RTX 3090." in made.caption
    assert "Set besides: SOLVER.BATCH 4. " in made.caption
    ours = {"host": "daformer", "network": "daformer-mitb5", "overrides": {"SOLVER.ITERS": 350}}
    rows = rows_of("rebuilder-resolution", "gta-cityscapes", seeds=[0], output=tmp_path / "other", **ours)
    made = report(grid, rows, {}, "T")
    assert made.frame["not_as_published"][0] == "iterations 350 (40000)"  # of the recipe, whose training is stated


@pytest.mark.slow
def test_multiply_adds_are_in_the_table_of_a_grid_that_asks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(step_cost, "CostCounter", lambda: COUNTER)
    overrides = {"INPUT.CROP": (64, 64), "WEIGHTS": "none", "NETWORK": NETWORK}
    rows = rows_of("masking-location", seeds=[0], overrides=overrides, output=tmp_path)
    write_runs(rows, {"none": [20.0], "input": [21.0], "latent": [22.0]})
    made = report(read_grid("masking-location"), rows, overrides, "T")
    assert list(made.frame["cost_ratio"])[:2] == [1.0, 2.0]  # input space: the whole network a second time
    assert made.frame["target_image_macs"][1] == 2 * made.frame["target_image_macs"][0]
    assert made.shown["G multiply-adds"][1].endswith(" (2.00×)")


def test_what_a_grid_says_breaks_no_row_and_is_no_formula(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ablations.sweep.report, "plot_grid", lambda *_: Figure())
    frame = pd.DataFrame({"setting": ["=1+1", "a\rb", "-0.5"], "miou": [20.0, 21.0, 22.5]})
    made = Report(frame, {"setting": ["a|b", "<i>"], "mIoU (19)": ["20.0", "21.0"]}, "title | <b>\nbold", False)
    csv, text, _ = write_report(read_grid("lambda"), [], made, tmp_path / "grid", ["svg"])
    assert csv.read_bytes() == b"setting,miou\n'=1+1,20.0\n\"a\nb\",21.0\n-0.5,22.5\n"
    lines = text.read_text(encoding="utf-8").splitlines()
    assert r"a\|b" in lines[2] and "&lt;i>" in lines[3] and lines[5:] == [r"title \| &lt;b> bold"]


# The command


@pytest.fixture
def command(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[..., Ended]:
    """The command with runs that are written in place of trained; those of seed 1 at ratio 0.9 diverge."""

    def write(run: Any, watcher: Any, *_: Any) -> Record | None:
        cfg, folder = run.cfg, run.folder
        diverged = cfg.TERMS.MRM.RATIO == 0.9 and cfg.SEED == 1
        watcher.started(0)
        write_run(cfg, folder, "diverged" if diverged else 20.0 + 10 * cfg.TERMS.MRM.RATIO * ("mrm" in cfg.METHOD))
        return read_record(folder)

    monkeypatch.setattr(here, "run_one", write)
    monkeypatch.setattr(compare, "check_runs", lambda *_: None)
    monkeypatch.chdir(tmp_path)
    return lambda *words: call(ablations.run, list(words), monkeypatch, capfd)


@pytest.mark.slow
def test_the_command_makes_the_runs_and_writes_table_and_plot(
    command: Callable[..., Ended], tmp_path: Path
) -> None:
    ended = command("mask-ratio", "--seeds", "0,1", "--output", "out", "--iters", "20", "SOLVER.BATCH", "2")
    assert (ended.code, ended.err) == (1, "")  # one diverged
    assert "mask-ratio 0.3, seed 1: mIoU 23.0" in ended.out
    (stem,) = (path.stem for path in (tmp_path / "out").glob("mask-ratio-*.csv"))
    assert re.fullmatch("mask-ratio-streets-daformer-lite0-dacs-[0-9a-f]{8}", stem)
    files = sorted(path.name for path in (tmp_path / "out").iterdir())
    made = [f"{stem}.{ending}" for ending in ("csv", "md", "pdf", "png", "svg")]
    assert files == [".index.lock", "index.csv", *made, "streets"]
    back = pd.read_csv(tmp_path / "out" / f"{stem}.csv")
    assert back["miou"].tolist() == pytest.approx([20.0, *(20.0 + digit for digit in range(1, 10))])
    assert back["unfinished"].tolist()[-1] == "1 diverged" and back["unfinished"].isna().sum() == 9
    assert back["mask ratio"].tolist()[:2] == ["without MRM", "0.1"]
    markdown = (tmp_path / "out" / f"{stem}.md").read_text(encoding="utf-8")
    for part in ("| 0.4 ", "20 iterations, seeds 0, 1", "Set besides: SOLVER.BATCH 2"):
        assert part in markdown
    again = command("mask-ratio", "--seeds", "0,1", "--output", "out", "--iters", "20", "SOLVER.BATCH", "2")
    assert again.out.count("finished before") == 19
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == files
    other = command("lambda", "--seeds", "0", "--output", "out", "--iters", "20", "SOLVER.BATCH", "2")
    first = (tmp_path / "out" / f"{stem}.csv").read_bytes()
    assert command("mask-ratio", "--seeds", "2", "--output", "out", "--iters", "20").code == 0
    assert len(list((tmp_path / "out").glob("mask-ratio-*.csv"))) == 2  # of other seeds and keys
    assert (tmp_path / "out" / f"{stem}.csv").read_bytes() == first
    assert other.out.count("finished before") == 2  # the host alone, and MRM as published
    assert other.code == 0


def test_plots_are_of_the_formats_and_the_width_that_are_asked_for(
    command: Callable[..., Ended], tmp_path: Path
) -> None:
    words = ("lambda", "--seeds", "0", "--output", "out", "--iters", "20", "--plot-width", "page", "--plots", "svg")
    assert command(*words).code == 0
    (plot,) = (path for path in (tmp_path / "out").glob("lambda-*") if path.suffix not in (".csv", ".md"))
    assert plot.suffix == ".svg" and f'width="{72 * PAGE:g}pt"' in plot.read_text(encoding="utf-8")


def test_a_full_disk_takes_no_table_away(
    command: Callable[..., Ended], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("lambda", "--seeds", "0", "--output", "out", "--iters", "20")
    assert command(*words).code == 0
    for path in (tmp_path / "out").glob("*.*"):
        path.unlink()
    refuse_new_files(monkeypatch)
    ended = command(*words)
    assert ended.code == 2
    assert ended.err == "error: --output out: expected a folder that can be written (No space left on device)\n"
    assert "s/iteration" in ended.out and "plot:" not in ended.out


def test_a_dry_run_lists_without_running(command: Callable[..., Ended], tmp_path: Path) -> None:
    words = ("masking-location", "--output", "out", "--seeds", "0,1")
    first = command(*words, "--dry-run")
    assert first.code == 0 and "6 runs, 0 done, 6 to make; time: unknown" in first.out
    assert not (tmp_path / "out").exists()
    rows = rows_of("masking-location", seeds=[0, 1], output=tmp_path / "out")
    write_runs(rows, {"none": [20.0, "diverged"], "latent": ["running", "failed"]})
    told = command(*words, "--dry-run").out.splitlines()
    states = [" ".join(line.split()[3:]) for line in told[2:8]]
    ids = [run_id(run.cfg) for row in rows for run in row.runs]
    assert states == [
        f"0 {ids[0]} finished, mIoU 20.0",
        f"1 {ids[1]} diverged",
        f"0 {ids[2]} to do unknown",
        f"1 {ids[3]} to do unknown",
        f"0 {ids[4]} begun unknown",
        f"1 {ids[5]} failed unknown",
    ]
    assert told[-1].startswith("6 runs, 2 done, 4 to make; time: unknown")


def test_the_time_left_is_scaled_from_finished_runs(tmp_path: Path) -> None:
    """0.6 s an iteration in the records, evaluation included."""
    write_runs(rows_of("lambda", seeds=[0], output=tmp_path), {"0": [20.0], "1": [21.0]})
    rows = rows_of("masking-location", seeds=[0, 1], overrides={"SOLVER.ITERS": 100}, output=tmp_path)
    told = dry_run(listed(rows), tmp_path, Launcher("local", 2))
    assert told.count(" 1:00") == 4 and told.count("unknown\n") == 2
    assert told.endswith("6 runs, 0 done, 6 to make; time: about 2:00 with 2 at a time, and 2 runs of unknown time")
    only = listed(rows_of("lambda", seeds=[0], output=tmp_path)[:1])
    assert dry_run(only, tmp_path, Launcher()).endswith("1 runs, 1 done, 0 to make; time: none")


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("", "expected the NAME of a grid (--list shows what there is)"),
        ("mask-rato", "unknown grid 'mask-rato'; did you mean 'mask-ratio'?"),
        ("mine.yaml", "mine.yaml: no such file, expected a grid in YAML"),
        ("lambda --host dcs", "unknown method 'dcs'; did you mean 'dacs'?"),
        ("lambda --protocol street", "unknown protocol 'street'; did you mean 'streets'?"),
        ("lambda --network daformer-lit0", "unknown network 'daformer-lit0'; did you mean 'daformer-lite0'?"),
        ("lambda --plots png,gif", "--plots is 'png,gif', expected some of png,pdf,svg"),
        ("lambda --seeds x", "--seeds is 'x', expected whole numbers"),
        ("lambda --parallel 2", "--parallel is 2, expected --launcher local with it"),
        ("lambda --launcher local --parallel 0", "--parallel is 0, expected at least 1"),
        ("lambda TERMS.MRM.WEIGHT 3", "TERMS.MRM.WEIGHT is varied by the grid lambda"),
        ("lambda --records .", "has none of the 6 runs that are asked for (such as"),
        ("lambda --records .. --dry-run", "--records makes no run, expected no --dry-run beside it"),
        ("lambda --records nowhere", "nowhere: no such folder, expected one that holds run folders"),
        ("lambda --host source-only", "'mrm' needs pseudo-labels, which 'source-only' does not make"),
    ],
)
def test_what_cannot_be_run_is_told_in_one_line(
    command: Callable[..., Ended], tmp_path: Path, words: str, line: str
) -> None:
    assert_one_line(command(*words.split()), line)
    assert list(tmp_path.iterdir()) == []


def test_list_names_every_grid(command: Callable[..., Ended]) -> None:
    lines = command("--list").out.splitlines()
    assert [line.split()[0] for line in lines] == grids() and "Mask ratio of MRM" in " ".join(lines)
