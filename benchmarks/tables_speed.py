"""How long tables of many runs take: ``python benchmarks/tables_speed.py RUN`` writes records and compares them.

The run folders are copies of one that a run has left, with other methods and seeds, three of each; each table is made
in a process of its own, as a user starts it.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

# The checkout's root in place of this folder: our packages are found, and nothing here shadows a module of others.
if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from benchmarks.core.checkout import ROOT
from benchmarks.core.command import exit_in_one_line
from benchmarks.core.errors import ConfigError

SEEDS = 3
INDEX = "index.csv"
TABLES = (
    "results/compare.py",
    "results/compare.py --baseline method0",
    "results/compare.py --by method,network",
    "results/compare.py --where SEED=1",
    "results/compare.py --keys SOLVER.ITERS",
    "results/compare.py --columns {first}",
    "results/collect.py",
    "results/report.py --baseline method0",
    f"{INDEX}, the first look",
    f"{INDEX}, another look",
)
"""What is made of the runs; ``first`` is the name of a class."""
_LOOK = (
    "import pathlib, sys; from results.tables.run_index import refresh_index; "
    "sys.exit(not refresh_index(pathlib.Path(sys.argv[1])))"
)


def main() -> int:
    """The command; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="benchmarks/tables_speed.py", description="Seconds that tables of many runs take."
    )
    parser.add_argument("run", type=Path, help="a finished run's folder")
    parser.add_argument("--records", default="1000,10000", help="of each table (default: 1000,10000)")
    arguments = parser.parse_args(sys.argv[1:])
    try:
        numbers = [int(word) for word in arguments.records.split(",")]
    except ValueError:
        numbers = []
    if not numbers or min(numbers) < SEEDS:
        raise ConfigError(f"--records is {arguments.records!r}, expected numbers of at least {SEEDS}, as 1000,10000")
    from results.forms.cells import table_of
    from results.records.record import read_record
    from results.records.scores import CLASS_IOU

    record = read_record(arguments.run)
    if record is None:
        raise ConfigError(f"{arguments.run}: has no record.json, expected the folder of a finished run")
    config = (arguments.run / "config.yaml").read_text(encoding="utf-8")
    first = next(iter(record.result.student.by_class[CLASS_IOU]))
    tables = [table.format(first=first) for table in TABLES]
    columns = []
    for number in numbers:
        with tempfile.TemporaryDirectory() as name:
            for index in range(number):
                write(Path(name), {"schema": 1, **record.content}, config, f"method{index // SEEDS}", index % SEEDS)
            columns.append(["{:.1f} ({:.1f})".format(*seconds(table, name)) for table in tables])
    heads = ["table: seconds (of CPU)", *(f"{number:,} records" for number in numbers)]
    print(table_of(heads, list(zip(tables, *columns, strict=True)), right=True))
    return 0


def write(folder: Path, record: dict[str, object], config: str, method: str, seed: int) -> None:
    """Write the folder of one run."""
    spec = record["spec"]
    assert isinstance(spec, dict)
    place = folder / method / str(seed)
    place.mkdir(parents=True)
    changed = {**record, "spec": {**spec, "method": method, "seed": seed}}
    (place / "record.json").write_text(json.dumps(changed, indent=1), encoding="utf-8")
    lines = [
        f"METHOD: {method}" if line.startswith("METHOD:") else f"SEED: {seed}" if line.startswith("SEED:") else line
        for line in config.splitlines()
    ]
    (place / "config.yaml").write_text("\n".join(lines) + "\n", encoding="utf-8")


def seconds(table: str, folder: str) -> tuple[float, float]:
    """Wall time of making a table of the runs in a folder, and the CPU time of all its processes."""
    if table.startswith(INDEX):
        words = ["-c", _LOOK, folder]
    else:
        command, *options = table.split()
        words = [str(ROOT / command), folder, *options]
        if "report" in command:
            words += ["--out", f"{folder}/report.html"]
    began, used = time.perf_counter(), _cpu_seconds()
    subprocess.run([sys.executable, *words], check=True, stdout=subprocess.DEVNULL, cwd=ROOT)
    return time.perf_counter() - began, _cpu_seconds() - used


def _cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    exit_in_one_line(main)
