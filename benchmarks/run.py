"""Compare methods: ``python benchmarks/run.py --methods dacs,mic,mrm`` trains each and prints one table."""

from __future__ import annotations

import argparse
import sys
from os.path import expanduser
from pathlib import Path

# The checkout's root in place of this folder: our packages are found, and nothing here shadows a module of others.
if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from benchmarks.cli.run_options import add_launcher_options, add_training_options, import_named_plugins
from benchmarks.core.command import exit_in_one_line


def parse_arguments(words: list[str]) -> argparse.Namespace:
    """The command line; argparse itself ends with exit code 2 and a line where it is not understood."""
    parser = argparse.ArgumentParser(
        prog="benchmarks/run.py",
        description="Train UDA methods under one protocol and compare them.",
        epilog="KEY VALUE pairs set any key of the config, for example: SOLVER.ITERS 2000 TERMS.MRM.RATIO 0.6",
    )
    parser.add_argument("--methods", default="", help="comma-separated recipes, for example dacs,mic,dacs+mic+mrm")
    parser.add_argument(
        "--weights", type=expanduser, help='pretrained weights: "imagenet", a path, hf:owner/name@revision, or "none"'
    )
    parser.add_argument("--seeds", default="0", help="comma-separated, for example 0,1,2 (default: 0)")
    parser.add_argument("--force", action="store_true", help="make finished runs again")
    parser.add_argument(
        "--quick", action="store_true", help="the whole path in a minute, on streets; its numbers mean nothing"
    )
    parser.add_argument("--list", action="store_true", help="list methods, networks and protocols")
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="list the runs, what is finished, and the time needed; with slurm, show what sbatch is given",
    )
    add_training_options(parser)
    add_launcher_options(parser)
    return parser.parse_intermixed_args(words)


def main() -> int:
    """The command; returns the exit code."""
    arguments = parse_arguments(sys.argv[1:])
    import_named_plugins(arguments)
    if arguments.list:
        from benchmarks.cli.listing import listing

        print(listing())
        return 0
    from benchmarks.computing.memory import keep_freed_memory

    keep_freed_memory()
    from benchmarks.cli.given import method_names, run_overrides, seeds
    from benchmarks.config.run import Run
    from benchmarks.config.spec import RunSpec
    from benchmarks.launch.compare import compare_methods
    from benchmarks.launch.dry_run import dry_run
    from benchmarks.launch.launcher import read_launcher

    launcher, overrides = read_launcher(arguments), run_overrides(arguments)
    runs = [
        Run.of(RunSpec(arguments.protocol, method, arguments.network, seed, overrides), arguments.output)
        for method in method_names(arguments.methods)
        for seed in seeds(arguments.seeds)
    ]
    if arguments.dry_run:
        print(dry_run([(run.label, run) for run in runs], arguments.output, launcher))
        return 0
    return compare_methods(
        runs, arguments.output, force=arguments.force, quick=arguments.quick, launcher=launcher
    )


if __name__ == "__main__":
    exit_in_one_line(main)
