"""A real SLURM on this machine, until Ctrl-C or around a command.

python -m slurm.local_cluster                      # runs until Ctrl-C, and says what to export
python -m slurm.local_cluster -- COMMAND ...       # runs the command in it, and gives its exit code
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import NoReturn

from slurm.local_cluster.cluster import ClusterError, LocalCluster, outside_slurm


def main(arguments: Sequence[str]) -> int:
    """Run ``python -m slurm.local_cluster``; returns the command's exit code, 2 where there is no cluster."""
    own = list(arguments)
    command: list[str] = []
    if "--" in own:
        own, command = own[: own.index("--")], own[own.index("--") + 1 :]
    parser = argparse.ArgumentParser(
        prog="python -m slurm.local_cluster",
        usage="%(prog)s [options] [-- COMMAND ...]",
        description="A real SLURM on this machine with pretended nodes and GPUs, until Ctrl-C or around a command.",
    )
    parser.add_argument("--nodes", type=_at_least(1), default=2, help="default 2")
    parser.add_argument("--gpus", type=_at_least(0), default=2, help="a node, default 2")
    parser.add_argument("--cpus", type=_at_least(1), default=8, help="a node, default 8")
    parser.add_argument("--gpu-type", help="for profiles that ask for one, such as a100")
    parser.add_argument("--max-array-size", type=_at_least(2), default=1001, help="default 1001")
    parser.add_argument(
        "--no-accounting", dest="accounting", action="store_false", help="like a cluster whose sacct does not answer"
    )
    cluster = LocalCluster(**vars(parser.parse_args(own)))
    signal.signal(signal.SIGTERM, _terminated)
    try:
        with cluster:
            return _run_in(cluster, command) if command else _until_interrupted(cluster)
    except ClusterError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 128 + signal.SIGINT


def _run_in(cluster: LocalCluster, command: Sequence[str]) -> int:
    try:
        process = subprocess.Popen(command, env=outside_slurm() | cluster.environment)
    except OSError as error:
        print(f"error: {command[0]}: {error.strerror}", file=sys.stderr)
        return 127
    # Ctrl-C goes to the command, too: what it does about it is its own affair.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    code = process.wait()
    return code if code >= 0 else 128 - code


def _until_interrupted(cluster: LocalCluster) -> NoReturn:
    print(_how_to_use(cluster), flush=True)
    while True:
        time.sleep(1)
        cluster.check()


def _how_to_use(cluster: LocalCluster) -> str:
    path = f"\n    export PATH={cluster.folder}/bin:$PATH   # a sacct that answers" if cluster.accounting else ""
    return f"""\
SLURM runs: {cluster.nodes} nodes, each of {cluster.cpus} CPUs and {cluster.gpus} GPUs that are only counted.
Partitions: main, short (jobs end after a minute), preemptible. In another terminal:

    export SLURM_CONF={cluster.conf}{path}
    sinfo
    python benchmarks/run.py --methods dacs --quick --launcher slurm --profile local-cluster

Ctrl-C here ends it, and its jobs."""


def _at_least(least: int) -> Callable[[str], int]:
    def whole_number(text: str) -> int:
        if not text.isdigit() or int(text) < least:
            raise argparse.ArgumentTypeError(f"{text!r}: expected a whole number, at least {least}")
        return int(text)

    return whole_number


def _terminated(*_: object) -> NoReturn:
    sys.exit(128 + signal.SIGTERM)


if __name__ == "__main__":
    from benchmarks.core.screen import screen

    with screen():
        sys.exit(main(sys.argv[1:]))
