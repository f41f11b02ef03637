"""How threads of torch wait for each other: they look for work for a moment, then sleep.

By default GNU's OpenMP, which torch's wheels have, looks 300,000 times: on a machine that is busy with something else
that takes the core from whoever has something to do there, and makes a training step twice as long. Never to look would
make it a tenth longer on an idle machine (``benchmarks/threads_speed.py`` measures both). OpenMP reads it once, when
torch is loaded. Standard library alone, as this comes before torch.
"""

from __future__ import annotations

import os

SPINS = 10_000
_VARIABLE = "GOMP_SPINCOUNT"
CHOICES = (_VARIABLE, "OMP_WAIT_POLICY")


def wait_briefly() -> None:
    """Have torch's threads soon sleep, in this process and in those that it starts, unless the user chose a way."""
    if not any(name in os.environ for name in CHOICES):
        os.environ[_VARIABLE] = str(SPINS)


def script_line() -> str:
    """The same as a line of a batch script, for a job that does not get this process's variables."""
    chosen = "".join(f"${{{name}+x}}" for name in CHOICES)
    return f'[ -n "{chosen}" ] || export {_VARIABLE}={SPINS}'
