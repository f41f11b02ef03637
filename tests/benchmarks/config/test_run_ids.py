"""Ids of runs: what differs from the defaults is hashed; runs of the rule before are found."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from detectron2.config import CfgNode
from trained_runs import call

import benchmarks.run
import datasets.streets
from benchmarks.config import deciding
from benchmarks.config.deciding import first_defaults, recorded_defaults, same
from benchmarks.config.former_ids import former_ids
from benchmarks.config.keys import PLACE_KEYS, flatten, get_config
from benchmarks.config.run_id import decisive, run_folder, run_id
from benchmarks.config.spec import RunSpec
from benchmarks.trained.opened_run import open_run
from methods.framework.term import TERMS, Term, TermSettings
from results.tables.rows import OF_NO_ROW

FORMER = Path(__file__).parent / "former_run"  # made by the version before, with its id
RECIPES = ("dacs", "dacs+mrm", "hrda+mic+mrm", "target-only")


def ids() -> dict[str, tuple[str, list[str]]]:
    found = {}
    for method in RECIPES:
        cfg = RunSpec("gta-cityscapes", method, seed=1).resolve()
        found[method] = run_id(cfg), former_ids(cfg)
    return found


def changed(**values: Any) -> Callable[[], CfgNode]:
    """The config with other defaults, or with keys that there are not yet: ``SOLVER__ITERS=3``."""

    def make() -> CfgNode:
        cfg = get_config()
        for name, value in values.items():
            *sections, key = name.split("__")
            node = cfg
            for section in sections:
                node = node.setdefault(section, CfgNode())
            node[key] = value
        return cfg

    return make


@pytest.fixture
def defaults(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """``defaults(SOLVER__ITERS=3)``: another version of the code."""

    def change(**values: Any) -> None:
        make = changed(**values)
        for module in ("deciding", "spec"):
            monkeypatch.setattr(f"benchmarks.config.{module}.get_config", make)
        deciding._defaults_of.cache_clear()

    yield change
    deciding._defaults_of.cache_clear()


def test_a_run_of_the_rule_before_is_found_and_shown_as_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    known = json.loads((FORMER / "record.json").read_text())["id"]
    folder = tmp_path / "out/streets/source-only/daformer-lite0" / known
    shutil.copytree(FORMER, folder)
    cfg = open_run(str(folder), tmp_path).cfg
    assert run_folder(tmp_path / "out", cfg) == folder and run_id(cfg) != folder.name == former_ids(cfg)[0]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(datasets.streets, "VERSION", cfg.DATA.STREETS.VERSION)
    words = ["--methods", "source-only", "--quick", "--output", "out", "SOLVER.ITERS", "6"]
    ended = call(benchmarks.run, words, monkeypatch, capfd)
    assert (ended.code, ended.err) == (0, "") and "finished before, mIoU 8.7" in ended.out
    assert [path.name for path in folder.parent.iterdir()] == [known]


def test_a_new_key_changes_no_id(defaults: Callable[..., None]) -> None:
    before = ids()
    defaults(SOLVER__EMA=0.5, LATER__SWITCH="as it was")
    assert ids() == before
    with_key = RunSpec("gta-cityscapes", "dacs", seed=1, overrides={"SOLVER.EMA": 0.7}).resolve()
    assert run_id(with_key) != before["dacs"][0] and former_ids(with_key) == []  # no version before had it


def test_a_new_key_of_a_method_changes_no_id(monkeypatch: pytest.MonkeyPatch) -> None:
    """As those who came before it would have seen TERMS.MRM.BLOCK."""
    now = ids()
    before = {key: value for key, value in recorded_defaults().items() if key != "TERMS.MRM.BLOCK"}
    monkeypatch.setattr(deciding, "recorded_defaults", lambda: before)
    monkeypatch.setattr("benchmarks.config.former_ids.recorded_defaults", lambda: before)
    assert {method: each for method, (each, _) in ids().items()} == {method: each for method, (each, _) in now.items()}
    assert ids()["dacs"] == now["dacs"] and ids()["dacs+mrm"] != now["dacs+mrm"]  # its former ids lack the key


def test_a_changed_default_is_another_run_and_the_old_value_the_run_of_before(defaults: Callable[..., None]) -> None:
    def made(method: str, **overrides: Any) -> str:
        return run_id(RunSpec("gta-cityscapes", method, overrides=overrides).resolve())

    before = made("dacs"), made("dacs+mrm")
    defaults(SOLVER__POWER=0.9, TERMS__MRM__RATIO=0.55)
    assert made("dacs") != before[0] and made("dacs+mrm") != before[1]
    assert made("dacs", **{"SOLVER.POWER": 1.0}) == before[0]
    assert made("dacs+mrm", **{"SOLVER.POWER": 1.0, "TERMS.MRM.RATIO": 0.4}) == before[1]


def test_first_defaults_are_what_they_were() -> None:
    """Each changed line would give two runs of other numbers one id."""
    recorded = recorded_defaults()
    now = flatten(get_config())
    assert len(recorded) >= 128
    changed_since = {"NUM_WORKERS"}  # keys whose default is another by now
    assert {key for key, value in recorded.items() if key in now and not same(value, now[key])} == changed_since
    assert recorded["SOLVER.ENCODER_LR"] == 6e-5 and recorded["TERMS.MRM.WEIGHT"] == 1.0


def test_a_term_from_outside_changes_no_other_id() -> None:
    @dataclass(frozen=True)
    class Settings(TermSettings):
        sharpness: float = 2.0

    before = ids()
    outside = type("Outside", (Term,), {"Settings": Settings})
    TERMS["outside"] = outside
    try:
        assert "TERMS.OUTSIDE.SHARPNESS" in first_defaults()
        assert ids() == before
    finally:
        del TERMS["outside"]


def other(value: Any) -> Any:
    """Another value of the same type."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, (int, float)):
        return value + 1
    return f"{value}x" if isinstance(value, str) else (*value, 7)


def test_each_value_that_decides_changes_the_id_and_no_place_does() -> None:
    cfg = RunSpec("gta-cityscapes", "hrda+mic+mrm").resolve().clone()
    known, decides = run_id(cfg), set(decisive(cfg))
    assert {"PROTOCOL", "METHOD", "NETWORK", "DATA.SOURCE.FOLDER"} <= decides
    used = deciding.used_values(cfg).keys() - deciding.idle_keys(cfg) - {deciding.PERIOD}
    cfg.defrost()
    tried = 0
    for key, value in flatten(cfg).items():
        *sections, name = key.split(".")
        node = cfg
        for section in sections:
            node = node[section]
        node[name] = other(value)
        if not key.endswith((".WEIGHT", "ENABLED", "RARE_CLASSES")) and key not in ("METHOD", "NETWORK"):
            assert (run_id(cfg) != known) == (key in used), key
            tried += 1
        node[name] = value
    assert run_id(cfg) == known and tried > 100
    assert not decides & {*PLACE_KEYS}


def test_rows_of_tables_part_by_keys_that_decide_alone() -> None:
    """Runs of one row may differ in seed, place and evaluation period, and in what is only shown."""
    assert {"SEED", "DESCRIPTION", "DATA.COLOURS", deciding.PERIOD, *PLACE_KEYS} == OF_NO_ROW
