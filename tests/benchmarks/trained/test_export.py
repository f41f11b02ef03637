"""``benchmarks/export.py``: what is written computes what the run computes, without segshift; else nothing is kept."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import NETWORK
from detectron2.config import CfgNode
from full_disk import largest_file
from tiny_vit import DAFORMER, LINEAR, register_tiny
from trained_runs import Command, Ended, assert_one_line, call, copied, network, trained

import benchmarks.evaluate
import benchmarks.export
from benchmarks.core.errors import ConfigError
from benchmarks.engine.build import build_student
from benchmarks.trained import exporting
from benchmarks.trained.opened_run import TrainedRun
from datasets.classes.label_space import CITYSCAPES
from methods.encoders import mit, resnet
from methods.networks import build_segmentor

# Torch alone: isolated from the checkout, the user's site packages and PYTHONPATH.
WITHOUT_SEGSHIFT = """
import sys, torch
program = torch.export.load(sys.argv[1]).module()
images = torch.load(sys.argv[2], weights_only=True)
assert not {"benchmarks", "methods", "datasets", "detectron2"} & set(sys.modules)
torch.save({"three": program(images), "one": program(images[:1])}, sys.argv[3])
"""


@pytest.fixture
def export(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> Command:
    trained()
    capfd.readouterr()
    monkeypatch.chdir(tmp_path)

    def command(*words: str) -> Ended:
        return call(benchmarks.export, ["--run", str(trained()), *words], monkeypatch, capfd)

    return command


def no_program(*_: Any, **__: Any) -> None:
    """Stands in for torch.export.export where the program is not what is tested, for tracing takes seconds."""
    raise RuntimeError("data-dependent branch\nat length")


def noise(count: int, height: int, width: int) -> torch.Tensor:
    return torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(7))


@pytest.mark.slow
@pytest.mark.parametrize("model", ["student", "teacher"])
def test_the_checkpoint_is_the_network_alone(
    export: Command,
    tmp_path: Path,
    model: str,
    small_config: Callable[..., CfgNode],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(torch.export, "export", no_program)
    ended = export("--model", model, "--output", "out/net.pth", "--size", "64x64")
    assert ended.code == 1 and f"bit-equal to the run's {model} on 64x64 noise" in ended.out
    path = tmp_path / "out/net.pth"
    content = torch.load(path, weights_only=True)
    original, images = network(trained(), model), noise(2, 64, 64)
    assert set(content) == {"model", "segshift"} and set(content["model"]) == set(original.state_dict())
    assert {key.split(".")[0] for key in content["model"]} == {"encoder", "decoder"}
    described = content["segshift"]
    assert described["class_names"] == list(CITYSCAPES.names) and described["class_colours"][0] == [128, 64, 128]
    assert described["config"]["NETWORK"] == NETWORK and described["config"]["TEST.WINDOW"] == []
    assert (described["model"], described["run"]) == (model, trained().name)
    # By the name of a network, as --weights FILE of run.py takes it
    rebuilt = build_segmentor(NETWORK, 19, str(path)).eval()
    with torch.no_grad():
        assert torch.equal(rebuilt(images), original(images))
    student = build_student(small_config("mrm", overrides={"WEIGHTS": str(path)})).state_dict()
    assert all(torch.equal(value, content["model"][key]) for key, value in student.items())
    # It scores what the run scored, as the model that it is
    run, other = copied(trained(), tmp_path / "run"), {"student": "teacher", "teacher": "student"}[model]
    words = ["--run", str(run), "--checkpoint", str(path), "--model"]
    assert_one_line(call(benchmarks.evaluate, [*words, other], monkeypatch, capfd), f"expected --model {model}")
    assert call(benchmarks.evaluate, [*words, model], monkeypatch, capfd).code == 0
    (entry,) = json.loads((run / "evaluation.json").read_text())["evaluations"]
    assert entry["iou"] == json.loads((run / "record.json").read_text())["result"][model]["iou"]


@pytest.mark.slow
def test_the_program_needs_torch_alone(export: Command, tmp_path: Path) -> None:
    ended = export("--output", "net", "--size", "96x64")
    assert (ended.code, ended.err) == (0, "")
    assert "images (B, 3, 64, 96) in [0, 1] -> logits (B, 19, 64, 96)" in ended.out
    assert sorted(file.name for file in tmp_path.iterdir()) == ["net.pt2", "net.pth"]
    images = noise(3, 64, 96)
    torch.save(images, tmp_path / "images.pt")
    words = [sys.executable, "-I", "-c", WITHOUT_SEGSHIFT, "net.pt2", "images.pt", "logits.pt"]
    inherited = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(words, cwd=tmp_path, env=inherited, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    found = torch.load(tmp_path / "logits.pt", weights_only=True)
    with torch.no_grad():
        expected = network(trained())(images)
    torch.testing.assert_close(found["three"], expected, rtol=0, atol=1e-4 * expected.abs().max().item())
    torch.testing.assert_close(found["one"], expected[:1], rtol=0, atol=1e-4 * expected.abs().max().item())
    described = {"segshift.json": ""}
    torch.export.load(tmp_path / "net.pt2", extra_files=described)
    assert json.loads(described["segshift.json"])["class_names"] == list(CITYSCAPES.names)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["daformer-lite0", "daformer-mitb0", "deeplabv2-r50", "deeplabv3plus-r50", LINEAR, DAFORMER]
)
def test_other_networks_can_be_traced_for_any_number_of_images(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    register_tiny(monkeypatch)
    # Blocks of a stage are alike, and torch takes a second for ten: the first ones of each kind will do.
    monkeypatch.setitem(resnet._BLOCKS, 50, (1, 2, 2, 3))
    monkeypatch.setitem(mit._DEPTHS, "b0", (1, 1, 1, 1))
    torch.manual_seed(0)
    segmentor = build_segmentor(name, 19, "none").eval()
    program, number = exporting._trace(segmentor, noise(2, 64, 64))
    assert number == "B"
    images = noise(3, 64, 64)
    with torch.no_grad():
        for count in (1, 3):
            expected = segmentor(images[:count])
            found = program.module()(images[:count])
            torch.testing.assert_close(found, expected, rtol=0, atol=1e-4 * expected.abs().max().item())


@pytest.mark.slow
def test_hrda_is_exported_with_its_attention(
    small_config: Callable[..., CfgNode], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cfg = small_config("hrda")
    student = build_student(cfg).eval()
    torch.save({"model": student.state_dict()}, tmp_path / "model_final.pth")
    (tmp_path / "last_checkpoint").write_text("model_final.pth")
    assert exporting.export(TrainedRun.at(tmp_path, cfg), "student", tmp_path / "net.pth", (64, 64)) == 0
    assert "(tolerance" in capsys.readouterr().out
    content = torch.load(tmp_path / "net.pth", weights_only=True)
    assert {key.split(".")[0] for key in content["model"]} == {"encoder", "decoder", "attention"}
    assert content["segshift"]["config"]["HRDA.ENABLED"] is True
    images = noise(1, 64, 64)
    with torch.no_grad():
        expected = student(images)
        found = torch.export.load(tmp_path / "net.pt2").module()(images)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4 * expected.abs().max().item())


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({}, (128, 64)),  # as streets are drawn
        ({"TEST.RESIZE": (96, 48)}, (96, 48)),
        ({"TEST.RESIZE": (96, 48), "TEST.SLIDING": True, "TEST.WINDOW": (32, 48)}, (32, 48)),
    ],
)
def test_the_program_is_for_what_the_network_is_given_in_a_test(
    small_config: Callable[..., CfgNode], keys: dict[str, Any], expected: tuple[int, int]
) -> None:
    assert exporting._size(small_config("dacs", overrides=keys)) == expected
    cfg = small_config("dacs").clone()
    cfg.defrost()
    cfg.DATA.STREETS.SOURCE_IMAGES = 0
    with pytest.raises(ConfigError, match="--size is needed"):
        exporting._size(cfg)


# On a fault


@pytest.mark.slow
def test_a_program_that_computes_something_else_is_not_kept(
    export: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Zeros(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return images.new_zeros(len(images), 19, 64, 64)

    monkeypatch.setattr(exporting, "_trace", lambda _, images: (torch.export.export(Zeros(), (images[:1],)), "1"))
    ended = export("--output", "net.pth", "--size", "64x64")
    assert ended.code == 1
    assert ended.err.startswith("error: the program's output differs by") and len(ended.err.splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["net.pth"]


def test_a_checkpoint_that_computes_something_else_is_not_kept(
    export: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = exporting.load_segmentor

    def wrong(run: TrainedRun, model: str, path: Path) -> Any:
        segmentor = right(run, model, path)
        if path.parent == Path():  # the file just written, not the run's
            with torch.no_grad():
                segmentor.decoder.classifier.bias += 1e-6
        return segmentor

    monkeypatch.setattr(exporting, "load_segmentor", wrong)
    ended = export("--output", "net.pth", "--size", "64x64")
    assert ended.code == 1 and "error: the checkpoint's output differs by" in ended.err
    assert list(tmp_path.iterdir()) == []


def test_a_network_that_cannot_be_traced_leaves_its_checkpoint(
    export: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.export, "export", no_program)
    ended = export("--output", "net.pth", "--size", "64x64")
    assert ended.code == 1
    assert ended.err == f"error: {NETWORK} cannot be exported by torch.export: data-dependent branch\n"
    assert [path.name for path in tmp_path.iterdir()] == ["net.pth"]


@pytest.mark.slow
@pytest.mark.parametrize(("limit", "part"), [(10_000, "net.pth"), (None, "net.pt2")])
def test_a_full_disk_is_one_line_and_leaves_no_half_file(
    export: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int | None, part: str
) -> None:
    """Torch itself would end the process where it cannot write."""
    monkeypatch.setattr(exporting, "_trace", lambda segmentor, _: (segmentor, "1"))
    monkeypatch.setattr(torch.export, "save", lambda _, file, **__: file.write(bytes(100_000_000)))
    with largest_file(limit or 90_000_000):
        ended = export("--output", "net.pth", "--size", "64x64")
    assert_one_line(ended, f"{part}: cannot be written (File too large)")
    assert [path.name for path in tmp_path.iterdir()] == ([] if part == "net.pth" else ["net.pth"])


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("--size 64", "--size is '64', expected a width and a height such as 1024x512"),
        ("--size 0x64", "--size is '0x64', expected"),
        ("--output net.onnx", "--output net.onnx: expected a name that ends in .pth"),
        ("--output file/net.pth --size 64x64", "file/net.pth: cannot be written"),
        ("--run nowhere", "--run nowhere: no such folder"),
    ],
)
def test_what_cannot_be_exported_is_told_in_one_line(export: Command, tmp_path: Path, words: str, line: str) -> None:
    (tmp_path / "file").touch()
    assert_one_line(export(*words.split()), line)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.slow
def test_a_size_that_the_network_does_not_take_is_told_in_one_line(export: Command, tmp_path: Path) -> None:
    run = str(trained("dacs", "daformer-lite0"))
    line = "--size 8x8: daformer-lite0 cannot be run on it (Calculated padded input size"
    assert_one_line(export("--run", run, "--size", "8x8"), line)
    assert list(tmp_path.iterdir()) == []
