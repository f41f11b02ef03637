"""What runs need, by those that are finished: of the same settings, else of the same names, else unknown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from conftest import SMALL
from record_files import read_record, write_record

from benchmarks.config.run import Run
from benchmarks.config.spec import RunSpec
from benchmarks.launch.estimate import FinishedRuns, estimate


def run_of(output: Path, method: str = "dacs+mrm", seed: int = 0, **keys: Any) -> Run:
    overrides = SMALL | {key.replace("__", "."): value for key, value in keys.items()}
    return Run.of(RunSpec("streets", method, None, seed, overrides), output)


def finish(run: Run, seconds: float, size: int, device: str = "cuda", **changes: Any) -> None:
    """Write the record of a run, and a file, so that its folder has ``size`` bytes."""
    cfg = run.cfg
    run.folder.mkdir(parents=True)
    record: dict[str, Any] = {
        "id": run.id,
        "spec": {"protocol": cfg.PROTOCOL, "method": cfg.METHOD, "network": cfg.NETWORK, "seed": cfg.SEED},
        "oracle": False,
        "classes": 19,
        "iterations": cfg.SOLVER.ITERS,
        "max_iterations": cfg.SOLVER.ITERS,
        "precision": "fp32",
        "hardware": {"name": "one GPU" if device == "cuda" else "CPU", "device": device} | changes,
        "wall_seconds": seconds,
        "status": "finished",
        "result": {"student": {"miou": 20.0}},
    }
    write_record(run.folder, record)
    (run.folder / "weights").write_bytes(bytes(size - (run.folder / "record.json").stat().st_size))


def test_runs_of_the_same_settings_come_before_those_of_the_same_names(tmp_path: Path) -> None:
    """4 iterations each: 2 s an iteration with two blocks, 6 s with eight."""
    finish(run_of(tmp_path), 8.0, 2**20)
    finish(run_of(tmp_path, TERMS__MRM__BLOCKS=8), 24.0, 2**21)
    found = FinishedRuns(tmp_path)
    longer = run_of(tmp_path, seed=5, SOLVER__ITERS=100).cfg
    deeper = run_of(tmp_path, seed=5, SOLVER__ITERS=100, TERMS__MRM__BLOCKS=8).cfg
    other = run_of(tmp_path, TERMS__MRM__RATIO=0.6).cfg
    assert found.seconds(longer) == pytest.approx(200.0) and found.seconds(deeper) == pytest.approx(600.0)
    assert found.seconds(other) == pytest.approx(4 * 4.0)  # the median of 2 and 6
    likes = [found.like(cfg) for cfg in (longer, deeper, other)]
    assert [like and like.same for like in likes] == [True, True, False]
    assert [like and like.size for like in likes] == [2**20, 2**21, 1.5 * 2**20]
    assert found.seconds(run_of(tmp_path, "dacs").cfg) is None
    assert found.seconds(run_of(tmp_path, NETWORK="daformer-lite0").cfg) is None


def test_what_is_needed_is_said_in_gpu_hours_and_what_is_unknown_as_unknown(tmp_path: Path) -> None:
    finish(run_of(tmp_path), 4 * 3600.0, 2**28)
    runs = [run_of(tmp_path, seed=seed) for seed in (1, 2)]
    source = ", by finished runs on one GPU"
    disk = "disk: about 0.5 GiB for 2 runs"
    assert estimate(runs, tmp_path) == [f"time of all together: about 8.0 GPU hours for 2 runs{source}", disk]
    further = [*runs, run_of(tmp_path, TERMS__MRM__RATIO=0.6), run_of(tmp_path, "dacs")]
    time, disk = estimate(further, tmp_path)
    others = ", 1 of them by other settings of their method and network; unknown for 1"
    assert time == f"time of all together: about 12.0 GPU hours for 3 runs{source}{others}"
    assert disk == "disk: about 0.8 GiB for 3 runs; unknown for 1"
    nothing = "unknown, no run of these methods and networks is finished"
    assert estimate(further[3:], tmp_path) == [f"time of all together: {nothing}", f"disk: {nothing}"]
    assert estimate(runs, tmp_path / "empty") == [f"time of all together: {nothing}", f"disk: {nothing}"]
    none = "none, no run is to be made"
    assert estimate([], tmp_path) == [f"time of all together: {none}", f"disk: {none}"]


def test_hours_of_a_processor_are_no_gpu_hours_and_those_of_two_gpus_count_twice(tmp_path: Path) -> None:
    finish(run_of(tmp_path / "cpu"), 3600.0, 2**20, "cpu")
    assert estimate([run_of(tmp_path, seed=1)], tmp_path / "cpu")[0] == (
        "time of all together: about 1.0 hours for 1 runs, by finished runs on CPU"
    )
    finish(run_of(tmp_path / "two"), 3600.0, 2**20, processes=2)
    assert "about 2.0 GPU hours" in estimate([run_of(tmp_path, seed=1)], tmp_path / "two")[0]


def test_hours_of_runs_that_shared_their_gpu_are_said_to_be(tmp_path: Path) -> None:
    run = run_of(tmp_path)
    finish(run, 3600.0, 2**20)
    write_record(run.folder, (read_record(run.folder) or {}) | {"shared": {"iterations": 2, "of": 4, "others": 2}})
    time, _ = estimate([run_of(tmp_path, seed=1)], tmp_path)
    assert time.endswith("on one GPU, 1 of them by runs that shared their GPU or cores and took the longer")


def test_a_run_that_is_not_finished_tells_nothing(tmp_path: Path) -> None:
    run = run_of(tmp_path)
    finish(run, 8.0, 2**20)
    write_record(run.folder, (read_record(run.folder) or {}) | {"status": "failed", "result": None})
    assert FinishedRuns(tmp_path).seconds(run_of(tmp_path, seed=1).cfg) is None
