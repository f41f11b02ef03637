"""The check of a GPU: what comes of checks, and the command in small on the CPU."""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from conftest import NETWORK
from detectron2.config import CfgNode
from trained_runs import assert_one_line, call

from benchmarks import gpu_check
from benchmarks.engine.build import build_learners
from benchmarks.engine.trainer import Trainer
from benchmarks.measure import correctness, goals
from benchmarks.measure.checklist import FAILED, NOT_MEASURED, OK, SHORT, Checklist, Found, Outcome
from benchmarks.measure.on_gpu import covered, spans_of_kernels, waits
from benchmarks.tools.random_step import random_trainer
from methods.framework.recipes import parse

ZERO = "integer division or modulo by zero"


def test_what_comes_of_checks() -> None:
    told: list[Outcome] = []
    checks = Checklist(60, told.append)
    checks.make("right", lambda: Found("3 of 3"))
    checks.make("wrong", lambda: Found("2 of 3", "one differs"))
    checks.make("slow", lambda: Found("0.2 s", reached=False), "at most 0.1 s")
    checks.make("broken", lambda: 1 // 0)  # type: ignore[arg-type,return-value]
    checks.make("long", lambda: Found("never"), needs=1000)
    checks.leave_out("elsewhere", "no GPU")
    assert [outcome.status for outcome in checks.outcomes] == [OK, FAILED, SHORT, FAILED, NOT_MEASURED, NOT_MEASURED]
    assert [outcome.reason for outcome in checks.outcomes[1:4]] == ["one differs", "", f"ZeroDivisionError: {ZERO}"]
    assert checks.outcomes[4].reason.endswith("s were left") and told == checks.outcomes
    assert checks.failed and len(checks.table().splitlines()) == 2 + 6


def test_a_goal_that_is_missed_is_no_failure_and_none_without_goals() -> None:
    for with_goals, status in ((True, SHORT), (False, OK)):
        checks = Checklist(60, goals=with_goals)
        checks.make("slow", lambda: Found("0.2 s", reached=False), "at most 0.1 s")
        assert checks.outcomes[0].status == status and not checks.failed


def test_a_check_ends_with_the_time() -> None:
    checks = Checklist(0.05)
    checks.make("endless", lambda: time.sleep(60) or Found(""), needs=0.01)
    assert checks.outcomes[0].status == NOT_MEASURED and checks.outcomes[0].reason.startswith("the time was over")
    time.sleep(0.06)  # no alarm is left behind


def test_time_covered_by_hand() -> None:
    assert covered([(5, 6), (0, 2), (1, 3), (1, 2)]) == 4
    assert covered([]) == 0


def test_recipes_are_all_that_there_are() -> None:
    names = correctness.recipes()
    assert {"source-only", "dacs", "hrda", "mic", "mrm", "hrda+mic+mrm"} <= set(names)
    assert all(parse(name) for name in names)


VALUES = {"WEIGHTS": "none", "INPUT.CROP": (64, 64), "SOLVER.BATCH": 2, "LOG.PERIOD": 10**6}
GIVEN: Any = (["source-only", "dacs"], correctness.SMALL_NETWORK, VALUES, torch.device("cpu"))


def spoil(monkeypatch: pytest.MonkeyPatch, change: Callable[[torch.Tensor, CfgNode], Any]) -> None:
    """Have dacs' trainers begin with other weights of the classifier."""
    right = correctness.random_trainer

    def spoiled(cfg: CfgNode, device: torch.device) -> Trainer:
        made = right(cfg, device)
        if cfg.METHOD == "dacs":
            change(made.student.decoder.classifier.weight.data, cfg)
        return made

    monkeypatch.setattr(correctness, "random_trainer", spoiled)


def test_a_loss_that_is_not_finite_is_told_with_its_recipe(monkeypatch: pytest.MonkeyPatch) -> None:
    assert correctness.three_steps(*GIVEN) == Found("2 of 2")
    spoil(monkeypatch, lambda weight, _: weight.fill_(float("nan")))
    found = correctness.three_steps(*GIVEN)
    assert found.value == "1 of 2" and found.fault.startswith("dacs: loss_supervised is nan at iteration 0")


def test_steps_with_graphs_are_held_to_those_without(monkeypatch: pytest.MonkeyPatch) -> None:
    assert correctness.with_graphs(*GIVEN) == Found("2 of 2, 0 passes captured")
    spoil(monkeypatch, lambda weight, cfg: weight.add_(1e-7 if cfg.SOLVER.GRAPHS else 0))
    found = correctness.with_graphs(*GIVEN)
    assert found.value.startswith("1 of 2") and found.fault.startswith("dacs: ") and "tensors differ" in found.fault


def test_ratios_and_shares_by_hand() -> None:
    steps = goals.Steps(goals.IN_SMALL)
    steps.rows = {
        "a": {"seconds": {"median": 0.3}, "busy_share": 0.9, "busy_seconds": 0.27, "kernels": 100.0, "waits": 0},
        "b": {"seconds": {"median": 0.2}, "busy_share": 0.5, "busy_seconds": 0.1, "kernels": 50.0, "waits": 2},
    }
    steps.rows["a"] |= {"wait_places": [], "host_share_outside_launches": 0.01}
    steps.rows["b"] |= {"wait_places": ["x.py:1", "x.py:1"], "host_share_outside_launches": 0.04}
    assert steps.ratio("a", "b", least=1.4) == Found("x1.50") and not steps.ratio("a", "b", most=1.1).reached
    assert steps.busy("a") == Found("90% (100 kernels, 270 ms)") and not steps.busy("b").reached
    assert steps.waits() == Found("2 in 2 steps", "b: x.py:1")
    assert steps.host() == Found("4.0%", reached=False)


def test_what_is_said_of_steps_with_graphs(monkeypatch: pytest.MonkeyPatch) -> None:
    row = {"method": "dacs", "seconds": {"median": 0.1}, "peak_mib": 2048, "captured": 0, "not_captured": ""}
    rows: list[dict[str, Any]] = []
    monkeypatch.setattr(goals, "measure", lambda *_, **__: rows)
    found = []
    for change in ({}, {"captured": 8}, {"not_captured": "Decoder is not captured: no memory"}):
        rows[:] = [row | change]
        found.append(goals.Steps(goals.IN_SMALL).measured("a", NETWORK, ["dacs"], 0.2, "fp32", 1))
    assert [each.value for each in found] == ["0.100 s, 2.0 GiB", "0.100 s, 8 passes captured", "0.100 s, 2.0 GiB"]
    assert [each.fault for each in found] == ["", "", "dacs: Decoder is not captured: no memory"]


def test_what_no_step_was_measured_of_is_not_right() -> None:
    checks = Checklist(5)  # seconds: less than steps need
    goals.make_all(goals.ON_GPU, checks)
    assert {outcome.status for outcome in checks.outcomes} == {NOT_MEASURED} and len(checks.outcomes) == 14


def test_what_is_annotated_is_no_kernel() -> None:
    def event(kind: str, start: float, annotated: bool) -> SimpleNamespace:
        device = getattr(torch.autograd.DeviceType, kind)
        span = SimpleNamespace(start=start, end=start + 1)
        return SimpleNamespace(device_type=device, time_range=span, is_user_annotation=annotated)

    events = [event("CPU", 0, False), event("CUDA", 1, False), event("CUDA", 2, True), event("CUDA", 5, False)]
    assert spans_of_kernels(events) == [(1, 2), (5, 6)]


def test_waits_are_heard_and_what_torch_says_of_its_listening_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    modes: list[str] = []

    def listen(mode: str) -> None:
        modes.append(mode)
        warnings.warn("Synchronization debug mode is a prototype feature", stacklevel=2)

    trainer: Any = SimpleNamespace(
        device=None, run_step=lambda: warnings.warn("called a synchronizing CUDA operation", stacklevel=1)
    )
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: None)
    monkeypatch.setattr(torch.cuda, "set_sync_debug_mode", listen)
    (place,) = waits(trainer)
    assert place.startswith("tests/benchmarks/measure/test_gpu_check.py:") and modes == ["warn", "default"]


