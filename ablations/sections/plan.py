"""What is to be run of the paper: its sections as rows, and all their runs as one list without doubles."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice, zip_longest
from pathlib import Path
from typing import Any

from ablations.sections.section import Paper, Section, on_one_network
from ablations.sweep.expand import Row, expand
from ablations.sweep.grid import Grid
from ablations.sweep.records import rows_of_records
from benchmarks.config.run import Run


@dataclass(frozen=True)
class Asked:
    """What a command asks for of all sections.

    Attributes:
        protocol: a name, or the path of a YAML file.
        network: None: the protocol's, or those of the paper.
        seeds: at least one.
        overrides: config keys of all runs.
        output: folder of run folders.
    """

    protocol: str
    network: str | None
    seeds: Sequence[int]
    overrides: Mapping[str, Any]
    output: Path


@dataclass(frozen=True, eq=False)
class PlannedSection:
    """A section with its rows, or why it has none.

    Attributes:
        section: of the paper.
        grid: the section's, as it is run here.
        rows: one a setting; empty where the section is left out.
        why_none: why it is left out; "" for a section that has rows.
    """

    section: Section
    grid: Grid
    rows: tuple[Row, ...] = ()
    why_none: str = ""

    @property
    def runs(self) -> list[Run]:
        """All runs of the section, row by row."""
        return [run for row in self.rows for run in row.runs]


def plan(paper: Paper, sections: Sequence[Section], asked: Asked, named: bool = False) -> list[PlannedSection]:
    """The sections as rows under a protocol; those that do not go with it have none, and say why.

    Args:
        paper: which protocols it has figures of.
        sections: those that are asked for.
        asked: of all of them.
        named: whether they were named one by one: then one that compares networks is made under any protocol.

    Raises:
        ConfigError, MethodError: a name, key or value that cannot be, in one line.
    """
    return [_planned(paper, section, asked, named) for section in sections]


def _planned(paper: Paper, section: Section, asked: Asked, named: bool) -> PlannedSection:
    grid, protocol = section.grid, section.protocol or asked.protocol
    network = asked.overrides.get("NETWORK", asked.network)
    if section.protocol and asked.protocol != paper.protocol:
        return PlannedSection(section, grid, why_none=f"it goes with --protocol {paper.protocol} alone")
    if grid.sets("NETWORK"):
        elsewhere = protocol not in paper.protocols
        if section.one_network and (network or elsewhere):
            grid = on_one_network(grid)
        elif network:
            return PlannedSection(section, grid, why_none=f"it compares networks, and all runs are to be on {network}")
        elif elsewhere and not named:
            why = f"it compares networks that want weights of their own; --only {section.name} makes it"
            return PlannedSection(section, grid, why_none=why)
    rows = expand(grid, protocol, asked.network, None, asked.seeds, asked.overrides, asked.output)
    return PlannedSection(section, grid, tuple(rows))


def of_records(
    sections: Sequence[PlannedSection], folder: Path, say: Callable[[str], None]
) -> list[PlannedSection]:
    """The sections with the folders of their runs below ``folder``, by `ablations.sweep.records.rows_of_records`.

    A section may have none of its runs there, but not all sections.

    Raises:
        ConfigError, ResultsError: as there.
    """
    rows = iter(rows_of_records([row for each in sections for row in each.rows], folder, say))
    return [replace(each, rows=tuple(islice(rows, len(each.rows)))) for each in sections]


def distinct_runs(sections: Sequence[PlannedSection]) -> list[tuple[str, Run]]:
    """Each run once, with the section and row that first ask for it: all of one seed before the next seed.

    So a list that is stopped on its way has whole tables of fewer seeds.
    """
    rows = [(f"{each.section.name} {row.label}", row) for each in sections for row in each.rows]
    found: dict[Path, tuple[str, Run]] = {}
    for runs in zip_longest(*(row.runs for _, row in rows)):
        for (label, _), run in zip(rows, runs, strict=True):
            found.setdefault(run.folder, (f"{label}, seed {run.cfg.SEED}", run))
    return list(found.values())
