"""What commands print to: a terminal shows what it can, and a reader that has gone, as ``| head``, ends them quietly.

Standard library alone, as set-up uses it too.
"""

from __future__ import annotations

import io
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO, cast

BROKEN_PIPE = 141
"""Exit code of a command whose reader has gone: a shell's for SIGPIPE."""


@contextmanager
def screen() -> Iterator[None]:
    """While it lasts, stdout and stderr show "?" for what their encoding lacks, and end the command by SystemExit(141).

    By SystemExit, so that nothing takes it for the fault of a run, and not by SIGPIPE, which would leave locks behind
    and end a command for a worker's pipe, too.
    """
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = map(_screen, before)
    try:
        yield
    finally:
        shown = [stream for stream in (sys.stdout, sys.stderr) if isinstance(stream, _Screen)]
        sys.stdout, sys.stderr = before
        for stream in shown:
            stream.flush()  # of what is short, all is still in the buffer


def _screen(stream: TextIO) -> TextIO:
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="replace")
    return stream if stream is None else cast(TextIO, _Screen(stream))  # None: closed by the caller, as by >&-


class _Screen:
    """A stream whose broken pipe ends the command once, from its main thread; what comes after goes nowhere."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._gone = self._told = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._stream)

    def write(self, text: str) -> int:
        try:
            written = self._stream.write(text)
        except BrokenPipeError:
            self._leave()
            written = len(text)
        self._tell()
        return written

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except BrokenPipeError:
            self._leave()
        except ValueError:  # closed
            pass
        self._tell()

    def _leave(self) -> None:
        """Nothing of what is in the buffer, or comes, is an error again, nor at the interpreter's end."""
        self._gone = True
        with suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)

    def _tell(self) -> None:
        if self._gone and not self._told and threading.current_thread() is threading.main_thread():
            self._told = True
            raise SystemExit(BROKEN_PIPE)
