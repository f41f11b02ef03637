"""A comparison as one HTML file to look at: ``python results/report.py runs --baseline dacs --out report.html``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from os.path import expanduser
from pathlib import Path

# The checkout's root in place of this folder: our packages are found, and nothing here shadows a module of others.
if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from results.files.told import exit_code
from results.records.record import write_text
from results.records.scores import STUDENT, TEACHER
from results.tables.scores_by_seed import LAST, RULES


def main(words: list[str]) -> int:
    """The command; returns the exit code: 1 where a damaged file is left out, 2 (and one line) for a user's slip."""
    parser = argparse.ArgumentParser(
        prog="results/report.py",
        description="Methods over their seeds as one HTML file that needs no network: tables, curves, cost, pictures, "
        "settings, and what failed. Run folders are read, and nothing else.",
    )
    parser.add_argument("runs", type=expanduser, nargs="*", default=["runs"], help="folders of runs (default: runs)")
    parser.add_argument("--out", type=expanduser, default="report.html", help="the file (default: report.html)")
    parser.add_argument(
        "--where", action="append", default=[], metavar="KEY=VALUE", help="runs of this method, network or config key"
    )
    parser.add_argument("--baseline", help="the method that others are compared with, seed by seed")
    parser.add_argument("--rule", choices=list(RULES), default=LAST, help="which iterate (default: last)")
    parser.add_argument("--model", choices=(STUDENT, TEACHER), default=STUDENT, help="default: student")
    arguments = parser.parse_args(words)

    def make(tell: Callable[[str], None]) -> None:
        from results.page.gather import command_of, gather
        from results.page.render import rendered

        context = gather(
            arguments.runs, arguments.where, arguments.baseline, arguments.model, arguments.rule, tell
        )
        text = rendered({**context, "command": command_of(words)})
        write_text(Path(arguments.out), text)
        print(f"report: {arguments.out} ({len(text.encode()) / 1e6:.1f} MB)")

    return exit_code(make, arguments.out)


if __name__ == "__main__":
    from benchmarks.core.screen import screen

    with screen():
        sys.exit(main(sys.argv[1:]))
