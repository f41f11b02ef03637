"""What a grid would run: the runs, what is finished, and how long the rest takes by the pace of finished runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from tabulate import tabulate

from ablations.expand import Row, Run
from benchmarks.progress import clock
from benchmarks.spec import run_id
from results.collect import collect
from results.errors import ResultsError
from results.record import DIVERGED, FINISHED, RUNNING, read_record


def dry_run(rows: Sequence[Row], output: Path, parallel: int) -> str:
    """A line a run, with its id and state below ``output``, and the time that those to be made take.

    The time of a run is the median of seconds an iteration, evaluation included, of finished runs of its protocol,
    method and network, times its iterations; "unknown" where there is none.
    """
    paces = _paces(output)
    lines, ended, times = [], 0, list[float | None]()
    known = set[Path]()
    for row in rows:
        for run in row.runs:
            folder = run.folder(output)
            state, is_over = _state(folder)
            shown = ""
            if folder in known:
                state = f"{state}, as above"
            elif is_over:
                ended += 1
            else:
                times.append(_seconds(run, paces))
                shown = "unknown" if times[-1] is None else clock(times[-1])
            known.add(folder)
            lines.append((row.label, run.cfg.METHOD, run.cfg.NETWORK, run.cfg.SEED, run_id(run.cfg), state, shown))
    head = ("setting", "method", "network", "seed", "run", "state", "time")
    summary = f"{len(known)} runs, {ended} done, {len(times)} to make; time: {_total(times, parallel)}"
    return f"{tabulate(lines, head, disable_numparse=True)}\n\n{summary}"


def _state(folder: Path) -> tuple[str, bool]:
    """In words, and whether the run is over: made again neither by this command nor by another."""
    try:
        record = read_record(folder)
    except ResultsError:
        record = None  # one that cannot be read is none
    if record is None:
        return "to do", False
    status = record["status"]
    if status == FINISHED:
        miou = record["result"]["student"]["miou"]
        return f"{FINISHED}, mIoU {'-' if miou is None else f'{miou:.1f}'}", True
    return "begun" if status == RUNNING else str(status), status == DIVERGED


def _paces(output: Path) -> pd.Series:
    """Median seconds an iteration of finished runs, by protocol, method and network."""
    if not output.is_dir():
        return pd.Series(dtype=float)
    runs = collect(output)
    runs = runs[(runs["status"] == FINISHED) & (runs["iterations"] > 0)]
    seconds = (runs["wall_seconds"].astype(float) / runs["iterations"].astype(float)).dropna()
    return seconds.groupby([runs["protocol"], runs["method"], runs["network"]]).median()


def _seconds(run: Run, paces: pd.Series) -> float | None:
    names = (run.cfg.PROTOCOL, run.cfg.METHOD, run.cfg.NETWORK)
    return float(paces[names]) * run.cfg.SOLVER.ITERS if names in paces.index else None


def _total(times: Sequence[float | None], parallel: int) -> str:
    if not times:
        return "none"
    known = [seconds for seconds in times if seconds is not None]
    if not known:
        return "unknown, no run of these methods and this network is finished"
    # Workers end together only where runs are many: no run is shorter for having company.
    total = clock(max(max(known), sum(known) / parallel))
    shared = f" with {parallel} at a time" if parallel > 1 else ""
    missing = len(times) - len(known)
    return f"about {total}{shared}" + (f", and {missing} runs of unknown time" if missing else "")
