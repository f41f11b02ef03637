"""A run as it is passed on: what is derived from its spec, and what a worker is handed of it."""

from __future__ import annotations

import dataclasses
import pickle
from pathlib import Path
from typing import Any

import pytest
from detectron2.config import CfgNode

from benchmarks.config.changed import changed_keys
from benchmarks.config.run import Run
from benchmarks.config.spec import RunSpec

SPEC = RunSpec("synthia-cityscapes", "mrm", "daformer-lite0", 3, {"SOLVER.ITERS": 8})


def test_a_spec_becomes_a_run_with_id_folder_recipe_and_classes(tmp_path: Path) -> None:
    run = Run.of(SPEC, tmp_path)
    assert run.folder == tmp_path / "synthia-cityscapes/dacs+mrm/daformer-lite0" / run.id
    assert run.known_as == run.id and run.label == "dacs+mrm seed 3"
    assert [part.name for part in run.recipe.parts] == ["dacs", "mrm"]
    assert run.scoring.class_sets == (16, 13) and len(run.label_space.names) == 19
    with pytest.raises(dataclasses.FrozenInstanceError):
        run.folder = tmp_path  # type: ignore[misc]


def test_a_worker_is_handed_nothing_that_a_plug_in_made(tmp_path: Path) -> None:
    """Which it has yet to import: recipes hold functions of the files that registered them."""
    run = Run.of(SPEC, tmp_path)
    before = pickle.dumps(run)
    known = run.recipe, run.id, run.scoring
    assert pickle.dumps(run) == before
    there = pickle.loads(before)
    assert (there.spec, there.cfg, there.folder) == (run.spec, run.cfg, run.folder)
    assert (there.recipe, there.id, there.scoring) == known


def own(cfg: CfgNode) -> dict[str, Any]:
    changed = changed_keys(cfg)
    assert changed is not None
    return {key: value for key, (value, _) in changed.items()}


def test_changed_keys_are_what_neither_protocol_nor_recipe_sets() -> None:
    usual = {"TERMS.MRM.RATIO": 0.4, "TERMS.MRM.BLOCKS": 2, "DEVICE": "cpu"}  # as they are, and a place
    changed = {"SOLVER.ITERS": 7, "TERMS.MRM.WEIGHT": 0.5, "INPUT.CROP": (64, 64)}
    assert own(RunSpec("streets", "mrm", None, 3, {**usual, **changed}).resolve()) == changed
    assert own(RunSpec("streets", "hrda", "daformer-mitb0", 3).resolve()) == {}
    # What the recipe does because of the data is no change of a user's.
    data = {"DATA.IGNORED_ROWS": (3, 4)}
    assert own(RunSpec("gta-cityscapes", "daformer", None, 0, data).resolve()) == data
