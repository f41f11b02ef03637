"""Publish trained models: ``python benchmarks/publish.py RUN... --out FOLDER`` writes what others need, and no more."""

from __future__ import annotations

import argparse
import sys
from os.path import expanduser
from pathlib import Path

# The checkout's root in place of this folder: our packages are found, and nothing here shadows a module of others.
if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from benchmarks.cli.run_options import add_opening_options, import_named_plugins, path_of
from benchmarks.core.command import exit_in_one_line


def parse_arguments(words: list[str]) -> argparse.Namespace:
    """The command line; argparse itself ends with exit code 2 and a line where it is not understood."""
    parser = argparse.ArgumentParser(
        prog="benchmarks/publish.py",
        description="Write a folder for each finished run: the network's weights (safetensors), config, record, log, "
        "counts, metrics, a model card, a notice of licences and SHA256SUMS. Paths, user and host names are taken out. "
        "Nothing is sent anywhere.",
    )
    parser.add_argument(
        "run", type=expanduser, nargs="+", metavar="RUN", help="a run folder, or a run's id (its 12 hexadecimal digits)"
    )
    parser.add_argument("--out", type=path_of, required=True, help="folder that gets a folder for each run")
    parser.add_argument(
        "--records", action="store_true", help="record, config, counts, metrics alone: what tables and curves are of"
    )
    add_opening_options(parser)
    return parser.parse_args(words)


def main() -> int:
    """The command; returns the exit code."""
    arguments = parse_arguments(sys.argv[1:])
    import_named_plugins(arguments)
    from benchmarks.trained.publishing import publish

    lines = publish(
        arguments.run,
        arguments.runs,
        arguments.out,
        arguments.model,
        records=arguments.records,
        modules=arguments.module,
    )
    print("\n".join(lines))
    return 0


if __name__ == "__main__":
    exit_in_one_line(main)
