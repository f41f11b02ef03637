"""Fixtures of tests in many folders: commands in a folder of their own, and a run that was published."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from trained_runs import Command


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Command:
    """`trained_runs.commands_in` the test's own folder."""
    from trained_runs import commands_in  # it loads torch, for which not every session of tests waits

    return commands_in(tmp_path, monkeypatch, capfd)


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the published run `trained_runs.trained`; a test that writes in it takes a copy."""
    from trained_runs import trained

    from benchmarks.trained.publishing import publish

    out = tmp_path_factory.mktemp("published")
    publish([str(trained())], Path("runs"), out, "student")
    (folder,) = out.iterdir()
    return folder
