"""A command that is killed leaves no process behind, and what it left on the disk is removed by the next one."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.core.checkout import ROOT
from datasets.base import scratch
from datasets.base.scratch import remove_leftovers, scratch_beside
from datasets.streets import cached

PATIENCE = 60.0

DRAWING = """
from pathlib import Path
from datasets.streets import cached
if __name__ == "__main__":
    cached(Path({folder!r}), size=(96, 48), source_images=5000, target_images=4, val_images=2, workers=1 + 1)
"""
COUNTING = """
from pathlib import Path
from datasets.checks.class_pixels import class_pixels
from datasets.classes.labels import LABEL_IDS
if __name__ == "__main__":
    item = {{"sem_seg_file_name": {label!r}, "label_encoding": LABEL_IDS}}
    class_pixels([item] * 10_000, 19, cache=Path({folder!r}), workers=2)
"""
CHECKING = """
from datasets.checks.file_checks import file_reports
if __name__ == "__main__":
    list(file_reports([{{"file_name": {label!r}}}] * 200_000, None, 2))
"""


def soon(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + PATIENCE
    while not (held := condition()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return held


def workers_of(pid: int) -> list[int]:
    """The processes that ``pid`` has started to work for it, once they have imported what they run."""
    found = []
    for started in Path(f"/proc/{pid}/task").glob("*/children"):  # a file for each thread that may have started some
        with suppress(OSError):
            for child in started.read_text().split():
                if b"spawn_main" in (Path("/proc") / child / "cmdline").read_bytes():
                    found.append(int(child))
    return found


def ended(pid: int) -> bool:
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="processes are read from /proc")
@pytest.mark.parametrize(
    ("code", "sign"), [(DRAWING, signal.SIGKILL), (COUNTING, signal.SIGTERM), (CHECKING, signal.SIGHUP)]
)
def test_workers_end_with_the_command(tmp_path: Path, code: str, sign: signal.Signals) -> None:
    label = tmp_path / "label.png"
    Image.fromarray(np.full((512, 512), 7, np.uint8)).save(label)
    script = tmp_path / "work.py"
    script.write_text(code.format(folder=str(tmp_path), label=str(label)))
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    workers: list[int] = []
    if sign is signal.SIGHUP:  # tests that nohup started have it ignored, and so would what they start
        before = signal.signal(sign, signal.SIG_DFL)
    with subprocess.Popen([sys.executable, str(script)], env=environment) as process:
        if sign is signal.SIGHUP:
            signal.signal(sign, before)
        try:
            assert soon(lambda: len(workers_of(process.pid)) == 2)
            workers = workers_of(process.pid)
            time.sleep(1)  # at work, mostly; or still importing, which must not matter
            process.send_signal(sign)
            process.wait(PATIENCE)
            assert soon(lambda: all(map(ended, workers)))
        finally:
            process.kill()
            for pid in workers:
                if not ended(pid):
                    os.kill(pid, signal.SIGKILL)


def died() -> int:
    """The id of a process that is over."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        return process.pid


def named(folder: Path, maker: int, host: str | None = None) -> Path:
    own = scratch_beside(folder / "streets-v1")
    name = own.name.replace(f"-{os.getpid()}-", f"-{maker}-")
    return folder / (name if host is None else name.replace(scratch._host(), host))


def test_the_next_drawing_removes_what_dead_makers_left_and_no_other(tmp_path: Path) -> None:
    dead, live, elsewhere = named(tmp_path, died()), named(tmp_path, os.getppid()), named(tmp_path, died(), "other")
    old = named(tmp_path, died(), "another")
    foreign = tmp_path / ".download-0123456789ab.part"
    for folder in (dead, live, elsewhere, old, foreign):
        folder.mkdir()
        (folder / "00001.png").write_bytes(b"half")
    for path in (old / "00001.png", old):
        os.utime(path, (0, 0))
    made = cached(tmp_path, size=(64, 32), source_images=1, target_images=1, val_images=1, workers=1)
    assert {path.name for path in tmp_path.iterdir()} == {made.name, live.name, elsewhere.name, foreign.name}


@pytest.mark.parametrize("name", ["streets-v1-128x64", ".class_pixels-0123.npz", "0123456789ab.npz"])
def test_what_earlier_versions_left_is_removed_when_nobody_wrote_to_it_for_a_day(name: str, tmp_path: Path) -> None:
    """Their names told no process: `.<name>-<12 hexadecimal digits>.part`."""
    old, new, foreign = (
        tmp_path / f".{each.lstrip('.')}-{digits}.part"
        for each, digits in ((name, "0123456789ab"), (name, "0123456789ac"), ("download", "0123456789ab"))
    )
    for folder in (old, new, foreign):
        folder.mkdir()
        (folder / "00001.png").write_bytes(b"half")
        os.utime(folder / "00001.png", (0, 0))
        os.utime(folder, (0, 0))
    os.utime(new / "00001.png")  # still being drawn
    remove_leftovers(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {new.name, foreign.name}


def test_a_link_of_that_name_is_removed_not_followed(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "file").write_bytes(b"")
    (tmp_path / "cache").mkdir()
    named(tmp_path / "cache", died()).symlink_to(tmp_path / "kept")
    remove_leftovers(tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []
    assert (tmp_path / "kept" / "file").exists()


def test_the_name_tells_machine_and_process(tmp_path: Path) -> None:
    name = scratch_beside(tmp_path / ".class_pixels.npz").name
    assert name.startswith(".class_pixels.npz-") and name.endswith(".part")
    assert f"-{os.getpid()}-" in name
    assert "".join(filter(str.isalnum, socket.gethostname())) in "".join(filter(str.isalnum, name))
