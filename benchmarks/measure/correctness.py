"""Whether training is right on a device: every recipe takes steps, and a killed run goes on bit for bit."""

from __future__ import annotations

import signal
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.utils.events import EventStorage

from benchmarks.computing.determinism import deterministic
from benchmarks.computing.tf32 import TF32, tf32
from benchmarks.config.run import Run
from benchmarks.config.spec import RunSpec
from benchmarks.core.errors import ConfigError
from benchmarks.data.from_config import data_root
from benchmarks.engine.checkpoint import FINAL
from benchmarks.engine.checkpoint_file import read_checkpoint
from benchmarks.engine.runner import RunWatcher, run_one
from benchmarks.engine.trainer import Diverged, Trainer
from benchmarks.measure.checklist import Checklist, Found
from benchmarks.measure.child_run import started
from benchmarks.measure.starting import FEW, SMALL_IMAGES
from benchmarks.tools.random_step import random_trainer
from methods.framework.recipes import PARTS
from results.records.record import FINISHED

STEPS = 3
REPLAYED_STEPS = 5  # passes are recorded in the second and replayed from then on
KILLED_AFTER = 5  # steps, of a run of 6 that is saved every 2: it goes on from 4

SMALL = {
    "INPUT.CROP": (128, 128),
    "SOLVER.BATCH": 2,
    "WEIGHTS": "none",
    "TERMS.MRM.DIM": 64,
    "TERMS.MRM.HEADS": 4,
    "LOG.PERIOD": 10**9,
}
KILLED = FEW | {"SOLVER.ITERS": KILLED_AFTER + 1, "TEST.PERIOD": KILLED_AFTER + 1, "CHECKPOINT_PERIOD": 2}
NETWORK, METHOD = "daformer-lite0", "daformer+mic+mrm"
GRAPHED = ["source-only", METHOD, "hrda+mic+mrm"]  # with all kinds of passes; capturing takes seconds of each
IN_SMALL, SMALL_NETWORK = ["source-only", "hrda+mic+mrm"], "daformer-tiny"  # where there is no GPU, beside SMALL_IMAGES


def recipes() -> list[str]:
    """Every host, every add-on on the default host, and the sums that the papers report."""
    hosts = [name for name, part in PARTS.items() if part.host]
    return [*hosts, *(name for name, part in PARTS.items() if not part.host), "daformer+mic+mrm", "hrda+mic+mrm"]


def three_steps(names: Sequence[str], network: str, values: dict[str, Any], device: torch.device) -> Found:
    """Whether all losses of each recipe's first steps are finite; on random images of small crops."""
    faults = []
    for name in names:
        cfg = RunSpec("streets", name, network, 0, values).resolve()
        try:
            _steps(cfg, device)
        except Diverged as error:
            faults.append(f"{name}: {error}")
        except Exception as error:  # an operation that a device or a precision lacks: the others are still looked at
            faults.append(f"{name}: {type(error).__name__} {str(error).strip().splitlines()[:1]}")
    return Found(f"{len(names) - len(faults)} of {len(names)}", "; ".join(faults))


def with_graphs(names: Sequence[str], network: str, values: dict[str, Any], device: torch.device) -> Found:
    """Whether steps of each recipe give the same weights with CUDA graphs as without, bit for bit."""
    faults, captured = dict[str, str](), 0
    for name in names:
        try:
            states = []
            for graphs in (False, True):
                cfg = RunSpec("streets", name, network, 0, values | {"SOLVER.GRAPHS": graphs}).resolve()
                with deterministic(True), tf32(cfg.SOLVER.PRECISION == TF32):
                    trainer = _steps(cfg, device, REPLAYED_STEPS)
                states.append({**trainer.student.state_dict(), **trainer.terms.state_dict()})
        except Exception as error:  # the others are still looked at
            faults[name] = f"{type(error).__name__} {str(error).strip().splitlines()[:1]}"
            continue
        captured += trainer.graphs.captured
        plain, replayed = states
        unequal = [key for key, value in plain.items() if not torch.equal(value, replayed[key])]
        if unequal:
            faults[name] = f"{len(unequal)} of {len(plain)} tensors differ, the first {unequal[0]}"
        elif device.type == "cuda" and (trainer.graphs.refused or not trainer.graphs.captured):
            faults[name] = trainer.graphs.refused or "nothing was captured"
    return Found(
        f"{len(names) - len(faults)} of {len(names)}, {captured} passes captured",
        "; ".join(f"{name}: {fault}" for name, fault in faults.items()),
    )


def _steps(cfg: CfgNode, device: torch.device, steps: int = STEPS) -> Trainer:
    trainer = random_trainer(cfg, device)
    with EventStorage(0):
        for trainer.iter in range(steps):
            trainer.run_step()
    trainer.check_losses()
    return trainer


