"""The first seconds of a command, in processes of their own: help, the first step of a run, a finished table again."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

from benchmarks.core.checkout import ROOT
from benchmarks.core.errors import ConfigError
from benchmarks.measure.child_run import REACHED, started
from benchmarks.measure.spread import Spread

Row = dict[str, Any]
HELP, FIRST_STEP, FINISHED = "run.py --help", "a cold run to its first step", "a finished table again"

# Images that a run of streets reads, drawn before anything is timed.
FEW = {
    "DATA.STREETS.SOURCE_IMAGES": 8,
    "DATA.STREETS.TARGET_IMAGES": 8,
    "DATA.STREETS.VAL_IMAGES": 2,
    "SOLVER.ITERS": 2,
    "SOLVER.BATCH": 2,
    "TEST.PERIOD": 2,
    "WEIGHTS": "none",
}
SMALL_IMAGES = {"DATA.STREETS.SIZE": (128, 64), "INPUT.CROP": (64, 64)}  # of these, where the time is not looked at


def measure(rounds: int, method: str = "dacs", network: str | None = None) -> list[Row]:
    """Seconds of each, the median of ``rounds``; the runs are of a few images of streets."""
    from benchmarks.cli.progress import Progress

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        words = ["--methods", method, "--output", str(folder / "runs"), *(["--network", network] if network else [])]
        words += [word for key, value in FEW.items() for word in (key, str(value))]
        with Progress("starting", 2 + 3 * rounds, "processes", stderr=True) as progress:

            def told(call: Callable[[], float]) -> float:
                seconds = call()
                progress.advance()
                return seconds

            told(lambda: command("benchmarks/run.py", *words))  # draws the images; the table is finished
            told(lambda: command("benchmarks/run.py", "--help"))  # the files of our code come into memory
            number = count()
            rows = {
                HELP: lambda: command("benchmarks/run.py", "--help"),
                FIRST_STEP: lambda: first_step(method, network, FEW, folder / f"cold{next(number)}"),
                FINISHED: lambda: command("benchmarks/run.py", *words),
            }
            taken = [{what: told(call) for what, call in rows.items()} for _ in range(rounds)]
    return [{"what": what, "seconds": Spread.of([each[what] for each in taken]).as_json()} for what in rows]


def command(*words: str) -> float:
    """Wall seconds of a command of the checkout. Raises ConfigError with its last line where it fails."""
    started = time.perf_counter()
    done = subprocess.run([sys.executable, ROOT / words[0], *words[1:]], capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - started
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no word"])[-1]
        raise ConfigError(f"{' '.join(words[:3])} ended with {done.returncode}: {last}")
    return seconds


def first_step(method: str, network: str | None, values: dict[str, Any], folder: Path, steps: int = 1) -> float:
    """Wall seconds from starting a process to the end of its run's first step; the run is left behind in ``folder``.

    ``steps``: of the first so many. Raises ConfigError where it does not get there.
    """
    began = time.perf_counter()
    process = started(method, network, values, folder, steps, subprocess.PIPE)
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        seconds = time.perf_counter() - began
        _, said = process.communicate()
    finally:
        process.kill()  # where the time for it was over
    if line.strip() != REACHED:
        last = (said.strip().splitlines() or ["no word"])[-1]
        raise ConfigError(f"a cold run of {method} ended before step {steps}: {last}")
    return seconds
