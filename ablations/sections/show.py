"""The paper as it was measured: a table, a plot and LaTeX of each section, and one page of all."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from ablations.sections.plan import Asked, PlannedSection
from ablations.sweep.expand import Row, names_of
from ablations.sweep.grid_plot import other_than_published, plot_grid
from ablations.sweep.report import Report, report
from benchmarks.config.keys import PLACE_KEYS
from benchmarks.config.run import Run
from benchmarks.state.run_states import RunState, run_states
from methods.framework.recipes import parse
from results.files.bounded_yaml import as_word
from results.forms.cells import markdown
from results.forms.latex import document, typeset
from results.forms.written import write_tables
from results.page.encoded import address
from results.page.paper import Part, counted, paper_page
from results.page.runs import Command
from results.page.table import Table
from results.plots.files import write_figure
from results.records.record import DIVERGED, FINISHED, write_text
from results.tables.summary_text import NONE
from slurm.jobs.scheduler import Scheduler

if TYPE_CHECKING:
    from ablations.profiling.step_cost import CostCounter

TITLE = "Masked Representation Modeling (arXiv 2509.13801)"
MISSING = "missing"
_ELSEWHERE = {"unfinished", "not as published"}  # in the column of states, and in a note
_BEHIND = {"better", "iterations", "s/iteration", "peak memory", "G multiply-adds"}
_NOT_IN_LATEX = {"n", "better", "95% (images, seeds)", "iterations", "s/iteration", "peak memory"}  # a page is narrow


class States:
    """How runs stand, by records, locks and the scheduler; one that nothing is known of is missing."""

    def __init__(self, output: Path) -> None:
        found = run_states(output, Scheduler())[0] if output.is_dir() else []
        self._found: dict[Path, RunState] = {state.folder: state for state in found}

    def __getitem__(self, run: Run) -> str:
        known = self._found.get(run.folder)
        return str(known.status) if known else MISSING

    def reason(self, run: Run) -> str:
        """Why a run failed or waits; "" where there is nothing to be said."""
        known = self._found.get(run.folder)
        return known.reason if known else ""


@dataclass(frozen=True)
class Commands:
    """The commands that a page names.

    Attributes:
        of_section: that makes and shows the section of this name; of "" all that were asked for.
        options: of each command that makes a row, beside what names its runs.
    """

    of_section: Callable[[str], Sequence[str]]
    options: Sequence[str] = ()


def write_paper(
    sections: Sequence[PlannedSection], asked: Asked, folder: Path, commands: Commands, notes: Sequence[str]
) -> tuple[list[Path], bool]:
    """Write paper.html, .tex and .md, and each section's table and plot; returns these three, and if all is finished.

    Args:
        sections: in their order; those that are left out are named with the reason.
        asked: of all of them.
        folder: of the files, which is made where there is none.
        commands: that make what is not finished.
        notes: on all sections.

    Raises:
        OSError: a file cannot be written.
    """
    from ablations.profiling import step_cost

    folder.mkdir(parents=True, exist_ok=True)
    writer = _Writer(asked, folder, commands, States(asked.output), step_cost.CostCounter())
    parts = [writer.part(each) for each in sections]
    every = [writer.states[run] for run in {run.folder: run for each in sections for run in each.runs}.values()]
    title, command = f"{TITLE}: {asked.protocol}", shlex.join(commands.of_section(""))
    page, tex, text = (folder / f"paper.{ending}" for ending in ("html", "tex", "md"))
    write_text(page, paper_page(title, parts, notes, command, every))
    write_text(tex, f"% Made of run folders by {command}\n{document(title, map(_in_latex, parts))}")
    write_text(text, _in_markdown(title, parts, notes, folder))
    return [page, tex, text], all(state == FINISHED for state in every)


@dataclass(frozen=True)
class _Writer:
    asked: Asked
    folder: Path
    commands: Commands
    states: States
    counter: CostCounter

    def part(self, planned: PlannedSection) -> Part:
        """Write the files of a section; returns what the page shows of it."""
        section, grid, rows = planned.section, planned.grid, planned.rows
        told = section.name, grid.title, section.where, section.about
        if not rows:
            return Part(*told, why_none=planned.why_none)
        title = f"{grid.title}: {', '.join(names_of(grid, rows))}"
        made = report(grid, rows, self.asked.overrides, title, self.counter)
        of_rows = [counted(self.states[run] for run in row.runs) for row in rows]
        shown = _with_states(made.shown, [axis.name for axis in grid.axes], of_rows)
        notes = [made.caption, *_notes(planned, made, self.states)]
        stem = self.folder / section.name
        write_tables(shown, made.frame.assign(state=of_rows), " ".join(notes), stem)
        write_text(stem.with_suffix(".tex"), _latex(shown, made.frame))
        picture = ""
        if made.frame["n"].any():  # else there is nothing to be drawn
            png, *_ = write_figure(plot_grid(grid, rows, made.frame), stem)
            picture = address(png.read_bytes(), "png")
        return Part(
            *told,
            states=[self.states[run] for run in planned.runs],
            table=Table.of(grid.title, shown),
            notes=notes,
            picture=picture,
            unfinished=[each for row in rows for each in self._to_make(row)],
            command=shlex.join(self.commands.of_section(section.name)),
        )

    def _to_make(self, row: Row) -> Iterator[Command]:
        """The command that makes what is left of a row, if anything is. Where data lie is not in it."""
        runs = [run for run in row.runs if self.states[run] not in (FINISHED, DIVERGED)]
        if not runs:
            return
        told = [f"seed {run.cfg.SEED} {self.states[run]}{_in_brackets(self.states.reason(run))}" for run in runs]
        spec, seeds = runs[0].spec, ",".join(str(run.cfg.SEED) for run in runs)
        words = ["python", "benchmarks/run.py", "--protocol", spec.protocol, "--methods", spec.method, "--seeds", seeds]
        words += [] if "NETWORK" in spec.overrides else ["--network", row.cfg.NETWORK]
        for key, value in spec.overrides.items():
            words += [] if key in PLACE_KEYS else [key, as_word(value)]
        yield Command(f"{row.label}: {', '.join(told)}", shlex.join([*words, *self.commands.options]), whole=True)


def _in_latex(part: Part) -> tuple[str, str, str, str]:
    caption = " ".join(part.notes) if part.table else f"Left out: {part.why_none}."
    table = f"{part.name}.tex" if part.table else ""
    return f"{part.title} ({part.where})", caption, table, f"{part.name}.pdf" if part.picture else ""


def _in_markdown(title: str, parts: Sequence[Part], notes: Sequence[str], folder: Path) -> str:
    """All tables, below headings of the second level, for a page that has its own title."""
    blocks = [markdown(" ".join([f"{title}.", *notes]))]
    for part in parts:
        blocks += [f"## {part.title} ({part.where})", markdown(f"Section {part.name}. {part.about}")]
        table = folder / f"{part.name}.md"
        blocks.append(f"Left out: {part.why_none}." if part.why_none else table.read_text(encoding="utf-8"))
    return "\n\n".join(block.strip("\n") for block in blocks) + "\n"


def _with_states(shown: Mapping[str, list[str]], names: Sequence[str], states: list[str]) -> dict[str, list[str]]:
    """The columns with the state of each row after what names it, in place of the count of what is not finished.

    What is published comes right after what is measured, so that the two can be seen at once.
    """
    others = {head: cells for head, cells in shown.items() if head not in names and head not in _ELSEWHERE}
    ordered = sorted(others, key=lambda head: head.startswith("95%") or head in _BEHIND)
    return {**{name: shown[name] for name in names}, "state": states, **{head: others[head] for head in ordered}}


def _latex(shown: Mapping[str, list[str]], frame: pd.DataFrame) -> str:
    columns = {head: cells for head, cells in shown.items() if head not in _NOT_IN_LATEX}
    scores = [head for head in columns if head.startswith("mIoU (")][:1]  # the headline
    means = [None if pd.isna(value) else float(value) for value in frame["miou"]]
    return typeset(columns, dict.fromkeys(scores, means))


def _notes(planned: PlannedSection, made: Report, states: States) -> list[str]:
    """What is to be known beside the caption: why no published figure is there, MRM's view, and what diverged."""
    grid, rows = planned.grid, planned.rows
    notes = []
    if "published" not in made.shown:
        others = other_than_published(grid, rows)
        told = f" The runs differ from published ones in: {', '.join(others)}." if others else ""
        notes.append(f"No published figure is of such runs, so that none stands beside them.{told}")
    else:
        different: dict[str, list[str]] = {}
        for row, other in zip(rows, made.shown.get("not as published", []), strict=False):
            if other != NONE:
                different.setdefault(other, []).append(row.label)
        each = ", ".join(f"{other} ({'; '.join(labels)})" for other, labels in different.items())
        notes += [f"Not as published: {each}."] if each else []
    with_mrm = [row.cfg for row in rows if "mrm" in parse(row.cfg.METHOD).terms]
    if with_mrm and not grid.sets("TERMS.MRM.VIEW"):
        views = " and ".join(dict.fromkeys(cfg.TERMS.MRM.VIEW for cfg in with_mrm))
        notes.append(
            f"MRM reads its features from the view {views} (TERMS.MRM.VIEW). The paper does not settle which of mixed "
            "and target is meant: published figures may be of the other one; the section view compares the two."
        )
    diverged = [
        f"{row.label}, seed {run.cfg.SEED} ({states.reason(run)})"
        for row in rows
        for run in row.runs
        if states[run] == DIVERGED
    ]
    return [*notes, *([f"Diverged: {'; '.join(diverged)}."] if diverged else [])]


def _in_brackets(text: str) -> str:
    return f" ({text})" if text else ""
