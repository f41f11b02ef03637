"""A run in a process of its own that kills itself after some steps: cold, and killed as a scheduler would."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from benchmarks.core.checkout import ROOT

# As commands begin: how threads wait is set before torch is loaded.
_CODE = """
import sys
sys.path[:1] = sys.argv[1:2]
from slurm.base.thread_waiting import wait_briefly
wait_briefly()
from benchmarks.computing.memory import keep_freed_memory
keep_freed_memory()
from benchmarks.measure.child_run import train
train(*sys.argv[2:])
"""
REACHED = "reached"


def started(
    method: str, network: str | None, values: Mapping[str, Any], folder: Path, steps: int, errors: IO[str] | int
) -> subprocess.Popen[str]:
    """The process that makes the run of streets in ``folder``; what it has to say goes to ``errors``.

    After so many ``steps`` it prints a line, `REACHED`, and kills itself.
    """
    asked = json.dumps([method, network, dict(values)])
    words = [sys.executable, "-c", _CODE, str(ROOT), asked, str(folder), str(steps)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=errors, text=True)


def train(asked: str, folder: str, steps: str) -> None:
    """What that process does, with its words."""
    from benchmarks.config.run import Run
    from benchmarks.config.spec import RunSpec
    from benchmarks.engine.runner import RunWatcher, run_one

    class Killed(RunWatcher):
        def step(self, done: int, losses: Any) -> None:
            if done == int(steps):
                print(REACHED, flush=True)
                os.kill(os.getpid(), signal.SIGKILL)

    method, network, values = json.loads(asked)
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
    record = run_one(Run.at(Path(folder), RunSpec("streets", method, network, 0, values).resolve()), Killed())
    print(f"{record.status} {record.reason}", file=sys.stderr)
