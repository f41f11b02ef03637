"""N processes that share a run train what one process with the whole batch trains."""

from __future__ import annotations

import atexit
import copy
import functools
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import SMALL
from detectron2.config import CfgNode
from record_files import read_record
from seen_runs import SMALL_MIT, Seen, make_and_see, make_in_ranks
from shared_runs import normalised, shared_norm

from benchmarks.config.spec import RunSpec
from benchmarks.engine.step_pictures import ACCURACY
from slurm.processes.ranks import run_ranks

# Every term, with the choices of it that look at more than one image; dropout and drop path are on. Networks of batch
# norms with random weights magnify the rounding of a sum to percents of the gradient, so Mix Transformer it is.
RUNS: dict[str, tuple[str, dict[str, Any]]] = {
    "lite": ("source-only", {"TERMS.SUPERVISED.LABELLED_MEAN": True}),
    "labels": ("source-only+semi", {"DATA.LABELLED_TARGET": "1/2", "SOLVER.LABELLED_BATCH": 2}),
    "dacs": ("dacs", {"TEST.CONFIDENCE_IMAGES": 3, "TEST.SOURCE_IMAGES": 1, "SOLVER.ACTIVATION_CHECKPOINTING": True}),
    "daformer": ("daformer", {"TERMS.FEATURE_DISTANCE.MIN_SHARE": 0.3}),
    "hrda": ("hrda+mic+mrm", {"TERMS.FEATURE_DISTANCE.WEIGHT": 0.0, "SELF_TRAINING.THRESHOLD": 0.0}),
    "halves": (
        "dacs+mic+mrm+mrm-input",
        {
            "TERMS.MIC.TEACHER": "own",
            "TERMS.MIC.DOMAIN": "both",
            "TERMS.MRM.STRATEGY": "class",
            "TERMS.MRM.DOMAIN": "both",
            "LOG.IMAGES": 2,
        },
    ),
    "confidence": ("dacs+mrm", {"TERMS.MRM.STRATEGY": "confidence", "TERMS.MRM.OBJECTIVE": "teacher-feature"}),
    "pixels": (
        "dacs+mrm",
        {"TERMS.MRM.STRATEGY": "block", "TERMS.MRM.BLOCK": 2, "TERMS.MRM.OBJECTIVE": "pixel-regression"},
    ),
}
CASES = [(name, 2) for name in RUNS] + [("dacs", 4)]
STEPS = 2


def config(name: str, **more: Any) -> CfgNode:
    method, keys = RUNS[name]
    network = "daformer-lite0" if name == "lite" else SMALL_MIT
    sizes = SMALL | {"NETWORK": network, "SOLVER.BATCH": 4, "SOLVER.ITERS": STEPS, "TEST.PERIOD": 5, "NUM_WORKERS": 0}
    # A random teacher is sure of nothing, and weights of 0 would hide the rest.
    sure = {} if method.startswith("source-only") else {"SELF_TRAINING.THRESHOLD": 0.0545}
    return RunSpec("streets", method, None, 0, sizes | sure | keys | more).resolve()


@functools.cache
def made(ranks: int) -> tuple[Path, dict[str, Seen]]:
    """All runs by so many processes, made once a session; their folder has one for each by name."""
    base = Path(tempfile.mkdtemp(prefix="segshift-shared-"))
    atexit.register(shutil.rmtree, base, ignore_errors=True)
    names = [name for name, count in CASES if count == ranks or (ranks == 1 and count == 2)]
    jobs = [(config(name), base / name) for name in names]
    seen = make_and_see(jobs) if ranks == 1 else make_in_ranks(jobs, ranks)
    return base, dict(zip(names, seen, strict=True))


def far(found: torch.Tensor, expected: torch.Tensor) -> float:
    """Relative distance of vectors."""
    return float((found - expected).norm() / expected.norm().clamp_min(1e-12))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "ranks"), CASES)
def test_losses_and_gradients_are_those_of_one_process(name: str, ranks: int) -> None:
    alone, together = made(1)[1][name], made(ranks)[1][name]
    assert together.losses[0] == pytest.approx(alone.losses[0], rel=1e-5)
    assert all(value > 0 for value in alone.losses[0].values()), alone.losses[0]
    assert together.gradients.keys() == alone.gradients.keys()
    whole, shared = (torch.cat([g.flatten() for g in seen.gradients.values()]) for seen in (alone, together))
    assert far(shared, whole) < (0.1 if name == "lite" else 1e-3)  # dropout that differs makes it a percent


