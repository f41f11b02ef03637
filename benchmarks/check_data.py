"""Look at every file before a long run: ``python benchmarks/check_data.py --protocol my.yaml`` decodes all once."""

from __future__ import annotations

import argparse
import sys
from os.path import expanduser
from pathlib import Path
from typing import TYPE_CHECKING

# The checkout's root in place of this folder: our packages are found, and nothing here shadows a module of others.
if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from benchmarks.cli.run_options import add_plugin_option, import_named_plugins, path_of
from benchmarks.core.command import exit_in_one_line
from benchmarks.core.errors import ConfigError

if TYPE_CHECKING:
    from benchmarks.data.data_report import SetReport


def parse_arguments(words: list[str]) -> argparse.Namespace:
    """The command line; argparse itself ends with exit code 2 and a line where it is not understood."""
    parser = argparse.ArgumentParser(
        prog="benchmarks/check_data.py",
        description="Decode every image and label that runs of a protocol open, and report what is in them: pairs, "
        "sizes, the ids found and the pixels of each class; and each file that cannot be used. The exit code is 2 "
        "where there is one, or nothing to learn from or to score on.",
        epilog="KEY VALUE pairs set any key of the config, for example: INPUT.CROP 256x256",
    )
    parser.add_argument(
        "--protocol", type=expanduser, default="streets", help="a name, or the path of a YAML file (default: streets)"
    )
    parser.add_argument("--method", default="dacs", help="whose data: target-only reads target labels (default: dacs)")
    parser.add_argument("--data-root", type=expanduser, help="folder of the data sets, as of benchmarks/run.py")
    parser.add_argument("--out", type=path_of, help="write a CSV file with a line for each image")
    parser.add_argument("--workers", type=int, help="processes (default: one a CPU)")
    add_plugin_option(parser)
    parser.add_argument("overrides", nargs="*", metavar="KEY VALUE", help="config keys")
    return parser.parse_intermixed_args(words)


def main() -> int:
    """The command; returns the exit code."""
    arguments = parse_arguments(sys.argv[1:])
    import_named_plugins(arguments)
    if arguments.workers is not None and arguments.workers < 1:
        raise ConfigError(f"--workers is {arguments.workers}, expected at least 1")
    from benchmarks.config.overrides import parse_pairs
    from benchmarks.config.spec import RunSpec
    from benchmarks.data.data_report import check_all, csv_text
    from results.records.record import write_text

    overrides = {"DATA.ROOT": arguments.data_root} if arguments.data_root is not None else {}
    overrides |= parse_pairs(arguments.overrides)
    cfg = RunSpec(arguments.protocol, arguments.method, overrides=overrides).resolve()
    reports: list[SetReport] = []
    for report in check_all(cfg, arguments.workers):
        reports.append(report)
        print(report.text, flush=True)
    if arguments.out is not None:
        try:
            write_text(arguments.out, csv_text(reports))
        except OSError as error:
            raise ConfigError(f"--out {arguments.out}: cannot be written ({error.strerror})") from None
        print(f"a line for each image: {arguments.out}")
    bad = sum(report.faults for report in reports)
    print(f"{bad} problems" if bad != 1 else "1 problem")
    return 2 if bad else 0


if __name__ == "__main__":
    exit_in_one_line(main)
