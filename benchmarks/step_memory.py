"""Memory of training steps at their real size, counted: ``python benchmarks/step_memory.py --methods dacs,hrda``.

Parameters, gradients, optimizer state, teacher and every tensor of the step are counted at their peak, by shapes
alone, so that a laptop can say what a GPU needs. The workspaces of kernels, the CUDA context and the fragments that an
allocator leaves come on top.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from os.path import expanduser
from pathlib import Path
from typing import Any

# The checkout's root in place of this folder: our packages are found, and nothing here shadows a module of others.
if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from benchmarks.errors import ConfigError, exit_in_one_line

SWITCHES = {"SOLVER.PRECISION": "--precisions", "SOLVER.ACTIVATION_CHECKPOINTING": "--checkpointing"}
STEPS = 2  # the optimizer makes its state in the first: the second is like all others
MIB = 2**20


def parse_arguments(words: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="benchmarks/step_memory.py",
        description="Count the memory of training steps at their real size; nothing is computed, no data is read.",
    )
    parser.add_argument("--methods", default="dacs,daformer+mic+mrm,hrda+mic+mrm", help="comma-separated recipes")
    parser.add_argument("--protocol", type=expanduser, default="gta-cityscapes")
    parser.add_argument("--network", default="daformer-mitb5")
    parser.add_argument("--precisions", default="fp32,bf16", help="of fp32 and bf16")
    parser.add_argument("--checkpointing", default="off,on", help="activation checkpointing: off, on or both")
    parser.add_argument("--format", default="simple", choices=("simple", "github", "csv"))
    parser.add_argument("overrides", nargs="*", metavar="KEY VALUE", help="config keys and their values")
    return parser.parse_intermixed_args(words)


def main() -> int:
    """The command; returns the exit code."""
    arguments = parse_arguments(sys.argv[1:])
    warnings.filterwarnings("ignore", module=r"(detectron2|fvcore|torch|iopath)\b.*")
    from benchmarks.overrides import pairs
    from benchmarks.run import names
    from benchmarks.spec import RunSpec

    precisions = _some_of("--precisions", arguments.precisions, ("fp32", "bf16"))
    switches = _some_of("--checkpointing", arguments.checkpointing, ("off", "on"))
    given = pairs(arguments.overrides)
    for key, option in SWITCHES.items():
        if key in given:
            raise ConfigError(f"KEY VALUE: {key} is set by {option}")
    configs = [
        RunSpec(
            arguments.protocol,
            method,
            arguments.network,
            overrides={
                "WEIGHTS": "none",
                "SOLVER.PRECISION": precision,
                "SOLVER.ACTIVATION_CHECKPOINTING": switch == "on",
                **given,
            },
        ).resolve()
        for method in names(arguments.methods)
        for precision in precisions
        for switch in switches
    ]
    rows = []
    started = time.monotonic()
    for number, cfg in enumerate(configs):
        left = f", about {(len(configs) / number - 1) * (time.monotonic() - started):.0f} s left" if number else ""
        print(f"counting {number + 1} of {len(configs)}: {cfg.METHOD}{left}", file=sys.stderr, flush=True)
        static, peak = _counted(cfg)
        rows.append(
            {
                "method": cfg.METHOD,
                "network": cfg.NETWORK,
                "crop": "x".join(map(str, cfg.INPUT.CROP)),
                "batch": f"{cfg.SOLVER.BATCH}+{cfg.SOLVER.BATCH}",
                "precision": cfg.SOLVER.PRECISION,
                "activation checkpointing": "on" if cfg.SOLVER.ACTIVATION_CHECKPOINTING else "off",
                "between steps": static,
                "peak": peak,
            }
        )
    print(table(rows, arguments.format))
    return 0


def _some_of(option: str, text: str, known: tuple[str, ...]) -> list[str]:
    chosen = [word.strip() for word in text.split(",")]
    for word in chosen:
        if word not in known:
            raise ConfigError(f"{option} is {text!r}, expected {' or '.join(known)}, or both with a comma")
    return chosen


def _counted(cfg: Any) -> tuple[float, float]:
    """`count`, and a ConfigError for a crop or a batch that the network cannot be trained on."""
    from datasets.errors import DataError
    from methods.errors import MethodError

    try:
        return count(cfg)
    except (ConfigError, DataError, MethodError):
        raise
    except (RuntimeError, ValueError) as error:  # a kernel larger than a feature; one value for a batch norm
        crop = "x".join(map(str, cfg.INPUT.CROP))
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ConfigError(
            f"INPUT.CROP {crop}, SOLVER.BATCH {cfg.SOLVER.BATCH}: no step of {cfg.METHOD} with {cfg.NETWORK} ({reason})"
        ) from error


def count(cfg: Any) -> tuple[float, float]:
    """MiB of tensors between two steps (weights, optimizer state, teacher; gradients are let go), and at the peak."""
    import torch
    from detectron2.utils.events import EventStorage
    from torch._subclasses.fake_tensor import FakeTensorMode

    from benchmarks.label_space import label_space
    from benchmarks.live_bytes import LiveBytes, make_fake
    from benchmarks.runner import build_student, build_terms
    from benchmarks.trainer import Trainer
    from datasets.labels import IGNORE
    from methods.recipes import parse
    from methods.teacher import Teacher

    recipe = parse(cfg.METHOD)
    student = build_student(cfg)
    student.encoder.checkpointing = cfg.SOLVER.ACTIVATION_CHECKPOINTING
    terms = build_terms(cfg, recipe, student)
    teacher = Teacher(student, cfg.SELF_TRAINING.MOMENTUM) if recipe.host.teacher else None
    trained = [module for module in (student, teacher, *terms) if module is not None]
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    make_fake(trained, mode)

    class Counted(Trainer):
        def _move(self, tensor: torch.Tensor) -> torch.Tensor:
            return mode.from_tensor(tensor)

    width, height = cfg.INPUT.CROP
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (cfg.SOLVER.BATCH, 3, height, width), dtype=torch.uint8, generator=generator)
    classes = len(label_space(cfg).names)
    labels = torch.randint(0, classes, (cfg.SOLVER.BATCH, height, width), generator=generator)
    labels[:, :1] = IGNORE
    batch = {
        "source": {"images": images, "labels": labels.to(torch.uint8)},
        "target": {"images": images},
    }
    with mode, LiveBytes() as counter, EventStorage(0):
        counter.add(tensor for module in trained for tensor in (*module.parameters(), *module.buffers()))
        trainer = Counted(cfg, student, teacher, terms, lambda start: iter(()), torch.device("cpu"))
        trainer._batches = iter([batch] * STEPS)
        for trainer.iter in range(STEPS):
            trainer.run_step()
        trainer.optimizer.zero_grad(set_to_none=True)
        trainer._unread.clear()
        return counter.live / MIB, counter.peak / MIB


def table(rows: list[dict[str, Any]], form: str) -> str:
    """The rows as text; memory in GiB."""
    import pandas as pd

    from results.cells import as_csv, tabulated

    shown = pd.DataFrame(rows)
    for column in ("between steps", "peak"):
        shown[column] = [f"{value / 1024:.2f} GiB" for value in shown[column]]
    if form == "csv":
        return as_csv(shown).rstrip()
    return tabulated({str(head): list(shown[head]) for head in shown}, form)


if __name__ == "__main__":
    exit_in_one_line(main)
