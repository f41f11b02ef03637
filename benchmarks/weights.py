"""Fetch ImageNet weights: ``python benchmarks/weights.py daformer-mitb5`` puts them where training looks for them."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

# The checkout's root in place of this folder: our packages are found, and nothing here shadows a module of others.
if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from benchmarks.cli.run_options import add_plugin_option, import_named_plugins
from benchmarks.core.command import exit_in_one_line
from benchmarks.core.errors import ConfigError


def parse_arguments(words: list[str]) -> argparse.Namespace:
    """The command line; argparse itself ends with exit code 2 and a line where it is not understood."""
    parser = argparse.ArgumentParser(
        prog="benchmarks/weights.py",
        description="Fetch ImageNet weights into the local caches (torch.hub's, detectron2's, Hugging Face's), checked "
        "against their recorded SHA-256. Training itself never downloads.",
    )
    what = "a network (daformer-mitb5) or weights (nvidia/mit-b5, resnet101_v1c, detectron2://DeepLab/R-103.pkl)"
    parser.add_argument("names", nargs="*", metavar="NAME", help=what)
    parser.add_argument("--list", action="store_true", help="list all weights, and which of them are here")
    add_plugin_option(parser)
    return parser.parse_args(words)


def main() -> int:
    """The command; returns the exit code."""
    arguments = parse_arguments(sys.argv[1:])
    import_named_plugins(arguments)
    if not arguments.names and not arguments.list:
        raise ConfigError("no NAME given, expected a network or weights (--list shows them)")
    from benchmarks.trained.downloads import fetch, listing, named

    if arguments.list:
        print(listing())
    for weights in dict.fromkeys([named(name) for name in arguments.names]):
        print(fetch(weights))
    return 0


if __name__ == "__main__":
    exit_in_one_line(main)
