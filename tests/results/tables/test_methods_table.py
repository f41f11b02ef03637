"""Methods side by side: what is averaged, what is compared, and what is shown."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from made_records import record, render, row, runs_of

from results.files.errors import ResultsError
from results.forms.written import write_tables
from results.records.columns import COLUMNS, ScoreKey
from results.tables import rows
from results.tables.frame import collect
from results.tables.methods_table import MethodsTable
from results.tables.methods_table import methods_table as compare
from results.tables.notes import SELECTION
from results.tables.run_table import runs_table


def test_mean_and_sample_deviation_over_seeds(tmp_path: Path) -> None:
    values = [50.25, 51.5, 54.0]
    found = row(compare(runs_of(tmp_path, *(record(seed=s, miou=m) for s, m in enumerate(values)))), "dacs")
    assert found["n"] == 3
    assert found["miou"] == pytest.approx(statistics.mean(values), rel=1e-15)
    assert found["deviation"] == pytest.approx(statistics.stdev(values), rel=1e-14)  # n - 1


def test_one_seed_shows_no_deviation(tmp_path: Path) -> None:
    comparison = compare(runs_of(tmp_path, record(miou=50.25)))
    assert np.isnan(row(comparison, "dacs")["deviation"])
    for form in ("simple", "github"):
        table = render(comparison, form)
        assert "50.2" in table and "±" not in table and "nan" not in table and "n=" not in table


def test_the_difference_is_paired_over_the_seeds_that_both_have(tmp_path: Path) -> None:
    """Seeds 1 and 2 are common: (53 - 51 + 51 - 55) / 2 = -1, though the means differ by +13."""
    reference = [record("dacs", seed, miou) for seed, miou in ((0, 20.0), (1, 51.0), (2, 55.0))]
    other = [record("dacs+mrm", seed, miou) for seed, miou in ((2, 51.0), (1, 53.0), (7, 61.0))]
    comparison = compare(runs_of(tmp_path, *reference, *other))
    assert list(comparison.frame["method"]) == ["dacs", "dacs+mrm"]
    found = row(comparison, "dacs+mrm")
    assert (found["difference"], found["difference_n"], found["n"]) == (-1.0, 2, 3)
    assert found["miou"] - row(comparison, "dacs")["miou"] == pytest.approx(13.0)
    assert np.isnan(row(comparison, "dacs")["difference"])
    assert "-1.0 ± 4.2 (n=2)" in render(comparison, "simple")


def test_methods_without_a_common_seed_show_no_difference(tmp_path: Path) -> None:
    comparison = compare(runs_of(tmp_path, record("dacs", 0), record("dacs+mrm", 1, 55.0)))
    found = row(comparison, "dacs+mrm")
    assert found["difference_n"] == 0 and np.isnan(found["difference"])
    assert comparison.columns["vs dacs"] == ["-", "-"]


def test_the_first_method_is_the_reference_whatever_its_name(tmp_path: Path) -> None:
    comparison = compare(runs_of(tmp_path, record("source-only", 0, 40.0), record("dacs", 0, 43.0)))
    assert list(comparison.frame["method"]) == ["source-only", "dacs"]
    assert row(comparison, "dacs")["difference"] == 3.0
    assert "vs source-only" in render(comparison, "simple")


def test_failed_and_diverged_runs_are_counted_and_never_averaged(tmp_path: Path) -> None:
    """Even where their record holds a score and figures, as that of a run made again with other code may."""
    worthless = {"result": {"student": {"miou": 1.0}}, "seconds_per_iteration": 9.0, "peak_memory_mib": 9e9}
    comparison = compare(
        runs_of(
            tmp_path,
            record("dacs", 0, 50.0),
            record("dacs", 1, None, status="diverged", iterations=9999, **worthless),
            record("dacs", 2, 52.0),
            record("dacs+mrm", 0, None),
            record("dacs+mrm", 1, None),
            record("dacs+mrm", 2, None, status="diverged", **worthless),
            record("dacs+mrm", 3, None, status="running", **worthless),
            record("dacs+mic", 1, 58.0),
        )
    )
    found = row(comparison, "dacs")
    assert (found["miou"], found["n"], found["unfinished"]) == (51.0, 2, "1 diverged")
    assert (found["iterations"], found["seconds_per_iteration"], found["peak_memory_mib"]) == (500, 0.25, 900.5)
    none = row(comparison, "dacs+mrm")
    assert none["n"] == 0 and none[["miou", "deviation", "difference", "seconds_per_iteration"]].isna().all()
    assert sorted(none["unfinished"].split(", ")) == ["1 diverged", "1 running", "2 failed"]
    mic = row(comparison, "dacs+mic")  # the reference's run of its seed diverged: no pair
    assert mic["difference_n"] == 0 and mic["unfinished"] == ""
    table = cells(render(comparison, "github"))
    assert table[0][1:] == ["51.0 ± 1.4", "2", "-", "500", "0.250", "900 MiB", "1 diverged"]
    assert table[1][1:7] == ["-", "0", *["-"] * 4] and "2 failed" in table[1][7]


def test_a_reference_that_never_finished_leaves_the_others_without_difference(tmp_path: Path) -> None:
    comparison = compare(runs_of(tmp_path, record("dacs", 0, None), record("dacs+mrm", 0, 55.0)))
    assert row(comparison, "dacs+mrm")["miou"] == 55.0
    assert row(comparison, "dacs+mrm")["difference_n"] == 0
    assert [line[:3] for line in cells(render(comparison, "github"))] == [
        ["dacs", "-", "-"],
        ["dacs+mrm", "55.0", "-"],
    ]


def test_time_and_memory_are_medians_over_seeds(tmp_path: Path) -> None:
    figures = ((0.1, 100.0), (0.2, 300.0), (9.0, 200.0))
    records = [
        record(seed=seed, seconds_per_iteration=seconds, peak_memory_mib=memory)
        for seed, (seconds, memory) in enumerate(figures)
    ]
    found = row(compare(runs_of(tmp_path, *records)), "dacs")
    assert (found["seconds_per_iteration"], found["peak_memory_mib"]) == (0.2, 200.0)


def test_seconds_and_memory_of_runs_that_shared_a_machine_are_marked(tmp_path: Path) -> None:
    """Once in a part of its iterations is enough; what a record does not say, or was alone, is not marked."""
    alone, beside = {"iterations": 0, "of": 500, "others": 0}, {"iterations": 5, "of": 500, "others": 2}
    runs = runs_of(
        tmp_path,
        record("dacs", 0),
        record("dacs", 1, shared=alone),
        record("mic", 0, shared=alone),
        record("mic", 1, shared=beside),
        record("mrm", 0, None, shared=beside),  # its seconds are in no table
    )
    comparison = compare(runs)
    assert [row(comparison, name)["shared"] for name in ("dacs", "mic", "mrm")] == [0, 1, 0]
    assert comparison.columns["s/iteration"] == ["0.250", "0.250 †", "-"]
    assert comparison.columns["peak memory"] == ["900 MiB", "900 MiB †", "-"]
    assert "† With other runs on the same GPU or cores" in comparison.notes
    assert "†" not in compare(runs[runs["method"] != "mic"]).notes
    assert list(runs["shared"].fillna(-1)) == [-1, 0, 0, 0.01, 0.01] and runs["others"].max() == 2
    table = runs_table(runs, "markdown")
    assert table.count("1%, with 2") == 2 and "shared" not in runs_table(runs[:3], "markdown")


def test_two_runs_of_one_method_and_seed_are_not_taken_for_two_seeds(tmp_path: Path) -> None:
    """collect() also finds the runs of other overrides (500 and 1000 iterations, say) below one folder."""
    runs = runs_of(tmp_path, record("dacs", 0, 50.0), record("dacs", 0, 60.0), record("dacs+mrm", 0, 55.0))
    with pytest.raises(ResultsError, match="dacs"):
        compare(runs)


def test_n_counts_the_seeds_that_the_mean_is_of(tmp_path: Path) -> None:
    scoreless = record("dacs", 1, 50.0, result={"student": {"miou": None}})  # no scored class occurs
    assert row(compare(runs_of(tmp_path, record("dacs", 0, 50.0), scoreless)), "dacs")["n"] == 1


def of_two_sets(method: str, seed: int, sixteen: float, thirteen: float) -> dict[str, Any]:
    """A record of SYNTHIA -> Cityscapes."""
    by_classes = {"16": sixteen, "13": thirteen}
    result = {"student": {"miou": sixteen, "miou_by_classes": by_classes}}
    return record(method, seed, sixteen, classes=16, class_sets=[16, 13], result=result)


def test_every_number_names_its_class_set(tmp_path: Path) -> None:
    baseline = of_two_sets("dacs", 0, 48.0, 55.0), of_two_sets("dacs", 1, 50.0, 56.0)
    runs = runs_of(tmp_path, *baseline, of_two_sets("dacs+mrm", 0, 55.0, 62.5))
    assert list(runs.columns) == [*COLUMNS, ScoreKey("mIoU", 16), ScoreKey("mIoU", 13)]
    comparison = compare(runs)
    found = row(comparison, "dacs")
    assert (found["classes"], found["miou"]) == (16, 49.0)
    assert (found["miou_13"], found["n_13"]) == (55.5, 2)
    assert found["deviation_13"] == pytest.approx(statistics.stdev([55.0, 56.0]))
    table = render(comparison, "github")
    head = [cell.strip() for cell in table.splitlines()[0].strip("|").split("|")]
    assert head[:5] == ["method", "mIoU (16)", "mIoU (13)", "n", "vs dacs (16)"]
    assert cells(table)[0][1:5] == ["49.0 ± 1.4", "55.5 ± 0.7", "2", "-"]
    assert cells(table)[1][1:5] == ["55.0", "62.5", "1", "+7.0"]
    csv, _ = write_tables(comparison.columns, comparison.frame, "", tmp_path / "table")
    assert {"classes", "miou", "miou_13", "deviation_13"} <= set(pd.read_csv(csv).columns)


def test_further_class_sets_are_read_with_the_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of ten thousand runs no record is opened twice."""
    runs = runs_of(tmp_path, of_two_sets("dacs", 0, 48.0, 55.0), of_two_sets("dacs", 1, 50.0, 56.0))
    monkeypatch.setattr(rows, "read_record", pytest.fail)
    assert row(compare(runs), "dacs")["miou_13"] == 55.5


