"""Runs that an earlier version made, whose ids said how often they were evaluated: they are found, not made again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import NETWORK, SMALL
from detectron2.config import CfgNode
from fake_runs import EVALUATIONS, FakePool, write
from optuna.trial import TrialState

from ablations.search import described, parse_arguments
from ablations.study.search_driver import Driver
from ablations.study.storage import open_storage
from ablations.study.study import DEFINITION, RUN, Search, open_study
from ablations.study.trial_progress import TrialProgress
from benchmarks.config.former_ids import former_ids
from benchmarks.config.run import Run
from benchmarks.config.run_id import run_folder, run_id
from benchmarks.config.spec import RunSpec
from benchmarks.launch import compare, here
from benchmarks.launch.dry_run import dry_run
from benchmarks.launch.launcher import Launcher
from benchmarks.trained.opened_run import open_run
from results.records.record import FINISHED, RUNNING

MakeConfig = Callable[..., CfgNode]


def former_folder(output: Path, cfg: CfgNode) -> Path:
    """Where the run lay before: its id held its own TEST.PERIOD."""
    return run_folder(output, cfg).with_name(former_ids(cfg)[1])


def found(cfg: CfgNode, output: Path) -> Run:
    return Run.at(run_folder(output, cfg), cfg)


def searched(*words: str) -> Search:
    return described(parse_arguments(["--iters", "50", *words]))


def test_a_finished_run_is_shown_and_not_made_again(
    small_config: MakeConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cfg = small_config("dacs")
    folder = former_folder(tmp_path, cfg)
    write(folder, cfg, EVALUATIONS, FINISHED)
    assert "finished" in dry_run([("dacs", found(cfg, tmp_path))], tmp_path, Launcher())
    assert compare.make_runs([found(cfg, tmp_path)], tmp_path).folders == [folder]
    assert "finished before" in capsys.readouterr().out
    assert [path.name for path in folder.parent.iterdir()] == [former_ids(cfg)[1]]


def test_one_that_was_stopped_goes_on_where_it_lies(
    small_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cfg, made = small_config("dacs"), list[Path]()
    folder = former_folder(tmp_path, cfg)
    write(folder, cfg, 2, RUNNING)

    def run_one(run: Run, *_: object, **__: object) -> None:
        made.append(run.folder)
        write(run.folder, cfg, EVALUATIONS, FINISHED)

    monkeypatch.setattr(here, "run_one", run_one)
    monkeypatch.setattr(here, "tell", lambda *_: None)
    assert compare.make_runs([found(cfg, tmp_path)], tmp_path).folders == made == [folder]
    assert Run.at(folder, cfg).known_as == folder.name != run_id(cfg)  # its record says what its folder does


def test_a_finished_one_counts_before_one_that_is_not(small_config: MakeConfig, tmp_path: Path) -> None:
    cfg = small_config("dacs")
    write(new := tmp_path / f"streets/dacs/{NETWORK}" / run_id(cfg), cfg, 2, RUNNING)
    assert run_folder(tmp_path, cfg) == new
    write(old := new.with_name(former_ids(cfg)[1]), cfg, EVALUATIONS, FINISHED)
    assert run_folder(tmp_path, cfg) == old
    write(new, cfg, EVALUATIONS, FINISHED)
    assert run_folder(tmp_path, cfg) == new


def test_a_run_is_opened_by_its_former_id(small_config: MakeConfig, tmp_path: Path) -> None:
    cfg = small_config("dacs")
    folder = former_folder(tmp_path, cfg)
    write(folder, cfg, EVALUATIONS, FINISHED)
    (folder / "config.yaml").write_text(cfg.dump())
    assert open_run(folder.name, tmp_path).folder == folder


def test_how_often_a_run_is_evaluated_is_no_other_run(small_config: MakeConfig, tmp_path: Path) -> None:
    often, seldom = small_config("dacs", overrides={"TEST.PERIOD": 1}), small_config("dacs")
    assert run_folder(tmp_path, often) == run_folder(tmp_path, seldom)
    assert former_ids(often)[1] != former_ids(seldom)[1]


@pytest.mark.slow
def test_the_base_trial_of_a_search_is_the_run_that_run_py_makes(tmp_path: Path) -> None:
    search = searched("--pruner", "none")
    of_run_py = RunSpec("streets", "dacs+mrm", overrides={"SOLVER.ITERS": 50}).resolve()
    assert search.spec(search.base or {}).resolve().TEST.PERIOD != of_run_py.TEST.PERIOD
    folder = run_folder(tmp_path, of_run_py)
    write(folder, of_run_py, EVALUATIONS, FINISHED)
    storage, pool = open_storage(None, tmp_path / "study"), FakePool(1)
    study, _ = open_study(search, storage.optuna)
    with TrialProgress(study) as progress:
        Driver(study, storage.optuna, search, tmp_path, pool, progress).run(1)  # type: ignore[arg-type]
    assert pool.submitted == []
    assert study.trials[0].user_attrs[RUN] == folder.name == run_id(of_run_py)


def test_the_base_trial_of_a_search_of_before_is_found_by_run_py(tmp_path: Path) -> None:
    """Whose id held five evaluations a run."""
    of_run_py = RunSpec("streets", "dacs+mrm", overrides={"SOLVER.ITERS": 50}).resolve()
    base = searched().spec({}).resolve()
    folder = former_folder(tmp_path, base)
    write(folder, base, EVALUATIONS, FINISHED)
    assert run_folder(tmp_path, of_run_py) == folder


@pytest.mark.slow
def test_a_study_of_before_goes_on(tmp_path: Path) -> None:
    search = searched()
    storage = open_storage(None, tmp_path / "study")
    study, _ = open_study(search, storage.optuna)
    begun = study.ask()
    former = former_ids(search.spec({}).resolve())[0]
    assert former != study.user_attrs[DEFINITION]["run"]
    study.set_user_attr(DEFINITION, {**study.user_attrs[DEFINITION], "run": former})
    again, _ = open_study(search, storage.optuna)
    assert [trial.number for trial in again.get_trials() if trial.state == TrialState.RUNNING] == [begun.number]


def test_keys_of_the_small_runs_are_among_those_that_changed_ids() -> None:
    assert SMALL["TEST.PERIOD"] != RunSpec("streets", "dacs").resolve().TEST.PERIOD  # else the tests above show nothing
