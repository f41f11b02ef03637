"""What commands print to: readers that have gone, and encodings that lack a sign."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import pytest

from benchmarks.core.checkout import ROOT
from benchmarks.core.screen import screen

PYTHON = [sys.executable]
_FAULTY = "from benchmarks.core.command import exit_in_one_line\nfrom benchmarks.core.errors import ConfigError\n"


def ended(words: list[str], **environment: str) -> tuple[int, bytes]:
    """Exit code and stderr of a command whose reader has gone before it began."""
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        words, stdout=writer, stderr=subprocess.PIPE, cwd=ROOT, env={**os.environ, **environment}, timeout=120
    )
    os.close(writer)
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    "words",
    [
        "benchmarks/run.py",
        "results/collect.py",
        "-m slurm.local_cluster",
        "-m datasets.streets",
        "-m benchmarks.install",
    ],
)
def test_a_reader_that_has_gone_ends_a_command_quietly(words: str) -> None:
    assert ended([*PYTHON, *words.split(), "--help"]) == (141, b"")


full_disk = pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")


def on_full_disk(words: list[str], **streams: Any) -> subprocess.CompletedProcess[bytes]:
    with Path("/dev/full").open("wb") as full:
        return subprocess.run(words, cwd=ROOT, timeout=120, **({"stdout": full, "stderr": subprocess.PIPE} | streams))


@full_disk
@pytest.mark.parametrize(
    "words",
    [
        "benchmarks/run.py --help",
        "results/collect.py --help",
        "benchmarks/status.py --help",
        "-m benchmarks.install --help",
    ],
)
def test_a_full_disk_for_what_is_printed_is_one_line(words: str) -> None:
    done = on_full_disk([*PYTHON, *words.split()])
    assert done.returncode == 2
    assert done.stderr.startswith(b"error: what is printed cannot be written (No space left on device)")
    assert len(done.stderr.splitlines()) == 1


@full_disk
@pytest.mark.parametrize(("end", "code"), [("return 0", 2), ("return 1", 1), ("raise ConfigError('x')", 2)])
def test_a_full_disk_for_what_is_printed_keeps_no_file_from_being_written(end: str, code: int, tmp_path: Path) -> None:
    """Neither where more than a buffer is printed, at once or bit by bit, nor where stderr goes there, too."""
    lines = [
        "def main():",
        "    for _ in range(3): print('a table ' * 10_000)",
        "    print('progress', flush=True); print('x', file=sys.stderr)",
        f"    Path({str(tmp_path / 'made')!r}).write_text('whole')",
        f"    {end}",
        "exit_in_one_line(main)",
    ]
    words = [*PYTHON, "-c", "import sys\nfrom pathlib import Path\n" + _FAULTY + "\n".join(lines)]
    done = on_full_disk(words)
    assert done.returncode == code and (tmp_path / "made").read_text() == "whole"
    assert done.stderr.count(b"cannot be written") == 1 and b"Traceback" not in done.stderr
    (tmp_path / "made").unlink()
    assert on_full_disk(words, stderr=subprocess.STDOUT).returncode == code
    assert (tmp_path / "made").read_text() == "whole"


def test_what_a_terminal_lacks_is_replaced() -> None:
    code = f"{_FAULTY}def main():\n    print('41.0 ± 1.4')\n    raise ConfigError('größe')\nexit_in_one_line(main)"
    done = subprocess.run(
        [*PYTHON, "-c", code],
        capture_output=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        timeout=120,
    )
    assert (done.returncode, done.stdout, done.stderr) == (2, b"41.0 ? 1.4\n", b"error: gr??e\n")


@contextmanager
def gone() -> Iterator[None]:
    """A stdout whose reader has gone."""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w", encoding="utf-8") as stream, redirect_stdout(stream):
        yield


def test_no_run_takes_a_broken_pipe_for_its_own_fault() -> None:
    """A run that fails is recorded by ``except Exception``."""
    reached = []
    with pytest.raises(SystemExit) as left, gone(), screen():
        try:
            print("step 1", flush=True)
        except Exception:
            reached.append("recorded")
        finally:
            print("what is let go of on the way out says so", flush=True)
            reached.append("let go")  # it is told once
    assert (left.value.code, reached) == (141, ["let go"])


def test_a_thread_that_finds_it_ends_the_command_from_its_main_thread() -> None:
    with pytest.raises(SystemExit) as left, gone(), screen():
        thread = threading.Thread(target=print, args=["bar"], kwargs={"flush": True})
        thread.start()
        thread.join()
        print("step 2")
        pytest.fail("it went on")
    assert left.value.code == 141


def test_streams_are_put_back_and_may_be_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setattr(sys, "stderr", None)
    with screen():
        print("line")
        assert not sys.stdout.isatty()
    assert sys.stdout is stream and sys.stderr is None and stream.getvalue() == "line\n"
