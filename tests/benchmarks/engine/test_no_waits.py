"""Nothing in a training step waits for the device: tensors of the device meta have no values that could be read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from detectron2.config import CfgNode
from tiny_trainer import tiny_trainer
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

MakeConfig = Callable[..., CfgNode]


class NoBlockingCopies(TorchDispatchMode):
    """Refuses a copy between devices that makes the host wait; an operation that reads values fails by itself."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        made = func(*args, **kwargs)
        if func in (torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default):
            devices = {each.device.type for each in tree_leaves((args, made)) if isinstance(each, torch.Tensor)}
            blocking = not (kwargs.get("non_blocking") or (len(args) > 2 and args[2]))
            assert len(devices) == 1 or not blocking, f"{func} from the CPU makes the host wait"
        return made


ALL_DRAWN = {"SELF_TRAINING.JITTER_PROBABILITY": 1.0, "SELF_TRAINING.BLUR_PROBABILITY": 1.0}
SLOW = [
    ("hrda+mic+mrm", {"TERMS.MRM.STRATEGY": "block", "TERMS.MRM.DOMAIN": "both"}),
    ("dacs-original+mic", {"TERMS.MIC.TEACHER": "own", "TERMS.MIC.DOMAIN": "both"}),
    ("dacs+mrm-input", {}),
    ("dacs+mixup", {}),
    ("dacs+mixup-local", {}),
    ("dacs+mrm", {"TERMS.MRM.STRATEGY": "confidence", "TERMS.MRM.OBJECTIVE": "teacher-feature"}),
    ("dacs+mrm", {"TERMS.MRM.STRATEGY": "class", "TERMS.MRM.OBJECTIVE": "pixel-regression"}),
]


@pytest.mark.parametrize(
    ("method", "overrides"),
    [("daformer+mic+mrm", ALL_DRAWN), *(pytest.param(*form, marks=pytest.mark.slow) for form in SLOW)],
)
def test_a_step_reads_nothing_from_the_device(
    small_config: MakeConfig, method: str, overrides: dict[str, Any]
) -> None:
    trainer = tiny_trainer(small_config, method, overrides, device="meta")
    trainer.iter = 0
    batch = next(trainer.batches_from(0))
    with NoBlockingCopies():
        trainer.update(trainer.training_step(batch))


def test_what_would_wait_is_refused() -> None:
    on_device = torch.empty(3, device="meta")
    with NoBlockingCopies():
        torch.ones(3).to("meta", non_blocking=True)
        with pytest.raises(AssertionError, match="makes the host wait"):
            torch.ones(3).to("meta")
        with pytest.raises(AssertionError, match="makes the host wait"):
            on_device.copy_(torch.ones(3))
        for read in (torch.Tensor.tolist, torch.nonzero, lambda tensor: tensor[tensor > 0]):
            with pytest.raises((RuntimeError, NotImplementedError)):
                read(on_device)
