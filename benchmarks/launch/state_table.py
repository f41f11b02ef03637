"""The states of runs as a table, once or until all are over."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from benchmarks.cli.time_left import clock
from benchmarks.state.run_states import LOST, ORDER, RunState
from benchmarks.state.state_differences import differences
from results.files.text import clean, one_line
from results.forms.cells import table_of
from results.records import record as records

_COLOURS = {records.FINISHED: "green", records.RUNNING: "cyan", records.FAILED: "red", LOST: "red"}


def state_table(states: Sequence[RunState], silent: str = "") -> str:
    """Plain text: a line a run, and a summary; ``silent`` says why the scheduler could not be asked.

    Runs of one method and seed are told apart by the keys in which they differ, in a column "settings".
    """
    columns = _columns(states)
    return f"{table_of(list(columns), zip(*columns.values(), strict=True))}\n\n{summary(states, silent)}"


def watch(look: Callable[[], tuple[list[RunState], str]], seconds: float, console: Console | None = None) -> bool:
    """Show the table, anew every so many seconds, until all runs are over; returns whether all are finished.

    On a terminal it stays in its place; elsewhere a summary line comes when it has changed, and the table at the end.
    """
    console = console or Console()
    states, silent = look()
    if console.is_terminal:
        with Live(_rich(states, silent), console=console, auto_refresh=False) as live:
            while not all(state.is_over for state in states):
                time.sleep(seconds)
                states, silent = look()
                live.update(_rich(states, silent), refresh=True)
    else:
        said = ""
        while not all(state.is_over for state in states):
            if (line := summary(states, silent)) != said:
                said = line
                console.print(line, markup=False, highlight=False, soft_wrap=True)
            time.sleep(seconds)
            states, silent = look()
        console.print(state_table(states, silent), markup=False, highlight=False, soft_wrap=True)
    return all(state.status == records.FINISHED for state in states)


def summary(states: Sequence[RunState], silent: str) -> str:
    """How many runs are in which state, and the longest time left of those that run."""
    counts = Counter(state.status for state in states)
    parts = [f"{counts[status]} {status}" for status in ORDER if counts[status]]
    left = [state.seconds_left for state in states if state.seconds_left is not None]
    text = f"{len(states)} runs: {', '.join(parts) or 'none'}"
    if left:
        text += f"; time left {clock(max(left))}" + (", of those that run" if counts[records.PENDING] else "")
    return f"{text}\nthe scheduler does not answer: {silent}" if silent else text


def _columns(states: Sequence[RunState]) -> dict[str, Sequence[str]]:
    """The columns by their heads; without the settings where no two runs need them."""
    columns = {
        "run": [state.folder.name for state in states],
        "method": [state.label for state in states],
        "settings": differences(states),
        "state": [state.status for state in states],
        "iteration": [f"{state.iteration}/{state.iterations}" for state in states],
        "mIoU": ["-" if state.miou is None else f"{state.miou:.1f}" for state in states],
        "time left": ["" if state.seconds_left is None else clock(state.seconds_left) for state in states],
        "job": [state.job for state in states],
        "reason": [state.reason for state in states],
    }
    return {head: cells for head, cells in columns.items() if head != "settings" or any(cells)}


def _rich(states: Sequence[RunState], silent: str) -> Table:
    columns = _columns(states)
    table = Table(*columns, caption=Text(summary(states, silent)), box=None)
    for state, *row in zip(states, *columns.values(), strict=True):
        table.add_row(*(Text(one_line(cell)) for cell in row), style=_COLOURS.get(state.status, ""))
    return table


def last_lines(state: RunState, lines: int, job_log: Path | None) -> str:
    """The end of the run's log.txt, and of what its job printed."""
    parts = []
    for path in (state.folder / "log.txt", job_log):
        if path is not None and path.is_file():
            text = clean(path.read_text(encoding="utf-8", errors="replace")).splitlines()
            last = text[max(0, len(text) - lines) :]
            parts.append("\n".join([f"{path}:", *(f"    {line}" for line in last)]))
    return "\n".join(parts) or f"{state.folder}: nothing was logged"