def test_random_images_for_a_gpu_are_pinned(
    small_config: Callable[..., CfgNode], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As those of the loader are: a copy of others waits for the GPU."""
    pinned: list[torch.Tensor] = []
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: pinned.append(tensor) or tensor)
    learners = build_learners(small_config("dacs"), torch.device("cpu"))
    trainer = random_trainer(small_config("dacs"), torch.device("cuda"), learners)
    batch = next(trainer.batches_from(0))
    assert [id(each) for part in batch.values() for each in part.values()] == [id(each) for each in pinned]


def test_without_a_gpu_it_is_one_line(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    assert_one_line(call(gpu_check, [], monkeypatch, capfd), "no GPU that torch can use", "--device cpu")
    assert_one_line(call(gpu_check, ["--minutes", "0"], monkeypatch, capfd), "--minutes is 0.0, expected more than 0")


@pytest.mark.slow
def test_in_small_all_is_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Two cold processes beside it."""
    file = tmp_path / "found.json"
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    ended = call(gpu_check, ["--device", "cpu", "--minutes", "30", "--out", str(file)], monkeypatch, capfd)
    assert ended.code == 0, ended
    content = json.loads(file.read_text())
    found = {check["check"]: check["status"] for check in content["checks"]}
    assert list(found.values()).count(FAILED) == list(found.values()).count(SHORT) == 0
    assert found["killed and resumed, deterministic, fp32"] == OK
    assert {name for name, status in found.items() if status == NOT_MEASURED} == {
        name for name in found if "GPU" in name or "host outside" in name
    }
    assert len(content["steps"]) == 6 and all(name in ended.out for name in found)
