"""A run's id, a hash of what decides its numbers, and its folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from detectron2.config import CfgNode

from benchmarks.config.deciding import PERIOD, digits, first_defaults, idle_keys, same, used_values
from benchmarks.config.former_ids import former_ids
from results.records.record import FILE as RECORD
from results.records.record import record_or_none


def run_id(cfg: CfgNode) -> str:
    """The id of a run: 12 hexadecimal digits, the same for the same numbers, whatever paths, hardware or launcher."""
    return digits(decisive(cfg))


def decisive(cfg: CfgNode) -> dict[str, Any]:
    """The flat keys that make a run another than the default, with their values: what its id is a hash of.

    Left out is a key with the default that it had first: so a new key changes no id, as long as its default does what
    was done before there was one. ``first_defaults.yaml`` holds these defaults; one that is changed later stays there
    as it was. Then a run of the old default keeps its id, now that it sets the key, and one of the new default has
    another. A key that came later is added there with its first default when that changes.

    Left out too, whatever their value: places, how often is evaluated (the last iterate always is), and keys that the
    run does not use or that decide nothing in it. The names of protocol, method and network are always in it: which
    terms there are is said by nothing else.
    """
    first, without = first_defaults(), {PERIOD, *idle_keys(cfg)}
    return {
        key: value
        for key, value in used_values(cfg).items()
        if key not in without and not same(value, first[key])
    }


def run_folder(output: Path, cfg: CfgNode) -> Path:
    """The folder of a run: ``<output>/<protocol>/<method>/<network>/<id>``.

    Where the run is there already under a former id, that folder: one that is over before one that can be gone on with.
    """
    group = output / cfg.PROTOCOL / cfg.METHOD / cfg.NETWORK
    usual = group / run_id(cfg)
    if not group.is_dir():
        return usual
    folders = (usual, *(group / each for each in former_ids(cfg)))
    there = [folder for folder in folders if (folder / RECORD).is_file()]
    over = [folder for folder in there if (record := record_or_none(folder)) and record.is_over]
    return next(iter([*over, *there]), usual)
