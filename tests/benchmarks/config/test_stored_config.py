"""config.yaml of a run folder: it holds what the run's recipe has, so that it can be opened without other terms."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from detectron2.config import CfgNode

from benchmarks.config.keys import flatten
from benchmarks.config.run_id import run_id
from benchmarks.config.spec import RunSpec
from benchmarks.config.stored_config import stored
from benchmarks.core.errors import ConfigError
from benchmarks.trained.opened_run import open_run
from methods.framework.term import TERMS

MakeConfig = Callable[..., CfgNode]


@dataclass(frozen=True)
class _Settings:
    weight: float = 1.0
    ratio: float = 0.5


class _Passing:
    """A term of the user's that is there while a run is made."""

    Settings = _Settings


@pytest.fixture
def passing() -> Iterator[None]:
    TERMS["passing-by"] = _Passing  # type: ignore[assignment]
    yield
    TERMS.pop("passing-by", None)


def saved(folder: Path, text: str) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(text)
    return folder


def test_it_holds_the_terms_of_the_recipe_alone(small_config: MakeConfig) -> None:
    held = yaml.safe_load(stored(small_config("dacs+mrm")))["TERMS"]
    assert set(held) == {"SUPERVISED", "SELF_TRAINING", "MRM"}


@pytest.mark.parametrize("method", ["source-only", "dacs", "daformer", "hrda+mic+mrm"])
def test_read_again_it_is_the_same_run(small_config: MakeConfig, tmp_path: Path, method: str) -> None:
    cfg = small_config(method, overrides={"SOLVER.ENCODER_LR": 0.5})
    again = open_run(str(saved(tmp_path / "run", stored(cfg))), tmp_path).cfg
    assert run_id(again) == run_id(cfg)
    held = flatten(CfgNode(yaml.safe_load(stored(cfg))))
    assert {key: flatten(again)[key] for key in held} == {key: flatten(cfg)[key] for key in held}


def test_a_run_outlives_a_term_that_it_does_not_use(
    passing: None, small_config: MakeConfig, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cfg = small_config("dacs")
    assert cfg.TERMS.PASSING_BY.RATIO == 0.5
    known = run_id(cfg)
    now, before = saved(tmp_path / "now", stored(cfg)), saved(tmp_path / "before", cfg.dump())
    del TERMS["passing-by"]
    assert run_id(open_run(str(now), tmp_path).cfg) == known
    assert caplog.messages == []
    # Earlier versions stored the settings of all terms.
    assert run_id(open_run(str(before), tmp_path).cfg) == known
    assert caplog.messages == [f"{before / 'config.yaml'}: settings of PASSING_BY left out, which the run does not use"]
    assert caplog.records[0].levelno == logging.WARNING


def test_another_key_of_a_term_in_use_is_still_one_line(small_config: MakeConfig, tmp_path: Path) -> None:
    content = yaml.safe_load(small_config("dacs+mrm").dump())
    content["TERMS"]["MRM"]["OF_ANOTHER_VERSION"] = 1
    folder = saved(tmp_path / "run", yaml.safe_dump(content))
    with pytest.raises(ConfigError, match="OF_ANOTHER_VERSION"):
        open_run(str(folder), tmp_path)


def test_settings_of_a_term_that_another_recipe_has_are_told_of_none(tmp_path: Path) -> None:
    """As streets sets blocks of MIC, also for dacs: nothing is said of terms that are there."""
    cfg = RunSpec("streets", "dacs").resolve()
    assert open_run(str(saved(tmp_path / "run", cfg.dump())), tmp_path).cfg.METHOD == "dacs"
