"""Ablations: ``python ablations/run.py mask-ratio --seeds 0,1,2`` trains each setting of a grid and tabulates them."""

from __future__ import annotations

import argparse
import sys
from functools import partial
from os.path import expanduser
from pathlib import Path

# The checkout's root in place of this folder: our packages are found, and nothing here shadows a module of others.
if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from benchmarks.cli.run_options import (
    add_launcher_options,
    add_plot_options,
    add_records_option,
    add_training_options,
    check_records,
    import_named_plugins,
)
from benchmarks.core.command import exit_in_one_line
from benchmarks.core.errors import ConfigError


def parse_arguments(words: list[str]) -> argparse.Namespace:
    """The command line; argparse itself ends with exit code 2 and a line where it is not understood."""
    parser = argparse.ArgumentParser(
        prog="ablations/run.py",
        description="Make the runs of an ablation grid that are missing, and tabulate and plot all.",
        epilog="KEY VALUE pairs set any key of the config in all runs, for example: SOLVER.BATCH 2",
    )
    parser.add_argument(
        "grid", type=expanduser, nargs="?", metavar="NAME", help="a grid that ships, or the path of a YAML file"
    )
    parser.add_argument("--host", help="recipe that the grid builds on, such as daformer or hrda+mic (default: dacs)")
    parser.add_argument("--seeds", default="0", help="comma-separated, for example 0,1,2 (default: 0)")
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="list the runs, what is finished, and the time needed; with slurm, show what sbatch is given",
    )
    add_records_option(parser)
    parser.add_argument("--list", action="store_true", help="list the grids that ship")
    add_training_options(parser)
    add_plot_options(parser)
    add_launcher_options(parser)
    return parser.parse_intermixed_args(words)


def main() -> int:
    """The command; returns the exit code."""
    arguments = parse_arguments(sys.argv[1:])
    import_named_plugins(arguments)
    if arguments.list:
        from ablations.sweep.shipped import listing

        print(listing())
        return 0
    if not arguments.grid:
        raise ConfigError("expected the NAME of a grid (--list shows what there is) or the path of a YAML file")
    check_records(arguments, {"--dry-run": arguments.dry_run})
    from benchmarks.computing.memory import keep_freed_memory

    keep_freed_memory()
    from ablations.sweep.expand import expand, names_of
    from ablations.sweep.grid import read_grid
    from ablations.sweep.records import rows_of_records
    from ablations.sweep.report import report, write_report
    from benchmarks.cli.given import given_overrides, seeds
    from benchmarks.core.files_first import write_then_show
    from benchmarks.launch.compare import make_output, make_runs, runs_digest
    from benchmarks.launch.dry_run import dry_run
    from benchmarks.launch.launcher import read_launcher
    from results.forms.folding import render_table
    from results.plots.files import read_formats
    from results.plots.style import WIDTHS

    launcher, formats = read_launcher(arguments), read_formats(arguments.plots)
    grid = read_grid(arguments.grid)
    overrides = given_overrides(arguments)
    rows = expand(
        grid, arguments.protocol, arguments.network, arguments.host, seeds(arguments.seeds), overrides, arguments.output
    )
    runs = [(row, run) for row in rows for run in row.runs]
    if arguments.dry_run:
        print(dry_run([(row.label, run) for row, run in runs], arguments.output, launcher))
        return 0
    if arguments.records:
        rows = rows_of_records(rows, arguments.records, partial(print, file=sys.stderr))
        make_output(arguments.output)
        code, folders = 0, [run.folder for row in rows for run in row.runs]
    else:
        runs_made = make_runs(
            [run for _, run in runs],
            arguments.output,
            labels=[f"{grid.name} {row.label}, seed {run.cfg.SEED}" for row, run in runs],
            launcher=launcher,
        )
        code, folders = runs_made.code, runs_made.folders
        if runs_made.queued:
            return code
    where = names_of(grid, rows)  # what the grid varies is in its rows
    title = f"{grid.title}: {', '.join(where)}"
    if grid.cost:
        print("counting multiply-adds ...", flush=True)
    made = report(grid, rows, overrides, title)
    source = arguments.records or arguments.output / where[0]

    def write() -> str:
        stem = arguments.output / "-".join([grid.name, *where, runs_digest(folders)])
        width = WIDTHS[arguments.plot_width]
        csv, markdown, *plots = map(str, write_report(grid, rows, made, stem, formats, width))
        return f"table: {csv} and {markdown}; plot: {', '.join(plots)}; runs: {source}"

    write_then_show(write, f"\n{render_table(made.shown, 'table')}\n\n{made.caption}", arguments.output)
    return code or int(made.failed)


if __name__ == "__main__":
    exit_in_one_line(main)
