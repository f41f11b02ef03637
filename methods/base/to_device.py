"""From the CPU to where networks are computed."""

from __future__ import annotations

import torch


def to_device(tensor: torch.Tensor, device: torch.device | str) -> torch.Tensor:
    """Copy a small tensor of the CPU to a device; the host does not wait for what the device has to do before.

    From memory that is not pinned a copy to a GPU may wait, also where it is asked not to.
    """
    if torch.device(device).type == "cuda":
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)
