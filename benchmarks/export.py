"""Export a trained model: ``python benchmarks/export.py --run RUN`` writes what inference needs, and no more."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

# The checkout's root in place of this folder: our packages are found, and nothing here shadows a module of others.
if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from benchmarks.cli.run_options import add_run_options, import_named_plugins, path_of, size_of
from benchmarks.core.command import exit_in_one_line


def parse_arguments(words: list[str]) -> argparse.Namespace:
    """The command line; argparse itself ends with exit code 2 and a line where it is not understood."""
    parser = argparse.ArgumentParser(
        prog="benchmarks/export.py",
        description="Write the network of a run without teacher, Rebuilder and optimizer: FILE.pth, a checkpoint (for "
        "--weights FILE.pth, or torch.load), and FILE.pt2, a torch.export program that needs torch alone. Both are "
        "checked for equal output before they get their names.",
    )
    add_run_options(parser)
    parser.add_argument("--output", type=path_of, help="FILE.pth (default: inference-<model>.pth in the run folder)")
    parser.add_argument("--size", help="WIDTHxHEIGHT of the program's images (default: what the protocol tests at)")
    return parser.parse_args(words)


def main() -> int:
    """The command; returns the exit code: 1 where an output is not equal, or there is no program."""
    arguments = parse_arguments(sys.argv[1:])
    import_named_plugins(arguments)
    size = size_of("--size", arguments.size) if arguments.size else None
    from benchmarks.computing.memory import keep_freed_memory
    from benchmarks.trained.exporting import export
    from benchmarks.trained.opened_run import open_run

    keep_freed_memory()
    return export(open_run(arguments.run, arguments.runs, arguments.module), arguments.model, arguments.output, size)


if __name__ == "__main__":
    exit_in_one_line(main)
