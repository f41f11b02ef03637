"""Grids: what their files say, what is refused in one line, and the runs that they come to."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import SMALL
from detectron2.config import CfgNode

from ablations.sweep.expand import Row, expand
from ablations.sweep.grid import grids, read_grid
from benchmarks.config.label_space import roles_of
from benchmarks.config.run import Run
from benchmarks.config.run_id import run_id
from benchmarks.config.spec import RunSpec
from benchmarks.core.checkout import ROOT
from benchmarks.core.errors import ConfigError
from benchmarks.engine.build import build_student, build_terms
from benchmarks.launch.launcher import Launcher
from benchmarks.launch.run_checks import check_runs
from methods.base.errors import MethodError
from methods.framework.recipes import parse

NAMES = [
    *("masking-location", "mask-ratio", "lambda", "masking-strategy", "objective", "domain", "trained-part", "view"),
    *("rebuilder-blocks", "rebuilder-dim", "rebuilder-rate", "rebuilder-resolution", "mixup", "components"),
    *("architectures", "ratio-by-lambda", "backbones", "hosts", "labels", "sources"),
]
NOT_ON_STREETS = ("architectures", "backbones", "hosts", "sources")  # which set networks or data sets themselves
NOT_OF_MRM = (*NOT_ON_STREETS, "labels")  # whose runs are no other grid's


def rows_of(name: str, protocol: str = "streets", **given: Any) -> list[Row]:
    options = {"network": None, "host": None, "seeds": [0], "overrides": {}, "output": Path("runs")} | given
    return expand(read_grid(name), protocol, **options)


def by_label(rows: list[Row]) -> dict[str, Row]:
    return {row.label: row for row in rows}


def test_every_grid_of_the_paper_ships() -> None:
    assert grids() == sorted(NAMES)


def test_an_axis_of_numbers_becomes_a_row_each_after_the_host_alone() -> None:
    rows = rows_of("mask-ratio", seeds=[0, 2])
    assert [row.label for row in rows] == ["without MRM", *(f"0.{digit}" for digit in range(1, 10))]
    assert [row.is_reference for row in rows] == [True] + [False] * 9
    assert rows[0].cfg.METHOD == "dacs"
    for digit, row in enumerate(rows[1:], start=1):
        assert row.cfg.METHOD == "dacs+mrm"
        assert [run.cfg.SEED for run in row.runs] == [0, 2]
        assert [run.cfg.TERMS.MRM.RATIO for run in row.runs] == [digit / 10] * 2
        assert (row.cfg.TERMS.MRM.WEIGHT, row.cfg.TERMS.MRM.BLOCKS, row.cfg.NETWORK) == (1.0, 2, "daformer-lite0")
        assert row.values == (digit / 10,)


def test_lambda_0_is_the_host_alone() -> None:
    rows = rows_of("lambda")
    assert [row.label for row in rows] == ["0", "0.1", "0.5", "1", "2", "10"]
    assert [row.values[0] for row in rows] == [0.0, 0.1, 0.5, 1.0, 2.0, 10.0]
    assert run_id(rows[0].cfg) == run_id(RunSpec("streets", "dacs").resolve())


def test_a_reference_among_the_settings_is_no_further_row() -> None:
    rows = rows_of("masking-location")
    assert [(row.label, row.cfg.METHOD) for row in rows] == [
        ("none", "dacs"),
        ("input", "dacs+mrm-input"),
        ("latent", "dacs+mrm"),
    ]
    assert [row.is_reference for row in rows] == [True, False, False]


def test_a_host_and_a_network_take_the_place_of_the_defaults() -> None:
    rows = by_label(rows_of("mask-ratio", "gta-cityscapes", host="mic+hrda", network="daformer-mitb5"))
    assert rows["without MRM"].cfg.METHOD == "hrda+mic"
    assert rows["0.4"].cfg.METHOD == "hrda+mic+mrm"
    assert {row.cfg.NETWORK for row in rows.values()} == {"daformer-mitb5"}


def test_a_grid_of_architectures_has_a_reference_each() -> None:
    rows = rows_of("architectures", "gta-cityscapes")
    assert len(rows) == 10
    assert [row.is_reference for row in rows] == [True, False] * 5
    assert [(row.cfg.NETWORK, row.cfg.METHOD) for row in rows[4:]] == [
        ("deeplabv2-r101", "dacs+mic"),
        ("deeplabv2-r101", "dacs+mic+mrm"),
        ("daformer-mitb2", "daformer"),
        ("daformer-mitb2", "daformer+mrm"),
        ("daformer-mitb3", "daformer+mic"),
        ("daformer-mitb3", "daformer+mic+mrm"),
    ]
    for option in ("network", "host"):
        with pytest.raises(ConfigError, match=f"--{option} is dacs, but the grid architectures sets it itself"):
            rows_of("architectures", **{option: "dacs"})


def test_a_grid_of_backbones_has_a_source_only_each_at_its_own_rates() -> None:
    rows = rows_of("backbones", "gta-cityscapes-vfm")
    assert [row.labels[-1] or row.label for row in rows] == ["source-only", "dacs", "daformer", "mic", "mrm"] * 6
    assert [row.is_reference for row in rows] == [True, False, False, False, False] * 6
    rates = {row.cfg.NETWORK: (row.cfg.SOLVER.ENCODER_LR, row.cfg.SOLVER.LAYER_DECAY) for row in rows}
    ours, theirs = (6e-5, 1.0), (1.41e-5, 0.9)
    assert rates == {
        "deeplabv2-r101": ours,
        "daformer-mitb5": ours,
        "dinov2-s-daformer": theirs,
        "dinov2-b-daformer": theirs,
        "dinov2-l-daformer": (2.83e-6, 0.9),
        "dinov2-b-vfmuda": theirs,
    }
    for row in rows:
        assert rates[row.cfg.NETWORK] == (row.cfg.SOLVER.ENCODER_LR, row.cfg.SOLVER.LAYER_DECAY)


def test_a_grid_of_labels_compares_methods_at_equal_shares() -> None:
    rows = rows_of("labels", "gta-cityscapes", host="daformer")
    found = {row.labels: (row.cfg.METHOD, row.cfg.DATA.LABELLED_TARGET, row.is_reference) for row in rows}
    assert list(found)[:4] == [("0", "no adaptation"), ("0", "host"), ("0", "host and MRM"), ("1/32", "no adaptation")]
    for share in ("1/32", "1/16", "1/8", "1/4"):
        assert {label: each for (of, label), each in found.items() if of == share} == {
            "no adaptation": ("source-only+semi", share, True),
            "host": ("daformer+semi", share, False),
            "host and MRM": ("daformer+mrm+semi", share, False),
            "labels alone": ("target-only", share, False),
        }
    assert found["0", "no adaptation"] == ("source-only", "", True)
    assert found["1", "labels alone"] == ("target-only", "", True)  # alone in its group
    assert len(rows) == 3 + 4 * 4 + 1 and len({row.group for row in rows}) == 6
    assert run_id(rows[1].cfg) == run_id(RunSpec("gta-cityscapes", "daformer").resolve())
    with pytest.raises(ConfigError, match=r"DATA\.LABELLED_TARGET is varied by the grid labels"):
        rows_of("labels", overrides={"DATA.LABELLED_TARGET": "1/3"})


def test_a_grid_of_sources_has_a_source_only_each_and_shares_runs_with_the_protocol() -> None:
    rows = rows_of("sources", "gta-cityscapes")
    assert [row.labels[1] for row in rows] == ["source-only", "dacs", "daformer+mic+mrm"] * 7
    assert [row.is_reference for row in rows] == [True, False, False] * 7
    assert [row.labels[0] for row in rows[::3]] == [
        "GTA", "SYNTHIA", "UrbanSyn", "GTA + SYNTHIA", "GTA + UrbanSyn", "GTA + SYNTHIA + UrbanSyn", "all four"
    ]  # fmt: skip
    assert [len(roles_of(row.cfg, "SOURCE")) for row in rows[::3]] == [1, 1, 1, 2, 2, 3, 4]
    assert [row.cfg.TEST.CLASSES for row in rows[::3]] == [19, 16, 19, 19, 19, 19, 19]
    for row, method in zip(rows, ("source-only", "dacs", "daformer+mic+mrm"), strict=False):
        assert run_id(row.cfg) == run_id(RunSpec("gta-cityscapes", method).resolve())
    assert len({run_id(row.cfg) for row in rows}) == 21
    # What was published of the protocol is of its own source, and stands beside no other.
    assert [row.is_default for row in rows] == [True] * 3 + [False] * 18


def test_two_axes_are_all_pairs() -> None:
    rows = rows_of("ratio-by-lambda")
    assert len(rows) == 1 + 4 * 5
    found = {(row.cfg.TERMS.MRM.RATIO, row.cfg.TERMS.MRM.WEIGHT): row.labels for row in rows[1:]}
    assert found[0.6, 10.0] == ("0.6", "10")
    assert len(found) == 20


@pytest.mark.slow
def test_grids_share_their_runs_with_each_other_and_with_the_comparison_of_methods() -> None:
    published = {
        "mask-ratio": "0.4",
        "lambda": "1",
        "rebuilder-blocks": "2",
        "rebuilder-dim": "512",
        "rebuilder-rate": "0.0002",
        "masking-location": "latent",
        "ratio-by-lambda": "0.4, 1",
        "components": "mrm",
    }
    for seed in (0, 1):
        own = run_id(RunSpec("streets", "mrm", None, seed).resolve())
        for name, label in published.items():
            rows = by_label(rows_of(name, seeds=[seed]))
            assert run_id(rows[label].cfg) == own, name
            assert run_id(next(iter(rows.values())).cfg) == run_id(RunSpec("streets", "dacs", None, seed).resolve())
    ids = [run_id(row.cfg) for name in NAMES if name not in NOT_OF_MRM for row in rows_of(name)]
    # Host and MRM as the protocol has it; other ratios, lambdas, pairs of both; of the Rebuilder, all four resolutions
    # among them, since the protocol's is none of the published grid; other forms; other terms.
    distinct = 2 + (8 + 4 + 12) + (3 + 3 + 4 + 3) + (3 + 4 + 2 + 2 + 1) + (1 + 2 + 1 + 1)
    assert (len(ids), len(set(ids))) == (93, distinct)


@pytest.mark.slow
def test_ids_are_the_same_in_another_process(tmp_path: Path) -> None:
    """Whatever its hash seed, its folder, and where the data lie."""
    program = (
        "import json; from ablations.sweep.expand import expand; from ablations.sweep.grid import read_grid\n"
        "from pathlib import Path; from benchmarks.config.run_id import run_id\n"
        "rows = [row for name in ('objective', 'lambda') for row in expand(read_grid(name), 'gta-cityscapes', None,\n"
        "    None, [0, 1], {'SOLVER.BATCH': 4, 'DATA.ROOT': '/elsewhere'}, Path('runs'))]\n"
        "print(json.dumps([run_id(run.cfg) for row in rows for run in row.runs]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "17"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    given: dict[str, Any] = {"seeds": [0, 1], "overrides": {"SOLVER.BATCH": 4}}
    rows = [row for name in ("objective", "lambda") for row in rows_of(name, "gta-cityscapes", **given)]
    assert json.loads(done.stdout.splitlines()[-1]) == [run_id(run.cfg) for row in rows for run in row.runs]


def test_pairs_win_over_what_a_grid_holds_fixed_but_not_over_its_axis() -> None:
    rows = rows_of("mask-ratio", overrides={"TERMS.MRM.WEIGHT": 0.5})
    assert {row.cfg.TERMS.MRM.WEIGHT for row in rows[1:]} == {0.5}
    with pytest.raises(ConfigError, match=r"TERMS.MRM.RATIO is varied by the grid mask-ratio; expected other keys"):
        rows_of("mask-ratio", overrides={"TERMS.MRM.RATIO": 0.5})
    rows = rows_of("mask-ratio", overrides={"NETWORK": "daformer-mitb0"})
    assert {row.cfg.NETWORK for row in rows} == {"daformer-mitb0"}


@pytest.mark.slow
def test_all_settings_of_all_grids_can_be_built() -> None:
    """On the embedded benchmark at a small crop; settings that make no sense together are a MethodError."""
    small = {"INPUT.CROP": (64, 64), "WEIGHTS": "none"}
    configs: dict[str, CfgNode] = {}
    for name in NAMES:
        if name not in NOT_ON_STREETS:
            configs |= {run_id(row.cfg): row.cfg for row in rows_of(name, overrides=small)}
    student = build_student(next(iter(configs.values())))
    for cfg in configs.values():
        assert build_terms(cfg, parse(cfg.METHOD), student)


@pytest.mark.slow
def test_every_setting_is_checked_before_the_first_run(small_config: Callable[..., CfgNode]) -> None:
    """Not one of each method: the settings of a grid are of one method."""
    configs = [small_config("mrm", overrides={"WEIGHTS": value}) for value in ("nowhere.pth", "none")]
    for pair in (configs, configs[::-1]):
        with pytest.raises(MethodError, match="nowhere"):
            check_runs([Run.at(Path(), cfg) for cfg in pair], Launcher())


# A user's file

MINE = """
title: Threshold of pseudo-labels
method: "{host}+mic"
fixed: {SOLVER.BATCH: 2}
axes:
  - {name: threshold, key: SELF_TRAINING.THRESHOLD, values: [0.9, 0.968]}
