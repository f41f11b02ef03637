"""Steps in their parts, their floor, and the operations that they launch: by hand, and by what must be equal."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from itertools import count
from typing import Any

import pytest
import torch
from conftest import NETWORK
from detectron2.config import CfgNode
from detectron2.utils.events import EventStorage
from stepped_trainer import assert_same, state
from torch._subclasses.fake_tensor import FakeTensorMode

import methods.framework.step as step_of_terms
from benchmarks.config.spec import RunSpec
from benchmarks.engine.trainer import Trainer
from benchmarks.measure import step_split
from benchmarks.measure.kernel_calls import Counted, KernelCalls, count_step
from benchmarks.measure.parts import Parts
from benchmarks.measure.step_floor import Floor, StudentPass, TeacherPass
from benchmarks.measure.step_split import (
    BACKWARD,
    FORWARD,
    MIXING,
    OPTIMIZER,
    PARTS,
    PSEUDO,
    REST,
    TEACHER,
    TERMS,
    UPDATE,
    WAITING,
    split_step,
    told_apart,
)
from benchmarks.tools import counted_memory
from benchmarks.tools.random_step import random_trainer
from benchmarks.tools.replaced import replaced
from methods.parts.teacher import Teacher

CPU = torch.device("cpu")
OF_TARGET = {TEACHER, MIXING, PSEUDO, UPDATE}


@pytest.fixture(autouse=True)
def storage() -> Iterator[None]:
    with EventStorage(0):
        yield


def config(method: str, precision: str = "fp32") -> CfgNode:
    """A step on 64x64 crops, two of each domain; its losses are not looked at."""
    values = {"WEIGHTS": "none", "INPUT.CROP": (64, 64), "SOLVER.BATCH": 2, "DEVICE": "cpu", "LOG.PERIOD": 10**6}
    small = {"TERMS.MRM.DIM": 32, "TERMS.MRM.HEADS": 2, "TERMS.MRM.RESOLUTION": 4, "SOLVER.PRECISION": precision}
    return RunSpec("streets", method, NETWORK, 0, values | small).resolve()


@cache
def counted(method: str, precision: str = "fp32") -> Counted:
    return count_step(config(method, precision))


def calls(method: str, precision: str = "fp32") -> dict[str, int]:
    return counted(method, precision).calls


def trainer(method: str) -> Trainer:
    made = random_trainer(config(method), CPU)
    made.iter = 0
    return made


def test_an_inner_part_has_its_own_and_the_outer_one_the_rest() -> None:
    now = iter([0, 1, 3, 7, 15, 31, 63, 127])
    parts = Parts(lambda: next(now))
    with parts.part("outer"):  # begins at 0
        with parts.part("inner"):  # 1 to 3
            pass
        parts.wrapped("inner", lambda: None)()  # 7 to 15
    assert parts.amounts == {"outer": 1 + 4 + 16, "inner": 2 + 8}


def test_what_is_replaced_is_put_back_also_after_an_error() -> None:
    class Owner:
        own = 1

    class Heir(Owner):
        pass

    with pytest.raises(KeyError), replaced(Owner, "own", 2), replaced(Heir, "own", 3):
        assert (Owner.own, Heir.own) == (2, 3)
        raise KeyError
    assert Owner.own == Heir.own == 1 and "own" not in vars(Heir)


def test_parts_sum_up_to_the_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that goes on by one whenever it is read: every second is in one part."""
    for method, missing in (("source-only", OF_TARGET), ("dacs", set())):
        ticks = count()
        monkeypatch.setattr(step_split, "clock", lambda device, wait, ticks=ticks: lambda: next(ticks))
        found = split_step(trainer(method))
        assert list(found) == list(PARTS)
        assert sum(found.values()) == pytest.approx(next(ticks) - 1)
        assert {name for name, seconds in found.items() if not seconds} == missing
        assert 0 < found[WAITING] < 1  # in seconds: the trainer's own


