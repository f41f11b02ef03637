"""Tables that fit a terminal: folded between columns, with the first one in each block."""

from __future__ import annotations

import re

import pytest

from results.forms.cells import tabulated
from results.forms.folding import folded, for_screen

COLUMNS = {
    "method": ["source-only", "dacs+mic+mrm, TERMS.MRM.RATIO 0.6"],
    "mIoU (19)": ["17.1 ± 1.6 (n=3)", "19.8 ± 0.5 (n=3)"],
    "vs source-only": ["-", "+2.7 ± 0.3"],
    "95% (seeds)": ["-", "[+1.2, +4.2]"],
    "s/iteration": ["0.230", "1.501"],
    "peak memory": ["786 MiB", "1236 MiB"],
}


def blocks_of(text: str) -> list[list[str]]:
    return [block.splitlines() for block in text.split("\n\n")]


def heads_of(block: list[str]) -> list[str]:
    """The heads of a block, cut where the line below them has gaps."""
    return [block[0][match.start() : match.end()].strip() for match in re.finditer("-+", block[1])]


@pytest.mark.parametrize("width", [58, 64, 80, 100])
def test_blocks_fit_and_have_the_first_column_and_all_others_once(width: int) -> None:
    blocks = blocks_of(folded(COLUMNS, width))
    assert len(blocks) > 1
    assert all(len(line) <= width for block in blocks for line in block)
    heads = [heads_of(block) for block in blocks]
    assert all(each[0] == "method" for each in heads)
    assert [head for each in heads for head in each[1:]] == list(COLUMNS)[1:]
    for block in blocks:
        assert [line.split("  ")[0] for line in block[2:]] == COLUMNS["method"]
    for head, cells in COLUMNS.items():  # no cell is cut
        (block,) = (each for each in blocks if head in heads_of(each)) if head != "method" else (blocks[0],)
        assert all(cell in line for cell, line in zip(cells, block[2:], strict=True))


def test_as_many_columns_as_fit_are_in_a_block() -> None:
    blocks = blocks_of(folded(COLUMNS, 80))
    widest = max(len(line) for line in blocks[0])
    following = heads_of(blocks[1])[1]
    assert widest <= 80 < widest + 2 + max(map(len, [following, *COLUMNS[following]]))
    exact = max(map(len, tabulated(COLUMNS, "simple").splitlines()))
    assert folded(COLUMNS, exact) == tabulated(COLUMNS, "simple")
    assert len(blocks_of(folded(COLUMNS, exact - 1))) == 2


def test_what_is_wider_than_the_terminal_stays_whole() -> None:
    columns = {"run": ["a", "b"], "reason": ["word " * 30, "-"], "seed": ["0", "1"]}
    blocks = blocks_of(folded(columns, 40))
    assert [heads_of(block) for block in blocks] == [["run", "reason"], ["run", "seed"]]
    assert ("word " * 30).strip() in blocks[0][2]
    assert folded({"run": ["x" * 90]}, 40) == tabulated({"run": ["x" * 90]}, "simple")
    assert folded({"run": [], "seed": []}, 40) == tabulated({"run": [], "seed": []}, "simple")


def test_a_terminal_gets_a_folded_table_and_a_file_a_whole_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "90")
    assert for_screen(COLUMNS) == tabulated(COLUMNS, "simple")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert for_screen(COLUMNS) == folded(COLUMNS, 90)
    monkeypatch.setenv("COLUMNS", "20")
    assert for_screen(COLUMNS) == folded(COLUMNS, 80)
