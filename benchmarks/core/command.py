"""What every command does first and last."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable

from benchmarks.core.errors import ConfigError, RunLeftOut

_OURS = ("ablations", "benchmarks", "datasets", "methods", "results", "slurm")


def exit_in_one_line(main: Callable[[], int]) -> None:
    """Run a command; what the user got wrong ends it with one line on stderr and exit code 2, without a traceback."""
    from benchmarks.core.checkout import check_checkout
    from benchmarks.core.screen import screen
    from slurm.base.thread_waiting import wait_briefly

    wait_briefly()
    quiet_libraries()
    with screen():
        try:
            check_checkout()
        except ConfigError as error:
            print(f"error: {error}", file=sys.stderr)
            sys.exit(2)
        sys.exit(_code(main))


def quiet_libraries() -> None:
    """Show no warnings that are the affair of those who write the libraries, from now on."""
    warnings.filterwarnings("ignore", module=r"(detectron2|fvcore|torch|iopath|copyreg)\b.*")


def _code(main: Callable[[], int]) -> int:
    from datasets.base.errors import DataError
    from methods.base.errors import MethodError
    from results.files.errors import ResultsError
    from slurm.base.errors import LauncherError

    try:
        return main()
    except (ConfigError, DataError, MethodError, ResultsError, LauncherError, RunLeftOut) as error:
        from results.files.text import one_line

        print(f"error: {one_line(str(error))}", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        if str(error.name).split(".")[0] in _OURS:
            raise
        print(
            f"error: {sys.executable} has no package {error.name!r}: `python3 -m benchmarks.install` makes an "
            "environment that has all (its python is .venv/bin/python)",
            file=sys.stderr,
        )
        return 2
    except KeyboardInterrupt:
        print("interrupted: the same command goes on where it can, a run from its last checkpoint", file=sys.stderr)
        return 130
