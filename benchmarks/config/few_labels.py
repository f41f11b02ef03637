"""What a config says about labelled target images."""

from __future__ import annotations

from detectron2.config import CfgNode

from benchmarks.core.errors import ConfigError
from methods.framework.recipes import PARTS, parse

KEY = "DATA.LABELLED_TARGET"


def check_few_labels(cfg: CfgNode) -> None:
    """Refuse target labels that the method does not learn from, and a method that has none to learn from.

    Raises:
        ConfigError: one line that names the key and the method.
    """
    recipe, amount = parse(cfg.METHOD), cfg.DATA.LABELLED_TARGET
    if recipe.few_labels and not amount:
        raise ConfigError(
            f"{KEY} is empty, and {recipe.name} learns from labelled target images: expected a share of them, as 1/16, "
            "or a number"
        )
    if amount and not (recipe.few_labels or recipe.oracle):
        names = [f"{recipe.name}+{part.name}" for part in PARTS.values() if part.few_labels]
        raise ConfigError(
            f"{KEY} is {amount}, and {recipe.name} learns from no target labels: expected {' or '.join(names)}"
        )


def labelled_batch(cfg: CfgNode) -> int:
    """How many labelled target images a step has, of all processes together."""
    return int(cfg.SOLVER.LABELLED_BATCH or cfg.SOLVER.BATCH)
