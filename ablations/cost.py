"""What methods cost to compute: ``python ablations/cost.py --methods dacs,dacs+mrm-input,dacs+mrm``."""

from __future__ import annotations

import argparse
import sys
from itertools import zip_longest
from os.path import expanduser
from pathlib import Path
from typing import TYPE_CHECKING, Any

# The checkout's root in place of this folder: our packages are found, and nothing here shadows a module of others.
if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from benchmarks.cli.run_options import add_plugin_option, import_named_plugins
from benchmarks.core.command import exit_in_one_line
from benchmarks.core.errors import ConfigError

if TYPE_CHECKING:
    from detectron2.config import CfgNode

MEASURE, MEASURED_STEPS = "--measure", 10


def parse_arguments(words: list[str]) -> argparse.Namespace:
    """The command line; argparse itself ends with exit code 2 and a line where it is not understood."""
    parser = argparse.ArgumentParser(
        prog="ablations/cost.py",
        description="Count multiply-adds and parameters of methods by part: for one target image, a training step and "
        "inference. Nothing is read or downloaded. 1 multiply-add = 2 FLOPs.",
        epilog="KEY VALUE pairs set any key of the config, for example: TERMS.MRM.BLOCKS 4",
    )
    parser.add_argument("--methods", default="dacs,dacs+mrm-input,dacs+mrm", help="comma-separated recipes")
    parser.add_argument("--network", default="deeplabv2-r101", help="default: deeplabv2-r101")
    parser.add_argument(
        "--protocol",
        type=expanduser,
        default="gta-cityscapes",
        help="whose sizes and batch (default: gta-cityscapes)",
    )
    parser.add_argument("--crop", help="width and height of training crops, as 512x512 (default: the method's)")
    parser.add_argument("--format", default="table", choices=("table", "json", "csv"))
    parser.add_argument(
        MEASURE,
        type=int,
        metavar="[STEPS]",
        help=f"also run steps of all methods in turn, and show their time and memory (default: {MEASURED_STEPS})",
    )
    add_plugin_option(parser)
    parser.add_argument("overrides", nargs="*", metavar="KEY VALUE", help="config keys and their values")
    # Given without a number it has the usual one: argparse would take a KEY for the number.
    words = [
        f"{word}={MEASURED_STEPS}" if word == MEASURE and not number.lstrip("-").isdecimal() else word
        for word, number in zip_longest(words, words[1:], fillvalue="")
    ]
    return parser.parse_intermixed_args(words)


def main() -> int:
    """The command; returns the exit code."""
    arguments = parse_arguments(sys.argv[1:])
    import_named_plugins(arguments)
    if arguments.measure is not None and arguments.measure < 1:
        raise ConfigError(f"--measure is {arguments.measure}, expected at least 1 step")
    from ablations.profiling.cost_tables import FORMATS
    from ablations.profiling.step_cost import CostCounter
    from benchmarks.cli.progress import Progress
    from benchmarks.computing.memory import keep_freed_memory

    keep_freed_memory()
    configs = resolve(arguments)
    counter = CostCounter()
    rows = []
    with Progress("counting", len(configs), "methods", stderr=True) as progress:
        for cfg in configs:
            progress.tell(cfg.METHOD, force=True)
            rows.append(counter.method(cfg).to_dict())
            progress.advance(cfg.METHOD)
    if arguments.measure is not None:
        from ablations.profiling.step_time import measure

        for row, measured in zip(rows, measure(configs, arguments.measure), strict=True):
            row["measured"] = measured.to_dict()
    for row in rows:
        for part, operators in row["uncounted"].items():
            seen = ", ".join(f"{name} ({number}x)" for name, number in operators.items())
            print(f"warning: {row['method']}: not counted in {part}: {seen}", file=sys.stderr)
    print(FORMATS[arguments.format](rows))
    return 0


def resolve(arguments: argparse.Namespace) -> list[CfgNode]:
    """The config of each method; raises ConfigError or MethodError, one line, for what is unknown or out of range."""
    from benchmarks.cli.given import method_names
    from benchmarks.config.overrides import parse_pairs
    from benchmarks.config.spec import RunSpec

    values: dict[str, Any] = {"WEIGHTS": "none"}
    if arguments.crop is not None:
        sides = arguments.crop.split("x")
        if len(sides) != 2 or not all(side.isdecimal() and int(side) for side in sides):
            raise ConfigError(f"--crop is {arguments.crop!r}, expected a width and a height in pixels, as 512x512")
        values["INPUT.CROP"] = (int(sides[0]), int(sides[1]))
    values |= parse_pairs(arguments.overrides)
    configs = [
        RunSpec(arguments.protocol, method, arguments.network, overrides=values).resolve()
        for method in method_names(arguments.methods)
    ]
    return list({cfg.METHOD: cfg for cfg in configs}.values())


if __name__ == "__main__":
    exit_in_one_line(main)
