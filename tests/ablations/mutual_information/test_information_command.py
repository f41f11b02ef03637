"""``ablations/information.py``: the table of made runs by method and seed, the plot, and one line for bad input."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import pandas as pd
import pytest
import torch
from conftest import SMALL
from drawn_texts import assert_texts_fit
from made_records import record
from record_files import write_record
from trained_runs import Command, assert_one_line, call

import ablations.information
from ablations.mutual_information.measures import Settings
from ablations.mutual_information.of_runs import _rows
from ablations.mutual_information.plane import information_plane, masked_plane
from ablations.mutual_information.tables import Method, columns_of, measures
from benchmarks.config.spec import RunSpec
from benchmarks.config.stored_config import stored
from benchmarks.engine.build import build_learners
from benchmarks.trained.opened_run import open_run
from results.records.record import write_text

FEW = ["--images", "4", "--noise", "0.5,2", "--locations", "100"]


def made_run(folder: Path, method: str, seed: int, **overrides: str) -> Path:
    """The folder of a run that was never trained: what it holds is as it is initialized."""
    images = {"DATA.STREETS.VAL_IMAGES": 6, "DATA.STREETS.SIZE": (128, 64)}
    objective = {f"TERMS.MRM.{key}": value for key, value in overrides.items()}
    cfg = RunSpec("streets", method, None, seed, SMALL | images | objective).resolve()
    learners = build_learners(cfg, torch.device("cpu"))
    folder.mkdir(parents=True)
    write_text(folder / "config.yaml", stored(cfg))
    write_record(folder, record(method, seed, 20.0 + seed))
    content = {"model": learners.student.state_dict(), "terms": torch.nn.ModuleList(learners.terms).state_dict()}
    torch.save(content, folder / "model_final.pth")
    write_text(folder / "last_checkpoint", "model_final.pth")
    return folder


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("runs")
    made = {
        f"{method}-{seed}": made_run(folder / f"{method}-{seed}", method, seed)
        for method, seed in (("dacs", 0), ("dacs", 1), ("dacs+mrm", 0), ("dacs+mixup", 0))
    }
    return made | {"pixels-0": made_run(folder / "pixels-0", "dacs+mrm", 0, OBJECTIVE="pixel-regression")}


@pytest.fixture
def information(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Command:
    return lambda *words: call(ablations.information, list(words), monkeypatch, capfd)


@pytest.mark.slow
def test_methods_over_their_seeds(runs: dict[str, Path], information: Command, tmp_path: Path) -> None:
    folders = [str(runs[name]) for name in ("dacs+mrm-0", "dacs-0", "dacs-1", "dacs+mixup-0", "pixels-0")]
    out = tmp_path / "there/found"
    ended = information(*folders, *FEW, "--baseline", "dacs", "--out", str(out), "--plots", "png")
    assert ended.code == 0, ended
    frame = pd.read_csv(out.with_suffix(".csv"))
    classes, pixels = (f"dacs+mrm, TERMS.MRM.OBJECTIVE pixel-{kind}" for kind in ("classification", "regression"))
    assert frame["method"].tolist() == ["dacs", "dacs", classes, "dacs+mixup", pixels]
    assert frame["seed"].tolist() == [0, 1, 0, 0, 0] and frame["miou"].tolist() == [20, 21, 20, 20, 20]
    assert frame["locations"].tolist() == [4 * 8] * 5  # all of a stride of 32
    told = set(measures(Settings(noise=(0.5, 2.0)), "dacs"))
    assert told <= set(frame)
    # A Rebuilder of pixels is measured as one of classes, but for the stages that it does not rebuild.
    rebuilt = ["masked_labels_rebuilt", "masked_right_rebuilt", "masked_pixels_rebuilt", "cka_last_filled"]
    assert frame[rebuilt].notna().all(axis=1).tolist() == [False, False, True, False, True]
    assert frame["cka_filled"].notna().tolist() == [False, False, True, False, False]
    assert frame.loc[2, rebuilt].tolist() != frame.loc[4, rebuilt].tolist()
    assert frame[["cka_emptied", "cka_last_neighbours"]].notna().all(axis=None)  # masks are there for all
    assert frame["cka_reference"].isna().tolist() == [True, True, False, False, False]
    # Terms draw from generators of their own: before training these networks are that of the host.
    assert frame["cka_reference"][2:].tolist() == pytest.approx([1] * 3)
    pooled = {"ksg_pooled", "ksg_pooled_bias"}  # 2 of an image
    assert frame[list(pooled)].isna().all(axis=None)
    shared = [name for name in told if name not in {*rebuilt, *pooled, "cka_filled", "cka_reference"}]
    values = frame[shared].values.tolist()
    assert values[0] == values[2] == values[3] == values[4] != values[1]
    assert (frame["labels@2"] < frame["label_entropy"]).all() and (frame["rate@0.5"] > frame["rate@2"]).all()
    head = out.with_suffix(".md").read_text().splitlines()[0]
    assert "dacs (n=2)" in head and f"{pixels} - dacs" in head
    for plot in ("found.png", "found-masks.png"):
        assert (out.parent / plot).stat().st_size > 1000
    assert "I(Z~;X) at most" in ended.out


@pytest.mark.slow
def test_one_run_as_csv_and_what_export_dropped(runs: dict[str, Path], information: Command, tmp_path: Path) -> None:
    alone = Path(shutil.copytree(runs["dacs+mrm-0"], tmp_path / "alone"))
    content = torch.load(alone / "model_final.pth", weights_only=True)
    del content["terms"]
    torch.save(content, alone / "model_final.pth")
    assert_one_line(information(str(alone), *FEW), "model_final.pth holds the network alone", "--no-rebuilder")
    ended = information(str(alone), *FEW, "--no-rebuilder", "--format", "csv", "--stage", "1")
    frame = pd.read_csv(io.StringIO(ended.out))
    assert frame["locations"].tolist() == [4 * 25] and frame["masked_labels_rebuilt"].isna().all()


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["--images", "2"], ["--images is 2, expected at least 3"]),
        (["--noise", "0.5,0"], ["--noise is '0.5,0', expected numbers above 0"]),
        (["--noise", "much"], ["--noise is 'much'"]),
        (["--stage", "9"], ["--stage is 9, expected at most 4"]),
        (["--baseline", "dacs+mr"], ["--baseline dacs+mr: no run of it"]),
        (["--plots", "gif"], ["--plots is 'gif'"]),
    ],
)
def test_bad_options_end_in_a_line(
    runs: dict[str, Path], information: Command, words: list[str], parts: list[str]
) -> None:
    assert_one_line(information(str(runs["dacs-0"]), *words), *parts)


def test_runs_that_cannot_be_compared_end_in_a_line(
    runs: dict[str, Path], information: Command, tmp_path: Path
) -> None:
    other = Path(shutil.copytree(runs["dacs-1"], tmp_path / "other"))
    write_text(other / "config.yaml", (other / "config.yaml").read_text().replace("VAL_IMAGES: 6", "VAL_IMAGES: 7"))
    ended = information(str(runs["dacs-0"]), str(other))
    assert_one_line(ended, "its DATA.STREETS.VAL_IMAGES is 7", "the same images and network")
    write_record(other, record("dacs", 1, None))
    assert_one_line(information(str(other)), "is failed, expected a finished one")


def test_a_baseline_is_named_by_its_method_or_by_the_label_of_its_row(runs: dict[str, Path], tmp_path: Path) -> None:
    opened = [open_run(str(runs[name]), tmp_path) for name in ("dacs+mrm-0", "dacs-0", "pixels-0")]
    classes, pixels = (f"dacs+mrm, TERMS.MRM.OBJECTIVE pixel-{kind}" for kind in ("classification", "regression"))
    for baseline, order in (
        (None, [classes, "dacs", pixels]),
        ("dacs", ["dacs", classes, pixels]),
        ("dacs+mrm", [classes, "dacs", pixels]),
        (pixels, [pixels, classes, "dacs"]),
    ):
        assert [row.label for row in _rows(opened, baseline)] == order


# Tables and the plot, of made numbers


def made(label: str, *values: float, seeds: tuple[int, ...] = (0, 1, 2)) -> Method:
    numbers = [{"labels_linear": each, "rate@0.5": 100 * each, "labels@0.5": each, "rate@1": 50 * each,
                "labels@1": each / 2} for each in values]  # fmt: skip
    return Method(label, label, dict(zip(seeds, numbers, strict=False)))


def test_cells_have_deviation_and_differences_are_paired_by_seed() -> None:
    methods = [made("a", 1.0, 1.2, 1.4), made("b", 1.1, 1.3, 1.5), made("c", 0.5)]
    columns = columns_of(methods, Settings(noise=(0.5, 1.0)))
    first = list(columns).index
    assert list(columns)[1:] == ["a (n=3)", "b (n=3)", "c (n=1)", "b - a", "c - a"] and first("b - a") == 4
    row = next(iter(columns.values())).index("I(Z;Y) at least, linear probe")
    assert [column[row] for column in list(columns.values())[1:]] == [
        "1.200 ± 0.200", "1.300 ± 0.200", "0.500", "+0.100 [+0.100, +0.100]", "-0.500",
    ]  # fmt: skip
    rate = next(iter(columns.values())).index("I(Z~;X) at most, rate, noise 0.5")
    assert columns["a (n=3)"][rate] == "120.0 ± 20.0"
    assert columns["a (n=3)"][0] == "-"  # nothing is known of its mIoU


def test_the_plane_has_a_curve_a_method() -> None:
    figure = information_plane([made("a", 1.0, 1.2), made("b", 1.1)], Settings(noise=(0.5, 1.0)), "title")
    (axes,) = figure.axes
    handles, labels = axes.get_legend_handles_labels()
    assert labels == ["a (n = 2)", "b (n = 1)"]
    x, y = handles[0].lines[0].get_data()
    assert list(x) == pytest.approx([110, 55]) and list(y) == pytest.approx([1.1, 0.55])


def test_the_plane_of_masks_has_a_line_a_method_through_what_is_known_of_it() -> None:
    def of(label: str, **kinds: tuple[float, float]) -> Method:
        numbers = {f"masked_pixels_{kind}": pixels for kind, (pixels, _) in kinds.items()}
        numbers |= {f"masked_labels_{kind}": labels for kind, (_, labels) in kinds.items()}
        return Method(label, label, {0: numbers, 1: {name: value + 0.2 for name, value in numbers.items()}})

    host = of("dacs", neighbours=(0.1, 0.5), features=(0.3, 0.7))
    mrm = of("dacs+mrm", neighbours=(0.1, 0.4), rebuilt=(0.2, 0.6), features=(0.4, 0.8))
    figure = masked_plane([host, mrm], "title")
    assert_texts_fit(figure)
    (axes,) = figure.axes
    lines = [handle.lines[0].get_data() for handle in axes.get_legend_handles_labels()[0]]
    assert [[pytest.approx(list(each)) for each in line] for line in lines] == [
        [[0.2, 0.4], [0.6, 0.8]], [[0.2, 0.3, 0.5], [0.5, 0.7, 0.9]],
    ]  # fmt: skip
    assert [text.get_text() for text in axes.texts] == ["N", "Z", "R"]


def test_words_of_the_plane_do_not_overlap() -> None:
    """Where rates are of little more than a decade, as those of real encoders."""
    numbers = {f"{name}@{noise:g}": value for noise, rate in ((0.1, 780.0), (0.5, 190.0), (2.0, 26.0))
               for name, value in (("rate", rate), ("labels", 0.5 + rate / 1000))}  # fmt: skip
    figure = information_plane([Method("dacs", "dacs", {0: numbers})], Settings(noise=(0.5, 0.1, 2.0)), "title")
    assert_texts_fit(figure)
    ticks = [tick.get_text() for tick in figure.axes[0].get_xticklabels()]
    assert "50" in ticks and "200" in ticks and "500" in ticks
