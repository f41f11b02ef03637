"""The options by which commands name a model that was trained before."""

from __future__ import annotations

import argparse
from pathlib import Path

STUDENT, TEACHER = "student", "teacher"


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """--run, --runs and --model."""
    parser.add_argument("--run", required=True, help="a run folder, or a run's id (its 12 hexadecimal digits)")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="where an id is looked for (default: runs)")
    parser.add_argument(
        "--model", choices=(STUDENT, TEACHER), default=STUDENT, help="default: student, which tables report"
    )
