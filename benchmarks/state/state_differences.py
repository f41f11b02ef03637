"""In which config keys runs of one label differ: fifteen rows "dacs+mrm seed 0" of a grid are told apart by them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from benchmarks.config.keys import PLACE_KEYS
from benchmarks.state.run_states import RunState
from results.files.errors import ResultsError
from results.records.settings import run_settings

WIDTH = 60  # characters of a row's differences, at most
_ELSEWHERE = {*PLACE_KEYS, "DESCRIPTION"}  # they compute nothing else


def differences(states: Sequence[RunState]) -> list[str]:
    """Return what each run has in the keys in which the runs of its label differ: "RATIO 0.6, WEIGHT 2".

    A key has as much of its name as tells it from the others. "" for a run whose label no other has, whose config.yaml
    is not there or damaged, or that differs in nothing. At most `WIDTH` characters, the keys of most values first.
    """
    alike = defaultdict(list)
    for index, state in enumerate(states):
        alike[state.label].append(index)
    told = [""] * len(states)
    for indices in alike.values():
        if len(indices) > 1:
            for index, text in zip(indices, _told([_settings(states[index].folder) for index in indices]), strict=True):
                told[index] = text
    return told


def _settings(folder: Path) -> Mapping[str, Any]:
    try:
        return _read(folder, (folder / "config.yaml").stat().st_mtime_ns)
    except (OSError, ResultsError):
        return {}


@lru_cache(maxsize=20_000)  # of --watch, which looks again and again
def _read(folder: Path, changed: int) -> Mapping[str, Any]:
    return run_settings(folder)


def _told(configs: Sequence[Mapping[str, Any]]) -> list[str]:
    values = defaultdict[str, set[str]](set)
    for config in configs:
        for key, value in config.items():
            values[key].add(_word(value))
    # A key that some configs lack is of an earlier version, or of a term that is gone: that alone is no difference.
    differing = [key for key, each in values.items() if len(each) > 1 and key not in _ELSEWHERE]
    keys = sorted(differing, key=lambda key: -len(values[key]))
    short = {key: _shortest(key, keys) for key in keys}
    return [_bounded([f"{short[key]} {_word(config[key])}" for key in keys if key in config]) for config in configs]


def _word(value: Any) -> str:
    return str(value) if value or value == 0 else "none"


def _shortest(key: str, keys: Sequence[str]) -> str:
    """The key's last parts, as many as no other key ends in."""
    parts = key.split(".")
    ends = [".".join(parts[start:]) for start in range(len(parts) - 1, 0, -1)]
    return next((end for end in ends if sum(f".{other}".endswith(f".{end}") for other in keys) == 1), key)


def _bounded(pairs: Sequence[str]) -> str:
    """The first ones that fit, and how many more there are."""
    for count in range(len(pairs), 0, -1):
        more = f", {len(pairs) - count} more" if count < len(pairs) else ""
        text = ", ".join(pairs[:count]) + more
        if len(text) <= WIDTH:
            return text
    return f"{pairs[0][: WIDTH - 3]}..." if pairs else ""
