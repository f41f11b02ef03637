"""benchmarks/gpus_speed.py: the same runs on each number of GPUs, side by side."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from written_runs import write_run

import benchmarks.gpus_speed
from benchmarks.config.run import Run
from benchmarks.launch.compare import Made
from benchmarks.launch.launcher import Launcher


def test_runs_are_made_on_each_number_and_compared(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given = list[tuple[str, int]]()

    def made(runs: Sequence[Run], output: Path, launcher: Launcher) -> Made:
        """Twice as fast on two, where another run came."""
        for run in runs:
            given.append((run.label, launcher.gpus))
            shared = {"iterations": 1, "of": 30, "others": 1} if launcher.gpus == 2 else None
            seconds = 0.5 / launcher.gpus
            write_run(run.folder, run.cfg.METHOD, 0, 20.0, None, seconds_per_iteration=seconds, shared=shared)
        return Made([run.folder for run in runs], [], False)

    monkeypatch.setattr("benchmarks.launch.compare.make_runs", made)
    monkeypatch.setattr(sys, "argv", ["gpus_speed.py", "--methods", "source-only,dacs"])
    assert benchmarks.gpus_speed.main() == 0
    assert given == [("source-only seed 0", 1), ("dacs seed 0", 1), ("source-only seed 0", 2), ("dacs seed 0", 2)]
    lines = capsys.readouterr().out.splitlines()
    assert lines[2].split() == ["dacs", "1", "CPU", "0.500", "1.00", "700"]
    assert lines[3].split() == ["dacs", "2", "CPU", "0.250", "†", "2.00", "700"]
    assert lines[-1].startswith("† With other runs")
