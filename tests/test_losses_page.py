"""The table of losses on docs/streets.md is what its rows give, a row a run."""

from __future__ import annotations

import pandas as pd

from benchmarks.core.checkout import ROOT

ADD_ONS = ["loss_mic", "loss_mrm", "loss_mrm_input"]


def test_the_table_of_losses_is_of_its_rows() -> None:
    frame = pd.read_csv(ROOT / "docs/records/streets-losses.csv")
    page = (ROOT / "docs/streets.md").read_text(encoding="utf-8")
    for method, runs in frame.groupby("method", sort=False):
        assert sorted(runs["seed"]) == [0, 1, 2]
        of_terms = [number(mean) for mean in runs[ADD_ONS].mean() if not pd.isna(mean)]
        cells = [
            *(number(runs[name].mean()) for name in ("loss_supervised", "loss_mixed")),
            " and ".join(of_terms) or "-",
            number(runs["pseudo_label_confidence"].mean()),
            number(runs["gradient_norm/student"].mean(), digits=2),
        ]
        assert f"| {method} | {' | '.join(cells)} |\n" in page, method


def number(mean: float, digits: int = 3) -> str:
    return "-" if pd.isna(mean) else f"{mean:.{digits}f}"