def test_a_record_of_before_there_were_several_class_sets_has_its_headline(tmp_path: Path) -> None:
    runs = runs_of(tmp_path, record("dacs", 0, 48.0, classes=16), of_two_sets("dacs", 1, 50.0, 56.0))
    assert runs[ScoreKey("mIoU", 16)].tolist() == [48.0, 50.0]
    assert np.isnan(runs[ScoreKey("mIoU", 13)][0]) and runs[ScoreKey("mIoU", 13)][1] == 56.0
    table = cells(render(compare(runs), "github"))
    assert table[0][1:4] == ["49.0 ± 1.4", "56.0 (n=1)", "2"]


def test_numbers_over_different_class_sets_are_not_compared(tmp_path: Path) -> None:
    comparison = compare(runs_of(tmp_path, record("dacs", 0, 50.0), record("dacs+mrm", 0, 50.0, classes=16)))
    assert comparison.frame["difference_n"].tolist() == [0, 0]
    assert comparison.columns["method"] == ["dacs", "dacs+mrm"] and set(comparison.columns["vs dacs"]) == {"-"}


def test_no_runs_give_one_line(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match="no runs to compare"):
        compare(collect(tmp_path))


# As printed and written


def cells(table: str) -> list[list[str]]:
    """The rows of a Markdown table without its head."""
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]