class KilledRun:
    """A run that another process begins and is killed in, to be gone on with here, beside one that is not killed."""

    def __init__(self, method: str, network: str, values: dict[str, Any], folder: Path) -> None:
        """Start the process that is killed; the images are drawn before."""
        self._cfg, self._folder = RunSpec("streets", method, network, 0, values).resolve(), folder
        data_root(self._cfg)
        self._said = tempfile.TemporaryFile("w+")  # noqa: SIM115 (`end` closes it)
        self._process = started(method, network, values, folder / "killed", KILLED_AFTER, self._said)

    def compare(self) -> Found:
        """Go on with the killed run, make the other, and compare all tensors of their last checkpoints."""
        if (code := self._process.wait()) != -signal.SIGKILL:
            self._said.seek(0)
            said = (self._said.read().strip().splitlines() or ["no word"])[-1]
            return Found("", f"the run that was to be killed ended with {code}: {said}")
        contents = []
        for name in ("killed", "whole"):
            record = run_one(Run.at(self._folder / name, self._cfg), RunWatcher())
            if record.status != FINISHED:
                return Found("", f"the {name} run: {record.status}, {record.reason}")
            if name == "killed" and record.content["resumed_at"] == 0:
                return Found("", "the killed run left no checkpoint to go on from")
            contents.append(dict(tensors(read_checkpoint(self._folder / name / FINAL))))
        killed, whole = contents
        unequal = [name for name in whole if name not in killed or not torch.equal(killed[name], whole[name])]
        fault = f"{len(unequal)} of {len(whole)} tensors differ, the first {unequal[0]}" if unequal else ""
        return Found(f"{len(whole)} tensors equal" if not unequal else "", fault)

    def end(self) -> None:
        """End the process, should it still be there."""
        self._process.kill()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._said.close()


@contextmanager
def killed_runs(
    method: str, network: str, values: dict[str, Any], precisions: Sequence[str]
) -> Iterator[dict[str, KilledRun]]:
    """A killed run in each precision, by it: their processes begin together."""
    found: dict[str, KilledRun] = {}
    with tempfile.TemporaryDirectory() as name:
        try:
            for precision in precisions:
                own = values | {"SOLVER.PRECISION": precision, "SOLVER.DETERMINISTIC": True}
                found[precision] = KilledRun(method, network, own, Path(name, precision))
            yield found
        finally:
            for each in found.values():
                each.end()


def tensors(content: Any, name: str = "") -> Iterator[tuple[str, torch.Tensor]]:
    """All tensors in a checkpoint's dictionaries and lists, by their path."""
    if isinstance(content, torch.Tensor):
        yield name, content
    elif isinstance(content, dict):
        for key, value in content.items():
            yield from tensors(value, f"{name}.{key}")
    elif isinstance(content, (list, tuple)):
        for index, value in enumerate(content):
            yield from tensors(value, f"{name}.{index}")


def check_device(name: str) -> torch.device:
    """The device to check. Raises ConfigError where there is no GPU, and another is not asked for."""
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError("no GPU that torch can use: nothing is checked (--device cpu tries the command in small)")
    return torch.device(name)


def check_correctness(checks: Checklist, device: torch.device, precisions: Sequence[str]) -> None:
    """Steps of every recipe (on a CPU of two), a killed run gone on with, CUDA graphs: each precision, small sizes."""

    def of_precision(precision: str) -> dict[str, Any]:
        return sizes | {"DEVICE": device.type, "SOLVER.PRECISION": precision}

    values = KILLED | {"DEVICE": device.type, "NUM_WORKERS": 0}
    sizes, names, network = SMALL, recipes(), NETWORK
    if device.type != "cuda":
        sizes, names, network = SMALL | SMALL_IMAGES, IN_SMALL, SMALL_NETWORK
        values |= sizes
    with killed_runs(METHOD, network, values, precisions) as runs:
        for precision in precisions:
            checks.make(
                f"{STEPS} steps of {'every recipe' if names is not IN_SMALL else ' and '.join(names)}, {precision}",
                partial(three_steps, names, network, of_precision(precision), device),
                "finite losses",
                needs=5,
            )
        for precision, run in runs.items():
            checks.make(
                f"killed and resumed, deterministic, {precision}", run.compare, "equal bit for bit", needs=5
            )
    graphed = GRAPHED if device.type == "cuda" else names
    for precision in precisions:
        checks.make(
            f"{REPLAYED_STEPS} steps with CUDA graphs beside those without, {precision}",
            partial(with_graphs, graphed, network, of_precision(precision), device),
            "equal bit for bit",
            needs=10,
        )
