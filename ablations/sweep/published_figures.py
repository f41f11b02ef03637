"""The published figures that belong beside the rows of a grid: those of the same runs, and no others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ablations.sweep.expand import Row
from ablations.sweep.grid import Grid, Published
from results.published import Names, read_published


@dataclass(frozen=True)
class Beside:
    """What was published of a row: mIoU and difference to the reference in percent; ``note`` in place of an mIoU."""

    miou: float | None = None
    difference: float | None = None
    note: str = ""
    source: str = ""


def beside(grid: Grid, rows: Sequence[Row]) -> list[Beside]:
    """What is published for each row's protocol, network, host, class set and method settings.

    Figures of the grid's own file come first, then those of ``results/published.csv`` for recipes as they stand.
    Settings of the training (iterations, batch) are not compared: the caption tells them.
    """
    table = read_published()
    references: dict[tuple[str, str], float | None] = {}
    found = []
    for row in rows:  # the reference of a group comes first
        cfg = row.cfg
        block = next((block for block in grid.published if _is_of(block, row)), None)
        miou, difference, note, source = None, None, "", ""
        if block is not None:
            figure = block.miou.get(row.labels, block.reference if row.is_reference else None)
            miou, note = (None, figure) if isinstance(figure, str) else (figure, "")
            difference = block.difference.get(row.labels)
            source = block.source if figure is not None or difference is not None else ""
        if miou is None and not note and row.is_default:
            known = table.get(Names(cfg.METHOD, cfg.NETWORK, cfg.PROTOCOL, cfg.TEST.CLASSES))
            if known is not None:
                miou, source = known.miou, source or known.source
        if row.is_reference:
            references[row.group] = miou
        reference = references.get(row.group)
        if difference is None and not row.is_reference and miou is not None and reference is not None:
            difference = round(miou - reference, 6)
        found.append(Beside(miou, difference, note, source))
    return found


def _is_of(block: Published, row: Row) -> bool:
    cfg = row.cfg
    runs = (cfg.PROTOCOL, cfg.NETWORK, row.host, cfg.TEST.CLASSES)
    return row.is_pure and runs == (block.protocol, block.network, block.host, block.classes)
