"""A run that was made before: its config, its record and the network in its checkpoint."""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import yaml
from detectron2.config import CfgNode
from torch import Tensor

from benchmarks.cli.run_options import STUDENT, TEACHER
from benchmarks.config.keys import flatten, get_config
from benchmarks.config.plugins import OPTION, unknown_plugins
from benchmarks.config.run import Run
from benchmarks.config.sliding_window import SlidingWindow
from benchmarks.config.spec import check_values
from benchmarks.config.stored_config import without_unused_terms
from benchmarks.core.errors import ConfigError
from benchmarks.data.data_sets import withhold_module
from benchmarks.engine.build import build_student
from benchmarks.engine.checkpoint import checkpoints, pointed_at
from benchmarks.engine.checkpoint_file import read_checkpoint
from benchmarks.evaluation.inference import predict_classes, predict_image
from benchmarks.trained.safe_file import SUFFIX, read_safe_file
from methods.networks import NETWORKS, Segmentor
from methods.networks.weights import weights_file
from methods.pretrained.published_folder import (
    DESCRIPTION,
    HUB,
    WEIGHTS_FILE,
    check_digest,
    hub_folder,
    is_hub_address,
    pinned,
)
from results.files.bounded_yaml import load
from results.files.plain_file import read_plain_text
from results.records.record import FILE, FINISHED, RUNNING, Record, read_record

_KEYS_SHOWN = 3

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class TrainedRun(Run):
    """A run that was read back from its folder.

    Attributes:
        record: None where it left none.
        outputs: where commands write what they make of it: its folder, unless that is a cache's.
    """

    record: Record | None = None
    outputs: Path = Path()

    @property
    def finished(self) -> bool:
        return self.record is not None and self.record.status == FINISHED

    @property
    def status(self) -> str:
        """How the record left it, in words: a killed run cannot say that it is not running any more."""
        if self.record is None:
            return "not begun"
        return "interrupted or still running" if self.record.status == RUNNING else str(self.record.status)

    def checkpoint(self) -> Path:
        """The final checkpoint, or the newest of a run that is not finished; of a published folder its weights.

        That is the one which last_checkpoint names; where it names none, a warning says so and which is taken.

        Raises:
            ConfigError: there is none.
        """
        there = checkpoints(self.folder)
        if not there and (self.folder / WEIGHTS_FILE).is_file():
            return self.folder / WEIGHTS_FILE
        if not there:
            raise ConfigError(f"run {self.folder} is {self.status} and has no checkpoint yet, expected a finished run")
        path, fault = pointed_at(self.folder)
        if path is None:
            path = there[0]
            _LOGGER.warning("%s, taking the newest, %s", fault, path.name)
        return path


def open_run(name: str, runs: Path, modules: Sequence[str] = ()) -> TrainedRun:
    """The run in the folder ``name``, or with the id ``name`` below ``runs``, or one that was published.

    That is a folder or its weights, or ``hf:owner/name[@revision]``: downloaded unless the hub's local cache has it.

    What it holds may come from anybody: the code that its config names (DATA.MODULE) is imported only where it is among
    ``modules``, which the user named; where it is needed and is not, reading its data sets raises a DataError.

    Raises:
        ConfigError: no such run, or a config that this version cannot read; ResultsError: a damaged record;
            MethodError: what is published cannot be had, or is not what was published.
    """
    folder, outputs = _place(name, runs)
    for file in (FILE, "config.yaml"):
        check_digest(folder / file)
    cfg = _read_config(folder / "config.yaml")
    withhold_module(cfg, folder / "config.yaml", modules)
    return replace(TrainedRun.at(folder, cfg), record=read_record(folder), outputs=outputs)


def load_segmentor(run: TrainedRun, model: str, checkpoint: Path) -> Segmentor:
    """The network of a checkpoint, in eval mode on the CPU, without what only training needs.

    ``checkpoint``: a run's, which holds student and, where the method has one, teacher; or one that was exported or
    published.

    Raises:
        ConfigError: the file is missing, damaged, lacks ``model``, or is of another network; MethodError: of one that
            was published, as of `open_run`.
    """
    cfg = run.cfg.clone()
    cfg.defrost()
    cfg.WEIGHTS = "none"  # all of them come from the checkpoint
    segmentor = build_student(cfg)
    file = weights_file(checkpoint)
    content = read_safe_file(file) if file.suffix == SUFFIX else read_checkpoint(file)
    state = _model_state(content, model, checkpoint, run)
    _check_fit(state, segmentor.state_dict(), f"{checkpoint} does not fit {cfg.NETWORK}")
    segmentor.load_state_dict(state)
    return segmentor.eval()


def with_place(cfg: CfgNode, device: str | None = None, data_root: str | None = None) -> CfgNode:
    """A copy of the config with another DEVICE and DATA.ROOT, where given: neither decides what is computed."""
    copy = cfg.clone()
    copy.defrost()
    if device is not None:
        copy.DEVICE = device
    if data_root is not None:
        copy.DATA.ROOT = data_root
    copy.freeze()
    return copy


