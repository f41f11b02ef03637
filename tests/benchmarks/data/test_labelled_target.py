"""The labelled target images of a run: which they are, what is said of them, and what is not there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import SMALL
from own_files import Own

from benchmarks.config.run import Run
from benchmarks.config.spec import RunSpec
from benchmarks.core.errors import ConfigError
from benchmarks.data.data_checks import check_files, used_sets
from benchmarks.data.data_report import check_all
from benchmarks.data.from_config import data_root, labelled_target, training_set
from benchmarks.engine.run_record import initial_record, labelled
from benchmarks.engine.runner import RunWatcher, run_one
from benchmarks.state.fingerprint import Listings
from datasets.base.errors import DataError
from methods.framework.recipes import parse
from results.records.record import read_record
from results.tables.frame import from_folders
from results.tables.methods_table import methods_table

AMOUNT = "DATA.LABELLED_TARGET"


def run(method: str, seed: int = 0, folder: Path = Path("runs"), **overrides: Any) -> Run:
    return Run.of(RunSpec("streets", method, None, seed, SMALL | {"NUM_WORKERS": 0} | overrides), folder)


def names(of: Run) -> list[str]:
    return [item["relative"] for item in labelled_target(of.cfg, of.recipe, data_root(of.cfg))]


def test_the_list_is_of_the_protocol_and_not_of_the_run() -> None:
    whole = names(run("target-only"))
    assert len(whole) == 5
    for method in ("dacs+semi", "daformer+mic+semi", "source-only+semi", "target-only"):
        three = names(run(method, **{AMOUNT: 3}))
        assert three == names(run(method, seed=4, **{AMOUNT: 3})) == names(run("semi", **{AMOUNT: "1/1"}))[:3]
        assert names(run(method, **{AMOUNT: "1/5"})) == three[:1]
    lists = {tuple(names(run("semi", **{AMOUNT: 2, "DATA.LABELLED_SEED": seed}))) for seed in range(6)}
    assert len(lists) > 1


def test_a_run_opens_no_labels_but_those() -> None:
    def sets(method: str, **overrides: Any) -> list[tuple[str, int, bool]]:
        found = run(method, **overrides)
        return [(used.role, len(used.items), "sem_seg_file_name" in used.items[0])
                for used in used_sets(found.cfg, found.recipe, data_root(found.cfg))]  # fmt: skip

    few = {AMOUNT: "1/2"}
    val, source = ("VAL", 2, True), ("SOURCE", 6, True)
    assert sets("dacs+semi", **few) == [source, ("TARGET", 3, True), ("TARGET", 5, False), val]
    assert sets("source-only+semi", **few) == [source, ("TARGET", 3, True), val]
    assert sets("target-only", **few) == [("TARGET", 3, True), val]
    assert sets("dacs") == [source, ("TARGET", 5, False), val]
    report = {each.text.splitlines()[0] for each in check_all(run("dacs+semi", **few).cfg, 1)}
    assert f"DATA.TARGET: 3 pairs of image and label ({AMOUNT} 1/2)" in report
    assert "DATA.TARGET: 5 images" in report


def test_batches_of_the_oracle_are_of_its_labelled_images_alone() -> None:
    few = run("target-only", **{AMOUNT: 1})
    batches = training_set(few.cfg, few.recipe, data_root(few.cfg))
    assert [item["relative"] for item in batches._source.pools[0].items] == names(few) and batches._labelled is None


def test_labels_that_are_not_there_are_named(tmp_path: Path) -> None:
    own = Own(tmp_path / "data")
    cfg = own.resolve("dacs+semi", **{AMOUNT: 1})
    with pytest.raises(DataError, match=r"^dacs\+semi learns from target labels, but DATA.TARGET.LABELS is empty"):
        training_set(cfg, parse("dacs+semi"), data_root(cfg))
    zurich = RunSpec("cityscapes-darkzurich", "semi", overrides={AMOUNT: 1, "DATA.ROOT": str(tmp_path)}).resolve()
    with pytest.raises(DataError, match=r"^dacs\+semi learns from target labels, but .*train"):
        labelled_target(zurich, parse("semi"), tmp_path)


def test_a_check_of_files_asks_for_the_amount_too() -> None:
    cfg = RunSpec("streets", "dacs+semi", overrides=SMALL).resolve()
    with pytest.raises(ConfigError, match=f"{AMOUNT} is empty"):
        check_files(cfg, parse("dacs+semi"))


def test_the_fingerprint_is_of_the_targets_labels_where_they_are_learned_from(tmp_path: Path) -> None:
    own = Own(tmp_path / "data")
    labels: dict[str, Any] = {AMOUNT: 1, "DATA.TARGET.LABELS": "*_label.png"}
    for method, more in (("dacs", {}), ("source-only+semi", labels)):
        found = Listings().of(Run.at(tmp_path, own.resolve(method, **more)))
        assert ("labels" in found["TARGET"]) == bool(more)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Run]:
    folder = tmp_path_factory.mktemp("runs")

    def make(method: str, **overrides: Any) -> Run:
        found = run(method, folder=folder, **{"SOLVER.ITERS": 1, "TEST.PERIOD": 1} | overrides)
        assert run_one(found, RunWatcher()).status == "finished"
        return found

    return make


@pytest.mark.slow
def test_record_and_tables_say_how_many_images_were_labelled(made: Callable[..., Run]) -> None:
    """Each step is one of training by itself: joint training, the oracle with all labels and with few."""
    few = {AMOUNT: "1/2"}
    runs = [made("source-only+semi", **few, **{"LOG.IMAGES": 1}), made("target-only"), made("target-only", **few)]
    assert initial_record(runs[0]).content["labelled_target"] == {"amount": "1/2"}
    assert labelled(runs[0]) == {"labelled_target": {"amount": "1/2", "images": 3, "of": 5}}
    records = [read_record(each.folder) for each in runs]
    assert [str(record.labelled_target) for record in records if record] == ["1/2 (3 of 5)", "", "1/2 (3 of 5)"]
    assert "labelled_target" not in (runs[1].folder / "record.json").read_text()
    assert '"loss_semi"' in (runs[0].folder / "metrics.json").read_text()
    frame = from_folders([each.folder for each in runs])
    table = methods_table(frame)
    assert table.columns["target labels"] == ["1/2 (3 of 5)", "all", "1/2 (3 of 5)"]
    assert table.columns["setting"] == ["-", f"{AMOUNT} ''", f"{AMOUNT} 1/2"]
    assert [value for value in table.frame["target_labels"] if value == value] == ["1/2 (3 of 5)"] * 2
    assert "target labels" not in methods_table(frame.iloc[1:2]).columns
