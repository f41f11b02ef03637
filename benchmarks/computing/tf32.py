"""TF32: float32 products of which the GPU's tensor cores read the first 10 bits of each factor's fraction.

torch's defaults are TF32 in cuDNN's convolutions and float32 in matrix products: that is SOLVER.PRECISION fp32 on a
GPU. With tf32 both are TF32. A run's record says which there were.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from detectron2.config import CfgNode

from benchmarks.core.errors import ConfigError

TF32 = "tf32"


@contextmanager
def tf32(wanted: bool) -> Iterator[None]:
    """Let convolutions and matrix products of float32 on a GPU be TF32 within, if ``wanted``."""
    if not wanted:
        yield
        return
    cudnn: Any = torch.backends.cudnn
    before = torch.get_float32_matmul_precision(), cudnn.allow_tf32
    _allow("high", True)
    try:
        yield
    finally:
        _allow(*before)


def _allow(matrices: str, convolutions: bool) -> None:
    # By the older of torch's two ways, which sets the newer one, too; the other way round, whatever asks by the older
    # (torch.compile does) raises. torch 2.9 to 2.11 warn of it.
    cudnn: Any = torch.backends.cudnn
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Please use the new API settings", UserWarning)
        torch.set_float32_matmul_precision(matrices)
        cudnn.allow_tf32 = convolutions


def products(device: torch.device) -> dict[str, Any]:
    """What a record says of products of float32 on a GPU, as torch is set now; nothing of a CPU, which has no TF32."""
    if device.type != "cuda":
        return {}
    backends: Any = torch.backends
    convolutions, matrices = backends.cudnn.conv.fp32_precision, backends.cuda.matmul.fp32_precision
    return {"float32_products": {"convolutions": _named(convolutions), "matrix products": _named(matrices)}}


def _named(precision: str) -> str:
    return TF32 if precision == TF32 else "fp32"


def check_tf32(cfg: CfgNode, device: torch.device) -> None:
    """Check that a run that asks for TF32 is computed where there is such a thing. Raises ConfigError if not."""
    if cfg.SOLVER.PRECISION == TF32 and (device.type != "cuda" or not torch.cuda.is_tf32_supported()):
        raise ConfigError(f"SOLVER.PRECISION is tf32, which this {device.type} has not: expected fp32 or bf16")