@pytest.mark.slow
def test_batch_norms_of_all_processes_have_the_statistics_of_one() -> None:
    x = torch.randn(8, 3, 5, 4, generator=torch.Generator().manual_seed(0)) * 3 + 7
    weight = torch.randn(8, 3, 5, 4, generator=torch.Generator().manual_seed(1))
    norm = torch.nn.BatchNorm2d(3)
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([0.5, 1.0, 2.0]))
    alone = normalised(x, weight, copy.deepcopy(norm))
    for rank, (out, gradient, mean, variance, count) in enumerate(run_ranks(shared_norm, (x, weight, norm), 2)):
        rows = slice(4 * rank, 4 * rank + 4)
        torch.testing.assert_close(out, alone[0][rows])
        torch.testing.assert_close(gradient, alone[1][rows])
        torch.testing.assert_close(mean, alone[2])
        torch.testing.assert_close(variance, alone[3])
        assert count == alone[4] == 1


@pytest.mark.slow
@pytest.mark.parametrize(("name", "ranks"), CASES)
def test_student_and_teacher_are_bit_equal_on_every_rank(name: str, ranks: int) -> None:
    trained = made(ranks)[1][name].trained
    assert len(trained) == ranks and len(set(trained[0])) == len(trained[0]) == STEPS
    assert all(of_rank == trained[0] for of_rank in trained)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "ranks"), CASES)
def test_ranks_see_the_images_of_one_process_without_overlap(name: str, ranks: int) -> None:
    ((alone,), by_rank) = made(1)[1][name].images, made(ranks)[1][name].images
    assert len(by_rank) == ranks
    for iteration, images in enumerate(alone):
        assert [image for of_rank in by_rank for image in of_rank[iteration]] == images
        assert len(images) == 4


@pytest.mark.slow
@pytest.mark.parametrize(("name", "ranks"), CASES)
def test_checkpoint_and_record_are_those_of_one_process(name: str, ranks: int) -> None:
    (alone, _), (together, _) = made(1), made(ranks)
    saved, expected = (
        torch.load(base / name / "model_final.pth", weights_only=True) for base in (together, alone)
    )
    assert saved.keys() == expected.keys()
    for part in {"model", "teacher", "terms"} & expected.keys():
        assert saved[part].keys() == expected[part].keys()
        for key, value in expected[part].items():
            if "num_batches" in key:
                assert torch.equal(saved[part][key], value), key
    record, before = read_record(together / name), read_record(alone / name)
    assert record is not None and before is not None and record["id"] == before["id"]
    assert record["hardware"]["name"] == f"{ranks} x {before['hardware']['name']}"
    assert record["hardware"]["processes"] == ranks and "processes" not in before["hardware"]
    assert len(list((together / name).glob("log-rank*.txt"))) == ranks - 1
    if name != "lite":
        curve, curve_before = record["curve"], before["curve"]
        assert [point.keys() for point in curve] == [point.keys() for point in curve_before]
        for point, point_before in zip(curve, curve_before, strict=True):
            assert point == pytest.approx(point_before, rel=1e-3)
    (alone_scored,), scored = made(1)[1][name].scored, made(ranks)[1][name].scored
    assert {*alone_scored} == {*range(SMALL["DATA.STREETS.VAL_IMAGES"])}
    for rank, indices in enumerate(scored):  # each image once, by one of them
        assert indices == [index for index in alone_scored if index % ranks == rank]
    lines = [json.loads(line) for line in (together / name / "metrics.json").read_text().splitlines()]
    lines_before = [json.loads(line) for line in (alone / name / "metrics.json").read_text().splitlines()]
    assert len(lines) == len(lines_before)
    accuracies, expected_ones = ([line.get(ACCURACY, 0.0) for line in each] for each in (lines, lines_before))
    assert accuracies == pytest.approx(expected_ones, rel=1e-2) and (name != "halves" or any(accuracies))
    assert not [path for path in (together / name).iterdir() if path.name.startswith(".") and path.name != ".lock"]
