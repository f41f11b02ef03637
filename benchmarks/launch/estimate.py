"""How long runs take and how large their folders are, by finished runs; what nothing is known of is unknown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import median

import pandas as pd
from detectron2.config import CfgNode

from benchmarks.config.run import Run
from benchmarks.config.run_id import run_id
from results.records.record import FINISHED, record_or_none
from results.tables.frame import collect

_WEIGHED = 5  # folders of one kind of run, at most: they are much alike
_HOUR, _GIB = 3600.0, 2**30


@dataclass(frozen=True)
class Likes:
    """Finished runs that a run is likely to be like.

    Attributes:
        runs: rows of `results.tables.frame`, at least one.
        same: whether they differ from it in seed and length alone; else they have its protocol, method and network.
    """

    runs: pd.DataFrame
    same: bool

    @cached_property
    def pace(self) -> float:
        """Median seconds an iteration, evaluation included."""
        return float((self.runs["wall_seconds"].astype(float) / self.runs["iterations"].astype(float)).median())

    @cached_property
    def size(self) -> float:
        """Median bytes of a folder."""
        return median(map(_size, map(Path, self.runs["folder"][:_WEIGHED])))

    @cached_property
    def gpus(self) -> int:
        """How many GPUs such a run has; 0: the first was not made on one."""
        record = record_or_none(Path(self.runs["folder"].iloc[0]))
        hardware = record.content.get("hardware") if record else None
        if not isinstance(hardware, dict) or hardware.get("device") != "cuda":
            return 0
        return int(hardware.get("processes", 1))


class FinishedRuns:
    """What is finished below a folder, by protocol, method and network."""

    def __init__(self, output: Path) -> None:
        self._groups: dict[tuple[str, str, str], Likes] = {}
        self._same: dict[tuple[str, ...], Likes] = {}
        if output.is_dir():
            runs = collect(output)
            known = (runs["status"] == FINISHED) & (runs["iterations"] > 0) & runs["wall_seconds"].notna()
            for names, group in runs[known].groupby(["protocol", "method", "network"]):
                self._groups[names] = Likes(group, same=False)

    def like(self, cfg: CfgNode) -> Likes | None:
        """The finished runs of the same settings, or else of the same protocol, method and network; None of none."""
        group = self._groups.get((cfg.PROTOCOL, cfg.METHOD, cfg.NETWORK))
        if group is None:
            return None
        lengths = dict.fromkeys(zip(group.runs["seed"], group.runs["max_iterations"], strict=True))
        ids = {_id_with(cfg, int(seed), int(iterations)) for seed, iterations in lengths}
        same = group.runs[group.runs["run"].isin(ids)]
        return self._same.setdefault(tuple(same["run"]), Likes(same, same=True)) if len(same) else group

    def seconds(self, cfg: CfgNode) -> float | None:
        """Seconds that a run takes from its first to its last iteration; None: unknown."""
        like = self.like(cfg)
        return like.pace * cfg.SOLVER.ITERS if like else None


def _id_with(cfg: CfgNode, seed: int, iterations: int) -> str:
    other = cfg.clone()
    other.defrost()
    other.SEED, other.SOLVER.ITERS = seed, iterations
    return run_id(other)


def _size(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir())


def estimate(runs: Sequence[Run], output: Path) -> list[str]:
    """Two lines on what these runs need: time, in hours of all GPUs together, and disk below ``output``.

    They say by which finished runs, and of how many nothing is known.
    """
    finished = FinishedRuns(output)
    known = [(run, like) for run in runs if (like := finished.like(run.cfg)) is not None]
    hours = sum(like.pace * run.cfg.SOLVER.ITERS * max(like.gpus, 1) for run, like in known) / _HOUR
    unit = "GPU hours" if all(like.gpus for _, like in known) else "hours"
    hardware = ", ".join(sorted({name for _, like in known for name in like.runs["hardware"]}))
    source = f", by finished runs on {hardware}"
    if others := sum(not like.same for _, like in known):
        source += f", {others} of them by other settings of their method and network"
    if shared := sum(bool((pd.to_numeric(like.runs["shared"]) > 0).any()) for _, like in known):
        source += f", {shared} of them by runs that shared their GPU or cores and took the longer"
    size = sum(like.size for _, like in known) / _GIB
    return [
        _line("time of all together", f"{hours:.1f} {unit}", len(known), len(runs), source),
        _line("disk", f"{size:.1f} GiB", len(known), len(runs), ""),
    ]


def _line(what: str, amount: str, known: int, runs: int, source: str) -> str:
    if not runs:
        return f"{what}: none, no run is to be made"
    if not known:
        return f"{what}: unknown, no run of these methods and networks is finished"
    unknown = f"; unknown for {runs - known}" if known < runs else ""
    return f"{what}: about {amount} for {known} runs{source}{unknown}"
