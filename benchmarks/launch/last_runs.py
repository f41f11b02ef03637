"""The order of the last runs of a list: longest first, so that a list does not end with one long run alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.launch.estimate import FinishedRuns
from benchmarks.launch.workers import WorkerJob
from methods.framework.recipes import parse

_LAST = 2  # for each run at a time: enough to even out the end, and the others keep the order that was asked for


def longest_last_ones_first(jobs: Sequence[WorkerJob], output: Path, parallel: int) -> list[WorkerJob]:
    """The jobs as they are given, but for the last ``2 * parallel``, which come longest first.

    How long one is comes of the iterations it has left, at the pace of finished runs below ``output``; where nothing is
    known of one of them, at a pace of one for each loss term of its method, as each is a pass through the network.
    """
    first = max(0, len(jobs) - _LAST * parallel)
    last = jobs[first:]
    finished = FinishedRuns(output)
    paces = [like.pace for job in last if (like := finished.like(job.run.cfg))]
    if len(paces) < len(last):
        paces = [len(parse(job.run.cfg.METHOD).terms) for job in last]
    lengths = [pace * _left(job) for pace, job in zip(paces, last, strict=True)]
    order = sorted(range(len(last)), key=lambda index: -lengths[index])  # stable: those of one length stay as they are
    return [*jobs[:first], *(last[index] for index in order)]


def _left(job: WorkerJob) -> int:
    return max(0, job.run.cfg.SOLVER.ITERS - job.iteration)
