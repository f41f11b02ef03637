"""SOLVER.COMPILE: the encoder's repeated parts go through torch.compile, and give the numbers up to rounding."""

from __future__ import annotations

from collections.abc import Callable
from functools import partialmethod
from types import SimpleNamespace

import pytest
import torch
from detectron2.config import CfgNode
from tiny_trainer import tiny_steps, tiny_trainer
from torch import nn

from benchmarks.computing.compiled import CompileCost, check_compile, compile_parts
from benchmarks.config.run_id import run_id
from benchmarks.core.errors import ConfigError
from methods.encoders.mit import MixTransformer

MakeConfig = Callable[..., CfgNode]
CPU = torch.device("cpu")


@pytest.mark.slow
def test_compiled_steps_are_close_to_plain_ones(small_config: MakeConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through all of torch.compile but the C++ compiler, which takes half a minute."""
    with_compiler = nn.Module.compile
    monkeypatch.setattr(nn.Module, "compile", partialmethod(with_compiler, backend="aot_eager"))
    plain = tiny_trainer(small_config, "source-only")
    compiled = tiny_trainer(small_config, "source-only", {"SOLVER.COMPILE": True})
    torch._dynamo.utils.counters.clear()
    assert list(compiled.student.state_dict()) == list(plain.student.state_dict())
    for ours, theirs in zip(tiny_steps(compiled, 2), tiny_steps(plain, 2), strict=True):
        assert ours == pytest.approx(theirs, rel=1e-4)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1


def test_parts_of_mix_transformer_are_those_without_drop_path() -> None:
    encoder = MixTransformer("b0")
    names = list(encoder.state_dict())
    compile_parts([encoder])
    compiled = [name for name, part in encoder.named_modules() if part._compiled_call_impl is not None]
    assert len(compiled) == 2 * sum(encoder.depths)
    assert {name.rpartition(".")[2] for name in compiled} == {"attention", "mlp"}
    assert list(encoder.state_dict()) == names


def test_the_first_step_is_told_before_and_after() -> None:
    told: list[str] = []
    hook = CompileCost(told.append)
    hook.trainer = trainer = SimpleNamespace(start_iter=3, iter=3, progress=SimpleNamespace(seconds=[61.27]))
    torch._dynamo.utils.counters["stats"]["unique_graphs"] = 4
    for trainer.iter in (3, 4):
        hook.before_step()
        hook.after_step()
    assert told == ["torch compiles the encoder", "torch compiled 4 kinds of parts; the first step took 61.3 s"]


def test_where_it_cannot_be(small_config: MakeConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    cfg = small_config("dacs", overrides={"SOLVER.COMPILE": True})
    assert run_id(cfg) != run_id(small_config("dacs"))  # it rounds otherwise
    both = small_config("dacs", overrides={"SOLVER.COMPILE": True, "SOLVER.ACTIVATION_CHECKPOINTING": True})
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    check_compile(cfg, CPU)
    with pytest.raises(ConfigError, match="are True: expected one of them"):
        check_compile(both, CPU)
    monkeypatch.setattr("shutil.which", lambda name: None)
    check_compile(small_config("dacs"), CPU)
    with pytest.raises(ConfigError, match="True, and there is no C"):
        check_compile(cfg, CPU)
