"""What the words of a command mean: methods, seeds, and config keys."""

from __future__ import annotations

import argparse
from typing import Any

from benchmarks.config.overrides import parse_pairs
from benchmarks.core.errors import ConfigError

QUICK = {
    "DATA.STREETS.SOURCE_IMAGES": 24,
    "DATA.STREETS.TARGET_IMAGES": 24,
    "DATA.STREETS.VAL_IMAGES": 12,
    "SOLVER.ITERS": 20,
    "SOLVER.BATCH": 2,
    "SOLVER.WARMUP_ITERS": 2,
    "TEST.PERIOD": 10,
}


def method_names(text: str) -> list[str]:
    """The recipes of ``--methods``."""
    methods = [name.strip() for name in text.split(",") if name.strip()]
    if not methods:
        raise ConfigError("--methods is empty, expected recipes such as dacs,mic,mrm (--list shows what there is)")
    return methods


def seeds(text: str) -> list[int]:
    """The seeds of ``--seeds``, each once."""
    return whole_numbers("--seeds", text, 0, "0,1,2")


def whole_numbers(option: str, text: str, least: int, example: str) -> list[int]:
    """The numbers of an option, separated by commas, each once. Raises ConfigError for what is none, or below least."""
    try:
        found = [int(word) for word in text.split(",")]
    except ValueError:
        found = []
    if not found or min(found) < least:
        at_least = f" of at least {least}" if least else ""
        raise ConfigError(f"{option} is {text!r}, expected whole numbers{at_least} such as {example}")
    return list(dict.fromkeys(found))


def given_overrides(arguments: argparse.Namespace) -> dict[str, Any]:
    """Config keys from options, those that the command has of its keys', and KEY VALUE, which has the last word."""
    options = {
        "SOLVER.ITERS": arguments.iters,
        "WEIGHTS": getattr(arguments, "weights", None),
        "DATA.ROOT": arguments.data_root,
        "DATA.CACHE_RESIZED": getattr(arguments, "cache_resized", False) or None,
        "LOG.WRITERS": tuple(getattr(arguments, "writer", ())) or None,
    }
    return {key: value for key, value in options.items() if value is not None} | parse_pairs(arguments.overrides)


def run_overrides(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return `given_overrides` above what ``--quick`` makes small. Raises ConfigError where that is not of streets."""
    if arguments.quick and arguments.protocol != "streets":
        raise ConfigError(f"--quick runs on streets alone, not on {arguments.protocol}")
    return (QUICK if arguments.quick else {}) | given_overrides(arguments)