@pytest.fixture
def comparison(tmp_path: Path) -> MethodsTable:
    return compare(
        runs_of(
            tmp_path,
            record("dacs", 0, 50.0),
            record("dacs", 1, 52.0),
            record("dacs+mrm", 0, 100 / 3),
            record("dacs+mrm", 1, None, status="diverged"),
            record("target-only", 0, 70.06),
            record("target-only", 1, 71.0),
        )
    )


def test_simple_table(comparison: MethodsTable) -> None:
    assert [" ".join(line.split()) for line in render(comparison, "simple").splitlines() if "--" not in line] == [
        "method mIoU (19) n vs dacs 95% (seeds) better iterations s/iteration peak memory unfinished",
        "dacs 51.0 ± 1.4 2 - - - 500 0.250 900 MiB",
        "dacs+mrm 33.3 1 -16.7 - 0 of 1 500 0.250 900 MiB 1 diverged",
        "target-only (oracle) 70.5 ± 0.7 2 +19.5 ± 0.7 [+12.8, +26.3] 2 of 2 500 0.250 900 MiB",
    ]


def test_github_table(comparison: MethodsTable) -> None:
    lines = render(comparison, "github").splitlines()
    assert all(line.startswith("|") and line.endswith("|") and line.count("|") == 11 for line in lines)
    assert set(lines[1]) <= set("|-:")
    assert cells(render(comparison, "github")) == [
        ["dacs", "51.0 ± 1.4", "2", "-", "-", "-", "500", "0.250", "900 MiB", ""],
        ["dacs+mrm", "33.3", "1", "-16.7", "-", "0 of 1", "500", "0.250", "900 MiB", "1 diverged"],
        ["target-only (oracle)", "70.5 ± 0.7", "2", "+19.5 ± 0.7", "[+12.8, +26.3]", "2 of 2", "500", "0.250", "900 MiB", ""],  # noqa: E501
    ]


