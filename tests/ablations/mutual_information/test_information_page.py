"""The table of docs/information.md is what its rows give, a row a run."""

from __future__ import annotations

import pandas as pd

from ablations.mutual_information.measures import Settings
from ablations.mutual_information.tables import Method, columns_of
from benchmarks.core.checkout import ROOT
from results.forms.cells import MARKDOWN, tabulated


def test_the_table_of_the_page_is_of_its_rows() -> None:
    frame = pd.read_csv(ROOT / "docs/records/information.csv").dropna(axis="columns", how="all")
    methods = []
    for label, rows in frame.groupby("method", sort=False):
        numbers = rows.drop(columns=["method", "seed"]).to_dict("records")
        methods.append(Method(str(label), str(label), dict(zip(rows["seed"].tolist(), numbers, strict=True))))
    table = tabulated(columns_of(methods, Settings()), MARKDOWN)
    assert table in (ROOT / "docs/information.md").read_text(encoding="utf-8")
