"""A paper's tables on one page: what is measured of each section, how its rows stand, and what makes the rest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from results.page.render import rendered
from results.page.runs import Command
from results.page.table import Table


@dataclass(frozen=True)
class Part:
    """A section of the paper.

    Attributes:
        name: as commands call it. title, where, about: what it is, where in the paper, and what is asked.
        states: of its runs, one each, as "finished".
        table: one row a setting; None where the section is left out.
        notes: below the table.
        picture: the address of its plot; "" for none.
        unfinished: rows whose runs are not all finished, each with the command that makes them.
        command: that makes and shows the whole section.
        why_none: why it is left out.
    """

    name: str
    title: str
    where: str
    about: str
    states: Sequence[str] = ()
    table: Table | None = None
    notes: Sequence[str] = ()
    picture: str = ""
    unfinished: Sequence[Command] = field(default=())
    command: str = ""
    why_none: str = ""


def counted(states: Iterable[str]) -> str:
    """States as text: "finished" of one kind, else "2 finished, 1 missing"; the most frequent first."""
    counts = Counter(states).most_common()
    return counts[0][0] if len(counts) == 1 else ", ".join(f"{count} {state}" for state, count in counts)


def paper_page(title: str, parts: Sequence[Part], notes: Sequence[str], command: str, runs: Sequence[str]) -> str:
    """The page as HTML that loads nothing. ``runs``: the states of all runs, each once; parts may share some."""
    heads = ["section", "title", "in the paper", "runs", "state"]
    told = [counted(part.states) if part.states else f"left out: {part.why_none}" for part in parts]
    overview = [
        (part.name, part.title, part.where, len(part.states), state) for part, state in zip(parts, told, strict=True)
    ]
    context: dict[str, Any] = {
        "title": title,
        "parts": parts,
        "notes": notes,
        "command": command,
        "total": len(runs),
        "states": ", ".join(f"{count} {state}" for state, count in Counter(runs).most_common()),
        "overview": Table.of_rows("Sections of the paper", heads, overview),
    }
    return rendered(context, "paper.html.jinja")