def test_one_method_is_not_compared_with_itself(tmp_path: Path) -> None:
    one = compare(runs_of(tmp_path, record("dacs", 0), record("dacs", 1)))
    assert "vs" not in render(one, "simple").split()
    csv, markdown = write_tables(one.columns, one.frame, "", tmp_path / "my-v1.2-net")
    assert (csv.name, markdown.name) == ("my-v1.2-net.csv", "my-v1.2-net.md")


def test_no_column_of_unfinished_runs_where_all_finished(tmp_path: Path) -> None:
    table = render(compare(runs_of(tmp_path, record())), "github")
    assert "unfinished" not in table and cells(table) == [["dacs", "50.0", "500", "0.250", "900 MiB"]]


def test_an_oracle_is_marked_by_its_record_and_not_by_its_name(tmp_path: Path) -> None:
    table = render(compare(runs_of(tmp_path, record("upper", 0, oracle=True), record("dacs", 0))), "github")
    assert [line[0] for line in cells(table)] == ["upper (oracle)", "dacs"]


def test_csv_keeps_every_digit_and_markdown_says_how_the_number_was_chosen(
    comparison: MethodsTable, tmp_path: Path
) -> None:
    stem = tmp_path / "streets-daformer-lite0"
    csv, markdown = write_tables(comparison.columns, comparison.frame, f"streets. {SELECTION}.", stem)
    assert (csv.name, markdown.name) == ("streets-daformer-lite0.csv", "streets-daformer-lite0.md")
    back = pd.read_csv(csv, dtype=str, keep_default_na=False)  # digits as they are, for pandas' own parser may round
    assert list(back.columns) == list(comparison.frame.columns)
    for column in ("miou", "deviation", "difference", "seconds_per_iteration", "peak_memory_mib"):
        digits = [float(text or "nan") for text in back[column]]
        np.testing.assert_array_equal(digits, comparison.frame[column].astype(float))  # NaN equals NaN, no tolerance
    for column in ("method", "oracle", "n", "difference_n", "unfinished"):
        assert list(back[column]) == [str(value) for value in comparison.frame[column]]
    assert pd.read_csv(csv)["miou"][1] == pytest.approx(100 / 3, rel=1e-15)
    text = markdown.read_text(encoding="utf-8")
    assert text == f"{render(comparison, 'github')}\n\nstreets. {SELECTION}.\n"
    assert "last iterate" in SELECTION
