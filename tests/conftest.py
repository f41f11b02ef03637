"""What the tests share: a small drawn data set, and the config of a run on it that takes a second."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from slurm.base.thread_waiting import wait_briefly

wait_briefly()  # as commands do, before torch is loaded
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # the other cores have tests of their own
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # Started in the background of a script: tests send Ctrl-C to themselves and to what they start.
    signal.signal(signal.SIGINT, signal.default_int_handler)

from detectron2.config import CfgNode  # noqa: E402

pytest_plugins = ["slurm_fixture", "command_fixtures"]


MOST_WORKERS = 8  # each takes a gigabyte


def pytest_xdist_auto_num_workers() -> int:
    """A worker a core."""
    return min(MOST_WORKERS, len(os.sched_getaffinity(0)))


@pytest.hookimpl(tryfirst=True)  # before -m chooses
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What asks for a local SLURM, by whatever fixture, is marked so; files with such tests, then slow ones, begin.

    So no worker is left with a long file at the end: each file is one worker's, as its tests share what they train.
    """
    for item in items:
        if "slurm_installed" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.slurm)
    slurm, slow = ({item.path for item in items if item.get_closest_marker(name)} for name in ("slurm", "slow"))
    items.sort(key=lambda item: (item.path not in slurm, item.path not in slow))


NETWORK = "daformer-tiny"
SMALL = {
    "NETWORK": NETWORK,
    "DATA.STREETS.SIZE": (128, 64),
    "DATA.STREETS.SOURCE_IMAGES": 6,
    "DATA.STREETS.TARGET_IMAGES": 5,
    "DATA.STREETS.VAL_IMAGES": 2,
    "INPUT.CROP": (64, 64),
    "SOLVER.BATCH": 2,
    "SOLVER.ITERS": 4,
    "SOLVER.WARMUP_ITERS": 1,
    "TEST.PERIOD": 2,
    "CHECKPOINT_PERIOD": 2,
    "WEIGHTS": "none",
    "DEVICE": "cpu",
    "SAMPLING.MIN_PIXELS": 10,
    "SAMPLING.MIN_CROP_PIXELS": 10,
    "TERMS.MRM.DIM": 32,
    "TERMS.MRM.HEADS": 2,
    "TERMS.MRM.RESOLUTION": 4,
}


def pairs(values: Mapping[str, Any]) -> list[str]:
    """Config keys and values as the KEY VALUE words of a command."""
    words = []
    for key, value in values.items():
        words += [key, "x".join(map(str, value)) if isinstance(value, tuple) else str(value)]
    return words


@pytest.fixture(scope="session", autouse=True)
def streets_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Drawn images go to a folder of this test session, not to the user's cache."""
    folder = tmp_path_factory.mktemp("cache")
    before = os.environ.get("SEGSHIFT_CACHE")
    os.environ["SEGSHIFT_CACHE"] = str(folder)
    yield folder
    if before is None:
        del os.environ["SEGSHIFT_CACHE"]
    else:
        os.environ["SEGSHIFT_CACHE"] = before


@pytest.fixture(scope="session")
def small_config() -> Callable[..., CfgNode]:
    """``small_config("dacs", seed=1, overrides={...})``: a run on small drawn images."""
    from benchmarks.config.spec import RunSpec

    def make(method: str, seed: int = 0, overrides: dict[str, Any] | None = None) -> CfgNode:
        return RunSpec("streets", method, None, seed, SMALL | (overrides or {})).resolve()

    return make
