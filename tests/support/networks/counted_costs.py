"""Costs of methods, each counted once a session: the tests look at the same few."""

from __future__ import annotations

from detectron2.config import CfgNode

from ablations.profiling.step_cost import CostCounter, MethodCost


class EachOnce(CostCounter):
    """Remembers what it counted."""

    def __init__(self) -> None:
        super().__init__()
        self.made: dict[str, MethodCost] = {}

    def method(self, cfg: CfgNode) -> MethodCost:
        key = cfg.dump()
        if key not in self.made:
            self.made[key] = super().method(cfg)
        return self.made[key]


COUNTER = EachOnce()
