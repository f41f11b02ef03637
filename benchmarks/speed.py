"""What takes time, measured side by side: ``python benchmarks/speed.py step``, or data, eval, start.

On a GPU absolute times count; on a CPU compare within one run, in which everything is measured in turn.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from os.path import expanduser
from pathlib import Path
from typing import Any

# The checkout's root in place of this folder: our packages are found, and nothing here shadows a module of others.
if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from benchmarks.cli.run_options import add_plugin_option, import_named_plugins, size_of
from benchmarks.core.command import exit_in_one_line
from benchmarks.core.errors import ConfigError

STEP, DATA, EVAL, START = "step", "data", "eval", "start"


def parse_arguments(words: list[str]) -> argparse.Namespace:
    """The command line; argparse itself ends with exit code 2 and a line where it is not understood."""
    parser = argparse.ArgumentParser(
        prog="benchmarks/speed.py", description="Seconds of steps, data, evaluation and start, measured side by side."
    )
    parser.add_argument("what", nargs="?", choices=(STEP, DATA, EVAL, START), default=STEP, help="default: step")
    parser.add_argument("--methods", help="of step and data: comma-separated recipes (default: source-only,dacs,mrm)")
    parser.add_argument("--networks", help="comma-separated (default: the protocol's)")
    parser.add_argument("--precision", default="fp32", help="of step: of fp32, tf32, bf16, fp16 (default: fp32)")
    parser.add_argument("--crop", help="width and height of training crops, as 512x512 (default: the method's)")
    parser.add_argument("--batch", type=int, help="images of each domain in a step (default: the protocol's)")
    parser.add_argument("--protocol", type=expanduser, help="default: streets; of data and eval gta-cityscapes")
    parser.add_argument("--rounds", type=int, default=5, help="how often each thing is measured (default: 5)")
    parser.add_argument(
        "--data",
        type=expanduser,
        metavar="FOLDER",
        help="of data and eval: where the protocol's data sets lie (default: pictures of their sizes are made up)",
    )
    parser.add_argument("--real", action="store_true", help="of step: the protocol's images, not random ones")
    parser.add_argument("--no-counts", action="store_true", help="of step: leave out kernels and memory by shapes")
    parser.add_argument("--images", type=int, default=8, help="of data and eval: of each domain (default: 8)")
    parser.add_argument("--size", default="2048x1024", help="of eval: of label maps (default: 2048x1024)")
    parser.add_argument(
        "--steps", default="0.06,0.14,0.6", help="of data: seconds a step to be fed (default: 0.06,0.14,0.6)"
    )
    parser.add_argument("--out", type=expanduser, metavar="FILE.json", help="write what is measured there, too")
    add_plugin_option(parser)
    parser.add_argument("overrides", nargs="*", metavar="KEY VALUE", help="config keys and their values")
    return parser.parse_intermixed_args(words)


def main() -> int:
    """The command; returns the exit code."""
    arguments = parse_arguments(sys.argv[1:])
    import_named_plugins(arguments)
    for name in ("rounds", "images", "batch"):
        value = getattr(arguments, name)
        if value is not None and value < 1:
            raise ConfigError(f"--{name} is {value}, expected at least 1")
    from benchmarks.computing.memory import keep_freed_memory

    keep_freed_memory()
    text, rows = {STEP: _step, DATA: _data, EVAL: _eval, START: _start}[arguments.what](arguments)
    print(text)
    if arguments.out:
        import torch

        from benchmarks.measure.machine import machine
        from results.records.record import as_json, write_text

        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        write_text(Path(arguments.out), as_json({"what": arguments.what, "machine": machine(device), "rows": rows}))
    return 0


def _step(arguments: argparse.Namespace) -> tuple[str, Any]:
    from benchmarks.measure.steps import measure
    from benchmarks.measure.tables import step_tables

    rows = measure(_configs(arguments), arguments.rounds, arguments.real, not arguments.no_counts)
    return step_tables(rows), rows


def _data(arguments: argparse.Namespace) -> tuple[str, Any]:
    from benchmarks.measure.loading import measure
    from benchmarks.measure.tables import loading_table

    try:
        steps = [float(word) for word in arguments.steps.split(",")]
    except ValueError:
        steps = []
    if not steps or not min(steps) > 0:
        raise ConfigError(f"--steps is {arguments.steps!r}, expected seconds above 0, such as 0.06,0.14")
    arguments.protocol = arguments.protocol or "gta-cityscapes"
    arguments.methods = arguments.methods or "dacs"
    (cfg, *_) = _configs(arguments)
    with _pictures(arguments) as root:
        rows = measure(cfg, root, arguments.images, arguments.rounds, steps)
    return loading_table(rows), rows


def _eval(arguments: argparse.Namespace) -> tuple[str, Any]:
    from benchmarks.computing.device import pick_device
    from benchmarks.engine.build import build_student
    from benchmarks.measure.scoring import count_ways, measure_evaluation
    from benchmarks.measure.tables import counting_table, evaluation_table

    arguments.protocol = arguments.protocol or "gta-cityscapes"
    arguments.networks = arguments.networks or "daformer-lite0"
    arguments.methods = arguments.methods or "source-only"
    (cfg, *_) = _configs(arguments)
    width, height = size_of("--size", arguments.size)
    device = pick_device(cfg)
    with _pictures(arguments) as root, tempfile.TemporaryDirectory() as name:
        ways = count_ways(cfg, Path(name), arguments.rounds, device, (height, width))
        whole = measure_evaluation(cfg, build_student(cfg).to(device), root, arguments.images, device)
    return f"{counting_table(ways)}\n\n{evaluation_table(whole)}", {"ways": ways, "evaluation": whole}


def _start(arguments: argparse.Namespace) -> tuple[str, Any]:
    from benchmarks.cli.given import method_names
    from benchmarks.measure.starting import measure
    from benchmarks.measure.tables import starting_table

    method = method_names(arguments.methods or "dacs")[0]
    network = arguments.networks.split(",")[0] if arguments.networks else None
    rows = measure(arguments.rounds, method, network)
    return starting_table(rows), rows


def _configs(arguments: argparse.Namespace) -> list[Any]:
    """The config of each method, network and precision; raises one line for what is unknown or out of range."""
    from benchmarks.cli.given import method_names
    from benchmarks.config.overrides import parse_pairs
    from benchmarks.config.spec import RunSpec

    # No look at the losses, which would wait for the device.
    values: dict[str, Any] = {"WEIGHTS": "none", "LOG.PERIOD": 10**9}
    if arguments.crop:
        values["INPUT.CROP"] = size_of("--crop", arguments.crop)
    if arguments.batch:
        values["SOLVER.BATCH"] = arguments.batch
    if arguments.data:
        values["DATA.ROOT"] = arguments.data
    values |= parse_pairs(arguments.overrides)
    return [
        RunSpec(arguments.protocol or "streets", method, network, 0, values | {"SOLVER.PRECISION": precision}).resolve()
        for network in (arguments.networks.split(",") if arguments.networks else [None])
        for method in method_names(arguments.methods or "source-only,dacs,mrm")
        for precision in arguments.precision.split(",")
    ]


@contextmanager
def _pictures(arguments: argparse.Namespace) -> Iterator[Path]:
    """The user's folder, or one of pictures that are made up, which is gone afterwards."""
    if arguments.data:
        yield Path(arguments.data)
        return
    if arguments.protocol != "gta-cityscapes":
        raise ConfigError(f"--protocol {arguments.protocol}: pictures are made up of gta-cityscapes alone; give --data")
    from benchmarks.measure.photos import write_photos

    with tempfile.TemporaryDirectory() as name:
        write_photos(Path(name), arguments.images)
        yield Path(name)


if __name__ == "__main__":
    exit_in_one_line(main)
