"""What encoders keep of labels and of images: ``python ablations/information.py RUN RUN ... --baseline dacs``."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from os.path import expanduser
from pathlib import Path
from typing import TYPE_CHECKING

# The checkout's root in place of this folder: our packages are found, and nothing here shadows a module of others.
if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from benchmarks.cli.run_options import add_opening_options, add_plot_options, import_named_plugins, path_of
from benchmarks.core.command import exit_in_one_line
from benchmarks.core.errors import ConfigError

if TYPE_CHECKING:
    from ablations.mutual_information.measures import Settings
    from ablations.mutual_information.tables import Method

FORMATS = ("table", "markdown", "latex", "csv")


def parse_arguments(words: list[str]) -> argparse.Namespace:
    """The command line; argparse itself ends with exit code 2 and a line where it is not understood."""
    parser = argparse.ArgumentParser(
        prog="ablations/information.py",
        description="Measure of trained encoders what their features tell of labels and of pixels, with and without "
        "masks. Runs that differ in their seed alone are one method, mean ± deviation. Target labels are used: these "
        "are oracle measures (docs/information.md).",
    )
    parser.add_argument("run", nargs="+", type=expanduser, metavar="RUN", help="run folders, or ids of runs")
    add_opening_options(parser)
    parser.add_argument(
        "--baseline", help="the method that others are compared with, or its column (default: that of the first run)"
    )
    parser.add_argument("--images", type=int, default=100, help="validation images of the target (default: 100)")
    parser.add_argument(
        "--locations", type=int, default=8000, help="places of the feature map in all images together (default: 8000)"
    )
    parser.add_argument(
        "--noise",
        default="0.5,0.1,0.2,1,2",
        help="deviations of the noise on features of mean variance 1: the table has the first, the plot all "
        "(default: 0.5,0.1,0.2,1,2)",
    )
    parser.add_argument("--stage", type=int, help="of the encoder, 1 is the finest (default: the last)")
    parser.add_argument("--seed", type=int, default=0, help="of all draws, the same for all runs (default: 0)")
    parser.add_argument("--no-rebuilder", action="store_true", help="leave out what Rebuilders put under masks")
    parser.add_argument("--device", help="for example cuda or cpu (default: the run's)")
    parser.add_argument("--data-root", type=expanduser, help="folder of the data sets (default: the run's)")
    parser.add_argument("--format", choices=FORMATS, default="table")
    parser.add_argument(
        "--out", type=path_of, metavar="STEM", help="also write STEM.csv, with a row a run, STEM.md and the plots"
    )
    add_plot_options(parser)
    return parser.parse_args(words)


def main() -> int:
    """The command; returns the exit code."""
    arguments = parse_arguments(sys.argv[1:])
    import_named_plugins(arguments)
    settings = read_settings(arguments)
    from ablations.mutual_information.of_runs import measured_methods
    from ablations.mutual_information.plane import information_plane, masked_plane
    from ablations.mutual_information.tables import caption, columns_of, frame_of
    from benchmarks.computing.memory import keep_freed_memory
    from benchmarks.trained.opened_run import open_run
    from results.forms.cells import as_csv
    from results.forms.folding import render_table
    from results.forms.written import write_tables
    from results.plots.files import read_formats, write_figure
    from results.plots.style import WIDTHS

    keep_freed_memory()
    formats = read_formats(arguments.plots)
    runs = [open_run(name, arguments.runs, arguments.module) for name in dict.fromkeys(arguments.run)]
    cfg = runs[0].cfg
    stage = f"stage {settings.stage}" if settings.stage else "the last stage"
    iterations = " or ".join(map(str, sorted({run.cfg.SOLVER.ITERS for run in runs})))
    about = f"{cfg.PROTOCOL}, {cfg.NETWORK}, {stage}, {arguments.model}, {iterations} iterations"

    def write(methods: Sequence[Method]) -> list[Path]:
        if arguments.out is None:
            return []
        said = caption(methods, settings, about)
        with _told(arguments.out):
            return list(write_tables(columns_of(methods, settings), frame_of(methods), said, arguments.out))

    methods = measured_methods(
        runs,
        arguments.model,
        settings,
        baseline=arguments.baseline,
        rebuilder=not arguments.no_rebuilder,
        device=arguments.device,
        data_root=arguments.data_root,
        keep=write,
    )
    written = write(methods)
    if arguments.out is not None:
        with _told(arguments.out):
            width = WIDTHS[arguments.plot_width]
            written += write_figure(information_plane(methods, settings, about, width), arguments.out, formats)
            masks = arguments.out.with_name(f"{arguments.out.name}-masks")
            written += write_figure(masked_plane(methods, about, width), masks, formats)
    if arguments.format == "csv":
        print(as_csv(frame_of(methods)).rstrip())
        return 0
    print(render_table(columns_of(methods, settings), arguments.format))
    print(f"\n{caption(methods, settings, about)}")
    for path in written:
        print(f"written: {path}")
    return 0


def read_settings(arguments: argparse.Namespace) -> Settings:
    """What the options say of how it is measured. Raises ConfigError, one line, for what is out of range."""
    from ablations.mutual_information.measures import Settings

    for option, value, least in (
        ("--images", arguments.images, 3),
        ("--locations", arguments.locations, 1),
        ("--stage", arguments.stage, 1),
        ("--seed", arguments.seed, 0),
    ):
        if value is not None and value < least:
            raise ConfigError(f"{option} is {value}, expected at least {least}")
    try:
        noise = tuple(dict.fromkeys(float(word) for word in arguments.noise.split(",")))
    except ValueError:
        noise = ()
    if not noise or not all(0 < value < math.inf for value in noise):
        raise ConfigError(f"--noise is {arguments.noise!r}, expected numbers above 0 such as 0.5,0.1,1")
    return Settings(arguments.images, arguments.locations, noise, arguments.stage or 0, arguments.seed)


@contextmanager
def _told(stem: Path) -> Iterator[None]:
    """ConfigError for what cannot be written."""
    try:
        stem.parent.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise ConfigError(f"--out {stem}: cannot be written ({error.strerror})") from None


if __name__ == "__main__":
    exit_in_one_line(main)
