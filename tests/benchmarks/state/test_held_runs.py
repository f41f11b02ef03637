"""The process of a run is found by its lock, and is never one that only looks."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from held_runs import process_of

from benchmarks.state.lock import locked
from benchmarks.state.lock_holder import this_process


def test_a_command_that_has_the_lock_for_a_moment_is_not_taken_for_the_run(tmp_path: Path) -> None:
    """Whoever is, is stopped: once it was the process of the tests."""
    with locked(tmp_path):
        assert process_of(tmp_path) is None
    (tmp_path / ".lock").write_text(replace(this_process(), process=os.getppid()).dumps())
    assert process_of(tmp_path) == os.getppid()
    assert process_of(tmp_path, [os.getppid()]) is None
