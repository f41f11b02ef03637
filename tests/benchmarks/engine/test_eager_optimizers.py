"""The optimizers step as torch's do, bit for bit, and load no compiler."""

from __future__ import annotations

import sys
from typing import Any

import pytest
import torch
from torch.optim.lr_scheduler import LambdaLR

from benchmarks.engine.eager_optimizers import SGD, AdamW

CASES: list[tuple[Any, Any, dict[str, Any]]] = [
    (AdamW, torch.optim.AdamW, {"weight_decay": 0.01}),
    (SGD, torch.optim.SGD, {"momentum": 0.9, "weight_decay": 5e-4}),
]


def trained(optimizer: Any, options: dict[str, Any]) -> tuple[list[torch.Tensor], dict[str, Any]]:
    """Weights of a network and the optimizer's state after five steps, of which a copy of it makes the last two."""
    draw = torch.Generator().manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(5, 7), torch.nn.Tanh(), torch.nn.Linear(7, 3))
    for parameter in net.parameters():
        parameter.data.normal_(generator=draw)
    x = torch.randn(6, 5, generator=draw)

    def made(state: dict[str, Any] | None) -> tuple[Any, LambdaLR]:
        made = optimizer(net[0].parameters(), lr=0.1, fused=True, **options)
        made.add_param_group({"params": list(net[2].parameters()), "lr": 0.3})
        if state is not None:
            made.load_state_dict(state)
        return made, LambdaLR(made, lambda step: 0.9**step)

    state = None
    for steps in (3, 2):
        of, schedule = made(state)
        for _ in range(steps):
            of.zero_grad()
            net(x).square().sum().backward()
            of.step()
            schedule.step()
        state = of.state_dict()
    assert state is not None
    return list(net.parameters()), state


@pytest.mark.parametrize(("ours", "of_torch", "options"), CASES)
def test_steps_are_those_of_torch_without_its_compiler(
    ours: Any, of_torch: Any, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected, known = trained(of_torch, options)
    monkeypatch.setitem(sys.modules, "torch._dynamo", None)  # to import it is an error
    found, state = trained(ours, options)
    assert all(torch.equal(a, b) and a.requires_grad and a.is_leaf for a, b in zip(found, expected, strict=True))
    assert state["param_groups"] == known["param_groups"] and state["state"].keys() == known["state"].keys()
    for index, values in known["state"].items():
        assert all(torch.equal(state["state"][index][name], value) for name, value in values.items())
