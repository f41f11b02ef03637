"""How the rows of a comparison are drawn, several settings of one method among them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from results.plots.style import MARKERS, PALETTE, Look, looks
from results.tables.rows import Row


def row_looks(rows: Sequence[Row]) -> dict[str, Look]:
    """The look of each row by label: a method as in all plots, its settings in colours that are free."""
    found = looks(row.label for row in rows if row.label in row.names.values())
    for row in rows:
        if row.label not in found:
            used = Counter(look.color for look in found.values())
            free = (Look(color, marker) for color in sorted(PALETTE, key=used.__getitem__) for marker in MARKERS)
            found[row.label] = next((look for look in free if look not in found.values()), Look(PALETTE[0], "o"))
    return found
