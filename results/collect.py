"""All runs of a folder in one table: ``python results/collect.py runs --format csv``."""

from __future__ import annotations

import argparse
import gc
import sys
from os.path import expanduser
from pathlib import Path

# The checkout's root in place of this folder: our packages are found, and nothing here shadows a module of others.
if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from results.files.errors import ResultsError
from results.files.text import one_line
from results.forms.cells import FORMS
from results.records.columns import COLUMNS
from results.records.folders import run_folders
from results.records.images import MadeOf
from results.tables.frame import from_folders, say


def main(words: list[str]) -> int:
    """The command; returns the exit code: 1 where a damaged file is left out of the table.

    What the user got wrong is one line on stderr and exit code 2.
    """
    parser = argparse.ArgumentParser(
        prog="results/collect.py",
        description="All runs below a folder, one row each; failed and diverged ones too.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="columns of csv, where text that a spreadsheet would run has an apostrophe before it:\n"
        + "\n".join(f"  {name}: {meaning}" for name, meaning in COLUMNS.items()),
    )
    parser.add_argument(
        "path", type=expanduser, nargs="?", default="runs", help="folder that holds run folders (default: runs)"
    )
    parser.add_argument("--format", choices=list(FORMS), default="table", help="csv has all columns (default: table)")
    parser.add_argument("--keys", default="", help="config keys as further columns, such as TERMS.MRM.RATIO,WEIGHTS")
    arguments = parser.parse_args(words)
    from results.tables.run_table import runs_table, with_settings

    keys = [key.strip() for key in arguments.keys.split(",") if key.strip()]
    damaged: list[str] = []

    def tell(line: str) -> None:
        damaged.append(line)
        say(line)

    try:
        found = run_folders(arguments.path)
        if found.left_out:
            say(found.left_out)
        made_of = MadeOf()
        runs = from_folders(found.folders, tell, made_of)
        if runs.empty:
            raise ResultsError(f"{arguments.path}: no run there, expected run folders with a record.json")
        runs = with_settings(runs, keys, tell)
        print(runs_table(runs, arguments.format, keys).rstrip("\n"))
        if mixed := made_of.told(unrecorded=False):
            say(mixed.strip())
    except ResultsError as error:
        print(f"error: {one_line(str(error))}", file=sys.stderr)
        return 2
    return 1 if damaged else 0


if __name__ == "__main__":
    from benchmarks.core.screen import screen

    gc.disable()  # what a table is made of has no circles, and looking for some takes a sixth of the time
    with screen():
        sys.exit(main(sys.argv[1:]))
