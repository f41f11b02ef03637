"""Captured passes, with a recorder that computes anew on the CPU in place of CUDA graphs: same memory, same order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partialmethod
from typing import Any

import pytest
import torch
from detectron2.config import CfgNode
from tiny_trainer import tiny_steps, tiny_trainer, trained_state
from torch import Tensor, nn

from benchmarks.computing.captured_pass import NotCaptured, Replay
from benchmarks.computing.graphs import Graphs, step_graphs
from benchmarks.engine.hooks import WatcherHook
from benchmarks.engine.runner import RunWatcher
from benchmarks.engine.trainer import Trainer
from methods.encoders.encoder import Encoder

MakeConfig = Callable[..., CfgNode]


class Rerun:
    """Computes what it recorded again, into the memory of the first time, where nothing can be read before.

    It refuses another forward pass while a backward pass is to come, as the graph would overwrite what that reads.
    """

    def __init__(self, backward: bool, replayed: list[str]) -> None:
        self.recorded, self.backward, self.replayed, self.pending = 0, backward, replayed, False

    @contextmanager
    def warming_up(self, last: bool) -> Iterator[None]:
        yield

    def record(self, compute: Callable[[], list[Tensor]]) -> tuple[Replay, list[Tensor]]:
        grad, forward = torch.is_grad_enabled(), self.recorded == 0
        self.recorded += 1
        memory = [made.detach().clone().fill_(float("nan")) for made in compute()]

        def replay() -> None:
            assert not (forward and self.pending), "a pass overwrites what an unfinished backward pass reads"
            self.pending = forward and self.backward
            self.replayed.append("forward" if forward else "backward")
            with torch.set_grad_enabled(grad or not forward):
                made = compute()
            with torch.no_grad():
                for fixed, value in zip(memory, made, strict=True):
                    fixed.copy_(value)

        return replay, memory


def with_graphs(trainer: Trainer) -> list[str]:
    """Cover the trainer's networks; gives what is replayed, in order."""
    replayed: list[str] = []
    roots = [trainer.student, trainer.terms, *([trainer.teacher] if trainer.teacher is not None else [])]
    trainer.graphs = Graphs(roots, lambda backward: Rerun(backward, replayed))
    return replayed


ALL_FORMS: list[tuple[str, dict[str, Any]]] = [
    ("source-only", {}),
    ("daformer+mic+mrm", {"SOLVER.PRECISION": "fp16"}),
    ("hrda+mic+mrm", {"SOLVER.PRECISION": "bf16"}),
    ("hrda+mic+mrm", {"SELF_TRAINING.THRESHOLD": 0.0}),
    ("dacs+mrm-input", {}),
    ("dacs+mixup", {}),
    ("dacs+mic", {"TERMS.MIC.TEACHER": "own", "SOLVER.OPTIMIZER": "sgd"}),
    ("dacs+mrm", {"TERMS.MRM.TRAINED": "encoder"}),
    ("dacs+mrm", {"TERMS.MRM.TRAINED": "decoder", "TERMS.MRM.DOMAIN": "both"}),
    ("dacs+mrm", {"TERMS.MRM.OBJECTIVE": "teacher-feature"}),
]


def assert_same_state(first: Trainer, second: Trainer) -> None:
    one, other = trained_state(first), trained_state(second)
    assert one.keys() == other.keys()
    assert [name for name in one if not torch.equal(one[name], other[name])] == []


@pytest.mark.parametrize(
    ("method", "overrides"),
    [("daformer+mic+mrm", {}), *(pytest.param(*form, marks=pytest.mark.slow) for form in ALL_FORMS)],
)
def test_replayed_steps_give_the_numbers_of_plain_ones(
    small_config: MakeConfig, method: str, overrides: dict[str, Any]
) -> None:
    """The first is looked at, the second recorded and replayed, the third replayed."""
    plain, captured = (tiny_trainer(small_config, method, overrides) for _ in range(2))
    replayed = with_graphs(captured)
    assert tiny_steps(captured, 3) == tiny_steps(plain, 3)
    assert_same_state(captured, plain)
    assert {"forward", "backward"} <= set(replayed)


