"""Score a trained model again: ``python benchmarks/evaluate.py --run RUN`` prints the IoU of each class."""

from __future__ import annotations

import argparse
import sys
from os.path import expanduser
from pathlib import Path

# The checkout's root in place of this folder: our packages are found, and nothing here shadows a module of others.
if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from benchmarks.cli.run_options import add_run_options, import_named_plugins, path_of
from benchmarks.core.command import exit_in_one_line
from benchmarks.core.errors import ConfigError


def parse_arguments(words: list[str]) -> argparse.Namespace:
    """The command line; argparse itself ends with exit code 2 and a line where it is not understood."""
    parser = argparse.ArgumentParser(
        prog="benchmarks/evaluate.py",
        description="Score the model of a run from its checkpoint and compare with its record. The scores are added to "
        "evaluation.json in the run folder; the record stays as it is.",
    )
    add_run_options(parser)
    parser.add_argument(
        "--protocol",
        type=expanduser,
        help="score on the validation images of another one, with the run's class sets "
        "and windows (default: the run's)",
    )
    parser.add_argument("--checkpoint", type=path_of, help="another one of the same network (default: the run's last)")
    parser.add_argument(
        "--also",
        help="score student and teacher on further sets (bdd100k,mapillary,my.yaml: docs/data_sets.md), and add the "
        "scores to the record, for tables, in place of all else",
    )
    parser.add_argument(
        "--metrics", default="", help="optional metrics to score too, as ECE,BIoU,mBIoU (docs/results.md)"
    )
    parser.add_argument(
        "--cityscapesscripts", action="store_true", help="also by Cityscapes' own evaluation, side by side"
    )
    parser.add_argument(
        "--data-root",
        type=expanduser,
        help="folder of the data sets (default: the run's, or beside a --protocol in YAML)",
    )
    parser.add_argument("--device", help="for example cuda or cpu (default: the run's)")
    return parser.parse_args(words)


def main() -> int:
    """The command; returns the exit code."""
    arguments = parse_arguments(sys.argv[1:])
    import_named_plugins(arguments)
    from benchmarks.computing.memory import keep_freed_memory
    from benchmarks.trained.elsewhere import evaluate_elsewhere
    from benchmarks.trained.opened_run import open_run
    from benchmarks.trained.reevaluation import reevaluate

    keep_freed_memory()
    run = open_run(arguments.run, arguments.runs, arguments.module)
    if arguments.also is not None:
        if arguments.protocol or arguments.checkpoint or arguments.metrics or arguments.cityscapesscripts:
            others = "--protocol, --checkpoint, --metrics or --cityscapesscripts"
            raise ConfigError(f"--also: expected no {others} beside it")
        evaluate_elsewhere(run, _names(arguments.also), device=arguments.device, data_root=arguments.data_root)
        return 0
    reevaluate(
        run,
        arguments.model,
        protocol=arguments.protocol,
        checkpoint=arguments.checkpoint,
        official=arguments.cityscapesscripts,
        device=arguments.device,
        data_root=arguments.data_root,
        metrics=_names(arguments.metrics),
    )
    return 0


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


if __name__ == "__main__":
    exit_in_one_line(main)
