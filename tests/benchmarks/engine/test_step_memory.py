"""Counting the memory of a step without computing it."""

from __future__ import annotations

import sys

import pytest
import torch
from conftest import NETWORK
from torch import nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from trained_runs import Command, assert_one_line, call

from benchmarks import step_memory
from benchmarks.config.spec import RunSpec
from benchmarks.core.errors import ConfigError
from benchmarks.tools import counted_memory
from benchmarks.tools.device_calls import make_fake
from benchmarks.tools.live_bytes import LiveBytes

KIB = 1024


def test_storages_are_counted_once_from_birth_to_death() -> None:
    with FakeTensorMode(), LiveBytes() as counter:
        first = torch.zeros(256)  # 1 KiB
        view = first.view(16, 16)[2:]
        second = first * 2
        assert (counter.live, counter.peak) == (2 * KIB, 2 * KIB)
        del first
        assert counter.live == 2 * KIB  # the view keeps it
        del view
        assert counter.live == KIB
        second += 1
        assert (counter.live, counter.peak) == (KIB, 2 * KIB)


def test_a_layers_training_step_by_hand() -> None:
    """Weight 64 x 32, input 128 x 64, ReLU after it, in float32; 4 bytes each."""
    layer = nn.Linear(64, 32, bias=False)
    mode = FakeTensorMode()
    make_fake([layer], mode)
    with mode, LiveBytes() as counter:
        counter.add(layer.parameters())
        assert counter.live == 64 * 32 * 4
        images = torch.zeros(128, 64)
        loss = layer(images).relu().sum()
        # The product is freed, since ReLU's gradient needs its own result only.
        assert counter.live == (64 * 32 + 128 * 64 + 128 * 32 + 1) * 4
        loss.backward()
        del loss
        assert counter.live == (64 * 32 + 128 * 64 + 64 * 32) * 4  # weight, input, gradient


def test_draws_keep_their_values_and_are_not_counted() -> None:
    real = torch.rand(4, generator=torch.Generator().manual_seed(3)).tolist()
    with FakeTensorMode(allow_non_fake_inputs=True), LiveBytes() as counter:
        drawn = 2 * torch.rand(4, generator=torch.Generator().manual_seed(3)) / 2
        assert drawn.tolist() == real
        assert counter.live == 0
        mixed = drawn * torch.zeros(4)
        assert isinstance(mixed, FakeTensor) and counter.live > 0


@pytest.mark.slow
def test_between_steps_there_are_weights_and_optimizer_state() -> None:
    """Weights, two moments of AdamW, buffers: by numbers of elements."""
    small = {"WEIGHTS": "none", "INPUT.CROP": (64, 64), "SOLVER.BATCH": 2}
    cfg = RunSpec("streets", "source-only", "daformer-lite0", overrides=small).resolve()
    static, peak = counted_memory.count(cfg)
    from benchmarks.engine.build import build_student

    student = build_student(cfg)
    weights = sum(p.numel() * p.element_size() for p in student.parameters())
    buffers = sum(b.numel() * b.element_size() for b in student.buffers())
    steps = 4 * len(list(student.parameters()))  # AdamW counts each parameter's steps in a float
    assert static * 2**20 == pytest.approx(3 * weights + buffers + steps, rel=0.01)
    assert peak > static + weights / 2**20  # gradients and activations


@pytest.mark.slow
def test_terms_views_are_held_one_at_a_time() -> None:
    """MIC's view comes after the mixed one: a step's peak is that of the larger, not of both."""
    small = {"WEIGHTS": "none", "INPUT.CROP": (64, 64), "SOLVER.BATCH": 2}

    def peak(method: str) -> float:
        return counted_memory.count(RunSpec("streets", method, NETWORK, overrides=small).resolve())[1]

    dacs = peak("dacs")
    assert peak("dacs+mic") < 1.05 * dacs


@pytest.mark.slow
def test_command_prints_a_row_for_each(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--protocol", "streets", "--network", NETWORK, "--methods", "source-only,mic", "--precisions", "fp32"]
    words += ["--format", "csv", "INPUT.CROP", "64x64", "SOLVER.BATCH", "2"]
    monkeypatch.setattr(sys, "argv", ["step_memory.py", *words])
    assert step_memory.main() == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "method,network,crop,batch,precision,activation checkpointing,between steps,peak"
    assert [line.split(",")[0] for line in lines[1:]] == ["source-only", "source-only", "dacs+mic", "dacs+mic"]


def test_a_table_of_memory_has_one_cell_a_text() -> None:
    rows = [{"method": "a|b", "between steps": 512.0, "peak": 1024.0}]
    assert step_memory.table(rows, "github").splitlines()[2] == r"| a\|b     |        0.50 GiB | 1.00 GiB |"
    assert step_memory.table([rows[0] | {"method": "=1+1"}], "csv").splitlines()[1] == "'=1+1,0.50 GiB,1.00 GiB"


def test_unknown_precision_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["step_memory.py", "--precisions", "fp16"])
    with pytest.raises(ConfigError, match="--precisions is 'fp16', expected fp32 or bf16"):
        step_memory.main()


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Command:
    words = ["--methods=source-only", "--network=daformer-lite0", "--checkpointing=off", "--precisions=fp32"]
    return lambda *more: call(step_memory, [*words, *more], monkeypatch, capfd)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("INPUT.CROP 8x8", "INPUT.CROP"),
        ("INPUT.CROP 32x32 SOLVER.BATCH 1", "INPUT.CROP 32x32, SOLVER.BATCH 1: no step of source-only with daformer-"),
    ],
)
def test_a_crop_that_no_network_takes_is_one_line(command: Command, words: str, told: str) -> None:
    ended = command(*words.split())
    assert (ended.code, ended.out) == (2, "")
    *progress, line = ended.err.splitlines()
    assert line.startswith(f"error: {told}")
    assert all(text.startswith("counting  0/1 settings  ") for text in progress) and len(progress) <= 1


def test_what_torch_refuses_is_one_line(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kernels that do not fit, of networks whose smallest crop nothing knows."""

    def refuses(*_: object, **__: object) -> None:
        raise RuntimeError("Kernel size can't be greater than actual input size\nmore")

    monkeypatch.setattr("benchmarks.engine.trainer.Trainer.update", refuses)
    ended = command("INPUT.CROP", "64x64", "SOLVER.BATCH", "2")
    assert ended.code == 2
    line = "INPUT.CROP 64x64, SOLVER.BATCH 2: no step of source-only with daformer-lite0 (Kernel size can't be greater"
    assert ended.err.splitlines()[-1].startswith(f"error: {line}") and ended.err.endswith("actual input size)\n")


@pytest.mark.parametrize(
    ("key", "value", "option"),
    [
        ("SOLVER.PRECISION", "fp16", "--precisions"),
        ("SOLVER.ACTIVATION_CHECKPOINTING", "True", "--checkpointing"),
    ],
)
def test_what_options_loop_over_is_no_key(command: Command, key: str, value: str, option: str) -> None:
    assert_one_line(command(key, value), f"KEY VALUE: {key} is set by {option}")
