"""The commands: what a table shows is in the JSON; what the user got wrong is one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import NETWORK
from trained_runs import Command, assert_one_line, call

from benchmarks import speed
from benchmarks.measure import steps
from benchmarks.measure.kernel_calls import Counted
from benchmarks.measure.spread import Spread
from benchmarks.measure.step_split import FORWARD, PARTS, REST

STEP = ["step", "--methods", "source-only,mrm", "--networks", NETWORK, "--crop", "64x64"]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Command:
    return lambda *words: call(speed, list(words), monkeypatch, capfd)


def test_the_json_holds_what_the_tables_show(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps, "count_step", lambda cfg: Counted({FORWARD: 40, REST: len(cfg.METHOD)}, 512.0))
    file = tmp_path / "step.json"
    ended = command(*STEP, "--batch", "2", "--rounds", "2", "--out", str(file), "DEVICE", "cpu")
    assert ended.code == 0, ended
    content = json.loads(file.read_text())
    assert content["what"] == "step" and content["machine"]["git"]
    plain, mrm = content["rows"]
    assert (plain["method"], mrm["method"], mrm["crop"], mrm["batch"]) == ("source-only", "dacs+mrm", "64x64", 2)
    lines = ended.out.splitlines()
    for row in (plain, mrm):
        (shown,) = (line for line in lines if line.startswith(f"{row['method']} ") and "64x64, 2+2" in line)
        calls = sum(row["kernel_calls"].values())
        expected = [
            Spread(**row["seconds"]).text(),
            f"{row['to_floor']:.2f}",
            f"{row['cpu_seconds']['median']:.3f}",
            str(calls),
            f"{row['counted_peak_mib'] / 1024:.2f}",
        ]
        assert shown.split()[-6:] == " ".join(expected).split()
        assert row["to_floor"] == row["seconds"]["median"] / row["floor_seconds"]["median"]
        (parts,) = (line for line in lines if line.startswith(f"{row['method']}, {NETWORK}, fp32"))
        assert parts.split()[-1] == f"{1000 * sum(row['parts'].values()):.1f}"
        assert parts.split()[-len(PARTS) - 1 : -1] == [f"{1000 * row['parts'][part]:.1f}" for part in PARTS]
    assert plain["seconds"]["number"] == 2 and "waits" not in plain  # which a GPU alone tells


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["step", "--methods", "dacs", "--crop", "wide"], "--crop is 'wide', expected a width and a height"),
        (["step", "--batch", "0"], "--batch is 0, expected at least 1"),
        (["step", "--precision", "fp8"], "SOLVER.PRECISION"),
        (["step", "--networks", "daformer-lite"], "daformer-lite0"),
        (["data", "--steps", "0"], "--steps is '0', expected seconds above 0"),
        (["eval", "--size", "9"], "--size is '9', expected a width and a height"),
        (["data", "--protocol", "streets"], "give --data"),
        (["eval", "--data", "nowhere", "--size", "64x32", "--rounds", "1"], "nowhere"),
    ],
)
def test_what_is_wrong_is_one_line(command: Command, words: list[str], told: str) -> None:
    assert_one_line(command(*words), told)
