"""What is measured on one GPU, with the goal of each figure: steps, evaluation, the first step of a cold run."""

from __future__ import annotations

import gc
import math
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from detectron2.config import CfgNode

from benchmarks.config.spec import RunSpec
from benchmarks.engine.build import build_student
from benchmarks.measure.checklist import Checklist, Found
from benchmarks.measure.photos import CITYSCAPES, GTA, write_photos
from benchmarks.measure.scoring import measure_evaluation
from benchmarks.measure.starting import FEW, SMALL_IMAGES, first_step
from benchmarks.measure.steps import measure

RESNET, MIT = "deeplabv2-r101", "daformer-mitb5"
LEAST_BUSY, MOST_HOST = 0.85, 0.03


@dataclass(frozen=True)
class Plan:
    """How much is measured.

    Attributes:
        resnet, mit: the networks. values: config keys of every step. rounds: of each. images: that are made up, of the
            sizes gta and city; they are evaluated so many ``times``.
        full: whether figures are those that have goals.
    """

    device: str
    resnet: str
    mit: str
    values: dict[str, Any]
    rounds: int
    images: int
    times: int
    gta: tuple[int, int] = GTA
    city: tuple[int, int] = CITYSCAPES
    full: bool = True


ON_GPU = Plan("cuda", RESNET, MIT, {"SOLVER.GRAPHS": True}, 5, 8, 25)
_SMALL = {
    "INPUT.CROP": (64, 64),
    "INPUT.SOURCE_RESIZE": (128, 72),
    "INPUT.TARGET_RESIZE": (128, 64),
    "INPUT.TARGET_MARGINS": (0, 0, 0),
    "TEST.RESIZE": (128, 64),
    "TERMS.MRM.DIM": 32,
    "TERMS.MRM.HEADS": 2,
    "NUM_WORKERS": 0,
}
IN_SMALL = Plan("cpu", "daformer-tiny", "daformer-tiny", _SMALL, 1, 2, 1, (128, 72), (128, 64), full=False)


def config(plan: Plan, method: str, network: str, precision: str, **more: Any) -> CfgNode:
    """A method at the published sizes, or the plan's, with ``more`` SOLVER keys; losses are not looked at."""
    solver = {f"SOLVER.{key}": value for key, value in more.items()}
    values = {"WEIGHTS": "none", "DEVICE": plan.device, "SOLVER.PRECISION": precision, "LOG.PERIOD": 10**9}
    return RunSpec("gta-cityscapes", method, network, 0, values | plan.values | solver).resolve()


class Steps:
    """Steps that were measured, and what is to be said of them.

    Attributes:
        rows: as `benchmarks.measure.steps` has them, by group and method.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.rows: dict[str, dict[str, Any]] = {}

    def measured(
        self, group: str, network: str, methods: Sequence[str], most: float, precision: str, rounds: int, **more: Any
    ) -> Found:
        """Measure the methods side by side; the first one's step should take at most so many seconds."""
        configs = [config(self.plan, method, network, precision, **more) for method in methods]
        rows = measure(configs, rounds, counted=False)
        gc.collect()  # networks whose passes are covered are in circles: their memory is wanted for the next
        self.rows |= {f"{group}: {row['method']}": row for row in rows}
        first, seconds = rows[0], rows[0]["seconds"]["median"]
        told = [f"{seconds:.3f} s"]
        if first["captured"]:  # whose memory the allocator does not tell by method
            told.append(f"{first['captured']} passes captured")
        elif first["peak_mib"] is not None:
            told.append(f"{first['peak_mib'] / 1024:.1f} GiB")
        refused = "; ".join(f"{row['method']}: {row['not_captured']}" for row in rows if row["not_captured"])
        return Found(", ".join(told), refused, reached=seconds <= most)

    def ratio(self, above: str, below: str, least: float = 0.0, most: float = float("inf")) -> Found:
        """How many times one row's step is as long as another's."""
        value = self.rows[above]["seconds"]["median"] / self.rows[below]["seconds"]["median"]
        return Found(f"x{value:.2f}", reached=least <= value <= most)

    def busy(self, name: str) -> Found:
        """The share of the step in which the GPU works."""
        row = self.rows[name]
        value = row["busy_share"]
        return Found(f"{value:.0%} ({row['kernels']:.0f} kernels, {1000 * row['busy_seconds']:.0f} ms)",
                     reached=value >= LEAST_BUSY)

    def waits(self) -> Found:
        """The places where the host waited for the device in any of the steps: there should be none."""
        places = {name: row["wait_places"] for name, row in self.rows.items() if row["waits"]}
        return Found(
            f"{sum(len(each) for each in places.values())} in {len(self.rows)} steps",
            "; ".join(f"{name}: {', '.join(dict.fromkeys(where))}" for name, where in places.items()),
        )

    def host(self) -> Found:
        """The largest share of a step in which the host does what launches nothing."""
        value = max((row["host_share_outside_launches"] for row in self.rows.values()), default=math.nan)
        return Found(f"{value:.1%}", reached=value <= MOST_HOST)


