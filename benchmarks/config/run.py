"""One run as it is passed on: its spec, resolved once, with its id and its folder."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from detectron2.config import CfgNode

from benchmarks.config.few_labels import check_few_labels
from benchmarks.config.former_ids import former_ids
from benchmarks.config.label_space import Scoring, scoring
from benchmarks.config.run_id import run_folder, run_id
from benchmarks.config.spec import RunSpec
from datasets.classes.label_space import LabelSpace
from methods.framework.recipes import Recipe, parse

_Run = TypeVar("_Run", bound="Run")


@dataclass(frozen=True, eq=False)
class Run:
    """A run: what it computes, and where.

    Everything but the first three is derived from them, once in each process: a worker is handed spec, config and
    folder, and has its own recipe, whose plug-ins it imports itself.

    Attributes:
        spec: what was asked for; of a run that was read back from its folder, without the overrides.
        cfg: its resolved config, frozen.
        folder: its run folder, with config.yaml and record.json.
    """

    spec: RunSpec
    cfg: CfgNode
    folder: Path

    @classmethod
    def of(cls, spec: RunSpec, output: Path) -> Run:
        """Resolve ``spec``; its folder is below ``output`` (`benchmarks.config.run_id.run_folder`).

        Raises:
            ConfigError, DataError or MethodError: an unknown name or key, or a value out of range, in one line.
        """
        cfg = spec.resolve()
        check_few_labels(cfg)
        return cls(spec, cfg, run_folder(output, cfg))

    @classmethod
    def at(cls: type[_Run], folder: Path, cfg: CfgNode) -> _Run:
        """The run of a resolved config in a folder that it has already, or is given."""
        return cls(RunSpec(cfg.PROTOCOL_FILE or cfg.PROTOCOL, cfg.METHOD, cfg.NETWORK, cfg.SEED), cfg, folder)

    def __getstate__(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    @cached_property
    def id(self) -> str:
        """The same for the same numbers: 12 hexadecimal digits."""
        return run_id(self.cfg)

    @cached_property
    def known_as(self) -> str:
        """The id in its record, which its folder is called by: that of now, or a former one."""
        return self.folder.name if self.folder.name in former_ids(self.cfg) else self.id

    @cached_property
    def recipe(self) -> Recipe:
        """Host and add-ons of its method."""
        return parse(self.cfg.METHOD)

    @property
    def label(self) -> str:
        """What it is called on the screen: method and seed."""
        return f"{self.cfg.METHOD} seed {self.cfg.SEED}"

    @cached_property
    def scoring(self) -> Scoring:
        """The run's label space, and the class sets that are reported."""
        return scoring(self.cfg)

    @property
    def label_space(self) -> LabelSpace:
        """The run's classes."""
        return self.scoring.space
