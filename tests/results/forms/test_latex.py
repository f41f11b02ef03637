"""Cells and texts for LaTeX."""

from __future__ import annotations

import pytest

from results.forms.latex import escaped, typeset


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("-1.4", "$-$1.4"),
        ("[-4.4, +0.6]", "[$-$4.4, +0.6]"),
        ("95.7 (-.8)", "95.7 ($-$.8)"),
        ("-", "-"),  # no figure at all
        ("2009-13801, 5e-05, deeplabv2-r101, 1.-2., --2", "2009-13801, 5e-05, deeplabv2-r101, 1.-2., --2"),
    ],
)
def test_negative_figures_have_a_minus_and_words_their_hyphens(text: str, shown: str) -> None:
    assert escaped(text) == shown


def test_a_cell_sets_its_deviation_small() -> None:
    text = typeset({"method": ["dacs+mrm"], "vs dacs": ["-1.4 ± 0.7"]})
    assert r"dacs+mrm & $-$1.4\,{\scriptsize $\pm$ 0.7} \\" in text.splitlines()