@pytest.mark.slow
def test_compiled_parts_are_captured_too(small_config: MakeConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through all of torch.compile but the C++ compiler."""
    monkeypatch.setattr(nn.Module, "compile", partialmethod(nn.Module.compile, backend="aot_eager"))
    both = {"SOLVER.COMPILE": True, "SOLVER.PRECISION": "bf16"}
    compiled, captured = (tiny_trainer(small_config, "dacs+mrm", both) for _ in range(2))
    torch._dynamo.utils.counters.clear()
    replayed = with_graphs(captured)
    assert tiny_steps(captured, 3) == tiny_steps(compiled, 3)
    assert_same_state(captured, compiled)
    assert replayed and torch._dynamo.utils.counters["stats"]["unique_graphs"]


def test_a_frozen_encoder_is_captured_once_for_student_and_teacher_without_a_backward_pass(
    small_config: MakeConfig,
) -> None:
    plain, captured = (tiny_trainer(small_config, "dacs+mrm", {"SOLVER.FREEZE_ENCODER": True}) for _ in range(2))
    replayed = with_graphs(captured)
    assert tiny_steps(captured, 2) == tiny_steps(plain, 2)
    assert captured.graphs.captured == 5  # encoder, Rebuilder, the student's decoder twice, the teacher's
    replayed.clear()
    assert tiny_steps(captured, 1) == tiny_steps(plain, 1)
    assert_same_state(captured, plain)
    # As below, but for two backward passes of the encoder.
    assert (replayed.count("forward"), replayed.count("backward")) == (8, 4)


@pytest.fixture
def warmed_up(small_config: MakeConfig) -> tuple[Trainer, list[str]]:
    """A trainer of MRM, which decodes twice before a backward pass, all whose passes are captured; what it replays."""
    trainer = tiny_trainer(small_config, "dacs+mrm")
    replayed = with_graphs(trainer)
    tiny_steps(trainer, 2)
    replayed.clear()
    return trainer, replayed


def test_a_step_replays_each_pass_once_and_nothing_else_does(warmed_up: tuple[Trainer, list[str]]) -> None:
    trainer, replayed = warmed_up
    step = trainer.training_step(next(trainer.batches_from(0)))
    trainer.update(step)
    # Encoder and decoder of source and mixed view, the decoder again, the Rebuilder; the teacher's encoder and decoder.
    assert (replayed.count("forward"), replayed.count("backward")) == (8, 6)
    assert all(parameter.grad is not None for parameter in trainer.student.parameters())
    replayed.clear()
    with trainer.aside():
        trainer.pictures(trainer.training_step(next(trainer.batches_from(0))))
    trainer.student.eval()(torch.rand(1, 3, 64, 96))
    assert replayed == [] and not trainer.graphs.replaying()


def test_names_stay_and_what_is_loaded_is_what_is_replayed(small_config: MakeConfig) -> None:
    plain, captured = (tiny_trainer(small_config, "dacs+mrm", {"SOLVER.PRECISION": "bf16"}) for _ in range(2))
    names = list(captured.student.state_dict())
    with_graphs(captured)
    tiny_steps(captured, 2)
    assert list(captured.student.state_dict()) == names
    for trainer in (plain, captured):
        torch.manual_seed(5)
        for module in (trainer.student, trainer.teacher, trainer.terms):
            assert module is not None
            state = module.state_dict()
            module.load_state_dict({name: torch.rand(each.shape).to(each) * 0.1 for name, each in state.items()})
        trainer.optimizer.state.clear()
    assert tiny_steps(captured, 2) == tiny_steps(plain, 2)
    assert_same_state(captured, plain)


class Refusing(Rerun):
    @contextmanager
    def warming_up(self, last: bool) -> Iterator[None]:
        raise NotCaptured("it waits for the device")
        yield


class Wrong(Rerun):
    def record(self, compute: Callable[[], list[Tensor]]) -> tuple[Replay, list[Tensor]]:
        replay, memory = super().record(compute)
        return lambda: (replay(), memory[0].mul_(1.5)), memory  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("recorder", "reason"),
    [(Refusing, "it waits for the device"), (Wrong, "what was recorded gives other numbers (by 0.")],
)
def test_what_cannot_be_captured_is_computed_as_ever_and_the_log_says_why(
    small_config: MakeConfig, caplog: pytest.LogCaptureFixture, recorder: type[Rerun], reason: str
) -> None:
    plain, refused = (tiny_trainer(small_config, "source-only") for _ in range(2))
    refused.graphs = Graphs([refused.student], lambda backward: recorder(backward, []))
    assert tiny_steps(refused, 3) == tiny_steps(plain, 3)
    assert_same_state(refused, plain)
    (told,) = (entry.getMessage() for entry in caplog.records)
    assert refused.graphs.refused.startswith(f"TinyEncoder is not captured: {reason}")
    assert told == f"no CUDA graphs from here on: {refused.graphs.refused}"


def test_log_and_progress_say_what_was_captured(small_config: MakeConfig, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    trainer, shown = tiny_trainer(small_config, "dacs+mrm"), list[str]()
    with_graphs(trainer)
    watcher = RunWatcher()
    watcher.preparing = shown.append  # type: ignore[method-assign]
    hook = WatcherHook(watcher)
    hook.trainer = trainer
    hook.before_train()
    tiny_steps(trainer, 4)
    told = [entry.getMessage() for entry in caplog.records]
    assert shown == ["capturing CUDA graphs", *told]
    # Encoder, Rebuilder, the decoder's two, the teacher's two.
    assert [each.split(" in ")[0] for each in told] == ["captured 6 passes"]


class Scaling(Encoder):
    channels, strides = (3,), (1,)

    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(2.0))

    def extract(self, x: Tensor) -> list[Tensor]:
        return [x * self.factor]


def test_a_pass_is_free_again_when_its_graph_is_dropped_and_shapes_have_a_limit() -> None:
    encoder, replayed = Scaling(), list[str]()
    graphs = Graphs([encoder], lambda backward: Rerun(False, replayed))
    covered = graphs._modules[0]

    def run(*sides: int) -> list[Tensor]:
        with graphs.step():
            return [encoder(torch.ones(1, 3, side, side))[0] for side in sides]

    run(4, 4)
    kept = run(4, 4)
    assert sum(map(len, covered._passes.values())) == 2
    del kept
    run(4, 4)
    assert sum(map(len, covered._passes.values())) == 2
    sides = range(5, 20)
    run(*sides)
    for side, output in zip(sides, run(*sides), strict=True):
        assert output.shape[-1] == side
        torch.testing.assert_close(output, 2 * encoder.normalise(torch.ones(1, 3, side, side)))
    assert sum(map(len, covered._passes.values())) == 8


def test_gradients_of_two_passes_are_summed_before_they_are_added() -> None:
    encoder = Scaling()
    graphs = Graphs([encoder], lambda backward: Rerun(backward, []))
    images = torch.rand(1, 3, 2, 2)
    for _ in range(3):
        encoder.factor.grad = torch.tensor(1e8)  # which swallows what is added to it one by one
        with graphs.step():
            (sum(encoder(images)[0].sum() for _ in range(2))).backward()
            graphs.collect()
        expected = torch.tensor(1e8) + 2 * encoder.normalise(images).sum()
        assert encoder.factor.grad == expected


def test_where_there_are_no_graphs(
    small_config: MakeConfig, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level("INFO")
    gpu, encoder = torch.device("cuda"), Scaling()
    on = {"SOLVER.GRAPHS": True}
    for cfg, device in (
        (small_config("dacs", overrides=on), torch.device("cpu")),
        (small_config("dacs"), gpu),
        (small_config("dacs", overrides=on | {"SOLVER.ACTIVATION_CHECKPOINTING": True}), gpu),
    ):
        step_graphs(cfg, device, [encoder])
    monkeypatch.setattr("detectron2.utils.comm.get_world_size", lambda: 2)
    step_graphs(small_config("dacs", overrides=on), gpu, [encoder])
    assert "forward" not in vars(encoder)
    assert [entry.getMessage() for entry in caplog.records] == [
        "no CUDA graphs: SOLVER.ACTIVATION_CHECKPOINTING computes passes again within the backward pass",
        "no CUDA graphs: several processes make the run, and wait for each other within its passes",
    ]
