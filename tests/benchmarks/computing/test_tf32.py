"""TF32: what a run asks for, what torch then does, and what the record says of it."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import pytest
import torch
from detectron2.config import CfgNode

from benchmarks.computing.tf32 import check_tf32, products, tf32
from benchmarks.config.run_id import run_id
from benchmarks.core.errors import ConfigError

MakeConfig = Callable[..., CfgNode]
GPU, CPU = torch.device("cuda"), torch.device("cpu")
FP32 = {"convolutions": "tf32", "matrix products": "fp32"}


def test_products_are_tf32_within_alone_and_the_record_says_so() -> None:
    assert products(GPU) == {"float32_products": FP32}  # torch's defaults: fp32 is TF32 in convolutions
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with tf32(True):
            assert products(GPU) == {"float32_products": dict.fromkeys(FP32, "tf32")}
            assert torch.backends.cuda.matmul.allow_tf32  # what asks the older way, as torch.compile does, is answered
        with tf32(False):
            assert products(GPU) == {"float32_products": FP32}
    assert products(GPU) == {"float32_products": FP32}
    assert products(CPU) == {}


def test_it_is_another_run_and_needs_a_gpu(small_config: MakeConfig) -> None:
    cfg = small_config("dacs", overrides={"SOLVER.PRECISION": "tf32"})
    assert run_id(cfg) != run_id(small_config("dacs"))
    check_tf32(small_config("dacs"), CPU)
    with pytest.raises(ConfigError, match="is tf32, which this cpu has not: expected fp32 or bf16"):
        check_tf32(cfg, CPU)
