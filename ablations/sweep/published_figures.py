"""The published figures that belong beside the rows of a grid: those of the same runs, and no others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ablations.sweep.expand import Row
from ablations.sweep.grid import Grid, Published
from results.records.published import Names, read_published
from results.tables.beside_published import Beside, beside_names, unstated
from results.tables.rows import Row as TableRow


def beside(grid: Grid, rows: Sequence[Row], measured: Sequence[TableRow]) -> list[Beside]:
    """What is published for each row's protocol, network, host, class set and method settings.

    Figures of the grid's own file come first, then those of ``results/published.csv`` for recipes as they stand.
    """
    known = read_published()
    references: dict[tuple[str, ...], float | None] = {}
    found = []
    for row, of_row in zip(rows, measured, strict=True):  # the reference of a group comes first
        block = next((block for block in grid.published if _is_of(block, row)), None)
        own = Beside()
        if block is not None:
            figure = block.miou.get(row.labels, block.reference if row.is_reference else None)
            miou, note = (None, figure) if isinstance(figure, str) else (figure, "")
            difference = block.difference.get(row.labels)
            if figure is not None or difference is not None:
                other = ", ".join(unstated(row.cfg.METHOD, of_row))
                own = Beside(miou, difference, note, block.source, other)
        if own.miou is None and not own.note and row.is_default:
            cfg = row.cfg
            recipe = beside_names(of_row, Names(cfg.METHOD, cfg.NETWORK, cfg.PROTOCOL, cfg.TEST.CLASSES), known)
            if recipe.miou is not None:
                own = replace(recipe, difference=own.difference, source=own.source or recipe.source)
        if row.is_reference:
            references[row.group] = own.miou
        reference = references.get(row.group)
        if own.difference is None and not row.is_reference and own.miou is not None and reference is not None:
            own = replace(own, difference=round(own.miou - reference, 6))
        found.append(own)
    return found


def _is_of(block: Published, row: Row) -> bool:
    cfg = row.cfg
    runs = (cfg.PROTOCOL, cfg.NETWORK, row.host, cfg.TEST.CLASSES)
    return row.is_pure and runs == (block.protocol, block.network, block.host, block.classes)
