"""What several GPUs save: ``python benchmarks/gpus_speed.py --gpus 1,2`` makes the same runs on each number of them.

Without GPUs these are processes of the CPU, which share its cores: that shows what sharing a run costs, not what it
saves.
"""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
from os.path import expanduser
from pathlib import Path
from typing import Any

# The checkout's root in place of this folder: our packages are found, and nothing here shadows a module of others.
if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from benchmarks.cli.run_options import add_plugin_option, import_named_plugins
from benchmarks.core.command import exit_in_one_line
from benchmarks.core.errors import ConfigError


def parse_arguments(words: list[str]) -> argparse.Namespace:
    """The command line; argparse itself ends with exit code 2 and a line where it is not understood."""
    parser = argparse.ArgumentParser(
        prog="benchmarks/gpus_speed.py",
        description="Seconds an iteration, and memory a process, of the same runs on several GPUs.",
    )
    parser.add_argument("--methods", default="dacs,dacs+mrm", help="comma-separated recipes (default: dacs,dacs+mrm)")
    parser.add_argument("--gpus", default="1,2", help="numbers to compare, the first with all others (default: 1,2)")
    parser.add_argument("--iters", type=int, default=30, help="iterations of each run (default: 30)")
    parser.add_argument("--protocol", type=expanduser, default="streets", help="default: streets")
    parser.add_argument("--network", help="default: the protocol's")
    parser.add_argument("--data-root", type=expanduser, help="folder of the data sets (default: $DETECTRON2_DATASETS)")
    add_plugin_option(parser)
    parser.add_argument("overrides", nargs="*", metavar="KEY VALUE", help="config keys and their values")
    return parser.parse_intermixed_args(words)


def main() -> int:
    """The command; returns the exit code."""
    arguments = parse_arguments(sys.argv[1:])
    import_named_plugins(arguments)
    from benchmarks.cli.given import given_overrides, method_names, whole_numbers
    from benchmarks.cli.run_options import LOCAL
    from benchmarks.config.run import Run
    from benchmarks.config.spec import RunSpec
    from benchmarks.launch.compare import make_runs
    from benchmarks.launch.launcher import Launcher
    from results.forms.cells import table_of
    from results.records.record import FINISHED, read_record
    from results.tables.notes import SHARED_WITH
    from results.tables.summary_text import SHARED

    numbers = whole_numbers("--gpus", arguments.gpus, 1, "1,2")
    values = {"TEST.PERIOD": arguments.iters, "CHECKPOINT_PERIOD": arguments.iters} | given_overrides(arguments)
    specs = [
        RunSpec(arguments.protocol, method, arguments.network, 0, values) for method in method_names(arguments.methods)
    ]
    rows: list[tuple[Any, ...]] = []
    with tempfile.TemporaryDirectory() as folder:
        first: dict[str, float] = {}
        for gpus in numbers:
            output = Path(folder, str(gpus))
            runs = [Run.of(spec, output) for spec in specs]
            made = make_runs(runs, output, launcher=Launcher(LOCAL, parallel=1, gpus=gpus))
            for run in made.folders:
                record = read_record(run)
                if record is None or record.status != FINISHED:
                    raise ConfigError(f"--gpus {gpus}: {record.reason if record else 'the run left no record'}")
                method, seconds = record.spec.method, record.seconds_per_iteration or math.nan
                share = first.setdefault(method, seconds) / seconds
                memory = f"{record.peak_memory_mib or math.nan:.0f}"
                mark = SHARED if record.shared and record.shared.part else ""
                rows.append((method, gpus, record.hardware.name, f"{seconds:.3f}{mark}", f"{share:.2f}", memory))
    heads = ["method", "GPUs", "of", "s/iteration", f"times as fast as {numbers[0]}", "MiB a process"]
    rows.sort(key=lambda row: str(row[0]))
    print(table_of(heads, rows, right=True))
    if any(SHARED in row[3] for row in rows):
        print(f"{SHARED_WITH}.")
    return 0


if __name__ == "__main__":
    exit_in_one_line(main)
