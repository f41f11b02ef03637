"""Progress whose lines a test reads."""

from __future__ import annotations

from benchmarks.cli.progress import Progress


class SaidProgress(Progress):
    """Without a terminal; every line is in ``said``."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def say(self, line: str) -> None:
        self.said.append(line)
