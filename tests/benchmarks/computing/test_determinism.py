"""Deterministic kernels within, and what there was before afterwards; torch's compiler is told where it is used."""

from __future__ import annotations

import sys

import pytest
import torch

from benchmarks.computing.determinism import deterministic


@pytest.mark.parametrize("before", [0, 1])  # 1: what has no deterministic kernel warns
def test_within_an_error_and_then_as_before_without_the_compiler(
    before: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch._inductor", None)  # to import it is an error
    monkeypatch.setitem(sys.modules, "torch._inductor.config", None)
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)
    torch.set_deterministic_debug_mode(before)
    try:
        with deterministic(False):
            assert torch.get_deterministic_debug_mode() == before and torch.backends.cudnn.benchmark
        with pytest.raises(RuntimeError, match="out of luck"), deterministic(True):
            assert torch.get_deterministic_debug_mode() == 2 and not torch.backends.cudnn.benchmark
            raise RuntimeError("out of luck")
        assert torch.get_deterministic_debug_mode() == before and torch.backends.cudnn.benchmark
    finally:
        torch.set_deterministic_debug_mode(0)


@pytest.mark.slow
def test_the_compiler_is_told_where_it_is_used() -> None:
    import torch._inductor.config as compiler

    with deterministic(True, compiled=True):
        assert compiler.deterministic and torch.get_deterministic_debug_mode() == 2
    assert not compiler.deterministic and torch.get_deterministic_debug_mode() == 0
