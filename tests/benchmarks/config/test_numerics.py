"""A mend that changes a term's losses makes other runs of it: no old one is taken for a new one, or gone on with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from detectron2.config import CfgNode

from benchmarks.config.run import Run
from benchmarks.config.run_id import run_id
from benchmarks.config.spec import RunSpec
from benchmarks.core.errors import ConfigError
from benchmarks.engine.runner import RunWatcher, run_one
from benchmarks.trained.opened_run import open_run

MakeConfig = Callable[..., CfgNode]


def of_before(cfg: CfgNode) -> CfgNode:
    """The same run, as resolved before any term was mended."""
    before = cfg.clone()
    before.defrost()
    before.NUMERICS = ()
    before.freeze()
    return before


@pytest.mark.parametrize("method", ["dacs+mrm", "hrda+mic+mrm"])
def test_a_run_with_a_rebuilder_is_another_than_before_its_norms_were_mended(method: str) -> None:
    cfg = RunSpec("streets", method).resolve()
    assert cfg.NUMERICS == ("mrm 2",)
    assert run_id(cfg) != run_id(of_before(cfg))


@pytest.mark.parametrize(
    ("method", "overrides"),
    [
        ("dacs", {}),
        ("daformer+mic", {}),
        ("dacs+mrm-input", {}),
        ("dacs+mrm", {"TERMS.MRM.WEIGHT": 0.0}),  # of a grid over lambda: no Rebuilder is built
        ("dacs+mrm", {"TERMS.MRM.OBJECTIVE": "mask-only"}),
    ],
)
def test_runs_without_a_rebuilder_are_what_they_were(method: str, overrides: dict[str, Any]) -> None:
    assert RunSpec("streets", method, overrides=overrides).resolve().NUMERICS == ()


def test_numerics_are_the_codes_and_not_the_users() -> None:
    with pytest.raises(ConfigError, match="NUMERICS is set by the code of the methods"):
        RunSpec("streets", "dacs", overrides={"NUMERICS": ["mrm 1"]}).resolve()


def test_an_old_run_opens_as_what_it_was_and_is_not_gone_on_with(small_config: MakeConfig, tmp_path: Path) -> None:
    cfg = small_config("dacs+mrm")
    folder = tmp_path / run_id(of_before(cfg))
    folder.mkdir()
    written = yaml.safe_load(cfg.dump())
    del written["NUMERICS"]  # as configs of before
    (folder / "config.yaml").write_text(yaml.safe_dump(written))
    old = open_run(str(folder), tmp_path).cfg
    assert run_id(old) == folder.name != run_id(cfg)
    record = run_one(Run.at(folder, old), RunWatcher()).content
    assert record["status"] == "failed"
    assert "NUMERICS is before there were any, mrm 2 in this version of the code" in record["reason"]
    assert not list(folder.glob("*.pth"))
