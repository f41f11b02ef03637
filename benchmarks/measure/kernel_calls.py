"""How many operations of a step would launch a kernel: counted by shapes, so that no GPU is needed."""

from __future__ import annotations

from typing import Any, NamedTuple

from detectron2.config import CfgNode

from benchmarks.measure.parts import Parts
from benchmarks.measure.step_split import PARTS, REST, WAITING, told_apart
from benchmarks.tools.counted_memory import MIB, STEPS
from benchmarks.tools.device_calls import DeviceCalls, heard_trainer, held
from benchmarks.tools.live_bytes import LiveBytes

_LAUNCH_NOTHING = {"_unsafe_view", "_local_scalar_dense", "lift_fresh", "resize_", "set_"}
_OF_THE_HOST = {"prim", "profiler"}  # namespaces


class KernelCalls(DeviceCalls):
    """Counts the operations that launch; views and memory that is not filled launch nothing.

    An operation counts once, also where it is of a hundred tensors at once (foreach) or needs several kernels.

    Attributes:
        number: of all so far.
    """

    def __init__(self) -> None:
        super().__init__()
        self.number = 0

    def heard(self, operator: Any, made: Any) -> None:
        self.number += launches(operator)


def launches(operator: Any) -> bool:
    """Whether an operator, as ``torch.ops.aten.add.Tensor``, has a kernel launched on a device that has such."""
    space, name = operator._schema.name.split("::")
    made_empty = name.startswith(("empty", "new_empty"))
    return not (operator.is_view or made_empty or name in _LAUNCH_NOTHING or space in _OF_THE_HOST)


class Counted(NamedTuple):
    """calls: operations of a step that launch, by part. peak_mib: of tensors, as `benchmarks.tools.counted_memory`."""

    calls: dict[str, int]
    peak_mib: float


def count_step(cfg: CfgNode) -> Counted:
    """Count a step of ``cfg`` by shapes; nothing is computed."""
    launched, alive = KernelCalls(), LiveBytes()
    parts = Parts(lambda: launched.number)
    with heard_trainer(cfg, alive, launched) as (trainer, next_step):
        alive.add(held(trainer))
        for trainer.iter in range(STEPS):
            parts.amounts.clear()
            with told_apart(trainer, parts), parts.part(REST):
                trainer.update(next_step())
    return Counted({name: int(parts.amounts[name]) for name in PARTS if name != WAITING}, alive.peak / MIB)
