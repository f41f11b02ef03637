"""What a search prints and writes: trials, best settings, plots, and the grid that makes them again."""

from __future__ import annotations

import dataclasses
import re
import shlex
import warnings
from collections.abc import Iterator
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import optuna
import pandas as pd
import pytest
from full_disk import largest_file
from made_trials import BLOCKS, LAMBDA, PNG, RATIO, SEED, SETTINGS, SOURCE, STRATEGY, TARGET, Trials, mixed, search_of
from optuna.distributions import CategoricalDistribution
from PIL import Image
from record_files import read_record, write_record

import ablations.run
from ablations.study.search_report import ORACLE, SearchReport
from ablations.study.search_rerun import dashboard_line
from ablations.study.space import Dimension
from ablations.study.study import (
    DIVERGED,
    FAILED,
    FINISHED,
    FOLDER,
    LOST,
    PRUNED,
    REASON,
    RUN,
)
from ablations.sweep.expand import expand
from ablations.sweep.grid import read_grid
from benchmarks.cli.given import given_overrides, seeds
from benchmarks.config.run_id import run_id
from results.plots.files import FORMATS
from results.plots.style import COLUMN, PAGE
from results.records.record import DATA


@pytest.fixture(autouse=True)
def _no_warnings_and_no_figures() -> Iterator[None]:
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    before = dict(matplotlib.rcParams)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        warnings.simplefilter("error", optuna.exceptions.ExperimentalWarning)
        yield
    assert plt.get_fignums() == []
    assert {key: value for key, value in matplotlib.rcParams.items() if key != "backend"} == {
        key: value for key, value in before.items() if key != "backend"
    }
    optuna.logging.set_verbosity(level)


@pytest.mark.slow
def test_every_trial_is_in_the_table_with_the_figures_of_its_record(tmp_path: Path) -> None:
    made = mixed(tmp_path).report()
    words = {"lambda": str, "mask-ratio": str}
    frame = pd.read_csv(tmp_path / "search" / "first" / "trials.csv", dtype=words)
    assert list(frame["number"]) == list(range(10))
    assert list(frame["outcome"]) == [FINISHED] * 5 + [PRUNED, DIVERGED, FAILED, LOST, FINISHED]
    assert list(frame["state"]) == ["complete"] * 5 + ["pruned"] * 2 + ["fail"] * 2 + ["complete"]
    found = zip(frame["lambda"].map(float), frame["mask-ratio"].map(float), strict=True)
    assert list(found)[:5] == SETTINGS  # to the last bit
    assert list(frame["source-val-miou"].dropna()) == [*SOURCE, 12.5]
    assert list(frame["target_miou_oracle"].dropna()) == TARGET  # not that of a pruned run, nor of one without record
    assert list(frame["source_miou"].dropna()) == SOURCE and list(frame["confidence"].dropna()) == [0.875] * 5
    assert frame["iterations"].fillna(-1).tolist() == [40.0] * 5 + [20.0] * 3 + [-1.0] * 2
    assert frame["seconds"].notna().sum() == 8 and frame.loc[5, "last_reported"] == 2.5
    assert frame["last_reported"].notna().sum() == 1
    assert frame["retry_of"].dropna().tolist() == [8.0] and list(frame["base"]) == [True] + [False] * 9
    assert frame.loc[6, "reason"] == "loss is nan" and (frame["run"].str.len() == 12).all()
    assert made.complete == 6
    assert "10 trials: 6 finished, 1 pruned, 1 diverged, 1 failed, 1 lost" in made.text