def evaluation(plan: Plan, most: float = 1.2) -> Found:
    """An evaluation of pictures that are made up, beside the network's own time in it."""
    cfg = config(plan, "source-only", plan.resnet, "fp32")
    device = torch.device(plan.device)
    with tempfile.TemporaryDirectory() as name:
        write_photos(Path(name), plan.images, plan.gta, plan.city)
        row = measure_evaluation(
            cfg, build_student(cfg).to(device), Path(name), plan.images, device, plan.times
        )
    return Found(
        f"x{row['to_network']:.2f} ({row['images']} images in {row['seconds']:.1f} s, {row['workers']} workers)",
        reached=row["to_network"] <= most,
    )


def cold_start(plan: Plan, most: float, steps: int = 1, graphs: bool = False) -> Found:
    """Seconds from nothing to the end of the first ``steps`` of a run on a few drawn images."""
    values = {"DEVICE": plan.device, "SOLVER.GRAPHS": graphs, "SOLVER.ITERS": steps + 1, "TEST.PERIOD": steps + 1}
    values |= {} if plan.full else SMALL_IMAGES
    with tempfile.TemporaryDirectory() as name:
        seconds = first_step("dacs", plan.resnet, FEW | values, Path(name, "run"), steps)
    return Found(f"{seconds:.1f} s", reached=seconds <= most)


def make_all(plan: Plan, checks: Checklist) -> Steps:
    """Measure all that has a goal, steps first; returns what was measured of the steps.

    In small the figures are of other networks and sizes: they have no goal to reach.
    """
    steps = Steps(plan)
    low, high = ("bf16", "tf32") if plan.full else ("fp32", "fp32")
    r, b, large = f"{plan.resnet} {low}", f"{plan.mit} {low}", f"{plan.mit} {low}, two resolutions"
    first, plain = f"{plan.resnet} {high} beside it", f"{plan.resnet} {low}, without graphs"

    def step(group: str, network: str, methods: Sequence[str], most: float, needs: float, rounds: int = 0) -> None:
        precision, more = high if group == first else low, {"GRAPHS": False} if group == plain else {}
        goal = f"at most {most:g} s" if most < math.inf else ""
        checks.make(
            f"{group}: {methods[0]}, s/step",
            lambda: steps.measured(group, network, methods, most, precision, rounds or plan.rounds, **more),
            goal,
            needs if plan.full else 1,
        )

    def of(names: Sequence[str], what: str, call: Callable[[], Found], goal: str, gpu: bool = False) -> None:
        if gpu and plan.device != "cuda":
            checks.leave_out(what, "no GPU", goal)
        elif missing := [name for name in names if name not in steps.rows]:
            checks.leave_out(what, f"no step of {missing[0]}", goal)
        elif not steps.rows:
            checks.leave_out(what, "no step was measured", goal)
        else:
            checks.make(what, call, goal)

    step(r, plan.resnet, ("dacs", "dacs+mrm"), 0.060, 40)
    host, latent = f"{r}: dacs", f"{r}: dacs+mrm"
    step(plain, plan.resnet, ("dacs",), math.inf, 20)
    of([host], f"{host}, GPU works", lambda: steps.busy(host), "at least 85%", gpu=True)
    of([host, latent], f"{latent}, of dacs' step", lambda: steps.ratio(latent, host, most=1.10), "at most x1.10")
    step(first, plan.resnet, ("dacs",), math.inf, 20)
    slow = f"{first}: dacs"
    of([host, slow], f"{slow}, of the step in {low}", lambda: steps.ratio(slow, host, least=1.5), "at least x1.5")
    step(b, plan.mit, ("daformer",), 0.2, 30)
    daformer = f"{b}: daformer"
    of([daformer], f"{daformer}, GPU works", lambda: steps.busy(daformer), "at least 85%", gpu=True)
    step(large, plan.mit, ("hrda+mic+mrm",), 0.8, 40, min(plan.rounds, 2))  # of seconds each, where it is slow
    of([], "waits for the GPU between looks at the losses", steps.waits, "none", gpu=True)
    of([], "host outside launches, of a step", steps.host, "at most 3%", gpu=True)
    checks.make(f"evaluation, {plan.resnet}, of the network's time", lambda: evaluation(plan), "at most x1.2",
                25 if plan.full else 1)
    checks.make("a cold run to its first step", lambda: cold_start(plan, 10.0), "at most 10 s", 15 if plan.full else 1)
    if plan.device == "cuda":
        # The second step records the passes, the third replays them.
        graphs = partial(cold_start, plan, 60.0, steps=3, graphs=True)
        checks.make("a cold run with CUDA graphs to its third step", graphs, "at most 60 s", 20)
    return steps
