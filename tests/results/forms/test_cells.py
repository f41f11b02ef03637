"""Cells of tables: one line, no formula, shown as they are."""

from __future__ import annotations

import csv
import io

import pandas as pd

from results.forms.cells import as_csv, table_of, tabulated


def test_csv_runs_no_formula_and_breaks_no_line() -> None:
    texts = ["=1+1", "+cmd|' /C calc'!A0", "-x", "@SUM(A1)", "-1.5", "+2e3", "-", "a\rb", "x,y", 'q"', "dacs+mrm", 7.25]
    frame = pd.DataFrame({"text": texts, "number": [-float(each) for each in range(len(texts))], "=head": texts})
    rows = list(csv.reader(io.StringIO(as_csv(frame), newline="")))
    assert rows[0] == ["text", "number", "'=head"]
    assert [row[0] for row in rows[1:]] == [
        "'=1+1", "'+cmd|' /C calc'!A0", "'-x", "'@SUM(A1)", "-1.5", "+2e3", "-", "a\nb", "x,y", 'q"', "dacs+mrm", "7.25"
    ]  # fmt: skip
    assert rows[3][1] == "-2.0" and "\r" not in as_csv(frame)


def test_a_cell_is_one_line_in_every_form() -> None:
    for form in ("simple", "github", "latex_booktabs"):
        table = tabulated({"a": ["one\ntwo", "x"], "b": ["1", "2"]}, form)
        assert "one two" in table


def test_rows_are_shown_as_they_are() -> None:
    lines = table_of(("name", "of"), [("1e3", None), ("two\nlines", 2)]).splitlines()
    assert [line.split() for line in lines] == [["name", "of"], ["---------", "----"], ["1e3"], ["two", "lines", "2"]]
    numbers = table_of(("name", "of"), [("a", 10), ("b", 2)], right=True)
    assert numbers.splitlines()[2:] == ["a         10", "b          2"]
    assert table_of((), [("a", "b")], "plain") == "a  b"
    assert table_of(("name", "of"), []).splitlines()[0] == "name    of"
