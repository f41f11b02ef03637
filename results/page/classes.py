"""IoU class by class as a table of colours: a heat map that can be read, sorted and copied."""

from __future__ import annotations

from results.page.compared import Compared
from results.page.table import Cell, Table, cell
from results.tables.by_class import by_class
from results.tables.summary import Summary
from results.tables.summary_text import difference_text, mean_text

_FULL = 20.0  # percent points that have the full colour, or the largest where that is less


def class_table(compared: Compared) -> Table | None:
    """Classes down, rows across: IoU, and the paired difference to the baseline; None where no run has any.

    Raises:
        ResultsError: records do not have the rule by class.
    """
    found = by_class(compared.rows, compared.baselines, compared.model, compared.rule)
    if not found:
        return None
    differences = [
        abs(each.versus.difference.mean)
        for line in found.values()
        for each in line
        if each.versus and not each.row.is_oracle  # beside it all others would be pale
    ]
    full = min(_FULL, max(differences, default=0.0)) or 1.0
    versus = f", below it the difference to {compared.baseline}" if compared.baseline else ""
    return Table(
        f"IoU of each class in percent{versus}",
        ["class", *(row.label for row in compared.rows)],
        [[cell(name), *(_cell(each, full, bool(compared.baseline)) for each in line)] for name, line in found.items()],
    )


def _cell(summary: Summary, full: float, with_baseline: bool) -> Cell:
    mean = summary.means[0]
    if mean is None:
        return cell("")
    text, note, share, strong = mean_text(mean, mean.n), "", 0.0, False
    if summary.versus:
        difference = summary.versus.difference
        note = difference_text(summary.versus)
        share = max(-1.0, min(1.0, difference.mean / full))
        strong = difference.interval is not None and difference.interval.holds
    elif not with_baseline:
        share = mean.mean / 100
    return Cell(text, mean.mean, note, round(share, 3), strong)
