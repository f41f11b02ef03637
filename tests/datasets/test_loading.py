"""Loader workers that die, or have no room in shared memory: an error in one line, never a wait for ever."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch

from benchmarks.core.checkout import ROOT
from datasets.base.errors import DataError
from datasets.batches.loading import in_order


@contextmanager
def within(seconds: int) -> Iterator[None]:
    """A wait for ever becomes a failure."""

    def over(*_: object) -> None:
        raise TimeoutError(f"not over within {seconds} s")

    before = signal.signal(signal.SIGALRM, over)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def killed_at_3(index: int) -> torch.Tensor:
    if index == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return torch.full((4,), index)


def number(index: int) -> dict[str, Any]:
    return {"images": torch.full((4,), index), "more": [(torch.zeros(1), "word")]}


@pytest.mark.slow
def test_a_killed_worker_ends_the_loading_in_one_line() -> None:
    heard = signal.getsignal(signal.SIGCHLD)
    with within(60), pytest.raises(DataError) as caught:
        list(in_order(killed_at_3, range(8), 2, False))
    line = str(caught.value)
    assert "was ended by SIGKILL" in line and "NUM_WORKERS 0" in line and "larger /dev/shm" in line
    assert "\n" not in line
    assert signal.getsignal(signal.SIGCHLD) == heard, "the end of a child is raised in whatever the process is about"


@pytest.mark.slow
def test_a_worker_that_dies_is_not_raised_in_what_is_done_meanwhile() -> None:
    running = in_order(killed_at_3, range(8), 1, False)
    with within(60):
        next(running)
        time.sleep(0.5)  # by now the worker, which is two items ahead, is at 2; at the next one it dies
        next(running)
        for _ in range(20):
            time.sleep(0.05)
        with pytest.raises(DataError, match="SIGKILL"):
            list(running)


def test_no_room_in_shared_memory_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(tensor: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("unable to allocate shared memory(shm) for file </torch_1>: No space left on device (28)")

    monkeypatch.setattr(torch.Tensor, "share_memory_", full)
    monkeypatch.setattr(torch.UntypedStorage, "_share_fd_cpu_", full)
    with within(60), pytest.raises(DataError, match=r"could not hand over .*No space left .*set NUM_WORKERS 0"):
        list(in_order(number, range(4), 2, False))


def test_items_arrive_whole_from_workers() -> None:
    with within(60):
        items = list(in_order(number, range(5), 2, False))
    assert [int(item["images"][0]) for item in items] == list(range(5))
    assert items[0]["more"][0][1] == "word"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux" or os.getuid() != 0, reason="mounting wants root")
def test_a_small_shared_memory_ends_the_loading() -> None:
    """As in a container of 64 MiB, in small."""
    code = (
        "import torch\nfrom datasets.batches.loading import in_order\n"
        "def fetch(i):\n    return torch.ones(2**20, dtype=torch.uint8)\n"
        "list(in_order(fetch, range(40), 2, False))"
    )
    command = f"mount -t tmpfs -o size=1536k tmpfs /dev/shm && exec {sys.executable} -c '{code}'"
    if subprocess.run(["unshare", "-m", "mount", "-t", "tmpfs", "tmpfs", "/dev/shm"], capture_output=True).returncode:
        pytest.skip("this machine lets nobody mount")
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", command], cwd=ROOT, capture_output=True, text=True, timeout=90, check=False
    )
    assert done.returncode == 1
    assert "DataError: a loader worker" in done.stderr and "give the container a larger /dev/shm" in done.stderr
