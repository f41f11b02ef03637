"""`python -m datasets.streets`: draws the embedded benchmark, or shows a drawn one."""

import argparse
import sys
from os.path import expanduser
from pathlib import Path

from benchmarks.cli.progress import shown
from datasets.base.errors import DataError
from datasets.streets.contact_sheet import write_sheet
from datasets.streets.files import write
from datasets.streets.style import CONDITIONS


def main(arguments: list[str] | None = None) -> int:
    """Runs the command; returns its exit code, 2 for arguments or folders that cannot be used."""
    options = _parser().parse_args(arguments)
    try:
        if options.sheet:
            write_sheet(Path(options.sheet[0]), Path(options.sheet[1]))
        else:
            with shown("drawing streets") as progress:
                write(
                    Path(options.out),
                    size=_size(options.size),
                    source_images=options.source_images,
                    target_images=options.target_images,
                    val_images=options.val_images,
                    seed=options.seed,
                    condition=options.condition,
                    synthia_images=options.synthia_images,
                    workers=options.workers,
                    progress=progress,
                )
            images = options.source_images + options.target_images + options.val_images + options.synthia_images
            print(f"{options.out}: {images} images")
    except DataError as error:
        print(f"streets: {error}", file=sys.stderr)
        return 2
    return 0


def _size(text: str) -> tuple[int, int]:
    width, cross, height = text.lower().partition("x")
    if not (cross and width.isdecimal() and height.isdecimal()):
        raise DataError(f"--size {text}: expected WIDTHxHEIGHT in pixels, such as 256x128")
    return int(width), int(height)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m datasets.streets", description=__doc__)
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--out", type=expanduser, metavar="DIR", help="draw a data set into this new or empty folder")
    action.add_argument(
        "--sheet", type=expanduser, nargs=2, metavar=("FILE.png", "DIR"), help="draw a picture of the data set in DIR"
    )
    parser.add_argument("--size", default="256x128", help="of the images, WIDTHxHEIGHT in pixels (%(default)s)")
    parser.add_argument("--source-images", type=int, default=400, metavar="N", help="(%(default)s)")
    parser.add_argument("--target-images", type=int, default=400, metavar="N", help="for training (%(default)s)")
    parser.add_argument("--val-images", type=int, default=100, metavar="N", help="of the target domain (%(default)s)")
    parser.add_argument(
        "--condition", choices=list(CONDITIONS), default="day", help="of the target domain (%(default)s)"
    )
    parser.add_argument(
        "--synthia-images", type=int, default=0, metavar="N", help="of a second source, as SYNTHIA is (%(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0, help="(%(default)s)")
    parser.add_argument("--workers", type=int, metavar="N", help="processes (one a CPU, fewer for few images)")
    return parser


if __name__ == "__main__":
    from benchmarks.core.screen import screen

    with screen():
        sys.exit(main())
