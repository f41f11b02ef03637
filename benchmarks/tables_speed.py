"""How long a table of many runs takes: ``python benchmarks/tables_speed.py`` writes records and compares them.

The run folders are copies of one that a run has left, with other methods and seeds, three of each; each table is made
in a process of its own, as a user starts it.
"""

from __future__ import annotations

import argparse
import json
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


def main() -> int:
    """The command; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="benchmarks/tables_speed.py", description="Seconds that a table of many runs takes."
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
    from results.records.record import read_record
    from results.tables.cells import table_of

    record = read_record(arguments.run)
    if record is None:
        raise ConfigError(f"{arguments.run}: has no record.json, expected the folder of a finished run")
    config = (arguments.run / "config.yaml").read_text(encoding="utf-8")
    rows = []
    for number in numbers:
        with tempfile.TemporaryDirectory() as name:
            for index in range(number):
                write(Path(name), {"schema": 1, **record.content}, config, f"method{index // SEEDS}", index % SEEDS)
            rows.append((number, f"{seconds(name):.2f}", f"{seconds(name, '--baseline', 'method0'):.2f}"))
    print(table_of(["records", "table (s)", "with a baseline (s)"], rows, right=True))
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


def seconds(folder: str, *words: str) -> float:
    """Wall time of ``results/compare.py``."""
    began = time.perf_counter()
    subprocess.run([sys.executable, ROOT / "results/compare.py", folder, *words], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


if __name__ == "__main__":
    exit_in_one_line(main)
