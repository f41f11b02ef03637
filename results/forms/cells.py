"""Texts in tables that people and programs read: no cell breaks its row, becomes markup, or is run as a formula."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tabulate import tabulate

from results.files.text import clean, one_line

if TYPE_CHECKING:
    import pandas as pd

MARKDOWN = "github"
# Of tables: names on the command line, and tabulate's.
FORMS = {"table": "simple", "markdown": MARKDOWN, "latex": "latex_booktabs", "csv": ""}
_FORMULA = "=+-@\t"  # what a spreadsheet takes for the beginning of one


def tabulated(columns: Mapping[str, Sequence[str]], form: str) -> str:
    """Columns of text as tabulate's ``form``; the first is on the left, the others on the right."""
    return table_of(list(columns), list(zip(*columns.values(), strict=True)), form, right=True)


def table_of(heads: Sequence[str], rows: Iterable[Sequence[Any]], form: str = "simple", right: bool = False) -> str:
    """Rows of cells under ``heads`` (empty: without), as tabulate's ``form``.

    What a cell holds is shown as it is, on the left; ``right``: on the right, but in the first column. None is empty.
    """
    escaped = markdown if form == MARKDOWN else one_line
    cells = [["" if cell is None else escaped(str(cell)) for cell in row] for row in rows]
    align = ["left", *["right" if right else "left"] * (max(map(len, [heads, *cells])) - 1)]
    return tabulate(
        cells,
        headers=[escaped(head) for head in heads],
        tablefmt=form,
        disable_numparse=True,
        colalign=align if cells else None,
    )


def markdown(text: str) -> str:
    r"""A text as a cell of a Markdown table, or below one: "a|b" becomes "a\|b", "<i>" is shown as it is."""
    text = one_line(text).replace("\\", "\\\\").replace("|", "\\|")
    return text.replace("&", "&amp;").replace("<", "&lt;")


def as_csv(frame: pd.DataFrame) -> str:
    """The rows as CSV at full precision.

    Text that a spreadsheet would run as a formula (it begins with = + - @ and is no number) has an apostrophe before
    it; line ends in text are line feeds, in quotes.
    """
    import pandas as pd

    safe = frame.set_axis([csv_cell(str(name)) for name in frame.columns], axis="columns")
    for place, kind in enumerate(safe.dtypes):
        if not (pd.api.types.is_numeric_dtype(kind) or pd.api.types.is_bool_dtype(kind)):
            safe.isetitem(place, safe.iloc[:, place].map(csv_cell))
    return safe.to_csv(index=False)


def csv_cell(value: Any) -> Any:
    """A cell as no spreadsheet takes it for a formula; what is no text as it is."""
    if not isinstance(value, str):
        return value
    text = clean(value)
    return f"'{text}" if len(text) > 1 and text[0] in _FORMULA and not _is_number(text) else text


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
