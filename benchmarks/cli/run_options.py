"""Options that several commands have: of those that make runs, and of those that use a trained model."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from os.path import expanduser
from pathlib import Path

from benchmarks.core.errors import ConfigError

STUDENT, TEACHER = "student", "teacher"
INLINE, LOCAL, SLURM = "inline", "local", "slurm"


def path_of(text: str) -> Path:
    """The path that an option names. "~" is the home folder: shells leave it as it is in ``--output=~/runs``."""
    return Path(expanduser(text))  # noqa: PTH111 (pathlib's raises where there is no such user)


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """--run or --weights, --runs, --module, --model and --plugin."""
    parser.add_argument(
        "--run",
        "--weights",
        type=expanduser,
        required=True,
        metavar="RUN",
        help="a run folder, a run's id (its 12 hexadecimal digits), or what publish.py wrote: a folder, or "
        "hf:owner/name@revision, which is downloaded from the Hugging Face hub unless its local cache has it",
    )
    add_opening_options(parser)


def add_opening_options(parser: argparse.ArgumentParser) -> None:
    """--runs, --module, --model and --plugin, of commands that open runs."""
    parser.add_argument("--runs", type=path_of, default=Path("runs"), help="where an id is looked for (default: runs)")
    add_module_option(parser)
    parser.add_argument(
        "--model", choices=(STUDENT, TEACHER), default=STUDENT, help="default: student, which tables report"
    )
    add_plugin_option(parser)


def size_of(option: str, text: str) -> tuple[int, int]:
    """The width and height of an option's value: ``"1024x512"`` -> (1024, 512). Raises ConfigError."""
    width, _, height = text.partition("x")
    if width.isdecimal() and height.isdecimal() and int(width) and int(height):
        return int(width), int(height)
    raise ConfigError(f"{option} is {text!r}, expected a width and a height such as 1024x512")


def add_module_option(parser: argparse.ArgumentParser) -> None:
    """--module, of commands that read the configs of run folders, which may come from anybody."""
    parser.add_argument(
        "--module",
        type=expanduser,
        action="append",
        default=[],
        help="the code that the run's config names to register its data sets (DATA.MODULE), which is imported only "
        "where you name it: a file.py, or a module",
    )


def add_plugin_option(parser: argparse.ArgumentParser) -> None:
    """--plugin, of commands that make runs or open them; `import_named_plugins` imports what it names."""
    parser.add_argument(
        "--plugin",
        type=expanduser,
        action="append",
        default=[],
        metavar="FILE.py|MODULE",
        help="code of yours that registers methods, networks or metrics, imported first; can be repeated, and stand in "
        "$SEGSHIFT_PLUGINS (examples/own_method)",
    )


def import_named_plugins(arguments: argparse.Namespace) -> None:
    """Import what --plugin and the environment name, before any config is made or read; raises a one-line error."""
    if arguments.plugin or os.environ.get("SEGSHIFT_PLUGINS"):  # else nothing is loaded for it
        from benchmarks.config.plugins import import_plugins

        import_plugins(arguments.plugin)


def add_training_options(parser: argparse.ArgumentParser) -> None:
    """--protocol, --network, --iters, --output, --data-root, --cache-resized, --writer, --plugin and KEY VALUE."""
    parser.add_argument(
        "--protocol", type=expanduser, default="streets", help="what is learned from and scored on (default: streets)"
    )
    parser.add_argument("--network", help="default: the protocol's")
    parser.add_argument("--iters", type=int, help="iterations of each run (default: the protocol's)")
    parser.add_argument("--output", type=path_of, default=Path("runs"), help="folder of run folders (default: runs)")
    parser.add_argument("--data-root", type=expanduser, help="folder of the data sets (default: $DETECTRON2_DATASETS)")
    parser.add_argument(
        "--cache-resized",
        action="store_true",
        help="keep images on disk as they are after resizing, below $SEGSHIFT_CACHE: the same numbers, loaded in a "
        "fraction of the time",
    )
    parser.add_argument(
        "--writer",
        choices=("wandb", "mlflow"),
        action="append",
        default=[],
        help="where scalars and pictures go besides TensorBoard; can be repeated (docs/watching.md)",
    )
    add_plugin_option(parser)
    parser.add_argument("overrides", nargs="*", metavar="KEY VALUE", help="config keys and their values")


