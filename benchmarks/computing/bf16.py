"""Whether the processor computes in bfloat16 itself, or a run in it will be slow."""

from __future__ import annotations

import re
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")
_INSTRUCTIONS = {"avx512_bf16", "amx_bf16", "bf16", "svebf16", "smebf16"}


def emulated_bf16() -> bool:
    """True where the processor is known to lack bf16 instructions; False where it has them or nothing is known."""
    try:
        listed = re.findall(r"^(?:flags|Features)\s*:(.*)$", CPUINFO.read_text(), re.MULTILINE)
    except OSError:
        return False
    return bool(listed) and not any(_INSTRUCTIONS & set(flags.split()) for flags in listed)
