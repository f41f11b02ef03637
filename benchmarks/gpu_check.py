"""Is everything right and fast on this GPU: ``python benchmarks/gpu_check.py``, in five minutes, without data.

Correctness first: every recipe takes steps in each precision, and a killed run goes on bit for bit. Then what the
goals of docs/performance.md are about: steps, evaluation, the first step of a cold run.
"""

from __future__ import annotations

import argparse
import os
import sys
from os.path import expanduser
from pathlib import Path

# The checkout's root in place of this folder: our packages are found, and nothing here shadows a module of others.
if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from benchmarks.core.command import exit_in_one_line
from benchmarks.core.errors import ConfigError

PRECISIONS = ("fp32", "bf16", "fp16")


def parse_arguments(words: list[str]) -> argparse.Namespace:
    """The command line; argparse itself ends with exit code 2 and a line where it is not understood."""
    parser = argparse.ArgumentParser(
        prog="benchmarks/gpu_check.py",
        description="Check that training is right on this machine's GPU, and measure what it takes.",
        epilog="Exit code 1: a check failed. Figures that are short of their goal are told, and no failure.",
    )
    parser.add_argument("--minutes", type=float, default=5.0, help="what is not done by then is left out (default: 5)")
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"), help="cpu: in small, to try the command")
    parser.add_argument("--out", type=expanduser, metavar="FILE.json", help="write what is found there, too")
    return parser.parse_args(words)


def main() -> int:
    """The command; returns the exit code."""
    arguments = parse_arguments(sys.argv[1:])
    if not arguments.minutes > 0:
        raise ConfigError(f"--minutes is {arguments.minutes}, expected more than 0")
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # for resuming, before cuBLAS is first used
    from benchmarks.computing.memory import keep_freed_memory

    keep_freed_memory()
    from benchmarks.measure.checklist import Checklist, Outcome
    from benchmarks.measure.correctness import check_correctness, check_device
    from benchmarks.measure.goals import IN_SMALL, ON_GPU, make_all
    from benchmarks.measure.machine import machine

    device = check_device(arguments.device)

    def told(outcome: Outcome) -> None:
        said = " ".join(filter(None, (outcome.status, outcome.value, outcome.reason)))
        print(f"{outcome.check}: {said}", file=sys.stderr, flush=True)

    on_gpu = device.type == "cuda"
    checks = Checklist(60 * arguments.minutes, told, goals=on_gpu)
    check_correctness(checks, device, PRECISIONS if on_gpu else ("fp32",))
    steps = make_all(ON_GPU if on_gpu else IN_SMALL, checks)
    print(checks.table())
    if arguments.out:
        from results.records.record import as_json, write_text

        found = {"machine": machine(device), "checks": checks.as_json(), "steps": steps.rows}
        write_text(Path(arguments.out), as_json(found))
    return int(checks.failed)


if __name__ == "__main__":
    exit_in_one_line(main)