def add_plot_options(parser: argparse.ArgumentParser) -> None:
    """--plots and --plot-width, of commands that write plots; `results.plots.files.read_formats` reads the first."""
    parser.add_argument("--plots", default="png,pdf,svg", help="formats of the plots (default: png,pdf,svg)")
    parser.add_argument(
        "--plot-width", choices=("column", "page"), default="column", help="of a two-column paper (default: column)"
    )


def add_records_option(parser: argparse.ArgumentParser) -> None:
    """--records, of commands that show runs which others have published; `check_records` says what goes with it."""
    parser.add_argument(
        "--records",
        type=path_of,
        metavar="FOLDER",
        help="make no run: read the records below this folder, which publish.py wrote or runs left",
    )


def check_records(arguments: argparse.Namespace, others: Mapping[str, bool], usual: str = INLINE) -> None:
    """Raise ConfigError where --records is given beside what makes runs, or says how.

    Args:
        arguments: with --records and --launcher.
        others: such options, as "--dry-run", with whether they are given.
        usual: the launcher where none is named.
    """
    if arguments.records:
        for word, given in {**others, f"--launcher {arguments.launcher}": arguments.launcher != usual}.items():
            if given:
                raise ConfigError(f"--records makes no run, expected no {word} beside it")


def add_launcher_options(parser: argparse.ArgumentParser, usual: str = INLINE) -> None:
    """--launcher and what belongs to it; `benchmarks.launch.launcher.read_launcher` makes sense of them.

    Without inline where ``usual`` is another: that command makes several runs at a time.
    """
    kinds = (INLINE, LOCAL, SLURM) if usual == INLINE else (LOCAL, SLURM)
    first = "one after the other (inline), " if usual == INLINE else ""
    group = parser.add_argument_group("where runs are made (docs/cluster.md)")
    group.add_argument(
        "--launcher",
        choices=kinds,
        default=usual,
        help=f"{first}several at a time on this machine (local), or as jobs of SLURM (default: {usual})",
    )
    group.add_argument(
        "--parallel",
        type=int,
        help="runs at a time, of local (default: the GPUs, or cores up to 4); more than there are GPUs share them",
    )
    group.add_argument("--gpus", type=int, help="GPUs of one run, on each node (default: 1, or the profile's)")
    slurm = add_profile_options(parser, "of --launcher slurm: a profile, and what replaces its keys")
    if usual == INLINE:
        slurm.add_argument("--no-wait", action="store_true", help="return when the runs are in the queue")


def add_profile_options(parser: argparse.ArgumentParser, title: str) -> argparse._ArgumentGroup:
    """--profile, and an option for each of its keys but gpus; `read_profile_options` of the launcher reads them."""
    slurm = parser.add_argument_group(title)
    slurm.add_argument("--profile", type=expanduser, help="of slurm/profiles, or the path of a YAML file")
    for name, meaning in PROFILE_OPTIONS.items():
        kind = int if name in ("nodes", "cpus", "array_parallelism") else str
        slurm.add_argument(f"--{name.replace('_', '-')}", type=kind, help=meaning)
    slurm.add_argument("--sbatch", action="append", metavar="OPTION=VALUE", help="any other option of sbatch")
    return slurm


PROFILE_OPTIONS = {
    "partition": None,
    "account": None,
    "qos": None,
    "constraint": None,
    "nodes": "of one run",
    "gpu_type": "as the cluster calls it, such as a100",
    "cpus": "for each GPU",
    "memory": "of each node, such as 32G",
    "time": "limit of one session, such as 12:00:00; the run goes on in the next",
    "array_parallelism": "runs at a time, at most",
}
