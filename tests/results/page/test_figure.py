"""Where the report's figures put things: scales, ticks, and lines for what differs in several settings."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from html_page import Page
from written_runs import write_run

from results import report
from results.page.figure import MOST_SERIES, Figure, Point, Scale, Series
from results.page.table import Table
from results.plots.style import Look


def test_values_stand_in_proportion_between_the_ends() -> None:
    scale = Scale.of([10.0, 20.0], 0.0, 100.0)
    assert 0 < scale(10.0) < scale(20.0) < 100
    assert scale(15.0) == pytest.approx((scale(10.0) + scale(20.0)) / 2, abs=0.1)
    assert all(scale.low <= value <= scale.high for value, _ in scale.ticks) and len(scale.ticks) >= 3
    assert Scale.of([0.1, 30.0], 0.0, 100.0)(0.0) == 0.0  # near 0 it begins there


def test_settings_over_several_sizes_are_on_a_logarithmic_scale_with_a_tick_each() -> None:
    labels = {0.01: "0.01", 0.1: "0.1", 1.0: "1.0"}
    scale = Scale.of(list(labels), 0.0, 100.0, labels)
    assert scale.log and scale(0.1) == pytest.approx(50.0, abs=0.1) and dict(scale.ticks) == labels
    assert not Scale.of([0.0, 1.0], 0.0, 100.0, {0.0: "0", 1.0: "1"}).log
    assert Scale.of([5.0], 0.0, 100.0, {5.0: "5"})(5.0) == 50.0


def test_what_is_beyond_what_can_be_told_apart_is_counted() -> None:
    point = Point(1.0, 2.0, 0.5)
    series = [Series(f"{number}", Look("#0072B2", "o"), [point]) for number in range(MOST_SERIES + 3)]
    figure = Figure("title", "x", "y", series, Table("title", [], []))
    assert len(figure.drawn) == MOST_SERIES and figure.left_out == 3
    assert figure.y(1.5) < figure.y.begin and figure.y(2.5) > figure.y.end  # bars are within it


def test_each_setting_of_another_key_is_a_line_of_its_own(tmp_path: Path) -> None:
    for ratio in (0.2, 0.4):
        for weight in (1, 2):
            folder = tmp_path / f"{ratio}-{weight}"
            write_run(folder, "dacs+mrm", 0, 20.0 + ratio + weight, None)
            keys = {"TERMS": {"MRM": {"RATIO": ratio, "WEIGHT": weight}}}
            (folder / "config.yaml").write_text(yaml.safe_dump(keys))
    assert report.main([str(tmp_path), "--out", str(tmp_path / "page.html")]) == 0
    text = (tmp_path / "page.html").read_text()
    tables = Page(text).tables
    assert [row[:3] for row in tables["ablation1-table"][1:]] == [
        ["0.2", "1", "21.2"],
        ["0.4", "1", "21.4"],
        ["0.2", "2", "22.2"],
        ["0.4", "2", "22.4"],
    ]
    first = text.partition('id="ablation1-title"')[2].partition("</figure>")[0]
    assert "Bars are" not in first and first.count('<polyline class="line"') == 2
    assert "TERMS.MRM.WEIGHT 1</li>" in first and "TERMS.MRM.WEIGHT 2</li>" in first
    assert "ablation2-table" in tables and "ablation3-table" not in tables
