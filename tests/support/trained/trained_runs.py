"""Small runs that the tests of predict, evaluate and export share: each is made once a session."""

from __future__ import annotations

import atexit
import functools
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import pytest
import torch
from conftest import NETWORK, SMALL

from benchmarks.config.run import Run
from benchmarks.config.run_id import run_folder
from benchmarks.config.spec import RunSpec
from benchmarks.core.command import exit_in_one_line
from benchmarks.data.from_config import data_root
from benchmarks.engine.runner import RunWatcher, run_one
from methods.networks import Segmentor, build_segmentor


class Ended(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


@functools.cache
def trained(method: str = "dacs", network: str = NETWORK) -> Path:
    """The folder of a finished run on small streets, below a folder that is laid out as ``runs``.

    The learning rate is high, so that not all pixels are of one class. Of another network than NETWORK nobody looks at
    what it learned: two steps make its run.
    """
    runs = Path(tempfile.mkdtemp(prefix="segshift-runs-"))
    atexit.register(shutil.rmtree, runs, ignore_errors=True)
    steps = 4 if network == NETWORK else 2
    rates = {"SOLVER.ENCODER_LR": 0.01, "SOLVER.DECODER_LR": 0.05, "SOLVER.ITERS": steps, "TEST.PERIOD": steps}
    cfg = RunSpec("streets", method, None, 0, SMALL | rates | {"NETWORK": network}).resolve()
    folder = run_folder(runs, cfg)
    assert run_one(Run.at(folder, cfg), RunWatcher()).content["status"] == "finished"
    return folder


def streets_root() -> Path:
    """Where the images of these runs are drawn: the cache of the test session holds other sets beside."""
    return data_root(RunSpec("streets", "dacs", None, 0, SMALL).resolve())


def copied(run: Path, to: Path) -> Path:
    """A copy of a run that a test may damage."""
    return Path(shutil.copytree(run, to))


def network(run: Path, model: str = "student") -> Segmentor:
    """The network of a run's final checkpoint, read without the code under test."""
    content = torch.load(run / "model_final.pth", weights_only=True)
    state = content["model" if model == "student" else "teacher"]
    segmentor = build_segmentor(NETWORK, 19, "none")
    segmentor.load_state_dict({key.removeprefix("segmentor."): value for key, value in state.items()})
    return segmentor.eval()


def call(
    module: ModuleType, words: list[str], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Ended:
    """Run a command's ``main`` in this process."""
    monkeypatch.setattr(sys, "argv", [str(module.__file__), *words])
    with pytest.raises(SystemExit) as ended:
        exit_in_one_line(module.main)
    out, err = capfd.readouterr()
    assert isinstance(ended.value.code, int)
    return Ended(ended.value.code, out, err)


Command = Callable[..., Ended]


def commands_in(folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Command:
    """``command(module, *words)``: runs a command's ``main`` in this process, from ``folder``."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(folder)
    return lambda module, *words: call(module, list(words), monkeypatch, capfd)


def assert_one_line(ended: Ended, *parts: str) -> None:
    assert ended.code == 2, ended
    assert ended.err.startswith("error: ") and len(ended.err.splitlines()) == 1
    for part in parts:
        assert part in ended.err
