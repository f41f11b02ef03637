"""The MRM paper in one command: ``python ablations/paper.py`` makes its tables and ablations, and a page of all."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

# The checkout's root in place of this folder: our packages are found, and nothing here shadows a module of others.
if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from benchmarks.cli.run_options import (
    add_launcher_options,
    add_records_option,
    add_training_options,
    check_records,
    import_named_plugins,
)
from benchmarks.core.command import exit_in_one_line
from benchmarks.core.errors import ConfigError

# Options that name what is made or shown, and how many words follow.
_NOT_AGAIN = {"--only": 1, "--records": 1, "--show": 0, "--dry-run": 0}


def parse_arguments(words: list[str]) -> argparse.Namespace:
    """The command line; argparse itself ends with exit code 2 and a line where it is not understood."""
    parser = argparse.ArgumentParser(
        prog="ablations/paper.py",
        description="Make what is missing of the runs of arXiv 2509.13801 and its supplement, each once, and write "
        "paper.html, .tex and .md and a table and a plot of each section, beside published figures of the same runs.",
        epilog="KEY VALUE pairs set any key of the config in all runs, for example: SOLVER.ITERS 2000",
    )
    parser.add_argument("--only", metavar="NAMES", help="comma-separated sections, for example table6,ratio")
    parser.add_argument("--seeds", default="0,1,2", help="comma-separated (default: 0,1,2)")
    parser.add_argument(
        "--quick", action="store_true", help="runs of seconds, on streets; their numbers mean nothing"
    )
    parser.add_argument("--list", action="store_true", help="list the sections")
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="list the runs, what is finished, and the time and disk needed; with slurm, show what sbatch is given",
    )
    parser.add_argument("--show", action="store_true", help="write the files of what there is; no run is made")
    add_records_option(parser)
    add_training_options(parser)
    add_launcher_options(parser)
    return parser.parse_intermixed_args(words)


def main() -> int:
    """The command; returns the exit code."""
    words = sys.argv[1:]
    arguments = parse_arguments(words)
    import_named_plugins(arguments)
    from ablations.sections.section import read_paper

    paper = read_paper()
    if arguments.list:
        from results.forms.cells import table_of

        rows = [(each.name, each.grid.name, each.where, each.about) for each in paper.sections]
        print(table_of(("section", "grid", "in the paper", "what is asked"), rows))
        return 0
    check_records(arguments, {"--dry-run": arguments.dry_run})
    from benchmarks.computing.memory import keep_freed_memory

    keep_freed_memory()
    from ablations.sections.plan import Asked, distinct_runs, of_records, plan
    from ablations.sections.show import Commands, write_paper
    from benchmarks.cli.given import run_overrides, seeds
    from benchmarks.core.files_first import not_written
    from benchmarks.launch.compare import QUICK_WARNING, make_output, make_runs, runs_digest
    from benchmarks.launch.dry_run import dry_run
    from benchmarks.launch.estimate import estimate
    from benchmarks.launch.launcher import read_launcher
    from results.records.record import record_or_none

    launcher, output = read_launcher(arguments), arguments.output
    asked = Asked(
        arguments.protocol, arguments.network, seeds(arguments.seeds), run_overrides(arguments), output
    )
    sections = plan(paper, paper.named(arguments.only), asked, named=arguments.only is not None)
    for each in sections:
        if each.why_none:
            print(f"section {each.section.name} is left out: {each.why_none}")
    runs = distinct_runs(sections)
    if not runs:
        raise ConfigError("no section is left to be made")
    folder = output / f"paper-{runs[0][1].cfg.PROTOCOL}-{runs_digest([run.folder for _, run in runs])}"
    shows = arguments.show or arguments.records is not None
    if arguments.records:
        sections = of_records(sections, arguments.records, partial(print, file=sys.stderr))
        asked = replace(asked, output=arguments.records)
        make_output(output)
    if arguments.dry_run:
        print(dry_run(runs, output, launcher))
    if not shows:
        to_make = [run for _, run in runs if not ((record := record_or_none(run.folder)) and record.is_over)]
        named = sum(len(each.runs) for each in sections)
        print(f"{named} runs of {sum(bool(each.rows) for each in sections)} sections are {len(runs)} different ones")
        print("\n".join(estimate(to_make, output)), flush=True)
    if arguments.dry_run:
        return 0
    code, waits = 0, not shows
    if not shows:
        labels, listed = zip(*runs, strict=True)
        made = make_runs(listed, output, labels=labels, launcher=launcher)
        code, waits = made.code, not made.queued
    notes = [
        f"Seeds {', '.join(map(str, asked.seeds))}.",
        "Published figures stand beside runs of their own protocol, network, host and class set alone.",
        *([f"{QUICK_WARNING}."] if arguments.quick else []),
    ]
    options = [*(["--output", str(output)] if output != Path("runs") else [])]
    options += [word for plugin in arguments.plugin for word in ("--plugin", plugin)]
    try:
        commands = Commands(lambda name: command_of(words, name), options)
        paths, done = write_paper(sections, asked, folder, commands, notes)
    except OSError as error:
        raise not_written(folder, error) from None
    print(f"paper: {', '.join(map(str, paths))}; tables and plots beside them")
    return code or int(waits and not done)


def command_of(words: Sequence[str], name: str) -> list[str]:
    """The command that makes and shows a section, "" for all that were asked for, with the options of this one."""
    if not name:
        return ["python", "ablations/paper.py", *words]
    kept, left = list[str](), 0
    for word in words:
        option, equals, _ = word.partition("=")
        if left:
            left -= 1
        elif option in _NOT_AGAIN:
            left = 0 if equals else _NOT_AGAIN[option]
        else:
            kept.append(word)
    return ["python", "ablations/paper.py", "--only", name, *kept]


if __name__ == "__main__":
    exit_in_one_line(main)
