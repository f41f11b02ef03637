"""``benchmarks/publish.py``: what is published is whole, twice the same, and says nothing of machines."""

from __future__ import annotations

import json
import shlex
import subprocess
from pathlib import Path

import pytest
import torch
import yaml
from conftest import NETWORK
from full_disk import largest_file
from huggingface_hub import ModelCard
from record_files import read_record, write_record
from trained_runs import Command, assert_one_line, copied, network, trained

import benchmarks.publish
import benchmarks.run
from benchmarks.cli.given import run_overrides
from benchmarks.config.run_id import run_id
from benchmarks.config.spec import RunSpec
from benchmarks.trained import cleaned
from benchmarks.trained.licences import terms
from benchmarks.trained.publishing import publish
from methods.networks.weights import read_state_dict
from results.records.metrics import read_metrics

FILES = {
    *("NOTICE.md", "README.md", "SHA256SUMS", "config.yaml", "counts-student.npz", "counts-teacher.npz", "log.txt"),
    *("metrics.json", "model.safetensors", "record.json"),
}


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.slow
def test_a_folder_has_what_is_needed_and_no_more(published: Path) -> None:
    assert set(contents(published)) == FILES
    assert published.name == f"streets-dacs-{NETWORK}-seed0-{trained().name}"
    checked = subprocess.run(["sha256sum", "-c", "SHA256SUMS"], cwd=published, capture_output=True, text=True)
    assert checked.returncode == 0 and checked.stdout.count(": OK") == len(FILES) - 1
    state, expected = read_state_dict(str(published)), network(trained()).state_dict()
    assert state.keys() == expected.keys() and all(torch.equal(state[name], expected[name]) for name in expected)
    of_run = (trained() / "counts-student.npz").read_bytes()
    assert (published / "counts-student.npz").read_bytes() == of_run
    assert read_record(published) == read_record(trained()) | {"job": None}  # nothing of this machine is in it


@pytest.mark.slow
def test_twice_the_same_bytes_and_what_is_there_stays(published: Path, command: Command, tmp_path: Path) -> None:
    runs = str(trained().parents[3])
    assert command(benchmarks.publish, trained().name, "--runs", runs, "--out", "a").code == 0
    folder = tmp_path / "a" / published.name
    assert contents(folder) == contents(published)
    (folder / "evaluation.json").write_text("{}")  # what commands add is theirs
    before = (folder / "README.md").stat().st_mtime_ns
    ended = command(benchmarks.publish, str(trained()), "--out", "a")
    assert ended.code == 0 and "here already, the same" in ended.out
    assert (folder / "README.md").stat().st_mtime_ns == before
    (folder / "README.md").write_text("mine")
    assert_one_line(command(benchmarks.publish, str(trained()), "--out", "a"), f"a/{folder.name} holds other files")
    assert (folder / "README.md").read_text() == "mine"
    assert [path.name for path in (tmp_path / "a").iterdir()] == [folder.name]


@pytest.mark.slow
def test_the_teacher_is_another_folder(command: Command, tmp_path: Path) -> None:
    assert command(benchmarks.publish, str(trained()), "--out", "a", "--model", "teacher").code == 0
    (folder,) = (tmp_path / "a").iterdir()
    assert folder.name.endswith("-teacher")
    state, expected = read_state_dict(str(folder)), network(trained(), "teacher").state_dict()
    assert all(torch.equal(state[name], expected[name]) for name in expected)
    assert "--model teacher" in (folder / "README.md").read_text()


