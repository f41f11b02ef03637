"""How the commands of ``results/`` end: what is damaged is told as it is met, a user's slip in one line."""

from __future__ import annotations

import sys
from collections.abc import Callable

from results.files.errors import ResultsError
from results.files.text import one_line


def exit_code(make: Callable[[Callable[[str], None]], None], out: object) -> int:
    """Call ``make``, and return the exit code: 1 where it told a line of something damaged, 2 for a user's slip.

    Args:
        make: the command; it is given what tells a line on stderr.
        out: the value of ``--out``, which an OSError is about.
    """
    damaged: list[str] = []

    def tell(line: str) -> None:
        damaged.append(line)
        print(one_line(line), file=sys.stderr)

    try:
        make(tell)
    except ResultsError as error:
        print(f"error: {one_line(str(error))}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"error: --out {out}: cannot be written ({error.strerror})", file=sys.stderr)
        return 2
    return 1 if damaged else 0
