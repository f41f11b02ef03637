"""Where and with which code something was measured."""

from __future__ import annotations

from typing import Any

import torch

from benchmarks.state.provenance import code_state, hardware, versions


def machine(device: torch.device) -> dict[str, Any]:
    """Hardware, versions and the state of the code, as records have them."""
    return {"hardware": hardware(device), "versions": versions(), "git": code_state()[0]}