@pytest.mark.slow
def test_damaged_records_are_counted_and_named(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    trials = mixed(tmp_path)
    folders = [tmp_path / trial.user_attrs[FOLDER] for trial in trials.study.get_trials()]
    for folder in (folders[1], folders[3]):
        (folder / "record.json").write_text("{")
    made = trials.report()
    frame = pd.read_csv(tmp_path / "search" / "first" / "trials.csv")
    assert list(frame["record"]) == [*["read", "damaged"] * 2, *["read"] * 4, "missing", "missing"]
    line = f"2 records are damaged, and their figures left out: {folders[1].name}, {folders[3].name}."
    assert line in made.text and line in (tmp_path / "search" / "first" / "best.md").read_text()
    assert str(folders[1] / "record.json") in capfd.readouterr().err
    assert "records are damaged" not in mixed(tmp_path / "whole").report().text


@pytest.mark.slow
def test_best_trials_stand_beside_the_published_setting(tmp_path: Path) -> None:
    made = mixed(tmp_path).report()
    rows = [re.split(r"\s{2,}", line.strip()) for line in made.text.splitlines()]
    table = {row[0]: row[1:] for row in rows if re.match(r"\d", row[0]) and len(row) == 7}
    assert list(table) == ["3", "1", "2", "0 (published)"]  # by the source, though trial 2 beats trial 1 on the target
    assert table["3"][:5] == ["43.25", "+3.25", "2", "0.3333", "25.00"]
    assert table["1"][:5] == ["42.50", "+2.50", "0.1235", "0.2", "21.00"]
    assert table["0 (published)"][:5] == ["40.00", "+0.00", "1", "0.4", "22.00"]
    head = next(line for line in made.text.splitlines() if line.startswith("trial "))
    assert "mIoU on held-out source images [%]" in head and "mIoU on the target [%] (not used)" in head
    markdown = (tmp_path / "search" / "first" / "best.md").read_text()
    assert "| 0 (published) |" in markdown and "ORACLE" not in markdown + made.text
    parts = ["streets, 19 classes", "dacs+mrm, 40 iterations, seed 1", "SOURCE_IMAGES 8", "tpe, pruner median"]
    for part in (*parts, "The best of 6 trials on one seed is optimistic", "ablations/run.py"):
        assert part in markdown and part in made.text
    # Ranks 2 4 3 5 1 and 3 2 4 5 1: 1 - 6 (1 + 4 + 1) / (5 (25 - 1)), without the trial that has no record.
    assert "which was not used: +0.70 over n = 5 finished runs" in markdown and "+0.70 over n = 5" in made.text
    assert all(path.is_file() for path in made.files)
    assert made.text.split("files:\n")[1].split() == list(map(str, made.files))
    assert {path.name for path in made.files} == {path.name for path in (tmp_path / "search" / "first").iterdir()}


@pytest.mark.slow
def test_a_search_by_target_labels_is_called_an_oracle(tmp_path: Path) -> None:
    trials = mixed(tmp_path, "target-miou")
    made = trials.report(top=1)
    grid = next(path for path in made.files if path.suffix == ".yaml")
    markdown = (trials.folder / "best.md").read_text()
    assert ORACLE in made.text and ORACLE in markdown and "oracle" in read_grid(str(grid)).title
    assert "Rank correlation" not in made.text and "not used" not in markdown
    assert made.text.count("(published)") == 1 and "\n3 " in made.text


def grid_command(made: SearchReport) -> list[str]:
    return shlex.split(next(line for line in made.text.splitlines() if "ablations/run.py" in line))


@pytest.mark.slow
def test_trials_of_different_images_are_told_in_the_caption(tmp_path: Path) -> None:
    trials = mixed(tmp_path)
    folders = [tmp_path / trial.user_attrs[FOLDER] for trial in trials.study.trials[:2]]

    def told(second: str) -> list[bool]:
        for folder, images in zip(folders, ("a" * 16, second), strict=True):
            write_record(folder, (read_record(folder) or {}) | {DATA: {"SOURCE": {"count": 3, "images": images}}})
        line = "The runs were made with different images of DATA.SOURCE (streets): they cannot be compared."
        made = trials.report()
        return [line in text for text in (made.text, (trials.folder / "best.md").read_text())]

    assert told("a" * 16) == [False, False]
    assert told("b" * 16) == [True, True]


@pytest.mark.slow
@pytest.mark.parametrize(("objective", "second", "held_out"), [("target-miou", 2, 8), ("source-val-miou", 1, 0)])
def test_the_rerun_is_of_the_same_settings_on_other_seeds(
    tmp_path: Path, objective: str, second: int, held_out: int
) -> None:
    """With the search's own seed it is the same runs, unless those had held out source images to choose by."""
    output = tmp_path / "my runs"
    trials = mixed(output, objective)
    made = trials.report(top=2)
    words = grid_command(made)
    assert words[:2] == [".venv/bin/python", "ablations/run.py"]
    arguments = ablations.run.parse_arguments(words[2:])
    assert arguments.host == "dacs" and arguments.protocol == "streets" and arguments.network is None
    assert seeds(arguments.seeds) == [0, 2, 3] and arguments.output == output and arguments.data_root == "my data"
    grid, overrides = read_grid(arguments.grid), given_overrides(arguments)
    assert "DATA.ROOT" not in grid.fixed
    rows = expand(grid, arguments.protocol, arguments.network, arguments.host, [SEED, 0], overrides, output)
    assert [row.label for row in rows] == ["host alone", "trial 0 (published)", "trial 3", f"trial {second}"]
    assert [row.cfg.METHOD for row in rows] == ["dacs"] + ["dacs+mrm"] * 3
    known = [trial.user_attrs[RUN] for trial in trials.study.trials]
    same = [run_id(row.cfg) for row in rows[1:]] == [known[0], known[3], known[second]]
    assert same == (objective == "target-miou")
    assert all(run_id(row.runs[1].cfg) not in known for row in rows)
    assert {row.cfg.TEST.SOURCE_IMAGES for row in rows} == {held_out}
    params = [trials.study.trials[number].params for number in (0, 3, second)]
    assert [(row.cfg.TERMS.MRM.WEIGHT, row.cfg.TERMS.MRM.RATIO) for row in rows[1:]] == [
        (each["lambda"], each["mask-ratio"]) for each in params
    ]


def test_the_published_setting_is_made_even_where_no_trial_was(tmp_path: Path) -> None:
    overrides = {"NETWORK": "deeplabv2-r50", "DEVICE": "cpu", "INPUT.CROP": (64, 64), "TERMS.MRM.RESOLUTION": 16}
    trials = Trials(search_of(overrides=overrides), tmp_path)
    trials.add((3.0, 0.123456789012345), 31.0)
    made = trials.report()
    words = grid_command(made)
    arguments = ablations.run.parse_arguments(words[2:])
    assert arguments.network == "deeplabv2-r50" and arguments.overrides == ["DEVICE", "cpu"]
    rows = expand(
        read_grid(arguments.grid), "streets", arguments.network, "dacs", [SEED], given_overrides(arguments), tmp_path
    )
    assert [row.label for row in rows] == ["host alone", "published", "trial 0"]
    assert rows[1].cfg.TERMS.MRM.RATIO == 0.4 and rows[1].cfg.TERMS.MRM.WEIGHT == 1.0
    assert run_id(rows[2].cfg) == trials.study.trials[0].user_attrs[RUN]
    assert "has not been tried" in made.text
    outside = dataclasses.replace(RATIO, base=None)
    trials.search = dataclasses.replace(trials.search, space=(LAMBDA, outside))
    made = trials.report()
    assert "outside the space" in made.text
    assert [point.label for point in read_grid(grid_command(made)[2]).axes[0].points] == ["trial 0"]


@pytest.mark.slow
def test_a_failed_published_trial_is_shown_without_a_difference(tmp_path: Path) -> None:
    trials = Trials(search_of(), tmp_path)
    trials.add((1.0, 0.4), None, DIVERGED)
    trials.add((2.0, 0.4), 30.0)
    trials.add((2.0, 0.4), 30.0)  # one setting is chosen once
    trials.add((3.0, 0.4), 29.0)
    made = trials.report()
    text = (trials.folder / "best.md").read_text()
    assert [line.split("|")[1].strip() for line in text.splitlines()[2:5]] == ["1", "3", "0 (published)"]
    assert "trial 0, diverged: it has no value" in text and "30.00 |" in text
    assert made.complete == 3 and "none, since n = 0 finished runs" in text


@pytest.mark.slow
def test_two_objectives_show_the_whole_pareto_front(tmp_path: Path) -> None:
    trials = Trials(search_of("target-miou,step-cost", (LAMBDA, BLOCKS)), tmp_path)
    # Of 12 trials 0, 4 and 5 are the front: the highest mIoU at each cost, where none cheaper is as good.
    mious = [20.0, 19.0, 21.0, 20.5, 24.0, 26.0, 23.0, 25.0, 25.5, 26.0, 18.0, 22.0]
    costs = [100.0, 110.0, 150.0, 140.0, 120.0, 130.0, 125.0, 160.0, 170.0, 180.0, 190.0, 155.0]
    for index, (miou, cost) in enumerate(zip(mious, costs, strict=True)):
        trials.add((0.1 + index / 2, 1 + index % 4), [miou, cost], record={"miou": miou})
    made = trials.report(formats=PNG, top=1)
    text = (trials.folder / "best.md").read_text()
    assert [line.split("|")[1].strip() for line in text.splitlines()[2:5]] == ["5", "4", "0"] and ORACLE in text
    assert "130.0" in text and "G multiply-adds" in text
    names = {path.name for path in made.files}
    assert {"pareto.png", "history.png", "contour.png", "importances.png"} <= names
    assert "here 2 of 12 complete trials" in made.text


@pytest.mark.slow
def test_importances_name_the_parameter_that_decides(tmp_path: Path) -> None:
    trials = Trials(search_of("target-miou,step-cost", (LAMBDA, RATIO)), tmp_path)
    for index in range(60):  # each objective has one parameter, in opposite directions
        weight, ratio = 0.1 * 1.05 ** (37 * index % 60), 0.1 + 0.8 * (index / 59)
        trials.add((weight, ratio), [10 + weight, 100 * ratio])
    text = trials.report(formats=PNG).text
    rows = [line.split() for line in text.splitlines() if line.startswith(("lambda ", "mask-ratio "))]
    shares = {row[0]: (float(row[-2]), float(row[-1])) for row in rows}
    assert shares["lambda"][0] > 0.8 and shares["mask-ratio"][1] > 0.8
    assert shares["lambda"][0] + shares["mask-ratio"][0] == pytest.approx(1, abs=0.011)
    assert "6 of 60" in text and "a hint" not in text


@pytest.mark.parametrize("complete", [0, 1, 2])
def test_few_trials_are_told_and_not_plotted(tmp_path: Path, complete: int) -> None:
    trials = Trials(search_of(), tmp_path)
    for index in range(complete):
        trials.add((1.0 + index, 0.4), 30.0 + index, record={"miou": 20.0})
    trials.add((9.0, 0.4), None, FAILED, {}, **{REASON: "no memory"})
    made = trials.report(formats=PNG)
    names = {path.name for path in made.files}
    assert made.complete == complete and {"trials.csv", "best.md"} <= names
    assert ("history.png" in names) == ("top-first.yaml" in names) == (complete > 0)
    assert not names & {"contour.png", "slice.png", "importances.png"}
    expected = "no importances: they take 10 complete trials or more" if complete else "no plots: no trial is complete"
    assert expected in made.text and "1 failed" in made.text
    assert ("ablations/run.py" in made.text) == (complete > 0)


@pytest.mark.slow
def test_equal_values_words_and_constants_are_no_fault(tmp_path: Path) -> None:
    equal = Trials(search_of(), tmp_path / "equal")
    for index in range(12):
        equal.add((1.0 + index / 2, 0.2 + index / 20), 30.0)
    made = equal.report(formats=PNG)
    assert "contour.png" not in {path.name for path in made.files}
    assert "values are all equal" in made.text
    words = Trials(search_of(space=(LAMBDA, STRATEGY, RATIO, BLOCKS)), tmp_path / "words")
    for index in range(12):  # the ratio is constant
        words.add((1.0 + index / 2, ("random", "block")[index % 2], 0.4, 1 + index % 3), 30.0 + index % 5)
    names = {path.name for path in words.report(formats=PNG).files}
    assert {"history.png", "contour.png", "importances.png"} <= names
    one = Trials(search_of(space=(STRATEGY,)), tmp_path / "one")
    for index in range(4):
        one.add((("random", "block")[index % 2],), 30.0 + index)
    made = one.report(formats=PNG)
    assert "slice.png" in {path.name for path in made.files} and "there is one parameter" in made.text


def test_words_are_no_tex_no_formula_and_no_markup(tmp_path: Path) -> None:
    words = r"$\nothing$", "=a|b"
    weights = Dimension("WEIGHTS", "WEIGHTS", CategoricalDistribution(words), "=a|b", ())
    trials = Trials(search_of(space=(weights,)), tmp_path)
    for index in range(4):
        trials.add((words[index % 2],), 30.0 + index)
    assert "slice.png" in {path.name for path in trials.report(formats=PNG).files}
    assert "'=a|b," in (trials.folder / "trials.csv").read_text(encoding="utf-8")  # no formula
    assert r"=a\|b" in (trials.folder / "best.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_plots_are_as_wide_as_asked_and_the_same_for_the_same_trials(tmp_path: Path) -> None:
    trials = mixed(tmp_path)
    files = trials.report(formats=FORMATS).files
    first = {path: path.read_bytes() for path in files if path.stem in ("history", "contour")}
    assert {path.suffix for path in first} == {".png", ".pdf", ".svg"} and len(first) == 6
    with Image.open(trials.folder / "contour.png") as image:
        assert image.width == 300 * COLUMN
    trials.report(formats=FORMATS)
    assert {path: path.read_bytes() for path in first} == first
    made = trials.report(formats=["png"], width=PAGE)
    assert [path.name for path in made.files if path.suffix in (".png", ".pdf")] == ["history.png", "contour.png"]
    with Image.open(trials.folder / "contour.png") as image:
        assert image.width == 300 * PAGE


def test_passwords_are_not_printed(tmp_path: Path) -> None:
    line = dashboard_line("postgresql://user:se%40cret@host:5432/db?password=se@cret&sslmode=require")
    assert "cret" not in line and "user:***@host:5432/db" in line and "sslmode=require" in line
    assert shlex.split(dashboard_line("runs/my search/study.log"))[-1] == "runs/my search/study.log"
    trials = Trials(search_of(), tmp_path)
    trials.add((1.0, 0.4), 30.0)
    assert "optuna-dashboard sqlite:///a/study.db\n" in trials.report(storage="sqlite:///a/study.db").text
    assert "optuna-dashboard" not in trials.report().text


def test_a_folder_that_cannot_be_written_is_one_line_after_the_report(tmp_path: Path) -> None:
    trials = Trials(search_of(), tmp_path)
    trials.add((1.0, 0.4), 30.0)
    (tmp_path / "search").write_text("")
    made = trials.report(formats=PNG)
    assert "search/first: expected a folder that can be written" in str(made.unwritten)
    assert made.files == () and "files:" not in made.text
    assert "30.0" in made.text and "is trial 0" in made.text


def test_a_full_disk_takes_no_report_away(tmp_path: Path) -> None:
    trials = Trials(search_of(), tmp_path)
    trials.add((1.0, 0.4), 30.0)
    with largest_file(500):  # room for trials.csv; none for a plot
        made = trials.report(formats=PNG)
    assert "File too large" in str(made.unwritten) and "30.0" in made.text
    assert [path.name for path in (tmp_path / "search" / "first").iterdir()] == ["trials.csv"]
