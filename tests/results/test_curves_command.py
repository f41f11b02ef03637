"""results/curves.py: means over seeds by iteration, of mIoU and of what metrics.json has, as a table and a plot."""

from __future__ import annotations

import csv
import io
import json
import statistics
from pathlib import Path

import pytest
from drawn_texts import assert_texts_fit, drawn_texts
from matplotlib.figure import Figure
from written_runs import write_run

from results import curves
from results.plots import files

MIOU = {"dacs": {0: (10.0, 22.0), 1: (14.0, 25.0)}, "dacs+mrm": {0: (9.0, 23.0), 1: (12.0, 26.5)}}


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Two methods of two seeds, evaluated twice, with a loss in every tenth iteration; and a run that diverged."""
    for method, seeds in MIOU.items():
        for seed, (first, last) in seeds.items():
            points = [{"iteration": 20, "miou": first}, {"iteration": 40, "miou": last}]
            folder = tmp_path / "runs" / method / f"{seed}"
            write_run(folder, method, seed, last, None, curve=points, iterations=40, max_iterations=40)
            lines = [{"iteration": at, "loss_mixed": seed + at / 10} for at in (9, 19, 29, 39)]
            (folder / "metrics.json").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    write_run(tmp_path / "runs/late", "dacs", 7, None, None, status="diverged", reason="loss is nan")
    return tmp_path / "runs"


def called(capsys: pytest.CaptureFixture[str], *words: str | Path) -> tuple[int, str, str]:
    code = curves.main(list(map(str, words)))
    return (code, *capsys.readouterr())


def rows(text: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in text.splitlines() if "| " in line]


def test_miou_at_each_evaluation_with_its_deviation(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = called(capsys, runs, "--format", "markdown")
    assert (code, err) == (0, "")
    assert rows(out) == [
        ["iteration", "dacs", "dacs+mrm"],
        ["20", "12.0 ± 2.8", "10.5 ± 2.1"],
        ["40", "23.5 ± 2.1", "24.8 ± 2.5"],
    ]
    assert "student/mIoU, in percent; of 2 seeds each; ±" in out and "1 diverged: dacs seed 7 (loss is nan)." in out


def test_a_point_that_a_seed_lacks_is_no_point(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    points = [{"iteration": at, "miou": 20.0} for at in (10, 20, 40)]
    write_run(runs / "dacs/2", "dacs", 2, 20.0, None, curve=points, iterations=40, max_iterations=40)
    _, out, _ = called(capsys, runs, "--where", "method=dacs", "--format", "markdown")
    assert [row[0] for row in rows(out)] == ["iteration", "20", "40"] and "of 3 seeds each" in out


def test_csv_is_of_full_precision(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = called(capsys, runs, "--format", "csv", "--where", "method=dacs")
    first, last = csv.DictReader(io.StringIO(out))
    assert (first["row"], first["iteration"], float(first["mean"]), first["n"]) == ("dacs", "20", 12.0, "2")
    assert float(last["deviation"]) == pytest.approx(statistics.stdev([22.0, 25.0]), rel=1e-12)


@pytest.mark.parametrize(
    ("every", "expected"),
    [
        ((), [(10, "0.9"), (20, "1.9"), (30, "2.9"), (40, "3.9")]),
        (("--every", "20"), [(20, "1.4"), (40, "3.4")]),
        (("--every", "30"), [(30, "1.9"), (40, "3.9")]),
        (("--every", "1000"), [(40, "2.4")]),
    ],
)
def test_what_is_written_often_is_averaged(
    runs: Path, capsys: pytest.CaptureFixture[str], every: tuple[str, ...], expected: list[tuple[int, str]]
) -> None:
    words = ("--metric", "loss_mixed", "--where", "method=dacs", "--where", "seed=0", "--format", "markdown")
    code, out, _ = called(capsys, runs, *words, *every)
    assert code == 0 and "of one seed each" in out
    assert rows(out)[1:] == [[str(at), f"{value}00"] for at, value in expected]


def test_evaluations_can_be_averaged_too(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = called(capsys, runs, "--every", "40", "--where", "method=dacs", "--format", "markdown")
    assert rows(out)[1:] == [["40", "17.8 ± 2.5"]] and "means over 40 iterations each" in out


def test_scores_of_the_finished_run_are_of_its_last_iteration(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for at, miou in ((19, 11.0), (40, 24.0)):  # as a run writes them
        with (runs / "dacs/0/metrics.json").open("a") as file:
            file.write(f'{{"iteration": {at}, "teacher/mIoU": {miou}}}\n')
    _, out, _ = called(capsys, runs, "--metric", "teacher/mIoU", "--format", "markdown")
    assert rows(out) == [["iteration", "dacs"], ["20", "11.0"], ["40", "24.0"]]


def test_rows_without_the_metric_are_counted(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (runs / "dacs/1/metrics.json").unlink()
    for seed in (0, 1):
        (runs / f"dacs+mrm/{seed}/metrics.json").write_text('{"iteration": 9, "lr": 0.001}\n')
    code, out, _ = called(capsys, runs, "--metric", "loss_mixed", "--format", "markdown")
    assert code == 0 and rows(out)[0] == ["iteration", "dacs"] and "of one seed each" in out
    assert "dacs: 1 finished run without loss_mixed." in out
    assert "dacs+mrm: 2 finished runs without loss_mixed." in out


def test_damaged_metrics_are_named(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (runs / "dacs/1/metrics.json").write_bytes(b"\xff")
    code, out, err = called(capsys, runs, "--metric", "loss_mixed")
    assert code == 1 and "dacs/1/metrics.json: expected lines of JSON" in err and "1 of dacs, 2 of dacs+mrm" in out
    assert "dacs: 1 finished run without loss_mixed." in out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--metric", "loss_mixde"), "--metric loss_mixde: no finished run has it; did you mean loss_mixed?"),
        (("--metric", "x"), "--metric x: no finished run has it, expected one of loss_mixed"),
        (("--every", "0"), "--every is 0, expected at least 1"),
        (("--plots", "gif"), "--plots is 'gif', expected some of png,pdf,svg"),
        (("--where", "method=mic"), "--where method=mic: no run is so, expected one of dacs, dacs+mrm"),
    ],
)
def test_a_slip_is_one_line(
    runs: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], said: str
) -> None:
    assert called(capsys, runs, *words) == (2, "", f"error: {said}\n")


def test_classes_that_a_mean_does_not_count_are_said(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    validation = {"labelled_pixels": {"road": 9, "train": 0}, "left_out": {"19": ["train"]}}
    points = [{"iteration": 40, "miou": 20.0}]
    write_run(runs / "few", "hrda", 0, 20.0, None, curve=points, validation=validation)
    _, out, _ = called(capsys, runs, "--where", "method=hrda")
    assert "streets: " in out and "train" in out
    assert "train" not in called(capsys, runs, "--where", "method=dacs")[1]
    write_run(runs / "all", "hrda", 1, 20.0, None, curve=points, validation=validation | {"left_out": {"19": []}})
    code, _, err = called(capsys, runs, "--where", "method=hrda")
    assert code == 2 and "student/mIoU of streets: some runs count classes without labels that others leave out" in err


@pytest.mark.parametrize("model", ["student", "teacher"])
def test_miou_of_other_class_sets_is_refused(runs: Path, capsys: pytest.CaptureFixture[str], model: str) -> None:
    write_run(runs / "few", "hrda", 0, 20.0, None, classes=16, curve=[{"iteration": 40, "miou": 20.0}])
    code, _, err = called(capsys, runs, "--metric", f"{model}/mIoU")
    told = f"{model}/mIoU is over 19 classes (dacs+mrm) and 16 classes (hrda): expected --metric {model}/mIoU-16"
    assert code == 2 and told in err


def test_the_plot_has_a_line_a_row_and_a_band(
    runs: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[Figure] = []
    write = files.write_figure
    monkeypatch.setattr(files, "write_figure", lambda figure, *rest: drawn.append(figure) or write(figure, *rest))
    stem = runs.parent / "curve"
    code, _, err = called(capsys, runs, "--plot", stem, "--plots", "png,svg")
    assert code == 0 and err == f"plot: {stem}.png, {stem}.svg\n"
    assert stem.with_suffix(".png").read_bytes().startswith(b"\x89PNG") and stem.with_suffix(".svg").exists()
    (axes,) = drawn[0].axes
    lines = {str(line.get_label()): [list(map(float, part)) for part in line.get_data()] for line in axes.lines}
    assert lines == {"dacs": [[20.0, 40.0], [12.0, 23.5]], "dacs+mrm": [[20.0, 40.0], [10.5, 24.75]]}
    lowest = min(float(point[1]) for point in axes.collections[0].get_paths()[0].vertices)
    assert lowest == pytest.approx(12.0 - statistics.stdev([10.0, 14.0]))
    assert {"streets, daformer-lite0", "student/mIoU (%)", "iteration"} <= {text for text, _ in drawn_texts(drawn[0])}
    assert_texts_fit(drawn[0])


@pytest.mark.parametrize("option", ["--out", "--plot"])
def test_what_cannot_be_written_is_one_line(runs: Path, capsys: pytest.CaptureFixture[str], option: str) -> None:
    code, _, err = called(capsys, runs, option, runs / "nowhere/x")
    assert code == 2 and err == f"error: {option} {runs}/nowhere/x: cannot be written (No such file or directory)\n"
