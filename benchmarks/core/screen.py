"""What commands print to: a terminal shows what it can, and a reader that has gone, as ``| head``, ends them quietly.

Where what is printed goes to a full disk, they go on: runs and tables have files of their own.

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

UNSHOWN = 2
"""Exit code of a command that did all and could not show all."""


@contextmanager
def screen() -> Iterator[None]:
    """Let stdout and stderr show "?" for what their encoding lacks, and end the command by SystemExit(141), within.

    By SystemExit, so that nothing takes it for the fault of a run, and not by SIGPIPE, which would leave locks behind
    and end a command for a worker's pipe, too. What cannot be written for another reason, as on a full disk, is one
    line on stderr, and SystemExit(2) at the end of a command that would have ended with 0.
    """
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = map(_screen, before)
    shown = [stream for stream in (sys.stdout, sys.stderr) if isinstance(stream, _Screen)]
    ended: SystemExit | None = None
    try:
        yield
    except SystemExit as error:
        ended = error
    finally:
        try:
            for stream in shown:
                stream.flush()  # of what is short, all is still in the buffer
        finally:
            sys.stdout, sys.stderr = before
    if any(stream.unshown for stream in shown) and (ended is None or not ended.code):
        raise SystemExit(UNSHOWN)
    if ended is not None:
        raise ended


def _screen(stream: TextIO) -> TextIO:
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="replace")
    return stream if stream is None else cast(TextIO, _Screen(stream))  # None: closed by the caller, as by >&-


class _Screen:
    """A stream whose broken pipe ends the command once, from its main thread; what comes after goes nowhere.

    Attributes:
        unshown: whether it failed otherwise: that is said once, and what comes after goes nowhere, too.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._gone = self._told = self.unshown = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._stream)

    def write(self, text: str) -> int:
        try:
            written = self._stream.write(text)
        except OSError as error:
            self._leave(error)
            written = len(text)
        self._tell()
        return written

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError as error:
            self._leave(error)
        except ValueError:  # closed
            pass
        self._tell()

    def _leave(self, error: OSError) -> None:
        """Let nothing that is in the buffer, or comes, be an error again, nor at the interpreter's end."""
        said = self._gone or self.unshown
        if isinstance(error, BrokenPipeError):
            self._gone = True
        else:
            self.unshown = True
        with suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)
        if self.unshown and not said and sys.stderr is not self:
            print(
                f"error: what is printed cannot be written ({error.strerror or error}): the rest is not shown, files "
                "are written all the same",
                file=sys.stderr,
            )

    def _tell(self) -> None:
        if self._gone and not self._told and threading.current_thread() is threading.main_thread():
            self._told = True
            raise SystemExit(BROKEN_PIPE)
