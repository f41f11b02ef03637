"""Trials of a search that were never run, with records of theirs."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState
from record_files import write_record

from ablations.study.search_report import SearchReport, write_search_report
from ablations.study.space import Dimension
from ablations.study.study import (
    BASE,
    DIVERGED,
    FAILED,
    FINISHED,
    FOLDER,
    LOST,
    OBJECTIVES,
    OUTCOME,
    PRUNED,
    REASON,
    RETRY_OF,
    RUN,
    Search,
)
from benchmarks.config.run_id import run_folder, run_id

RATIO = Dimension("mask-ratio", "TERMS.MRM.RATIO", FloatDistribution(0.1, 0.9), 0.4, ())
LAMBDA = Dimension("lambda", "TERMS.MRM.WEIGHT", FloatDistribution(0.03, 10, log=True), 1.0, ())
BLOCKS = Dimension("TERMS.MRM.BLOCKS", "TERMS.MRM.BLOCKS", IntDistribution(1, 4), 2, (1, 2, 3, 4))
STRATEGY = Dimension(
    "TERMS.MRM.STRATEGY", "TERMS.MRM.STRATEGY", CategoricalDistribution(["random", "block"]), "random", ()
)
PLANE = (LAMBDA, RATIO)
PNG = ["png"]
SEED = 1
STATES = {FINISHED: TrialState.COMPLETE, PRUNED: TrialState.PRUNED, DIVERGED: TrialState.PRUNED}


def search_of(objectives: str = "source-val-miou", space: Sequence[Dimension] = PLANE, **changes: Any) -> Search:
    overrides = {"SOLVER.ITERS": 40, "TEST.SOURCE_IMAGES": 8, "DATA.ROOT": "my data", "SOLVER.ENCODER_LR": 1.23e-05}
    overrides |= {"TERMS.MRM.RESOLUTION": 16}  # the published tokens, where the protocol has its own
    chosen = tuple(OBJECTIVES[name] for name in objectives.split(","))
    search = Search(
        "first", "streets", None, "dacs+mrm", "dacs", SEED, overrides, tuple(space), chosen, "tpe", "median"
    )
    return dataclasses.replace(search, **changes)


class Trials:
    """A study in memory, and the records of its runs."""

    def __init__(self, search: Search, output: Path) -> None:
        self.search, self.output = search, output
        self.study = optuna.create_study(directions=[each.direction for each in search.objectives])

    def add(
        self,
        params: Sequence[Any],
        values: Sequence[float] | float | None = None,
        outcome: str = FINISHED,
        record: dict[str, float | None] | None = None,
        **attributes: Any,
    ) -> None:
        """``record`` has the criteria, and is None where the run has no record."""
        named = {each.name: value for each, value in zip(self.search.space, params, strict=True)}
        cfg = self.search.spec(named).resolve()
        folder = run_folder(self.output, cfg)
        known = {OUTCOME: outcome, RUN: run_id(cfg), FOLDER: folder.relative_to(self.output).as_posix(), **attributes}
        if named == self.search.base:
            known[BASE] = True
        if isinstance(values, (int, float)):
            values = [values]
        self.study.add_trial(
            optuna.create_trial(
                state=STATES.get(outcome, TrialState.FAIL),
                values=values,
                params=named,
                distributions={each.name: each.distribution for each in self.search.space},
                user_attrs=known,
                intermediate_values={10: 1.5, 20: 2.5} if outcome == PRUNED else {},
            )
        )
        if record is not None:
            self._write(cfg, folder, {FINISHED: "finished", PRUNED: "stopped"}.get(outcome, outcome), record)

    def _write(self, cfg: Any, folder: Path, status: str, criteria: dict[str, float | None]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        spec = {"protocol": cfg.PROTOCOL, "method": cfg.METHOD, "network": cfg.NETWORK, "seed": cfg.SEED}
        result = {"student": {"miou": criteria.get("miou")}, "criteria": criteria}
        done = {"iterations": 40 if status == "finished" else 20, "max_iterations": 40, "wall_seconds": 12.5}
        fixed = {"id": run_id(cfg), "spec": spec, "oracle": False, "classes": 19, "reason": "", "precision": "fp32"}
        write_record(folder, {**fixed, **done, "status": status, "hardware": {"name": "CPU"}, "result": result})

    def report(self, **given: Any) -> SearchReport:
        return write_search_report(self.study, self.search, self.folder, self.output, **({"formats": []} | given))

    @property
    def folder(self) -> Path:
        return self.output / "search" / "first"


# Held-out source mIoU and target mIoU of complete trials.
SOURCE = [40.0, 42.5, 41.0, 43.25, 39.0]
TARGET = [22.0, 21.0, 24.0, 25.0, 20.0]
SETTINGS = [(1.0, 0.4), (0.123456789, 0.2), (5.0, 0.55), (2.0, 1 / 3), (9.5, 0.85)]


def mixed(output: Path, objectives: str = "source-val-miou") -> Trials:
    """Five complete trials, the first of the published setting, and one of each other outcome."""
    trials = Trials(search_of(objectives), output)
    for setting, source, target in zip(SETTINGS, SOURCE, TARGET, strict=True):
        value = target if objectives == "target-miou" else source
        trials.add(setting, value, record={"miou": target, "source_miou": source, "confidence": 0.875})
    trials.add((0.05, 0.1), None, PRUNED, {"miou": 50.0}, **{REASON: "at iteration 20"})
    trials.add((9.0, 0.9), None, DIVERGED, {}, **{REASON: "loss is nan"})
    trials.add((0.3, 0.3), None, FAILED, {}, **{REASON: "out of memory"})
    trials.add((0.7, 0.7), None, LOST, None, **{REASON: "killed"})
    trials.add((0.7, 0.7), 12.5, record=None, **{RETRY_OF: 8})
    return trials
