"""What threads cost each other, on an idle and on a busy machine: ``python benchmarks/threads_speed.py``.

Processes train the same run, with as many threads each as are compared. A thread that waits for others looks for work
so many times (GOMP_SPINCOUNT of GNU's OpenMP, which torch's wheels have) before it sleeps. They make their steps in
turn, one at a time, so that what else the machine does meets all alike; on the busy machine other processes keep all
cores busy meanwhile.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

# The checkout's root in place of this folder: our packages are found, and nothing here shadows a module of others.
if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from benchmarks.core.command import exit_in_one_line
from benchmarks.core.errors import ConfigError
from slurm.base.thread_waiting import CHOICES, SPINS

USUAL = "usual"  # nothing is set
IDLE, BUSY = "idle", "busy"
_FEW_IMAGES = {"DATA.STREETS.SOURCE_IMAGES": 24, "DATA.STREETS.TARGET_IMAGES": 24, "DATA.STREETS.VAL_IMAGES": 2}
_FIRST = "first"  # a step that is not counted: memory is reserved, kernels are chosen


def parse_arguments(words: list[str]) -> argparse.Namespace:
    """The command line; argparse itself ends with exit code 2 and a line where it is not understood."""
    parser = argparse.ArgumentParser(
        prog="benchmarks/threads_speed.py",
        description="Seconds a training step by threads and by how they wait, on an idle and on a busy machine.",
    )
    parser.add_argument("--methods", default="dacs", help="comma-separated recipes (default: dacs)")
    parser.add_argument("--threads", default="1,2", help="numbers to compare (default: 1,2)")
    parser.add_argument(
        "--spins", default=f"{USUAL},{SPINS}", help=f"looks before sleeping, to compare (default: {USUAL},{SPINS})"
    )
    parser.add_argument("--steps", type=int, default=20, help="of each on each machine (default: 20)")
    parser.add_argument("--machine", default=f"{IDLE},{BUSY}", help=f"{IDLE}, {BUSY}, or both (default: {IDLE},{BUSY})")
    parser.add_argument("--others", type=int, help="processes that keep the machine busy (default: one a core)")
    parser.add_argument("--network", help="default: that of streets")
    parser.add_argument("overrides", nargs="*", metavar="KEY VALUE", help="config keys and their values")
    return parser.parse_intermixed_args(words)


@dataclass(eq=False)
class _Learner:
    """A process that trains, and the seconds of its steps."""

    method: str
    threads: int
    spins: str
    pipe: Any
    seconds: dict[str, list[float]] = field(default_factory=dict)  # by machine
    waited: dict[str, list[float]] = field(default_factory=dict)

    def step(self) -> tuple[float, float]:
        """Seconds of its next step, and the share of time that its threads waited for a core."""
        try:
            self.pipe.send(None)
            seconds, waited = self.pipe.recv()
        except (EOFError, OSError):
            raise ConfigError(f"{self.method}: the process that trains it ended (see above)") from None
        return seconds, waited


def main() -> int:
    """The command; returns the exit code."""
    arguments = parse_arguments(sys.argv[1:])
    from benchmarks.cli.given import method_names, whole_numbers
    from benchmarks.config.overrides import parse_pairs
    from benchmarks.config.spec import RunSpec
    from benchmarks.data.from_config import data_root

    numbers = whole_numbers("--threads", arguments.threads, 1, "1,2")
    spins = [word.strip() for word in arguments.spins.split(",")]
    whole_numbers("--spins", ",".join(word for word in spins if word != USUAL) or "0", 0, f"{USUAL},0,{SPINS}")
    if arguments.steps < 1:
        raise ConfigError(f"--steps is {arguments.steps}, expected at least 1")
    machines = [word.strip() for word in arguments.machine.split(",")]
    if not {*machines} <= {IDLE, BUSY}:
        raise ConfigError(f"--machine is {arguments.machine!r}, expected {IDLE}, {BUSY}, or both with a comma")
    rounds = [_FIRST, *machines * arguments.steps]
    steps = len(rounds) + 1
    values = {**_FEW_IMAGES, "SOLVER.ITERS": steps, "TEST.PERIOD": steps, "CHECKPOINT_PERIOD": steps, "DEVICE": "cpu"}
    values |= parse_pairs(arguments.overrides)
    specs = [RunSpec("streets", name, arguments.network, 0, values) for name in method_names(arguments.methods)]
    for spec in specs:
        data_root(spec.resolve())  # draws the images, if they are not there
    with _learners(specs, numbers, spins) as learners, _busy_cores(arguments.others) as busy:
        _measure(learners, busy, rounds)
    print(_table(learners, list(dict.fromkeys(machines))))
    return 0


@contextmanager
def _learners(specs: list[Any], numbers: list[int], spins: list[str]) -> Iterator[list[_Learner]]:
    """A process for each run, number of threads and way of waiting; they end with the block."""
    spawn = get_context("spawn")
    found: list[_Learner] = []
    processes: list[Any] = []
    with tempfile.TemporaryDirectory() as folder:
        try:
            for spec in specs:
                for threads in numbers:
                    for spin in spins:
                        pipe, other = spawn.Pipe()
                        place = Path(folder, str(len(processes)))
                        process = spawn.Process(target=_learn, args=(spec, place, other))
                        with _variables(threads, spin):
                            process.start()
                        other.close()
                        processes.append(process)
                        found.append(_Learner(spec.method, threads, spin, pipe))
            yield found
        finally:
            for process in processes:
                process.kill()
                process.join()


@contextmanager
def _variables(threads: int, spins: str) -> Iterator[None]:
    """The variables that a process is started with; torch reads them when it is loaded."""
    before = dict(os.environ)
    for name in CHOICES:
        os.environ.pop(name, None)
    os.environ["OMP_NUM_THREADS"] = str(threads)
    if spins != USUAL:
        os.environ["GOMP_SPINCOUNT"] = spins
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _learn(spec: Any, folder: Path, pipe: Any) -> None:
    """Train; each step waits for a word, and is answered by its seconds and the share of waiting for a core."""
    from benchmarks.config.run import Run
    from benchmarks.core.core_wait import CoreWait
    from benchmarks.engine.runner import RunWatcher, run_one
    from datasets.base.end_with_parent import end_with_parent

    end_with_parent()

    class Paced(RunWatcher):
        def started(self, iteration: int, miou: float | None = None) -> None:
            self._begin()

        def step(self, done: int, losses: Any) -> None:
            pipe.send((time.perf_counter() - self._begun, self._wait.share() or 0.0))
            self._begin()

        def _begin(self) -> None:
            pipe.recv()
            self._begun, self._wait = time.perf_counter(), CoreWait()

    record = run_one(Run.at(folder, spec.resolve()), Paced())
    print(f"{spec.method}: {record.status}, {record.reason}", file=sys.stderr, flush=True)


@contextmanager
def _busy_cores(others: int | None) -> Iterator[Event]:
    """Keep so many processes (None: one a core) busy while what it gives is set; they end with the block."""
    spawn = get_context("spawn")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    busy = spawn.Event()
    processes = [spawn.Process(target=_spin, args=(busy,)) for _ in range(cores if others is None else others)]
    try:
        for process in processes:
            process.start()
        yield busy
    finally:
        for process in processes:
            process.kill()
            process.join()


def _spin(busy: Event) -> None:
    from datasets.base.end_with_parent import end_with_parent

    end_with_parent()
    while busy.wait():
        for _ in range(100_000):
            pass


def _measure(learners: list[_Learner], busy: Event, rounds: list[str]) -> None:
    from benchmarks.cli.progress import Progress

    with Progress("measuring", len(learners) * len(rounds), "steps", stderr=True) as progress:
        for machine in rounds:
            (busy.set if machine == BUSY else busy.clear)()
            for learner in learners:
                seconds, waited = learner.step()
                learner.seconds.setdefault(machine, []).append(seconds)
                learner.waited.setdefault(machine, []).append(waited)
                progress.advance(learner.method)


def _table(learners: list[_Learner], machines: list[str]) -> str:
    """Medians of seconds, and how many times as long as those of the first row of a method."""
    from results.forms.cells import table_of

    first = {learner.method: learner for learner in reversed(learners)}
    rows = []
    for learner in learners:
        row: list[Any] = [learner.method, learner.threads, learner.spins]
        for machine in machines:
            seconds = statistics.median(learner.seconds[machine])
            times = seconds / statistics.median(first[learner.method].seconds[machine])
            row += [f"{seconds:.3f}", f"{times:.2f}", f"{100 * statistics.median(learner.waited[machine]):.0f}"]
        rows.append(row)
    heads = ["method", "threads", "spins"]
    for machine in machines:
        heads += [f"{machine}: s/step", "x first row", "% without a core"]
    return table_of(heads, rows, right=True)


if __name__ == "__main__":
    exit_in_one_line(main)
