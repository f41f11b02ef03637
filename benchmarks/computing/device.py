"""Where a run is computed."""

from __future__ import annotations

import torch
from detectron2.config import CfgNode

from benchmarks.core.errors import ConfigError


def pick_device(cfg: CfgNode) -> torch.device:
    """DEVICE, or cuda where there is one, else cpu. Raises ConfigError for one that is not there."""
    name = cfg.DEVICE or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(f"DEVICE {name!r} cannot be used: {str(error).splitlines()[0]}") from None
    return device
