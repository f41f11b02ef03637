"""The state of the code, asked of git once, for tests that make many runs and do not look at it."""

from __future__ import annotations

import functools

import pytest

from benchmarks.engine import runner
from benchmarks.state.provenance import code_state

_known = functools.cache(code_state)  # tests/slurm/test_snapshot.py has its own tests


def know_the_code(patch: pytest.MonkeyPatch) -> None:
    """Have runs of this process take the state of the code from the first: it is four processes of git's."""
    patch.setattr(runner, "code_state", _known)