reference: {label: plain, method: "{host}"}
"""


def written(tmp_path: Path, text: str) -> str:
    path = tmp_path / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_a_file_of_ones_own_is_a_grid(tmp_path: Path) -> None:
    rows = rows_of(written(tmp_path, MINE), overrides=SMALL | {"SOLVER.BATCH": 4})
    assert [(row.label, row.cfg.METHOD) for row in rows] == [
        ("plain", "dacs"),
        ("0.9", "dacs+mic"),
        ("0.968", "dacs+mic"),
    ]
    assert [row.cfg.SELF_TRAINING.THRESHOLD for row in rows] == [0.968, 0.9, 0.968]
    assert {row.cfg.SOLVER.BATCH for row in rows} == {4}
    assert {row.cfg.SOLVER.BATCH for row in rows_of(written(tmp_path, MINE))} == {2}


def test_the_example_in_the_docs_is_a_grid(tmp_path: Path) -> None:
    blocks = (ROOT / "docs" / "ablations.md").read_text(encoding="utf-8").split("```yaml\n")[1:]
    whole, part, pairs = (block.split("```")[0] for block in blocks)
    rows = rows_of(written(tmp_path, whole))
    assert [row.label for row in rows] == ["host alone", "0.9", "0.95", "0.968", "0.99"]
    rows = rows_of(written(tmp_path, f"title: T\n{part}"))
    assert [(row.label, row.cfg.NETWORK, row.is_reference) for row in rows] == [
        ("none", "daformer-lite0", True),
        ("strong masking", "daformer-lite0", False),
        ("host alone", "daformer-mitb0", True),
        ("other network", "daformer-mitb0", False),
    ]
    rows = rows_of(written(tmp_path, pairs))
    assert [row.label for row in rows if row.is_reference] == ["plain, usual", "masked, usual", "untrained, usual"]


PAIRS = MINE.partition("axes:")[0] + """
axes: [one, two]
settings:
  a: {y: {SELF_TRAINING.THRESHOLD: 0.95}, x: {SELF_TRAINING.THRESHOLD: 0.9}}
  b: {y: {SELF_TRAINING.THRESHOLD: 0.8}}
