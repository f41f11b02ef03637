"""What a search is, and what its trials tell the study."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import optuna
from detectron2.config import CfgNode
from optuna.distributions import distribution_to_json
from optuna.storages import BaseStorage
from optuna.trial import TrialState

from ablations.study.samplers import pruner
from ablations.study.search_options import GRID
from ablations.study.space import Dimension, grid_points
from benchmarks.config.former_ids import former_ids
from benchmarks.config.keys import PLACE_KEYS, flatten, get_config
from benchmarks.config.run import Run
from benchmarks.config.run_id import run_id
from benchmarks.config.spec import RunSpec
from benchmarks.core.errors import ConfigError
from benchmarks.core.nearest import did_you_mean
from methods.framework.recipes import parse

# User attributes of a trial.
RUN, FOLDER = "run", "folder"  # id of its run, and its folder below --output
OUTCOME, REASON = "outcome", "reason"
BASE = "base"  # True of a trial of the setting that the search begins from
RETRY_OF = "retry_of"  # number of the trial that was lost
DEATHS = "deaths"  # of workers of this setting

# Outcomes. A diverged trial is told as pruned, so that samplers learn from it; a failed or lost one as failed.
FINISHED, PRUNED, DIVERGED, FAILED, LOST = "finished", "pruned", "diverged", "failed", "lost"

DEFINITION = "definition"  # user attribute of the study: what all its trials have in common


@dataclass(frozen=True)
class Objective:
    """What is searched for.

    Attributes:
        name: of ``--objective``.
        title: with its unit, for tables and plots.
        column: of ``results.tables.frame`` that holds it; empty: counted, not read from records.
        direction: ``maximize`` or ``minimize``.
        oracle: whether labels of the target are used.
        sets: config keys that measuring it takes.
    """

    name: str
    title: str
    column: str
    direction: Literal["maximize", "minimize"] = "maximize"
    oracle: bool = False
    sets: Mapping[str, Any] = field(default_factory=dict)


OBJECTIVES = {
    objective.name: objective
    for objective in (
        Objective("target-miou", "mIoU on the target [%], oracle", "miou", oracle=True),
        Objective(
            "source-val-miou", "mIoU on held-out source images [%]", "source_miou", sets={"TEST.SOURCE_IMAGES": 100}
        ),
        Objective(
            "pseudo-label-confidence", "confidence of pseudo-labels", "confidence", sets={"TEST.CONFIDENCE_IMAGES": 100}
        ),
        Objective("step-cost", "cost of a step [G multiply-adds]", "", "minimize"),
    )
}


def read_objectives(text: str) -> tuple[Objective, ...]:
    """What ``--objective`` names. Raises ConfigError for an unknown name (with the nearest), or more than two."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in OBJECTIVES:
            hint = did_you_mean(name, OBJECTIVES, f"expected {', '.join(OBJECTIVES)}")
            raise ConfigError(f"--objective: unknown name {name}; {hint}")
    objectives = tuple(OBJECTIVES[name] for name in dict.fromkeys(names))
    if len([objective for objective in objectives if objective.column]) != 1:
        scores = [name for name, objective in OBJECTIVES.items() if objective.column]
        raise ConfigError(f"--objective {text}: expected one of {', '.join(scores)}, alone or with step-cost")
    return tuple(sorted(objectives, key=lambda objective: not objective.column))


