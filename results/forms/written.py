"""Tables as files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from results.forms.cells import MARKDOWN, as_csv, markdown, tabulated
from results.records.record import write_text

if TYPE_CHECKING:
    import pandas as pd


def write_tables(
    columns: Mapping[str, Sequence[str]], frame: pd.DataFrame, caption: str, stem: Path
) -> tuple[Path, Path]:
    """Write ``stem``.csv (``frame``, full precision) and ``stem``.md (``columns``, with the caption).

    Returns both paths. Raises OSError where they cannot be written.
    """
    csv, text = (stem.with_name(f"{stem.name}.{ending}") for ending in ("csv", "md"))  # names may have dots
    write_text(csv, as_csv(frame))
    write_text(text, f"{tabulated(columns, MARKDOWN)}\n\n{markdown(caption)}\n")
    return csv, text
