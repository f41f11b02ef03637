"""How runs stand: ``python benchmarks/status.py [--watch]``; their logs; cancel them; submit again what failed."""

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
    add_module_option,
    add_plugin_option,
    add_profile_options,
    import_named_plugins,
    path_of,
)
from benchmarks.core.command import exit_in_one_line
from benchmarks.core.errors import ConfigError

SHOW, LOG, CANCEL, RESUBMIT = "show", "log", "cancel", "resubmit"


def parse_arguments(words: list[str]) -> argparse.Namespace:
    """The command line; argparse itself ends with exit code 2 and a line where it is not understood."""
    parser = argparse.ArgumentParser(
        prog="benchmarks/status.py",
        description="The runs below a folder: pending, running, finished, stopped, diverged, failed or lost.",
        epilog="RUN is a run's id or its beginning, its folder, or a job's id (that of an array is all of it).",
    )
    parser.add_argument(
        "action", nargs="?", choices=(SHOW, LOG, CANCEL, RESUBMIT), default=SHOW,
        help="show the states (default), log: the last lines of runs, cancel: end their jobs, resubmit: queue again "
        "what failed, was lost or stopped; without RUN all that failed or were lost",
    )  # fmt: skip
    parser.add_argument(
        "runs", type=expanduser, nargs="*", metavar="RUN", help="default: all; cancel wants them named, or --all"
    )
    parser.add_argument("--output", type=path_of, default=Path("runs"), help="folder of run folders (default: runs)")
    parser.add_argument("--watch", action="store_true", help="go on showing until all runs are over")
    parser.add_argument("--every", type=float, default=10.0, help="seconds between looks, of --watch (default: 10)")
    parser.add_argument("--lines", type=int, default=20, help="of each log (default: 20)")
    parser.add_argument("--all", action="store_true", help="cancel, resubmit: all runs, stopped ones too")
    add_module_option(parser)
    add_plugin_option(parser)
    add_profile_options(parser, "of resubmit: in place of what the runs were submitted with")
    parser.add_argument("--gpus", type=int, help="GPUs of one run, on each node")
    return parser.parse_intermixed_args(words)


def main() -> int:
    """The command; returns the exit code: of --watch 1 where a run has not finished, otherwise 0."""
    arguments = parse_arguments(sys.argv[1:])
    import_named_plugins(arguments)
    from benchmarks.launch.job_control import cancel, resubmit, selected
    from benchmarks.launch.state_table import last_lines, state_table, watch
    from benchmarks.state.run_states import LOST, RunState, run_states
    from benchmarks.state.submissions import submitted_runs
    from results.files.text import one_line
    from results.records.folders import run_folders
    from results.records.record import FAILED
    from results.tables.run_index import refresh_index
    from slurm.jobs.scheduler import Scheduler

    output: Path = arguments.output
    if not output.is_dir():
        raise ConfigError(f"--output {output}: no such folder, expected one that holds run folders")
    if arguments.every <= 0:
        raise ConfigError(f"--every is {arguments.every}, expected more than 0 seconds")
    scheduler = Scheduler()

    def look() -> tuple[list[RunState], str]:
        states, silent = run_states(output, scheduler)
        refresh_index(output)
        return (selected(states, arguments.runs) if arguments.runs else states), silent

    states, silent = look()
    if left_out := run_folders(output).left_out:
        print(one_line(left_out), file=sys.stderr)
    if not states:
        raise ConfigError(f"--output {output}: no run there, expected run folders with a record.json")
    if arguments.action == SHOW and not arguments.watch:
        print(state_table(states, silent))
    elif arguments.action == LOG:
        submitted = submitted_runs(output)
        for state in states:
            job_log = submitted[state.folder].log if state.job else None
            print(one_line(f"{state.label}, {state.folder.name}: {state.status} {state.reason}").rstrip())
            print(last_lines(state, arguments.lines, job_log) + "\n")
    elif arguments.action == CANCEL:
        if not arguments.runs and not arguments.all:
            raise ConfigError("cancel: expected the runs to cancel, or --all")
        cancel(states, scheduler, print)
    elif arguments.action == RESUBMIT:
        from benchmarks.launch.launcher import read_profile_options

        wanted = states if arguments.runs or arguments.all else [s for s in states if s.status in (FAILED, LOST)]
        profile_of = partial(read_profile_options, arguments)
        resubmit(wanted, output, profile_of, print, _confirmed, arguments.module)
    if arguments.watch:
        return 0 if watch(look, arguments.every) else 1
    return 0


def _confirmed(question: str) -> bool:
    """Asked at a terminal alone."""
    if not sys.stdin.isatty():
        return False
    return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")


if __name__ == "__main__":
    exit_in_one_line(main)
