"""DATA.LABELLED_TARGET in a config: what is refused, and what it makes of a run's id."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks.config.changed import changed_keys
from benchmarks.config.few_labels import labelled_batch
from benchmarks.config.run import Run
from benchmarks.config.run_id import decisive
from benchmarks.config.spec import RunSpec
from benchmarks.core.errors import ConfigError
from benchmarks.engine.distributed import check_ranks

AMOUNT, SEED, BATCH = "DATA.LABELLED_TARGET", "DATA.LABELLED_SEED", "SOLVER.LABELLED_BATCH"


def run(method: str, **overrides: Any) -> Run:
    return Run.of(RunSpec("gta-cityscapes", method, overrides=overrides), Path("runs"))


@pytest.mark.parametrize(
    ("method", "overrides", "line"),
    [
        ("dacs", {AMOUNT: "1/16"}, f"{AMOUNT} is 1/16, and dacs learns from no target labels: expected dacs+semi"),
        ("source-only", {AMOUNT: 5}, f"{AMOUNT} is 5, and source-only learns from no target labels"),
        ("dacs+mrm+semi", {}, f"{AMOUNT} is empty, and dacs+mrm+semi learns from labelled target images: expected a"),
        ("dacs+semi", {AMOUNT: "2/16"}, f"{AMOUNT} is '2/16', expected a share as 1/16, a number of images"),
        ("dacs+semi", {AMOUNT: 0}, f"{AMOUNT} is '0', expected a share"),
        ("dacs+semi", {AMOUNT: 0.5}, f"{AMOUNT} is 0.5, expected text"),
        ("dacs+semi", {AMOUNT: True}, f"{AMOUNT} is True, expected text"),
    ],
)
def test_what_makes_no_sense_is_refused(method: str, overrides: dict[str, Any], line: str) -> None:
    with pytest.raises(ConfigError) as error:
        run(method, **overrides)
    assert line in str(error.value) and "\n" not in str(error.value)


def test_a_number_is_an_amount_as_a_share_is() -> None:
    found = [run("dacs+semi", **{AMOUNT: value}).cfg.DATA.LABELLED_TARGET for value in (7, "7", "1/8")]
    assert found == ["7", "7", "1/8"]


def test_the_oracle_has_all_labels_or_as_many_as_are_said() -> None:
    whole, few = run("target-only"), run("target-only", **{AMOUNT: "1/16"})
    assert whole.recipe.oracle and few.recipe.oracle and whole.id != few.id


def test_no_id_of_a_run_without_labels_changes() -> None:
    """Keys that came later, with another value than their default where that says nothing."""
    keys = {SEED: 3, BATCH: 7}
    for method in ("dacs", "target-only", "daformer+mic+mrm"):
        assert run(method, **keys).id == run(method).id
        assert not [key for key in decisive(run(method, **keys).cfg) if "LABELLED" in key]


def test_amount_seed_and_batch_make_another_run_where_labels_are_learned_from() -> None:
    ids = [run("dacs+semi", **{AMOUNT: "1/8"} | more).id for more in ({}, {AMOUNT: "1/4"}, {SEED: 1}, {BATCH: 1})]
    assert len(set(ids)) == 4
    assert run("target-only", **{AMOUNT: "1/8"}).id != run("target-only", **{AMOUNT: "1/8", SEED: 1}).id


def test_the_record_knows_the_amount_as_something_that_was_set() -> None:
    changed = changed_keys(run("dacs+semi", **{AMOUNT: "1/8"}).cfg)
    assert changed == {AMOUNT: ("1/8", "")}


def test_labels_of_the_target_decide_where_they_are_learned_from() -> None:
    ids = {"DATA.TARGET.IDS": ["7=road", "others=ignore"]}
    assert run("dacs+semi", **{AMOUNT: "1/8"}).id != run("dacs+semi", **{AMOUNT: "1/8"}, **ids).id
    assert run("dacs").id == run("dacs", **ids).id


def test_processes_share_the_labelled_batch() -> None:
    assert labelled_batch(run("dacs+semi", **{AMOUNT: 1}).cfg) == 2
    cfg = run("dacs+semi", **{AMOUNT: 1, BATCH: 3}).cfg
    assert labelled_batch(cfg) == 3
    check_ranks(cfg, 1)
    with pytest.raises(ConfigError, match=f"^{BATCH} is 3, which is shared by the 2 GPUs of a run"):
        check_ranks(cfg, 2)
    check_ranks(run("dacs", **{BATCH: 3}).cfg, 2)
