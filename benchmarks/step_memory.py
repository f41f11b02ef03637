"""Memory of training steps at their real size, counted: ``python benchmarks/step_memory.py --methods dacs,hrda``.

Parameters, gradients, optimizer state, teacher and every tensor of the step are counted at their peak, by shapes
alone, so that a laptop can say what a GPU needs. The workspaces of kernels, the CUDA context and the fragments that an
allocator leaves come on top.
"""

from __future__ import annotations

import argparse
import sys
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
    from benchmarks.cli.progress import Progress

SWITCHES = {"SOLVER.PRECISION": "--precisions", "SOLVER.ACTIVATION_CHECKPOINTING": "--checkpointing"}


def parse_arguments(words: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="benchmarks/step_memory.py",
        description="Count the memory of training steps at their real size; nothing is computed, no data is read.",
    )
    parser.add_argument("--methods", default="dacs,daformer+mic+mrm,hrda+mic+mrm", help="comma-separated recipes")
    parser.add_argument("--protocol", type=expanduser, default="gta-cityscapes")
    parser.add_argument("--network", default="daformer-mitb5")
    parser.add_argument("--precisions", default="fp32,bf16", help="of fp32 and bf16")
    parser.add_argument("--checkpointing", default="off,on", help="activation checkpointing: off, on or both")
    parser.add_argument("--format", default="simple", choices=("simple", "github", "csv"))
    add_plugin_option(parser)
    parser.add_argument("overrides", nargs="*", metavar="KEY VALUE", help="config keys and their values")
    return parser.parse_intermixed_args(words)


def main() -> int:
    """The command; returns the exit code."""
    arguments = parse_arguments(sys.argv[1:])
    import_named_plugins(arguments)
    from benchmarks.cli.given import method_names
    from benchmarks.cli.progress import Progress
    from benchmarks.config.overrides import parse_pairs
    from benchmarks.config.spec import RunSpec

    precisions = _some_of("--precisions", arguments.precisions, ("fp32", "bf16"))
    switches = _some_of("--checkpointing", arguments.checkpointing, ("off", "on"))
    given = parse_pairs(arguments.overrides)
    for key, option in SWITCHES.items():
        if key in given:
            raise ConfigError(f"KEY VALUE: {key} is set by {option}")
    configs = [
        RunSpec(
            arguments.protocol,
            method,
            arguments.network,
            overrides={
                "WEIGHTS": "none",
                "SOLVER.PRECISION": precision,
                "SOLVER.ACTIVATION_CHECKPOINTING": switch == "on",
                **given,
            },
        ).resolve()
        for method in method_names(arguments.methods)
        for precision in precisions
        for switch in switches
    ]
    with Progress("counting", len(configs), "settings", stderr=True) as progress:
        rows = [_row(cfg, progress) for cfg in configs]
    print(table(rows, arguments.format))
    return 0


def _row(cfg: Any, progress: Progress) -> dict[str, Any]:
    progress.tell(cfg.METHOD, force=True)
    static, peak = _counted(cfg)
    progress.advance(cfg.METHOD)
    return {
        "method": cfg.METHOD,
        "network": cfg.NETWORK,
        "crop": "x".join(map(str, cfg.INPUT.CROP)),
        "batch": f"{cfg.SOLVER.BATCH}+{cfg.SOLVER.BATCH}",
        "precision": cfg.SOLVER.PRECISION,
        "activation checkpointing": "on" if cfg.SOLVER.ACTIVATION_CHECKPOINTING else "off",
        "between steps": static,
        "peak": peak,
    }


def _some_of(option: str, text: str, known: tuple[str, ...]) -> list[str]:
    chosen = [word.strip() for word in text.split(",")]
    for word in chosen:
        if word not in known:
            raise ConfigError(f"{option} is {text!r}, expected {' or '.join(known)}, or both with a comma")
    return chosen


def _counted(cfg: Any) -> tuple[float, float]:
    """`count`, and a ConfigError for a crop or a batch that the network cannot be trained on."""
    from benchmarks.tools.counted_memory import count
    from datasets.base.errors import DataError
    from methods.base.errors import MethodError

    try:
        return count(cfg)
    except (ConfigError, DataError, MethodError):
        raise
    except (RuntimeError, ValueError) as error:  # a kernel larger than a feature; one value for a batch norm
        crop = "x".join(map(str, cfg.INPUT.CROP))
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ConfigError(
            f"INPUT.CROP {crop}, SOLVER.BATCH {cfg.SOLVER.BATCH}: no step of {cfg.METHOD} with {cfg.NETWORK} ({reason})"
        ) from error


def table(rows: list[dict[str, Any]], form: str) -> str:
    """The rows as text; memory in GiB."""
    import pandas as pd

    from results.forms.cells import as_csv, tabulated

    shown = pd.DataFrame(rows)
    for column in ("between steps", "peak"):
        shown[column] = [f"{value / 1024:.2f} GiB" for value in shown[column]]
    if form == "csv":
        return as_csv(shown).rstrip()
    return tabulated({str(head): list(shown[head]) for head in shown}, form)


if __name__ == "__main__":
    exit_in_one_line(main)
