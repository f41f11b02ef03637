"""Activation checkpointing changes memory and nothing else: losses, gradients, buffers, draws and state dicts."""

import copy
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from narrow_networks import narrow_resnet
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from methods.decoders.convolutional import DAFormerDecoder
from methods.layers.checkpointing import checkpointed
from methods.networks import Segmentor, build_segmentor

NETWORKS = ["deeplabv2-r50", "daformer-lite0", "daformer-mitb0"]
PRECISIONS = [None, torch.bfloat16]


@pytest.fixture(scope="module")
def built() -> Iterator[dict[str, Segmentor]]:
    """Encoders of the layers that they are registered with; decoders, which are not looked at here, are narrow."""
    torch.manual_seed(0)
    with pytest.MonkeyPatch.context() as monkeypatch:
        narrow_resnet(monkeypatch)
        yield {name: narrow(build_segmentor(name, 5, "none")) for name in NETWORKS}


def images(seed: int = 1, side: int = 64) -> Tensor:
    return torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(seed))


def narrow(segmentor: Segmentor) -> Segmentor:
    """With a decoder that is cheap."""
    if not isinstance(segmentor.decoder, DAFormerDecoder):
        return segmentor
    return Segmentor(segmentor.name, segmentor.encoder, DAFormerDecoder(segmentor.encoder.channels, 5, width=8))


def step(segmentor: Segmentor, checkpointing: bool, precision: torch.dtype | None) -> dict[str, Tensor]:
    """Two views, each backpropagated as it is made; everything that a training step could leave behind."""
    segmentor = copy.deepcopy(segmentor).train()
    segmentor.encoder.checkpointing = checkpointing
    # The smallest images that an encoder takes: without bf16 instructions each multiply-add takes its time.
    side = 64 if precision is None else 16 if segmentor.name == "deeplabv2-r50" else 32
    found: dict[str, Tensor] = {}
    for view in (1, 2):
        torch.manual_seed(view)
        with torch.autocast("cpu", precision, enabled=precision is not None):
            logits = segmentor(images(view, side))
        loss = logits.square().mean()
        loss.backward()
        found |= {f"loss {view}": loss.detach(), f"random state {view}": torch.get_rng_state()}
    found |= {f"gradient {key}": p.grad for key, p in segmentor.named_parameters() if p.grad is not None}
    return found | {f"buffer {key}": value for key, value in segmentor.named_buffers()}


@pytest.mark.slow
@pytest.mark.parametrize("precision", PRECISIONS, ids=["fp32", "bf16"])
@pytest.mark.parametrize("name", NETWORKS)
def test_a_step_is_bit_equal(built: dict[str, Segmentor], name: str, precision: torch.dtype | None) -> None:
    plain, saving = (step(built[name], checkpointing, precision) for checkpointing in (False, True))
    assert plain.keys() == saving.keys()
    assert [key for key in plain if not torch.equal(plain[key], saving[key])] == []
    parameters = sum(1 for _ in built[name].parameters())
    assert sum(key.startswith("gradient") for key in plain) > 0.9 * parameters  # drop path may skip a whole block
    counts = [value for key, value in saving.items() if key.endswith("num_batches_tracked")]
    assert len(counts) > 3
    assert all(count == 2 for count in counts)  # two views: each batch counted once


@pytest.mark.slow
@pytest.mark.parametrize("name", ["daformer-lite0", "daformer-mitb0"])
def test_two_passes_of_one_graph_are_bit_equal(built: dict[str, Segmentor], name: str) -> None:
    """As HRDA's context and detail: under autocast the second pass takes the weights that the first has cast."""
    gradients = []
    for checkpointing in (False, True):
        encoder = copy.deepcopy(built[name].encoder).train()
        encoder.checkpointing = checkpointing
        torch.manual_seed(3)
        with torch.autocast("cpu", torch.bfloat16):
            features = [encoder(images(view, side=32))[-1] for view in (1, 2)]
        torch.stack([feature.float().square().mean() for feature in features]).sum().backward()
        gradients.append({key: p.grad for key, p in encoder.named_parameters() if p.grad is not None})
    plain, saving = gradients
    assert plain.keys() == saving.keys()
    assert [key for key in plain if not torch.equal(plain[key], saving[key])] == []


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_drop_path_is_on_in_these_tests(built: dict[str, Segmentor], name: str) -> None:
    """Or equality would not show that the recomputation draws the same numbers."""
    segmentor = copy.deepcopy(built[name]).train()
    with torch.no_grad():
        torch.manual_seed(1)
        first = segmentor.encode(images())[-1]
        torch.manual_seed(2)
        assert torch.equal(first, segmentor.encode(images())[-1]) == (name == "deeplabv2-r50")


def saved_bytes(segmentor: Segmentor) -> int:
    """Bytes of the activations that autograd holds after the encoder's forward pass, each storage once."""
    parameters = {p.untyped_storage().data_ptr() for p in segmentor.parameters()}
    sizes: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in parameters:
            sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        features = segmentor.encode(images())
    assert features[-1].requires_grad
    return sum(sizes.values())


@pytest.mark.parametrize("name", NETWORKS)
def test_saved_activations_shrink(built: dict[str, Segmentor], name: str) -> None:
    segmentor = copy.deepcopy(built[name]).train()
    plain = saved_bytes(segmentor)
    segmentor.encoder.checkpointing = True
    assert saved_bytes(segmentor) < 0.4 * plain


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_every_block_and_only_in_training(
    built: dict[str, Segmentor], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[Any] = []

    def spy(*args: Any, **kwargs: Any) -> Any:
        calls.append(args[0])
        return checkpoint(*args, **kwargs)

    monkeypatch.setattr("methods.layers.checkpointing.checkpoint", spy)
    segmentor = copy.deepcopy(built[name]).train()
    segmentor.encode(images())
    assert calls == []
    segmentor.encoder.checkpointing = True
    segmentor.encode(images())
    assert len(calls) == {"deeplabv2-r50": 3 + 4 + 6 + 3, "daformer-lite0": 16, "daformer-mitb0": 8}[name]
    calls.clear()
    with torch.no_grad():
        segmentor.encode(images())
    segmentor.eval().encode(images())
    assert calls == []


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_copies_and_state_dicts_know_nothing_of_it(built: dict[str, Segmentor], name: str) -> None:
    student = copy.deepcopy(built[name]).train()
    keys = list(student.state_dict())
    student.encoder.checkpointing = True
    student(images()).mean().backward()
    assert list(student.state_dict()) == keys
    teacher = copy.deepcopy(student).eval()
    assert list(teacher.state_dict()) == keys
    with torch.no_grad():
        for parameter in teacher.parameters():
            parameter.zero_()
        assert not torch.equal(teacher(images()), student.eval()(images()))  # no block of the copy is the student's


def test_statistics_of_a_diverged_pass_stay_as_the_first_pass_left_them() -> None:
    block = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.ReLU())
    x = torch.full((2, 3, 8, 8), torch.inf, requires_grad=True)
    with checkpointed([block]):
        y = block(x)
    norm: Any = block[1]
    before = {key: value.clone() for key, value in norm.named_buffers()}
    assert not before["running_mean"].isfinite().any()
    y.sum().backward()
    for key, value in norm.named_buffers():
        torch.testing.assert_close(value, before[key], rtol=0, atol=0, equal_nan=True)


def test_an_error_in_a_block_leaves_no_trace() -> None:
    block = nn.Linear(3, 3)
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"), checkpointed([block]):
        block(torch.rand(2, 4))
    assert "forward" not in vars(block)
    assert block(torch.rand(2, 3)).shape == (2, 3)
