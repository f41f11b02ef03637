"""The set-up command: ``python3 -m benchmarks.install [--with-tests] [--current]``."""

import sys

# This file stays readable for old interpreters, so that they get this line and not a syntax error.
if sys.version_info < (3, 10):  # noqa: UP036
    sys.stderr.write("benchmarks.install: needs Python 3.10 or newer, this is {}.{}\n".format(*sys.version_info[:2]))
    sys.exit(2)

from ..core.screen import screen
from .command import main

if __name__ == "__main__":
    with screen():
        sys.exit(main())
