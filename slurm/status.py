"""How runs stand: ``python slurm/status.py`` is what ``benchmarks/status.py`` is, which it was called before."""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

    from benchmarks.core.command import exit_in_one_line
    from benchmarks.status import main

    exit_in_one_line(main)
