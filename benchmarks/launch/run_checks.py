"""What would end a run, found before the first begins: device, GPUs, data, weights, settings of terms."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from detectron2.config import CfgNode

from benchmarks.cli.progress import shown
from benchmarks.cli.run_options import SLURM
from benchmarks.computing.device import pick_device
from benchmarks.config.keys import flatten
from benchmarks.config.metric_counts import check_metrics
from benchmarks.config.run import Run
from benchmarks.core.errors import ConfigError
from benchmarks.data.data_checks import check_data, check_files, used_roles
from benchmarks.data.from_config import data_root
from benchmarks.data.further_sets import further_sets
from benchmarks.engine.build import build_student, build_terms
from benchmarks.engine.distributed import check_ranks
from benchmarks.launch.launcher import Launcher


def check_runs(runs: Sequence[Run], launcher: Launcher) -> None:
    """Look for all that can be known of the runs by now, of each thing once.

    Raises:
        ConfigError, DataError, MethodError: what was found, in one line.
    """
    device = pick_device(runs[0].cfg) if launcher.kind != SLURM else None  # another machine's is its own affair
    if device is not None and device.type == "cuda" and launcher.gpus > torch.cuda.device_count():
        raise ConfigError(f"--gpus is {launcher.gpus}, and this machine has {torch.cuda.device_count()} GPUs")
    for run in runs:
        check_ranks(run.cfg, launcher.ranks)
    with shown("drawing streets") as progress:
        data_root(runs[0].cfg, progress)
    check_metrics(runs[0].scoring)
    # Seeds change nothing of this.
    runs = _one_of_each(runs, lambda run, cfg: {**cfg, "SEED": 0})
    for run in _one_of_each(runs, lambda run, cfg: (cfg.METHOD, cfg.DATA, cfg.INPUT, cfg.SAMPLING, cfg.TEST)):
        check_data(run.cfg, run.recipe, shown)
        for further in further_sets(run.cfg, data_root(run.cfg)):
            further.images[0]
    for run in _one_of_each(runs, lambda run, cfg: (used_roles(run.recipe), cfg.DATA, cfg.INPUT, cfg.TEST.CLASSES)):
        check_files(run.cfg, run.recipe, shown)
    for group in _groups(runs, _student):
        segmentor = build_student(group[0].cfg)  # once, as weights are large
        for run in _one_of_each(group, lambda run, cfg: (cfg.METHOD, cfg.INPUT.CROP, _shapes(cfg.TERMS))):
            with torch.device("meta"):  # shapes tell what is wrong; values take a second for twenty Rebuilders
                build_terms(run.cfg, run.recipe, segmentor)


def _student(run: Run, cfg: CfgNode) -> Any:
    return cfg.NETWORK, cfg.WEIGHTS, cfg.INPUT.CROP if cfg.HRDA.ENABLED else None, cfg.HRDA.dump()


def _shapes(terms: CfgNode) -> dict[str, Any]:
    """What of the settings of terms decides how they are built: not how large a ratio or weight is, unless it is 0."""
    return {key: value != 0 if isinstance(value, float) else value for key, value in flatten(terms).items()}


def _groups(runs: Sequence[Run], key: Callable[[Run, CfgNode], Any]) -> list[list[Run]]:
    """The runs by ``key``, in their order."""
    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(str(key(run, run.cfg)), []).append(run)
    return list(groups.values())


def _one_of_each(runs: Sequence[Run], key: Callable[[Run, CfgNode], Any]) -> list[Run]:
    return [group[0] for group in _groups(runs, key)]
