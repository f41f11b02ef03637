"""What the export command does: an inference checkpoint and a torch.export program, checked before they are kept."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from detectron2.config import CfgNode
from torch import Tensor

from benchmarks.config.keys import flatten
from benchmarks.config.sliding_window import sliding
from benchmarks.core.errors import ConfigError
from benchmarks.trained.opened_run import TrainedRun, load_segmentor, sides, torch_in_one_line
from methods.networks import Segmentor
from methods.pretrained.published_folder import DESCRIPTION

SCHEMA = 1
TOLERANCE = 1e-4
"""Largest difference of the program's logits, as a share of the largest logit: float32 sums in another order."""

_TEST = ("TEST.RESIZE", "TEST.SLIDING", "TEST.WINDOW", "TEST.STRIDE")
_KEPT = ("PROTOCOL", "METHOD", "NETWORK", "SEED", "INPUT.CROP", *_TEST)


class NotEqual(Exception):
    """What was written does not compute what the run's network computes."""


def export(run: TrainedRun, model: str, output: Path | None, size: tuple[int, int] | None) -> int:
    """Write the checkpoint ``output`` (.pth) and the program beside it (.pt2), and say what was checked.

    The program takes images (B, 3, H, W), RGB in [0, 1], of one fixed ``size`` (width, height), and gives logits
    (B, K, H, W). B is any number, or 1 where the network cannot be traced for any. It is traced on the CPU;
    `torch.export.passes.move_to_device_pass` moves it.

    Returns:
        The exit code: 1, with a line on stderr, where an output differed (no such file is left behind) or the network
        cannot be traced (the checkpoint is kept).

    Raises:
        ConfigError: no such checkpoint, no size or one that the network does not take, a folder that cannot be written.
    """
    checkpoint = _with_suffix(output or run.outputs / f"inference-{model}.pth")
    width, height = size or _size(run.cfg)
    segmentor = load_segmentor(run, model, run.checkpoint())
    description = describe(run, model)
    images = torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(0))
    expected = _logits(segmentor, images)
    try:
        with _whole(checkpoint) as temporary:
            content = {"model": segmentor.state_dict(), DESCRIPTION: description}
            _write(temporary, lambda file: torch.save(content, file))
            _check_checkpoint(run, model, temporary, images, expected)
        print(f"{checkpoint}: {_mib(checkpoint)}, output bit-equal to the run's {model} on {width}x{height} noise")
        program = checkpoint.with_suffix(".pt2")
        with _whole(program) as temporary:
            traced, number = _trace(segmentor, images)
            described = {f"{DESCRIPTION}.json": json.dumps(description)}
            _write(temporary, lambda file: torch.export.save(traced, file, extra_files=described))
            apart = _check_program(temporary, number, images, expected)
    except (NotEqual, _Untraceable) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(
        f"{program}: {_mib(program)}, images ({number}, 3, {height}, {width}) in [0, 1] -> logits ({number}, "
        f"{expected.shape[1]}, {height}, {width}); largest difference {apart:.2g} (tolerance {TOLERANCE:g} of the "
        "largest logit)"
    )
    return 0


class _Untraceable(Exception):
    pass


def _with_suffix(path: Path) -> Path:
    if path.suffix not in (".pth", ".pt2", ""):
        raise ConfigError(f"--output {path}: expected a name that ends in .pth")
    return path.with_suffix(".pth")


def _size(cfg: CfgNode) -> tuple[int, int]:
    """What the network is given in a test: a window, or the image as it is resized, or as the benchmark draws it."""
    drawn = cfg.DATA.STREETS.SIZE if cfg.DATA.STREETS.SOURCE_IMAGES else ()
    windows = sliding(cfg)
    size = (windows.window if windows else None) or cfg.TEST.RESIZE or drawn
    if not size:
        raise ConfigError("--size is needed: the protocol tests images at their own size, expected WIDTHxHEIGHT")
    return size[0], size[1]


@torch.no_grad()
def _logits(segmentor: Segmentor, images: Tensor) -> Tensor:
    with torch_in_one_line(f"--size {sides((images.shape[3], images.shape[2]))}: {segmentor.name}"):
        return segmentor(images)


def describe(run: TrainedRun, model: str) -> dict[str, Any]:
    """What one needs to know of the weights, in plain values."""
    cfg, space = run.cfg, run.label_space
    keys = [key for key in flatten(cfg) if key in _KEPT or key.startswith("HRDA.")]
    values = flatten(cfg)
    return {
        "schema": SCHEMA,
        "run": run.record.id if run.record else run.folder.name,
        "model": model,
        "config": {key: list(values[key]) if isinstance(values[key], tuple) else values[key] for key in keys},
        "class_names": list(space.names),
        "class_colours": [list(colour) for colour in space.colours],
    }


def _check_checkpoint(run: TrainedRun, model: str, path: Path, images: Tensor, expected: Tensor) -> None:
    """The network built anew from the file gives the very same logits."""
    with torch.no_grad():
        found = load_segmentor(run, model, path)(images)
    if not torch.equal(found, expected):
        raise NotEqual(f"the checkpoint's output differs by {(found - expected).abs().max().item():.2g}, expected 0")


def _trace(segmentor: Segmentor, images: Tensor) -> tuple[torch.export.ExportedProgram, str]:
    """The program of ``forward`` and the number of images it takes, "B" for any. Raises _Untraceable with a reason."""
    logger = logging.getLogger("torch")
    level = logger.level
    logger.setLevel(logging.CRITICAL)  # it tells at length what it thinks of each guard
    try:
        with contextlib.suppress(Exception):  # one that is fixed to a number may still do
            dynamic = ({0: torch.export.Dim.DYNAMIC},)
            return torch.export.export(segmentor, (images,), dynamic_shapes=dynamic), "B"
        return torch.export.export(segmentor, (images[:1],)), "1"
    except Exception as error:  # torch has many kinds, and each means that there is no program
        reason = " ".join((str(error).strip().splitlines() or [type(error).__name__])[0].split())
        raise _Untraceable(f"{segmentor.name} cannot be exported by torch.export: {reason}") from error
    finally:
        logger.setLevel(level)


def _check_program(path: Path, number: str, images: Tensor, expected: Tensor) -> float:
    """The largest difference of the loaded program's logits: of one image, and of all together where it takes them."""
    program = torch.export.load(path).module()
    with torch.no_grad():
        apart = [
            (program(images[:count]) - expected[:count]).abs().max().item()
            for count in ((1, len(images)) if number == "B" else (1,))
        ]
    limit = TOLERANCE * expected.abs().max().item()
    if not max(apart) <= limit:
        raise NotEqual(f"the program's output differs by {max(apart):.2g}, expected at most {limit:.2g}")
    return max(apart)


@contextlib.contextmanager
def _whole(path: Path) -> Iterator[Path]:
    """A temporary name beside ``path`` that becomes it if all goes well, and is removed otherwise."""
    temporary = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.touch()  # a folder that cannot be written is told before the work
        yield temporary
        temporary.replace(path)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written ({error.strerror or error})") from None
    finally:
        if temporary.exists():
            temporary.unlink()


def _write(path: Path, save: Callable[[BytesIO], None]) -> None:
    """Write what ``save`` makes. Torch itself, on a full disk, would end the process."""
    content = BytesIO()
    save(content)
    path.write_bytes(content.getbuffer())


def _mib(path: Path) -> str:
    return f"{path.stat().st_size / 2**20:.1f} MiB"
