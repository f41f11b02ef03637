"""Options that several commands have: of those that make runs, and of those that use a trained model."""

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


def add_training_options(parser: argparse.ArgumentParser) -> None:
    """--protocol, --network, --iters, --output, --data-root and KEY VALUE, of commands that make runs."""
    parser.add_argument("--protocol", default="streets", help="what is learned from and scored on (default: streets)")
    parser.add_argument("--network", help="default: the protocol's")
    parser.add_argument("--iters", type=int, help="iterations of each run (default: the protocol's)")
    parser.add_argument("--output", type=Path, default=Path("runs"), help="folder of run folders (default: runs)")
    parser.add_argument("--data-root", help="folder of the data sets (default: $DETECTRON2_DATASETS)")
    parser.add_argument("overrides", nargs="*", metavar="KEY VALUE", help="config keys and their values")