def test_a_step_that_is_told_apart_is_the_same_step() -> None:
    plain, split = trainer("dacs+mic"), trainer("dacs+mic")
    logits, mix = Teacher.logits, step_of_terms.mix
    plain.run_step()
    split_step(split)
    assert_same(state(plain), state(split))
    assert Teacher.logits is logits and step_of_terms.mix is mix
    assert not {"encode", "predict"} & set(vars(split.student)) and "update" not in vars(split)


def test_the_floor_has_the_passes_of_the_step() -> None:
    made = trainer("dacs+mic+mrm")
    floor = Floor(made)
    kinds = [len(each.decoded) if isinstance(each, StudentPass) else "teacher" for each in floor.passes]
    assert kinds == [1, "teacher", 2, 1]  # source, pseudo-labels, mixed and MRM's second decoding, MIC
    (taught,) = (each for each in floor.passes if isinstance(each, TeacherPass))
    assert taught.images.shape == (2, 3, 64, 64) and taught.teacher is made.teacher
    before = [parameter.clone() for parameter in made.student.parameters()]
    encoded: list[torch.Tensor] = []
    encode = made.student.encode

    def heard(images: torch.Tensor, *window: Any) -> list[torch.Tensor]:
        encoded.append(images)
        return encode(images, *window)

    with replaced(made.student, "encode", heard):
        floor.run()
    assert [images.shape for images in encoded] == [(2, 3, 64, 64)] * 3
    assert all(parameter.grad is None for parameter in made.student.parameters())
    assert all(map(torch.equal, before, made.student.parameters()))


def test_operations_that_launch_are_counted_by_hand() -> None:
    with FakeTensorMode(), KernelCalls() as counter:
        zeros = torch.zeros(4, 4)
        flat, turned, nothing = zeros.view(16), zeros.t(), torch.empty(3)
        assert counter.number == 1
        product = (zeros + 1) @ turned
        assert counter.number == 3
        torch._foreach_add_([flat, nothing], 1.0)
        product.relu_()
        assert counter.number == 5
        torch.rand(4, generator=torch.Generator()) * 2  # the host's
        assert counter.number == 5


@pytest.mark.slow
def test_what_methods_launch() -> None:
    plain, dacs = (calls(name) for name in ("source-only", "dacs"))
    assert set(plain) == set(PARTS) - {WAITING}
    assert {name for name, number in plain.items() if not number} == OF_TARGET
    assert dacs[FORWARD] == 2 * plain[FORWARD]  # source and mixed
    assert plain[FORWARD] - 10 < dacs[TEACHER] < plain[FORWARD]  # one pass, without dropout
    assert dacs[UPDATE] <= 2 and dacs[OPTIMIZER] == plain[OPTIMIZER]
    assert dacs[BACKWARD] > plain[BACKWARD] and dacs[TERMS] > plain[TERMS]
    assert plain[REST] <= 10  # images and labels as the networks take them
    latent = calls("dacs+mrm")
    assert plain[FORWARD] > latent[FORWARD] - dacs[FORWARD] > 0  # a second pass of the decoder, none of the encoder
    assert all(latent[name] == dacs[name] for name in (TEACHER, MIXING, PSEUDO, UPDATE))


@pytest.mark.slow
def test_memory_is_that_of_the_command_for_it() -> None:
    assert counted("dacs").peak_mib == counted_memory.count(config("dacs"))[1]


@pytest.mark.slow
def test_autocast_launches_casts() -> None:
    full, half = (calls("source-only", name) for name in ("fp32", "bf16"))
    assert half[FORWARD] > full[FORWARD] and half[OPTIMIZER] == full[OPTIMIZER]


def test_parts_are_told_apart_once_more() -> None:
    """Wrapping twice counts each second once a wrapping, and leaves nothing behind."""
    made, ticks = trainer("dacs"), count()
    first, second = Parts(lambda: next(ticks)), Parts(lambda: next(ticks))
    with told_apart(made, first):
        made.run_step()
    with told_apart(made, second):
        made.run_step()
    assert first.amounts == second.amounts
