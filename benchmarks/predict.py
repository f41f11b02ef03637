"""Predict with a trained model: ``python benchmarks/predict.py --run RUN IMAGE...`` writes label maps and overlays."""

from __future__ import annotations

import argparse
import sys
from os.path import expanduser
from pathlib import Path

# The checkout's root in place of this folder: our packages are found, and nothing here shadows a module of others.
if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from benchmarks.cli.run_options import add_run_options, import_named_plugins, path_of, size_of
from benchmarks.core.command import exit_in_one_line
from benchmarks.core.errors import ConfigError


def parse_arguments(words: list[str]) -> argparse.Namespace:
    """The command line; argparse itself ends with exit code 2 and a line where it is not understood."""
    parser = argparse.ArgumentParser(
        prog="benchmarks/predict.py",
        description="Segment images with the model of a run. Below --output come labels/, palette PNGs whose values "
        "are train ids (0 is the first class) and whose palette is the classes' colours, and overlays/, those colours "
        "half and half with the image. Pictures of the same name that lie there are replaced.",
    )
    parser.add_argument(
        "images", type=expanduser, nargs="*", metavar="IMAGE", help="files, folders or patterns such as 'a/**/*.png'"
    )
    add_run_options(parser)
    parser.add_argument("--output", type=path_of, default=Path("predictions"), help="folder (default: predictions)")
    parser.add_argument("--split", help="in place of images: what the target's test server takes of it, mostly of test")
    parser.add_argument(
        "--data-root", type=expanduser, help="folder of the data sets, for --split (default: the run's)"
    )
    parser.add_argument(
        "--window",
        metavar="WxH",
        help="predict in windows of this size, half a window apart, in place of how the run tests: for images that are "
        "too large to be taken whole",
    )
    parser.add_argument(
        "--max-pixels",
        type=int,
        metavar="N",
        help="read images of up to so many pixels (default: 178956970); each takes some 12 bytes of memory",
    )
    parser.add_argument("--device", help="for example cuda or cpu (default: the run's)")
    return parser.parse_intermixed_args(words)


def main() -> int:
    """The command; returns the exit code."""
    arguments = parse_arguments(sys.argv[1:])
    import_named_plugins(arguments)
    if bool(arguments.images) == bool(arguments.split):
        raise ConfigError("expected images to predict, or --split, and not both")
    if arguments.max_pixels is not None and (arguments.split or arguments.max_pixels < 1):
        raise ConfigError(f"--max-pixels {arguments.max_pixels}: expected a number of pixels, and images to predict")
    window = size_of("--window", arguments.window) if arguments.window else None
    from benchmarks.computing.device import pick_device
    from benchmarks.computing.memory import keep_freed_memory
    from benchmarks.config.sliding_window import halved, sliding
    from benchmarks.trained.image_files import find_images
    from benchmarks.trained.opened_run import Predictor, load_segmentor, open_run, with_place
    from benchmarks.trained.prediction import predict_images, predict_split
    from datasets.files.picture_file import MAX_PIXELS

    keep_freed_memory()
    run = open_run(arguments.run, arguments.runs, arguments.module)
    images, left_out = find_images(arguments.images, left_out=arguments.output)
    for line in left_out:
        print(f"left out: {line}")
    cfg = with_place(run.cfg, arguments.device, arguments.data_root)
    device = pick_device(cfg)
    checkpoint = run.checkpoint()
    if not run.finished:
        print(f"run {run.folder} is not finished: predicting with {checkpoint.name}")
    windows = halved(window) if window else sliding(cfg)
    predictor = Predictor(load_segmentor(run, arguments.model, checkpoint), device, windows)
    if arguments.split:
        predict_split(predictor, cfg, arguments.split, arguments.output)
    else:
        predict_images(predictor, cfg, images, arguments.output, arguments.max_pixels or MAX_PIXELS)
    return 0


if __name__ == "__main__":
    exit_in_one_line(main)
