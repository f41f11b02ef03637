"""torch.compile on the parts of encoders that repeat: SOLVER.COMPILE.

Fused kernels round otherwise than those they replace, as another precision does: the key is part of a run's id. Whole
networks take minutes to compile, and one part after the other costs as long as there are kinds of it: torch compiles
code once for all modules of the same shapes, and keeps it on disk (TORCHINDUCTOR_CACHE_DIR).
"""

from __future__ import annotations

import importlib.util
import logging
import os
import shutil
from collections.abc import Callable, Iterable
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.engine import HookBase
from detectron2.utils import comm
from torch import nn

from benchmarks.core.errors import ConfigError
from methods.encoders.encoder import Encoder

# Kinds of one part: stages and their shapes, with gradient and without, in training and in evaluation. torch gives up
# after 8.
_KINDS = 64

_LOGGER = logging.getLogger(__name__)


def compile_parts(roots: Iterable[nn.Module]) -> None:
    """Let torch compile the repeated parts of all encoders in ``roots`` when they are first computed.

    Names in state dicts stay as they are.
    """
    import torch._dynamo  # seconds, which other runs need not wait

    config: Any = torch._dynamo.config
    config.recompile_limit = max(config.recompile_limit, _KINDS)
    encoders = {id(part): part for root in roots for part in root.modules() if isinstance(part, Encoder)}
    for encoder in encoders.values():
        for part in encoder.repeated_parts():
            part.compile(dynamic=False)


class CompileCost(HookBase):
    """Tells, and logs, how long the first step took, in which torch compiled."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell

    def before_step(self) -> None:
        if self.trainer.iter == self.trainer.start_iter:
            self._tell("torch compiles the encoder")

    def after_step(self) -> None:
        trainer = self.trainer
        if trainer.iter == trainer.start_iter:
            kinds = torch._dynamo.utils.counters["stats"]["unique_graphs"]
            seconds = trainer.progress.seconds[0]
            told = f"torch compiled {kinds} kinds of parts; the first step took {seconds:.1f} s"
            _LOGGER.info("%s", told)
            self._tell(told)


def check_compile(cfg: CfgNode, device: torch.device) -> None:
    """Check that a run that asks for SOLVER.COMPILE can be compiled here. Raises ConfigError if not."""
    if not cfg.SOLVER.COMPILE:
        return
    if missing := _missing(device):
        raise ConfigError(f"SOLVER.COMPILE is True, and there is no {missing}: expected one, or SOLVER.COMPILE False")
    if cfg.SOLVER.ACTIVATION_CHECKPOINTING:
        raise ConfigError("SOLVER.COMPILE and SOLVER.ACTIVATION_CHECKPOINTING are True: expected one of them")
    if comm.get_world_size() > 1:
        raise ConfigError("SOLVER.COMPILE is True in a run of several processes: expected one, or SOLVER.COMPILE False")


def _missing(device: torch.device) -> str:
    """What torch.compile lacks for this device; "" where there is all."""
    if device.type == "cuda":
        return "" if importlib.util.find_spec("triton") else "triton, which compiles for GPUs"
    compilers = (os.environ.get("CXX"), "g++", "clang++", "c++")
    return "" if any(name and shutil.which(name) for name in compilers) else "C++ compiler (g++, or what CXX names)"