class Predictor:
    """Logits of single images, computed as a run's own evaluation does."""

    def __init__(self, segmentor: Segmentor, device: torch.device, windows: SlidingWindow | None) -> None:
        """Take images whole where ``windows`` is None."""
        self._segmentor = segmentor.to(device).eval()
        self._segmentor.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._device, self.windows = device, windows

    def __call__(self, image: Tensor, size: tuple[int, int]) -> Tensor:
        """Image (3, h, w), RGB, uint8 -> logits (K, *size), float32, on the device; ``size`` is (height, width).

        Raises:
            ConfigError: the network takes no image or no window of this size, or memory does not suffice.
        """
        with torch_in_one_line(self._told(image)):
            return predict_image(self._segmentor, image, size, self._device, self.windows)

    def classes(self, image: Tensor, size: tuple[int, int]) -> Tensor:
        """Image (3, h, w), RGB, uint8 -> the logits' argmax, uint8 ``size``, on the device, also of very large images.

        Raises:
            ConfigError: as of logits.
        """
        with torch_in_one_line(self._told(image)):
            return predict_classes(self._segmentor, image, size, self._device, self.windows)

    def _told(self, image: Tensor) -> str:
        height, width = image.shape[-2:]
        by = f", TEST.WINDOW (or the crop) {sides(self.windows.window)}" if self.windows else ""
        return f"image of {width}x{height}{by}: {self._segmentor.name}"


@contextlib.contextmanager
def torch_in_one_line(what: str) -> Iterator[None]:
    """ConfigError for what torch cannot run: a kernel does not fit a feature, or memory does not suffice."""
    try:
        yield
    except RuntimeError as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ConfigError(f"{what} cannot be run on it ({reason})") from error


def sides(size: Sequence[int]) -> str:
    """A size as text: ``(512, 256)`` -> ``512x256``."""
    return "x".join(map(str, size))


def _place(name: str, runs: Path) -> tuple[Path, Path]:
    """The folder that a run is read from, and the one for what is made of it."""
    if is_hub_address(name):
        fixed = pinned(name)
        owner, _, rest = fixed.removeprefix(HUB).partition("/")
        return hub_folder(fixed, (WEIGHTS_FILE, "config.yaml", FILE)), runs / "hf" / owner / rest
    folder = Path(name).parent if Path(name).suffix == SUFFIX else _find(name, runs)
    return folder, folder


def _find(name: str, runs: Path) -> Path:
    folder = Path(name)
    if (folder / "config.yaml").is_file():
        return folder
    is_id = re.fullmatch("[0-9a-f]{12}", name)
    found = [path.parent for path in runs.glob(f"*/*/*/{name}/config.yaml")] if is_id else []
    if len(found) == 1:
        return found[0]
    if folder.is_dir() and not found:
        raise ConfigError(f"--run {name}: no config.yaml there, expected a run folder")
    if not is_id:
        raise ConfigError(f"--run {name}: no such folder, expected a run folder or an id of 12 hexadecimal digits")
    what = f"{len(found)} runs" if found else "no run"
    raise ConfigError(f"--run {name}: {what} of this id below {runs} (--runs says where to look)")


def _read_config(path: Path) -> CfgNode:
    """Plug-ins that the run was made with are not imported for it: the user names them, before."""
    cfg = get_config()
    expected = "the config of a run of this version"
    try:
        content = load(read_plain_text(path))
        if without := _unknown_plugins(content):
            expected = f"{OPTION} with the code that the run was made with (its digest is {', '.join(without)})"
        cfg.merge_from_other_cfg(CfgNode(without_unused_terms(content, path)))
    except (OSError, ValueError, KeyError, AssertionError, AttributeError, TypeError, yaml.YAMLError) as error:
        told = " ".join(str(error).split())
        raise ConfigError(f"{path}: {told[:200]}; expected {expected}") from None
    if without and cfg.NETWORK not in NETWORKS:
        raise ConfigError(f"{path}: unknown network {cfg.NETWORK!r}; expected {expected}")
    try:
        check_values(flatten(cfg.HRDA, "HRDA."))  # of what decides the network: it is built
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None
    if without:
        _LOGGER.warning("%s: made with code of the digest %s, and of none given now", path, ", ".join(without))
    cfg.freeze()
    return cfg


def _unknown_plugins(content: Any) -> list[str]:
    named = content.get("PLUGINS") if isinstance(content, Mapping) else None
    return unknown_plugins(map(str, named)) if isinstance(named, (list, tuple)) else []


def _model_state(content: Mapping[str, Any], model: str, path: Path, run: TrainedRun) -> dict[str, Tensor]:
    """The segmentor's tensors: a run's checkpoint has the student under "model" and beside it a Teacher's state."""
    exported = content.get(DESCRIPTION)
    if exported is not None:
        if exported["model"] != model:
            raise ConfigError(f"{path} is the {exported['model']}, expected --model {exported['model']}")
        return dict(content["model"])
    key = "model" if model == STUDENT else TEACHER
    if key not in content:
        raise ConfigError(f"{path} holds no {model} (method {run.cfg.METHOD})")
    return {name.removeprefix("segmentor."): value for name, value in content[key].items()}


def _check_fit(state: Mapping[str, Tensor], own: Mapping[str, Tensor], complaint: str) -> None:
    faults = {
        "missing": [key for key in own if key not in state],
        "unexpected": [key for key in state if key not in own],
        "of other shape": [key for key in own if key in state and state[key].shape != own[key].shape],
    }
    told = [
        f"{len(keys)} {kind}: {', '.join(keys[:_KEYS_SHOWN])}{', ...' if len(keys) > _KEYS_SHOWN else ''}"
        for kind, keys in faults.items()
        if keys
    ]
    if told:
        raise ConfigError(f"{complaint}: {'; '.join(told)}")