@pytest.mark.slow
def test_the_card_says_what_was_measured_and_how_to_make_it(published: Path) -> None:
    card = ModelCard.load(published / "README.md")
    assert card.data.license == "apache-2.0" and card.data.datasets == ["streets"] and card.data.metrics == ["mean_iou"]
    assert {"dacs", NETWORK, "unsupervised-domain-adaptation"} <= set(card.data.tags)
    miou = (read_record(trained()) or {})["result"]["student"]["miou"]
    assert card.data.eval_results[0].metric_value == round(miou, 2)
    text = card.text
    assert f" {miou:.2f} |" in text and "of one seed (0)" in text and "iterations" in text
    assert "- `SOLVER.ITERS` `4` (usual: `350`)" in text
    (line,) = [line for line in text.splitlines() if "--seeds" in line]
    arguments = benchmarks.run.parse_arguments(shlex.split(line)[2:])
    overrides = run_overrides(arguments)
    spec = RunSpec(arguments.protocol, arguments.methods, arguments.network, int(arguments.seeds), overrides)
    assert run_id(spec.resolve()) == trained().name  # the command makes this run


PLANTED = """2026-01-01 12:00:00,000 benchmarks INFO: reading /data/jane doe/gta/images '/mnt/quxqux vazvaz/c.png' ~/x
2026-01-01 12:00:01,000 benchmarks INFO: HF_TOKEN=hf_abcdef https://tracker.internal.example:5000/x?u=1 10.1.2.3:8080
2026-01-01 12:00:02,000 benchmarks WARNING: taken over by process 77 on gpu-node-17, job 4711_2; jane.doe@uni.example
2026-01-01 12:00:03,000 benchmarks INFO: janedoe@login-3:/scratch/janedoe/run, C:\\Users\\janedoe\\x ../../janedoe/y
2026-01-01 12:00:04,000 benchmarks INFO: iteration 4/4 loss 0.5 (0.4 s / iter), janedoe began this on wonderbox
"""
SECRETS = (
    *("jane", "doe", "gta/images", "/mnt", "quxqux", "vazvaz", "hf_abcdef", "internal", "10.1.2.3", "gpu-node", "4711"),
    *("uni.example", "login-3", "scratch", "Users", "wonderbox"),
)


@pytest.mark.slow
def test_no_machine_is_in_what_is_published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("USER", "janedoe")
    monkeypatch.setenv("HOSTNAME", "wonderbox.cluster")
    cleaned._names.cache_clear()
    run = copied(trained(), tmp_path / "home/janedoe/runs" / trained().name)
    (run / "log.txt").write_text(PLANTED + f"at {run}/model_final.pth\n")
    (run / "code.diff").write_text("janedoe")
    config = yaml.safe_load((run / "config.yaml").read_text())
    config |= {"WEIGHTS": "/data/jane doe/mit.pth"}
    config["DATA"] |= {"ROOT": "/data/jane doe", "MODULE": "/home/janedoe/module.py"}
    config["DATA"]["VAL"]["IMAGES"] = "/data/jane doe/val/*.png"
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    record = read_record(run) or {}
    record |= {"job": "4711_2", "hardware": {"name": "CPU of wonderbox"}, "reason": "resumed from /data/jane doe/a.pth"}
    write_record(run, record)
    publish([str(run)], Path("runs"), tmp_path / "out", "student")
    cleaned._names.cache_clear()
    (folder,) = (tmp_path / "out").iterdir()
    assert set(contents(folder)) == FILES  # no diff of code
    for name, content in contents(folder).items():
        found = [secret for secret in (*SECRETS, str(tmp_path)) if secret.encode() in content]
        assert not found, (name, found)
    log = (folder / "log.txt").read_text()
    assert "iteration 4/4 loss 0.5 (0.4 s / iter)" in log and "process 77 on <name>" in log
    assert len(log.splitlines()) == 6
    config = yaml.safe_load((folder / "config.yaml").read_text())
    assert config["WEIGHTS"] == "mit.pth" and config["DATA"]["MODULE"] == "module.py" and config["DATA"]["ROOT"] == ""
    assert config["SOLVER"]["ITERS"] == 4 and config["DATA"]["VAL"]["FOLDER"] == "cityscapes"


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("0.41 s / iter, 11/12 images, and/or, 3e-4", "0.41 s / iter, 11/12 images, and/or, 3e-4"),
        ("hf:owner/name@1234, detectron2://DeepLab/R-103.pkl", "hf:owner/name@1234, detectron2://DeepLab/R-103.pkl"),
        ("runs/streets/dacs/x", "runs/streets/dacs/x"),  # below the folder that everybody has
        ("SOLVER.ITERS=350 TERMS.MRM.RATIO=0.4 torch 2.13.0", "SOLVER.ITERS=350 TERMS.MRM.RATIO=0.4 torch 2.13.0"),
        ("(/a/b/c.py:12)", "(<path>:12)"),
        ("file:///a/b", "<address>"),
        ("PATH=/usr/bin:/x", "PATH=<value>"),
    ],
)
def test_what_a_text_loses(text: str, left: str) -> None:
    assert cleaned.clean_text(text) == left


