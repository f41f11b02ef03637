"""The lock of a run folder, where file locks reach other machines, where they do not, and where there are none."""

from __future__ import annotations

import errno
import fcntl
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from benchmarks.core.checkout import ROOT
from benchmarks.core.errors import RunLocked
from benchmarks.state import lock, lock_holder
from benchmarks.state.lock import held_by, locked

NO_LOCKS = "benchmarks.state.lock.file_lock = lambda file, kind=0: None\n"
HERE = lock_holder.machine()


@pytest.fixture(autouse=True)
def no_job(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID", "SLURM_JOB_ID", "SLURM_RESTART_COUNT"):
        monkeypatch.delenv(name, raising=False)


def move_to(monkeypatch: pytest.MonkeyPatch, host: str, has_file_lock: bool | None = True) -> None:
    """From now on this process is on another machine, which no file lock reaches; by itself it gets this of one."""
    monkeypatch.setattr(lock_holder, "machine", lambda: (host, f"boot of {host}"))
    monkeypatch.setattr(lock, "file_lock", lambda file, kind=0: has_file_lock)


def job(monkeypatch: pytest.MonkeyPatch, element: int, restarts: int) -> None:
    for name, value in (("ARRAY_JOB_ID", 12), ("ARRAY_TASK_ID", element), ("JOB_ID", 99), ("RESTART_COUNT", restarts)):
        monkeypatch.setenv(f"SLURM_{name}", str(value))


def last_sign(folder: Path, seconds: float) -> None:
    """Let the holder's last sign of life be so old."""
    then = time.time() - seconds
    os.utime(folder / ".lock", (then, then))


@contextmanager
def left_by(
    folder: Path, monkeypatch: pytest.MonkeyPatch, host: str = "n1", to: str = "n2", has_file_lock: bool | None = True
) -> Iterator[None]:
    """A lock that a process on ``host`` has; this one is on ``to`` meanwhile, as ``move_to`` has it."""
    move_to(monkeypatch, host)
    holding = locked(folder)
    with monkeypatch.context() as within:
        within.setattr(lock._Hold, "keep_up", lambda hold: hold.over.wait())  # it gives no sign of life by itself
        holding.__enter__()
    move_to(monkeypatch, to, has_file_lock)
    yield
    holding.__exit__(None, None, None)


@contextmanager
def process(code: str, folder: Path, patches: str = "") -> Iterator[subprocess.Popen[str]]:
    """Another one, with ``locked``, ``folder`` and ``say``; it hears by ``input()``. It is killed in the end."""
    script = (
        "import os, sys, time, benchmarks.state.lock, benchmarks.state.lock_holder\n"
        "from pathlib import Path\nfrom benchmarks.core.errors import RunLocked\n"
        "from benchmarks.state.lock import locked\n"
        f"folder = Path({str(folder)!r})\ndef say(word): print(word, flush=True)\n{patches}{code}"
    )
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as started:
        try:
            yield started
        finally:
            started.kill()


def heard(from_process: subprocess.Popen[str]) -> str:
    assert from_process.stdout is not None
    return from_process.stdout.readline().strip()


def tell(to_process: subprocess.Popen[str], word: str = "") -> None:
    assert to_process.stdin is not None
    to_process.stdin.write(f"{word}\n")
    to_process.stdin.flush()


def assert_free(folder: Path) -> None:
    begun = time.monotonic()
    with locked(folder):
        pass
    assert time.monotonic() - begun < 5
    assert [path.name for path in folder.iterdir()] == [".lock"]
    assert (folder / ".lock").read_text() == ""


HOLD = "with locked(folder):\n    say('got')\n    input()\n"


@pytest.mark.parametrize("patches", ["", NO_LOCKS])
def test_a_process_is_named_while_it_lives_and_followed_at_once_when_it_was_killed(
    tmp_path: Path, patches: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if patches:
        monkeypatch.setattr(lock, "file_lock", lambda file, kind=0: None)
    with process(HOLD, tmp_path, patches) as holder:
        assert heard(holder) == "got"
        with pytest.raises(RunLocked, match=f"is being run by process {holder.pid} on {HERE[0]}$"), locked(tmp_path):
            pass
        holder.kill()  # it is not reaped before the end of this block: a zombie holds nothing
        os.waitid(os.P_PID, holder.pid, os.WEXITED | os.WNOWAIT)
        assert json.loads((tmp_path / ".lock").read_text())["process"] == holder.pid
        assert_free(tmp_path)


def test_without_file_locks_a_process_id_that_was_given_anew_is_no_holder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "file_lock", lambda file, kind=0: None)
    with locked(tmp_path):
        with pytest.raises(RunLocked, match=f"process {os.getpid()}"), locked(tmp_path):
            pass
        left = json.loads((tmp_path / ".lock").read_text())
        (tmp_path / ".lock").write_text(json.dumps(left | {"started": "1"}))
        with locked(tmp_path):
            pass


@pytest.mark.parametrize("error", ["ENOLCK", "EOPNOTSUPP", "ENOSYS", "EINVAL"])
def test_a_file_system_without_locks_refuses_nobody(
    tmp_path: Path, error: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flock(file: Any, operation: int) -> None:
        raise OSError(getattr(errno, error), "as it says")

    monkeypatch.setattr(fcntl, "flock", flock)
    with locked(tmp_path), pytest.raises(RunLocked, match="is being run by process"), locked(tmp_path):
        pass
    assert_free(tmp_path)


@pytest.mark.parametrize("error", ["EWOULDBLOCK", "EAGAIN", "EACCES"])
def test_a_lock_that_another_has_refuses(tmp_path: Path, error: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(file: Any, operation: int) -> None:
        raise OSError(getattr(errno, error), "as it says")

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(RunLocked, match="is being run by another process"), locked(tmp_path):
        pass


def test_a_lock_that_does_not_reach_a_machine_is_respected_for_a_minute_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job(monkeypatch, 3, 0)
    with left_by(tmp_path, monkeypatch):
        job(monkeypatch, 4, 1)
        last_sign(tmp_path, 57)
        line = rf"run by process {os.getpid()} on n1, job 12_3 \(last sign 5[789] s ago, taken for dead after 60 s"
        with monkeypatch.context() as clock, pytest.raises(RunLocked, match=line):
            clock.setattr(time, "time", lambda: 2e9)  # this machine's own is an hour late, or years early
            with locked(tmp_path):
                pass
        assert json.loads((tmp_path / ".lock").read_text())["host"] == "n1"
        assert [path.name for path in tmp_path.iterdir()] == [".lock"]
        last_sign(tmp_path, 61)
        with locked(tmp_path):
            assert json.loads((tmp_path / ".lock").read_text())["host"] == "n2"


def test_who_lets_go_is_followed_at_once_from_another_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with left_by(tmp_path, monkeypatch):
        pass
    assert_free(tmp_path)


def test_a_server_that_keeps_the_lock_of_a_dead_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with left_by(tmp_path, monkeypatch, has_file_lock=False):
        last_sign(tmp_path, 290)
        with pytest.raises(RunLocked, match=r"on n1 .*taken for dead after 300 s"), locked(tmp_path):
            pass
        last_sign(tmp_path, 301)
        before = (tmp_path / ".lock").stat().st_ino
        with locked(tmp_path):
            assert (tmp_path / ".lock").stat().st_ino != before  # a new file: the server's lock is of the old one


@pytest.mark.parametrize("has_file_lock", [True, None, False])
def test_a_job_that_was_queued_again_waits_for_its_earlier_start(
    tmp_path: Path, has_file_lock: bool | None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Also where the server says that the dead machine has the file locked still."""
    pauses = list[float]()

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        last_sign(tmp_path, 50 + 2 * len(pauses))

    job(monkeypatch, 3, 1)
    with left_by(tmp_path, monkeypatch, has_file_lock=has_file_lock), caplog.at_level(logging.WARNING):
        last_sign(tmp_path, 50)
        monkeypatch.setattr(lock, "pause", pause)
        for element, restarts in ((3, 1), (4, 2)):  # no later start; another job
            job(monkeypatch, element, restarts)
            with pytest.raises(RunLocked, match=r"on n1, job 12_3 \(restart 1\)"), locked(tmp_path):
                pass
        assert not pauses
        job(monkeypatch, 3, 2)
        with locked(tmp_path):
            assert json.loads((tmp_path / ".lock").read_text())["restarts"] == 2
    assert pauses == [1.0] * 5
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "waiting up to 60 s for an earlier start of this job" in caplog.text


def test_a_job_does_not_wait_for_ever_for_its_earlier_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]

    def pause(seconds: float) -> None:
        now[0] += seconds
        last_sign(tmp_path, 5)  # it lives

    job(monkeypatch, 3, 0)
    with left_by(tmp_path, monkeypatch):
        job(monkeypatch, 3, 1)
        monkeypatch.setattr(lock, "pause", pause)
        monkeypatch.setattr(time, "monotonic", lambda: now[0])
        with pytest.raises(RunLocked, match="on n1"), locked(tmp_path):
            pass
    assert now[0] == 70


TRY = """
while input():
    try:
        with locked(folder):
            say("got")
            input()
    except RunLocked:
        say("refused")
        input()
    say("done")
"""
MACHINES = (
    NO_LOCKS + "benchmarks.state.lock_holder.machine = lambda: ('{0}', '{0}')\n",
    "benchmarks.state.lock.file_lock = lambda file, kind=0: True\n"
    "benchmarks.state.lock_holder.machine = lambda: ('{0}', '{0}')\n",
)


@pytest.mark.slow
@pytest.mark.parametrize("before", ["free", "dead"])
@pytest.mark.parametrize("patches", ["", NO_LOCKS, *MACHINES], ids=["flock", "none", "machines", "local flock"])
def test_of_two_that_race_one_gets_it(tmp_path: Path, patches: str, before: str) -> None:
    """50 times: on a local disk, without file locks, and on two machines without any or with those of each its own."""
    dead = json.dumps({**vars(lock_holder.this_process()), "host": "n0", "process": 1, "token": "dead"})
    patches += "benchmarks.state.lock._PATIENCE = 0.02\n"  # by which the loser looks again
    with (
        process(TRY, tmp_path, patches.format("n1")) as first,
        process(TRY, tmp_path, patches.format("n2")) as second,
    ):
        for turn in range(50):
            if before == "dead":
                (tmp_path / ".lock").write_text(dead.replace('"dead"', f'"dead{turn}"'))
                last_sign(tmp_path, 301)
            for one in (first, second):
                tell(one, "go")
            assert sorted([heard(first), heard(second)]) == ["got", "refused"], turn
            for one in (first, second):
                tell(one)
                assert heard(one) == "done"
    assert_free(tmp_path)


def test_one_that_is_overtaken_while_it_looks_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has locked the file of a holder that died elsewhere, which keeps nobody from putting another in its place."""
    dead = {**vars(lock_holder.this_process()), "host": "n0", "token": "dead"}
    (tmp_path / ".lock").write_text(json.dumps(dead))
    last_sign(tmp_path, 301)
    read = lock.read_content
    with process(f"input()\n{HOLD}", tmp_path) as other:

        def overtaken(path: Path) -> Any:
            monkeypatch.setattr(lock, "read_content", read)
            tell(other)
            assert heard(other) == "got"
            return read(path)

        monkeypatch.setattr(lock, "read_content", overtaken)
        with pytest.raises(RunLocked, match=f"process {other.pid}"), locked(tmp_path):
            pass


@pytest.mark.parametrize("patches", ["", NO_LOCKS])
def test_a_forked_process_neither_keeps_nor_ends_the_lock(tmp_path: Path, patches: str) -> None:
    """As a loader's workers: one ends as a program does, through the parent's ``with``; one outlives the parent."""
    forked = "with locked(folder):\n    if not os.fork():\n        sys.exit()\n    os.wait()\n    say('one')\n"
    forked += "    child = os.fork()\n    if not child:\n        time.sleep(60)\n    say(child)\n    input()\n"
    with process(forked, tmp_path, patches) as holder:
        assert heard(holder) == "one"
        child = int(heard(holder))
        try:
            with pytest.raises(RunLocked, match=f"process {holder.pid}"), locked(tmp_path):
                pass
            holder.kill()
            holder.wait()
            os.kill(child, 0)
            assert_free(tmp_path)
        finally:
            os.kill(child, signal.SIGKILL)


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_holder_gives_signs_of_life_whatever_the_file_system_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "BEAT", 0.02)
    refused, utime = list[str](), os.utime

    def hiccup(path: Any, *arguments: Any) -> None:
        if not arguments and len(refused) < 3:
            refused.append(str(path))
            raise OSError(errno.EIO, "not now")
        utime(path, *arguments)

    monkeypatch.setattr(os, "utime", hiccup)
    with locked(tmp_path):
        last_sign(tmp_path, 1000)
        until(lambda: time.time() - (tmp_path / ".lock").stat().st_mtime < 100)
        assert refused == [str(tmp_path / ".lock")] * 3
        text = (tmp_path / ".lock").read_text()
        (tmp_path / ".lock").unlink()
        time.sleep(0.1)
        assert not list(tmp_path.iterdir())  # it makes no file that nobody could tell the meaning of
        (tmp_path / ".lock").write_text(text)
        last_sign(tmp_path, 1000)
        until(lambda: time.time() - (tmp_path / ".lock").stat().st_mtime < 100)
    assert not [thread for thread in threading.enumerate() if thread.name == "lock"]
    last_sign(tmp_path, 1000)
    time.sleep(0.1)
    assert time.time() - (tmp_path / ".lock").stat().st_mtime > 900


def test_a_holder_that_was_taken_for_dead_stops_and_leaves_the_lock_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As one that was suspended: its first beat interrupts it."""
    monkeypatch.setattr(lock, "BEAT", 0.05)
    move_to(monkeypatch, "n1", None)
    with pytest.raises(KeyboardInterrupt), locked(tmp_path):
        last_sign(tmp_path, 100)
        move_to(monkeypatch, "n2", None)
        other = locked(tmp_path)
        other.__enter__()
        time.sleep(10)
    assert f"{tmp_path} was taken over by process {os.getpid()} on n2: this process stops" in caplog.text
    assert json.loads((tmp_path / ".lock").read_text())["host"] == "n2"
    other.__exit__(None, None, None)
    assert_free(tmp_path)


def test_a_holder_that_ignores_ctrl_c_stops_too(tmp_path: Path) -> None:
    """As one that a script started in the background."""
    ignoring = "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nbenchmarks.state.lock.BEAT = 0.05\n"
    with process(HOLD, tmp_path, ignoring) as holder:
        assert heard(holder) == "got"
        other = json.loads((tmp_path / ".lock").read_text()) | {"host": "n2", "token": "another"}
        (tmp_path / "new").write_text(json.dumps(other))
        (tmp_path / "new").replace(tmp_path / ".lock")
        assert holder.wait(10) == -signal.SIGTERM


def test_who_died_while_it_took_the_lock_is_in_nobodys_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    die = "def die(*_): os.kill(os.getpid(), 9)\nPath.replace = die\n"
    for _ in range(2):
        with process(HOLD, tmp_path, die) as taker:
            taker.wait()
    assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", ".lock.free.0", ".lock.free.1"]
    assert_free(tmp_path)
    claim = tmp_path / ".lock.free.0"  # of another machine, that wrote nothing yet
    claim.touch()
    with pytest.raises(RunLocked, match="by another process"), locked(tmp_path):
        pass
    os.utime(claim, (time.time() - 11, time.time() - 11))
    assert_free(tmp_path)


def test_asking_who_has_it_leaves_what_is_free_alone(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    assert held_by(folder) == "" and not folder.exists()
    with locked(folder):
        assert held_by(folder) == f"{folder} is being run by process {os.getpid()} on {HERE[0]}"
    before = (folder / ".lock").stat()
    assert held_by(folder) == ""
    after = (folder / ".lock").stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
    with process(HOLD, folder) as holder:
        assert heard(holder) == "got"
        assert f"process {holder.pid}" in held_by(folder)
        holder.kill()
        os.waitid(os.P_PID, holder.pid, os.WEXITED | os.WNOWAIT)
        assert held_by(folder) == ""
    assert_free(folder)


def test_on_a_full_disk_there_is_a_lock_where_there_are_file_locks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(file: Any, text: str) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(lock, "_write", full)
    with locked(tmp_path):
        assert [path.name for path in tmp_path.iterdir()] == [".lock"]
        with pytest.raises(RunLocked, match="is being run by another process"), locked(tmp_path):
            pass
        assert "is being run by another process" in held_by(tmp_path)
    assert_free_after = tmp_path / "other"
    monkeypatch.setattr(lock, "file_lock", lambda file, kind=0: None)
    line = r"other cannot be locked: its file system has no file locks, and nothing can be written \(No space left"
    with pytest.raises(RunLocked, match=line), locked(assert_free_after):
        pass
    assert [path.name for path in assert_free_after.iterdir()] == [".lock"]


def test_what_no_holder_wrote_counts_for_a_minute(tmp_path: Path) -> None:
    (tmp_path / ".lock").write_text("process 7 on elsewhere")
    with pytest.raises(RunLocked, match=r"by another process \(last sign 0 s ago"), locked(tmp_path):
        pass
    last_sign(tmp_path, 61)
    assert_free(tmp_path)


def test_a_look_that_takes_long_is_followed_by_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine one look can take longer than all the patience there is: it says nothing of the holder."""
    take, looks = lock._take, iter([5.0, 5.0])
    clock = [time.monotonic()]

    def slow(folder: Path, me: lock_holder.Holder) -> Any:
        if seconds := next(looks, 0.0):
            clock[0] += seconds
            raise lock._Refused(None, is_passing=True)
        return take(folder, me)

    monkeypatch.setattr(lock, "_take", slow)
    monkeypatch.setattr(lock.time, "monotonic", lambda: clock[0])
    with locked(tmp_path):
        assert list(looks) == []  # both were slow, and a third one had it
        assert (tmp_path / ".lock").read_text() != ""


@pytest.mark.parametrize("fails", ["mkdir", "open"])
def test_a_folder_that_cannot_be_written_is_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    def read_only(*_: Any, **__: Any) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(Path, fails, read_only)
    with pytest.raises(RunLocked) as caught, locked(tmp_path / "run"):
        pass
    assert str(caught.value) == f"{tmp_path / 'run'} cannot be locked: {os.strerror(errno.EROFS)}"


def test_who_holds_a_lock_that_may_not_be_tried_is_not_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of another user's folder on a disk that is read-only: it is not told as held."""
    (tmp_path / ".lock").write_text("process 7 on elsewhere")

    def read_only(folder: Path, me: lock_holder.Holder) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(lock, "_take", read_only)
    with pytest.raises(OSError, match=os.strerror(errno.EROFS)):
        held_by(tmp_path)
