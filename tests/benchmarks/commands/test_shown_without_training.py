"""Runs that are over are shown on a machine that could not make them: no data, no weights, no GPU."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import NETWORK
from fake_runs import EVALUATIONS, write
from trained_runs import call

import ablations.run
import ablations.search
import benchmarks.run
from ablations.sweep.expand import expand
from ablations.sweep.grid import read_grid
from benchmarks.config.run_id import run_folder
from benchmarks.config.spec import RunSpec
from results.records.record import DIVERGED, FINISHED

ELSEWHERE = ("--protocol", "gta-cityscapes", "--output", "out", "DEVICE", "cuda:7")
KEYS = {"DEVICE": "cuda:7"}


@pytest.fixture(autouse=True)
def _nothing_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DETECTRON2_DATASETS", raising=False)
    monkeypatch.setenv("SEGSHIFT_CACHE", str(tmp_path / "no-cache"))
    monkeypatch.setenv("FVCORE_CACHE", str(tmp_path / "no-weights"))


def lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines()]


def test_methods_of_which_one_diverged(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    for method, status, reason in (("dacs", FINISHED, ""), ("dacs+mrm", DIVERGED, "loss_mrm is nan at iteration 7")):
        cfg = RunSpec("gta-cityscapes", method, overrides=KEYS).resolve()
        write(run_folder(Path("out"), cfg), cfg, EVALUATIONS, status, reason)
    ended = call(benchmarks.run, ["--methods", "dacs,mrm", *ELSEWHERE], monkeypatch, capfd)
    assert (ended.code, ended.err) == (1, "")
    assert "dacs+mrm seed 0: diverged before, loss_mrm is nan at iteration 7" in ended.out
    assert any(line.startswith("dacs+mrm ") and line.split()[-2:] == ["1", "diverged"] for line in lines(ended.out))
    listed = call(benchmarks.run, ["--methods", "dacs,mrm", "--dry-run", *ELSEWHERE], monkeypatch, capfd)
    assert listed.code == 0 and "2 done, 0 to make" in listed.out


@pytest.mark.slow
def test_a_grid_of_which_one_run_diverged(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    """With counted multiply-adds."""
    small = ["--network", NETWORK, "WEIGHTS", "none", "INPUT.CROP", "64x64"]
    rows = expand(
        read_grid("masking-location"), "gta-cityscapes", NETWORK, None, [0],
        KEYS | {"WEIGHTS": "none", "INPUT.CROP": (64, 64)},
        Path("out"),
    )  # fmt: skip
    for row in rows:
        status = DIVERGED if row.label == "latent" else FINISHED
        write(row.runs[0].folder, row.cfg, EVALUATIONS, status, "loss is inf at iteration 3")
    ended = call(ablations.run, ["masking-location", *ELSEWHERE, *small], monkeypatch, capfd)
    assert (ended.code, ended.err) == (1, "")
    assert "latent, seed 0: diverged before, loss is inf" in ended.out and "1 diverged" in ended.out


@pytest.mark.slow
def test_the_report_of_a_search(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    """Its trials were made by a command that had the data."""
    words = ["--space", "mask-ratio", "--trials", "1", "--study", "mine", *ELSEWHERE]
    monkeypatch.setattr("benchmarks.launch.run_checks.check_runs", lambda *_: None)
    arguments = ablations.search.parse_arguments(words)
    cfg = ablations.search.described(arguments).spec({}).resolve()
    write(run_folder(Path("out"), cfg), cfg, EVALUATIONS, FINISHED)
    first = call(ablations.search, words, monkeypatch, capfd)
    looked_for = "data, weights and GPU are looked for"
    monkeypatch.setattr("benchmarks.launch.run_checks.check_runs", lambda *_: pytest.fail(looked_for))
    again = call(ablations.search, words, monkeypatch, capfd)
    assert (first.code, again.code) == (0, 0), again.err