@dataclass(frozen=True)
class Search:
    """A search, whatever trials it has had.

    Attributes:
        name: of the study.
        protocol, network, method, seed: of all trials; the network may be None, the protocol's.
        host: the recipe that the best trials are compared with.
        overrides: config keys of all trials.
        space: what is varied.
        objectives: one, or two without pruning.
        sampler, pruner: as on the command line; a study may go on with others.
    """

    name: str
    protocol: str
    network: str | None
    method: str
    host: str
    seed: int
    overrides: Mapping[str, Any]
    space: tuple[Dimension, ...]
    objectives: tuple[Objective, ...]
    sampler: str
    pruner: str

    def spec(self, params: Mapping[str, Any]) -> RunSpec:
        """The run of a trial, from its parameters by name."""
        keys = {dimension.name: dimension.key for dimension in self.space}
        chosen = {keys[name]: value for name, value in params.items()}
        return RunSpec(self.protocol, self.method, self.network, self.seed, {**self.overrides, **chosen})

    def run(self, params: Mapping[str, Any], output: Path) -> Run:
        """The same, resolved, below ``output``."""
        return Run.of(self.spec(params), output)

    @cached_property
    def cfg(self) -> CfgNode:
        """The config of the run that sets nothing of the space."""
        return self.spec({}).resolve()

    @property
    def base(self) -> dict[str, Any] | None:
        """Parameters of the setting that the search begins from, its own; None where the space does not hold it."""
        values = {dimension.name: dimension.base for dimension in self.space}
        return None if None in values.values() else values

    @property
    def base_name(self) -> str:
        """The word "published" where MRM is as published and so is all that is searched; otherwise "base"."""
        if "mrm" not in parse(self.method).terms:
            return "base"
        cfg, published = flatten(self.cfg), flatten(get_config())
        published |= parse(self.method).configure(published)
        keys = [key for key in cfg if key.startswith("TERMS.MRM.")] + [dimension.key for dimension in self.space]
        return "published" if all(cfg[key] == published[key] for key in keys) else "base"

    def ends(self) -> list[RunSpec]:
        """The run that sets nothing of the space, and those of each dimension's values or ends, the others left."""
        return [self.spec({}), *(self.spec({each.name: value}) for each in self.space for value in each.ends)]

    def definition(self) -> dict[str, Any]:
        """What all trials of a study have in common, as JSON holds it."""
        return {
            "objective": ",".join(objective.name for objective in self.objectives),
            "space": {
                each.name: {"key": each.key, "distribution": distribution_to_json(each.distribution)}
                for each in self.space
            },
            "protocol": self.cfg.PROTOCOL,
            "network": self.cfg.NETWORK,
            "method": self.method,
            "seed": self.seed,
            "sampler": GRID if self.sampler == GRID else "one that draws",
            "set": {key: value for key, value in self.overrides.items() if key not in PLACE_KEYS},
            # Of the run that sets nothing of the space: changed defaults are another study.
            "run": run_id(self.cfg),
        }


def open_study(search: Search, storage: BaseStorage) -> tuple[optuna.Study, int]:
    """Make the search's study, or go on with it; the number of points of its grid, 0 where a sampler draws.

    Of a new study the first trial is the setting that the search begins from, then come the points of a grid.

    Raises:
        ConfigError: a study of this name is of another search, or of another program.
    """
    points = grid_points(search.space) if search.sampler == GRID else []
    queue = [*([search.base] if search.base else []), *(point for point in points if point != search.base)]
    study = _load(search, storage)
    if study is not None and not _is_begun(study):  # nothing is lost: the command before it may have found no data
        optuna.delete_study(study_name=search.name, storage=storage)
        study = None
    if study is None:
        study = optuna.create_study(
            storage=storage,
            study_name=search.name,
            directions=[objective.direction for objective in search.objectives],
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            study.set_metric_names([objective.name for objective in search.objectives])
        study.set_user_attr(DEFINITION, search.definition())
        for params in queue:
            study.enqueue_trial(params)
    else:
        _check(search, study)
    study.pruner = pruner(search.pruner, search.cfg.TEST.PERIOD, search.cfg.SOLVER.ITERS)
    return study, len(queue) if points else 0


def _load(search: Search, storage: BaseStorage) -> optuna.Study | None:
    if search.name not in optuna.get_all_study_names(storage):
        return None
    study = optuna.load_study(study_name=search.name, storage=storage)
    if DEFINITION not in study.user_attrs and study.get_trials(deepcopy=False):
        raise ConfigError(f"--study {search.name}: another program made the study of this name, expected another name")
    return study


def _is_begun(study: optuna.Study) -> bool:
    return any(trial.state != TrialState.WAITING for trial in study.get_trials(deepcopy=False))


def _check(search: Search, study: optuna.Study) -> None:
    """Raise ConfigError where the study's trials were of another search, naming what differs."""
    known, ours = study.user_attrs[DEFINITION], search.definition()
    if known.get("run") in former_ids(search.cfg):  # of an earlier version
        ours["run"] = known["run"]
    if known == ours:
        return
    name = next((name for name in ours if known.get(name) != ours[name]), "other settings")
    raise ConfigError(
        f"--study {search.name}: its trials have {name} {known.get(name)}, not {ours.get(name)}; "
        "expected the same search, or another --study"
    )