@pytest.mark.slow
def test_what_cannot_be_published_is_named_and_nothing_is_written(command: Command, tmp_path: Path) -> None:
    for name, change in (("a", {"status": "diverged", "reason": "loss is nan"}), ("b", {"status": "running"})):
        write_record(copied(trained(), tmp_path / name), (read_record(trained()) or {}) | change)
    copied(trained(), tmp_path / "c")
    (tmp_path / "c/record.json").write_text("{")
    content = (copied(trained(), tmp_path / "d") / "model_final.pth").read_bytes()
    (tmp_path / "d/model_final.pth").write_bytes(content[: len(content) // 2])
    (copied(trained(), tmp_path / "e") / "counts-student.npz").write_bytes(b"PK")
    (copied(trained(), tmp_path / "f") / "metrics.json").write_bytes(b"\xff")
    ended = command(benchmarks.publish, str(trained()), "a", "b", "c", "nowhere", "--out", "out")
    parts = ("a is diverged (loss is nan)", "b is interrupted", "c/record.json: expected a JSON record", "nowhere")
    assert_one_line(ended, *parts)
    ended = command(benchmarks.publish, str(trained()), "d", "e", "f", "--out", "out")
    parts = ("d/model_final.pth: cut short", "e/counts-student.npz: expected", "f/metrics.json: expected lines of JSON")
    assert_one_line(ended, *parts)
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.slow
def test_a_full_disk_leaves_nothing_half(command: Command, tmp_path: Path) -> None:
    with largest_file(100_000):
        ended = command(benchmarks.publish, str(trained()), "--out", "out")
    assert_one_line(ended, "--out out: expected a folder that can be written")
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.slow
def test_records_alone(command: Command, tmp_path: Path) -> None:
    assert command(benchmarks.publish, str(trained()), "--out", "out", "--records").code == 0
    (folder,) = (tmp_path / "out").iterdir()
    of_tables = {"config.yaml", "counts-student.npz", "counts-teacher.npz", "metrics.json", "record.json"}
    assert set(contents(folder)) == of_tables
    losses = read_metrics(trained(), "loss_", "gradient_norm/")
    assert read_metrics(folder, "loss_", "gradient_norm/") == losses and losses
    assert json.loads((folder / "record.json").read_text())["schema"] == 1


def test_terms_of_data_and_first_weights() -> None:
    of_paper = "\n".join(terms(RunSpec("gta-cityscapes", "daformer", "daformer-mitb5").resolve()))
    for part in ("NVIDIA Source Code License", "non-commercial", "GTA", "cityscapes-dataset.com/license"):
        assert part in of_paper
    source_only = "\n".join(terms(RunSpec("gta-cityscapes", "source-only", overrides={"WEIGHTS": "none"}).resolve()))
    assert "GTA" in source_only and "Cityscapes" not in source_only and "NVIDIA" not in source_only
    assert terms(RunSpec("streets", "dacs", overrides={"WEIGHTS": "none"}).resolve()) == []
    (second,) = terms(RunSpec("streets", "dacs", "dinov2-b-linear").resolve())
    (third,) = terms(RunSpec("streets", "dacs", "dinov3-b-linear").resolve())
    assert "Apache-2.0" in second and "DINOv3 License" in third and "Apache" not in third
    (lite0,) = terms(RunSpec("streets", "dacs").resolve())
    assert "names no licence" in lite0
