"""What ``benchmarks/publish.py`` wrote is taken back, by path and from a hub: the same weights, the same scores."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import NETWORK, SMALL, pairs
from fake_hub import COMMIT, NAME, FakeHub, fake_hub
from huggingface_hub import errors
from record_files import read_record
from tiny_files import save_image
from trained_runs import Command, assert_one_line, network, trained

import benchmarks.evaluate
import benchmarks.export
import benchmarks.predict
import benchmarks.run
from benchmarks.config.run import Run
from benchmarks.config.run_id import run_id
from benchmarks.config.spec import RunSpec
from benchmarks.engine.build import build_student
from benchmarks.engine.run_record import initial_record
from methods.base.errors import MethodError
from methods.networks import build_segmentor
from methods.pretrained.published_weights import file_sha256


@pytest.fixture
def folder(published: Path, tmp_path: Path) -> Path:
    """A copy that a test may write in."""
    return Path(shutil.copytree(published, tmp_path / "net"))


@pytest.fixture
def hub(published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeHub:
    return fake_hub(published, tmp_path / "hub", monkeypatch)


def student(weights: str) -> dict[str, torch.Tensor]:
    cfg = RunSpec("streets", "dacs", None, 3, SMALL | {"WEIGHTS": weights}).resolve()
    return build_student(cfg).state_dict()


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["net", "net/model.safetensors", f"hf:{NAME}"])
def test_it_scores_what_its_record_says(
    name: str, command: Command, folder: Path, hub: FakeHub, tmp_path: Path
) -> None:
    ended = command(benchmarks.evaluate, "--weights", name)
    assert ended.code == 0 and "Equal to the record, bit for bit" in ended.out
    place = tmp_path / f"runs/hf/{NAME}@{COMMIT}" if name.startswith("hf:") else folder
    (entry,) = json.loads((place / "evaluation.json").read_text())["evaluations"]
    record = read_record(trained()) or {}
    assert entry["equals_record"] is True
    assert entry["miou_by_classes"] == record["result"]["student"]["miou_by_classes"]
    assert not (hub.snapshot / "evaluation.json").exists()  # a cache is not written to


@pytest.mark.slow
def test_it_predicts_and_exports_what_the_run_does(command: Command, folder: Path, tmp_path: Path) -> None:
    save_image(tmp_path / "a.png", (128, 64), 1)
    assert command(benchmarks.predict, "--run", str(trained()), "a.png", "--output", "one").code == 0
    assert command(benchmarks.predict, "--weights", "net", "a.png", "--output", "two").code == 0
    assert (tmp_path / "one/labels/a.png").read_bytes() == (tmp_path / "two/labels/a.png").read_bytes()
    # As another checkpoint of the run, too: a folder, a file.
    for checkpoint in ("net", "net/model.safetensors"):
        ended = command(benchmarks.evaluate, "--run", str(trained()), "--checkpoint", checkpoint)
        assert ended.code == 0 and "mIoU" in ended.out
    assert_one_line(command(benchmarks.predict, "--weights", "net", "--model", "teacher", "a.png"), "is the student")
    (trained() / "evaluation.json").unlink()


@pytest.mark.slow
def test_runs_begin_with_it(folder: Path, hub: FakeHub) -> None:
    hub.fetched()
    names = [str(folder), str(folder / "model.safetensors"), f"hf:{NAME}", f"hf:{NAME}@{COMMIT}", f"hf:{NAME}@main"]
    expected = network(trained()).state_dict()
    assert all(equal(student(name), expected) for name in names)
    specs = [RunSpec("streets", "dacs", None, 3, {"WEIGHTS": name}) for name in names]
    assert len({run_id(spec.resolve()) for spec in specs}) == 1  # the content decides, not where it lies
    assert hub.asked == []  # the local cache has it
    assert [spec.resolve().WEIGHTS for spec in specs[2:]] == [f"hf:{NAME}@{COMMIT}"] * 3
    record = initial_record(Run.of(specs[2], folder)).content
    assert record["weights"] == {"from": f"hf:{NAME}@{COMMIT}", "sha256": file_sha256(folder / "model.safetensors")}
    assert "weights" not in initial_record(Run.of(specs[0], folder)).content


@pytest.mark.slow
def test_what_is_not_here_is_fetched_of_one_commit(hub: FakeHub) -> None:
    assert equal(student(f"hf:{NAME}"), network(trained()).state_dict())
    assert hub.asked == [("SHA256SUMS", None), ("model.safetensors", COMMIT)]
    hub.error = AssertionError("asked again")
    assert equal(student(f"hf:{NAME}@{COMMIT}"), network(trained()).state_dict())


def of(kind: type[Exception], text: str = "") -> Exception:
    """An error of the hub's, without the answer that it is made of."""
    error = kind.__new__(kind)
    error.args = (text,)
    return error