reference: {among: x}
"""


def test_a_file_can_have_some_pairs_of_two_axes_alone(tmp_path: Path) -> None:
    rows = rows_of(written(tmp_path, PAIRS), overrides=SMALL)
    assert [(row.labels, row.is_reference, row.cfg.SELF_TRAINING.THRESHOLD) for row in rows] == [
        (("a", "x"), True, 0.9),
        (("a", "y"), False, 0.95),
        (("b", "y"), True, 0.8),
    ]


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("[one, two]", "[one]", "axes is ['one'], expected two names, as the file has settings"),
        ("[one, two]", "[one, {name: two}]", "expected two names, as the file has settings"),
        ("  b: {y: {SELF_TRAINING.THRESHOLD: 0.8}}", "  b: {}", "expected labels of one, each with some of two"),
        ("b: {y: {SELF_TRAINING.T", "b: {y: {SELF_TRAINING.TR", "settings: b: y: unknown key SELF_TRAINING.TRHRES"),
        ("among: x", "among: z", "reference: among is 'z', which is no label of a second axis"),
    ],
)
def test_bad_pairs_are_told_in_one_line(tmp_path: Path, old: str, new: str, line: str) -> None:
    assert old in PAIRS
    path = written(tmp_path, PAIRS.replace(old, new))
    with pytest.raises(ConfigError) as caught:
        read_grid(path)
    assert line in str(caught.value) and len(str(caught.value).splitlines()) == 1


PUBLISHED = "\npublished: [{source: X, protocol: p, network: n, host: dacs, classes: 19, "


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("THRESHOLD", "TRESHOLD", "axes: threshold: 0.9: unknown key SELF_TRAINING.TRESHOLD; did you mean SELF_TRAIN"),
        ("0.968]", "high]", "threshold: high: SELF_TRAINING.THRESHOLD is 'high', expected a number"),
        ("{host}+mic", "{host}+mik", "method: unknown method 'mik' in 'dacs+mik'; did you mean 'mic'?"),
        ("axes:", "axis:", "unknown key 'axis'; did you mean 'axes'?"),
        ("title: Threshold of pseudo-labels", "", "title is missing"),
        ("[0.9, 0.968]", "[0.9, 0.90]", "a value is named twice"),
        ("[0.9, 0.968]", "[]", "values is [], expected a list, or labels and their values"),
        ("[0.9, 0.968]", "[0.9, 0.968], scale: logarithmic", "scale is 'logarithmic', expected linear or log"),
        ("[0.9, 0.968]", "[0, 0.968], scale: log", "scale is 'log', expected all values to be numbers above 0"),
        ("key: SELF_TRAINING.THRESHOLD, ", "", "threshold: 0.9 is 0.9, expected keys and values, or a key of the axis"),
        ("name: threshold", "name: method", "name is 'method', which is a column of the table already"),
        ("fixed: {SOLVER.BATCH", "fixed: {SOLVER.BATH", "fixed: unknown key SOLVER.BATH; did you mean SOLVER.BATCH?"),
        ("fixed: {SOLVER.BATCH: 2}", "fixed: {SEED: 2}", "fixed: SEED cannot be set here"),
        ("SOLVER.BATCH: 2", "SELF_TRAINING.THRESHOLD: 0.9", "SELF_TRAINING.THRESHOLD is fixed and varied"),
        ("label: plain", "lable: plain", "reference: unknown key 'lable'; did you mean 'label'?"),
        ("label: plain", "label: plain, label: other", "'label' twice in one mapping"),
        ("label: plain", "value: low", "reference: value is 'low', expected its number on the axis"),
        ("title:", "cost: much\ntitle:", "cost is 'much', expected true or false"),
        ("reference: {", PUBLISHED + "miou: {0.8: 5}}]\nreference: {", "miou: 0.8 is no value of threshold"),
        ("reference: {", PUBLISHED + "miou: {0.9: [5]}}]\nreference: {", "miou: 0.9 is [5], expected a number, or"),
        ("reference: {", "published: [{source: X, miou: {0.9: 5}}]\nreference: {", "published: classes is missing"),
        ("title: Thres", "title: [Thres", "expected YAML, found"),
        (MINE, "- 3", "found [3], expected axes, cost, fixed"),
    ],
)
def test_a_bad_file_is_told_in_one_line(tmp_path: Path, old: str, new: str, line: str) -> None:
    assert old in MINE
    path = written(tmp_path, MINE.replace(old, new))
    with pytest.raises(ConfigError) as caught:
        read_grid(path)
    told = str(caught.value)
    assert told.startswith(f"{path}: ") and line in told and len(told.splitlines()) == 1


def test_unknown_names_and_files(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="unknown grid 'mask-rato'; did you mean 'mask-ratio'"):
        read_grid("mask-rato")
    with pytest.raises(ConfigError, match=r"nowhere\.yaml: no such file, expected a grid in YAML"):
        read_grid(str(tmp_path / "nowhere.yaml"))
    with pytest.raises(ConfigError, match="a grid of that name ships, expected another name"):
        read_grid(str(tmp_path / "lambda.yaml"))


def test_what_is_wrong_in_a_grid_and_what_on_the_command_line_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^KEY VALUE: unknown key SOLVER.ITER; did you mean SOLVER.ITERS"):
        rows_of("lambda", overrides={"SOLVER.ITER": 3})
    with pytest.raises(MethodError, match=r"^unknown method 'dcs'; did you mean 'dacs'"):
        rows_of("lambda", host="dcs")
    path = written(tmp_path, MINE.replace("0.968]", "1.5]"))  # of the right kind, and out of range
    with pytest.raises(ConfigError, match=r"mine.yaml: 1.5: SELF_TRAINING.THRESHOLD is 1.5, expected a number from 0"):
        rows_of(path)
    with pytest.raises(MethodError, match=r"components.yaml: .*'mic' is named twice"):
        rows_of("components", host="dacs+mic")