@pytest.mark.slow
@pytest.mark.parametrize(
    ("error", "told"),
    [
        (of(errors.LocalEntryNotFoundError), "there is no network"),
        (of(errors.GatedRepoError), f"{NAME} is gated"),
        (of(errors.RepositoryNotFoundError), "no such repository"),
        (of(errors.RevisionNotFoundError), "has no revision v1"),
        (of(errors.RemoteEntryNotFoundError), "has no SHA256SUMS in revision v1"),
        (ConnectionError("reset\nby peer"), "SHA256SUMS could not be fetched (reset)"),
    ],
)
def test_what_cannot_be_fetched_is_one_line(error: Exception, told: str, command: Command, hub: FakeHub) -> None:
    hub.error = error
    for words in ((benchmarks.evaluate, "--weights"), (benchmarks.run, "--methods", "dacs", "--weights")):
        assert_one_line(command(*words, f"hf:{NAME}@v1"), f"weights hf:{NAME}@v1: ", told)


@pytest.mark.slow
def test_what_is_not_what_was_published_is_refused(command: Command, folder: Path, hub: FakeHub) -> None:
    for place, name in ((folder, "net"), (hub.snapshot, f"hf:{NAME}")):
        hub.fetched()
        content = bytearray((place / "model.safetensors").read_bytes())
        content[-1] ^= 1
        (place / "model.safetensors").write_bytes(content)
        for words in (
            (benchmarks.evaluate, "--weights", name),
            (benchmarks.run, "--methods", "dacs", "--weights", name, *pairs(small())),
        ):
            assert_one_line(command(*words), "model.safetensors: has SHA-256", "of SHA256SUMS beside it")
    (folder / "SHA256SUMS").unlink()
    (folder / "model.safetensors").write_bytes(bytes(content[:1000]))
    assert_one_line(command(benchmarks.evaluate, "--weights", "net"), "model.safetensors: cannot be read")


def small() -> dict[str, Any]:
    return {key: value for key, value in SMALL.items() if key != "WEIGHTS"}


@pytest.mark.slow
def test_it_fits_its_own_network_and_classes_alone(folder: Path) -> None:
    own = f"they are of {NETWORK} with 19 classes"
    with pytest.raises(MethodError, match=rf"do not fit {NETWORK}, {own}: .* of other shape"):
        build_segmentor(NETWORK, 5, str(folder))
    with pytest.raises(MethodError, match=rf"do not fit deeplabv2-r50, {own}: .* missing"):
        build_segmentor("deeplabv2-r50", 19, str(folder))


def test_without_the_library_a_line_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MethodError, match="huggingface_hub is not installed"):
        build_segmentor("daformer-lite0", 19, f"hf:{NAME}")


@pytest.mark.parametrize("name", ["hf:", "hf:somebody", "hf:a/b/c", "hf:a/b@"])
def test_what_is_no_address(name: str) -> None:
    with pytest.raises(MethodError, match="expected hf:owner/name or hf:owner/name@revision"):
        build_segmentor("daformer-lite0", 19, name)
