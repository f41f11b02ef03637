"""What a search asks of its study, of its workers, and what it tells; with runs that are made up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest
from conftest import NETWORK
from counted_costs import COUNTER
from fake_runs import EVALUATIONS, FakePool, score, write
from optuna.trial import FrozenTrial, TrialState
from record_files import read_record

from ablations.profiling.step_cost import GIGA
from ablations.search import described, parse_arguments
from ablations.study.search_driver import Driver, trials_over
from ablations.study.storage import open_storage
from ablations.study.study import BASE, FAILED, FINISHED, FOLDER, LOST, OUTCOME, PRUNED, RETRY_OF, Search, open_study
from ablations.study.trial_progress import TrialProgress
from benchmarks.core.errors import ConfigError
from benchmarks.launch.workers import WorkerJob
from benchmarks.state.lock import locked
from results.records.record import DIVERGED, STOPPED

Make = Callable[..., optuna.Study]


@pytest.fixture
def searched(tmp_path: Path) -> Make:
    """A command's part, with a pool of made-up runs; called again, it goes on with the same study."""

    def go(pool: FakePool, trials: int, *words: str) -> optuna.Study:
        search = described(parse_arguments(["--iters", "50", "--pruner", "none", *words]))
        storage = open_storage(None, tmp_path / "study")
        study, _ = open_study(search, storage.optuna)
        with TrialProgress(study) as progress:
            Driver(study, storage.optuna, search, tmp_path, pool, progress).run(trials)  # type: ignore[arg-type]
        return study

    return go


def states(study: optuna.Study) -> Counter[TrialState]:
    return Counter(trial.state for trial in study.get_trials())


def settings(trials: list[FrozenTrial]) -> set[tuple[float, ...]]:
    return {tuple(trial.params.values()) for trial in trials}


def of(study: optuna.Study, state: TrialState) -> list[FrozenTrial]:
    return study.get_trials(states=(state,))


@pytest.mark.slow
def test_the_published_setting_comes_first_and_each_trial_has_a_run_of_its_own(searched: Make) -> None:
    pool = FakePool(3)
    study = searched(pool, 13)  # TPE draws from the eleventh on
    trials = study.get_trials()
    assert states(study) == {TrialState.COMPLETE: 13}
    assert trials[0].params == {"lambda": 1.0, "mask-ratio": 0.4}
    assert [trial.user_attrs.get(BASE) for trial in trials] == [True, *[None] * 12]
    assert len(set(pool.submitted)) == len(pool.submitted) == len(settings(trials)) == 13
    assert all(0.03 <= trial.params["lambda"] <= 10 and 0.1 <= trial.params["mask-ratio"] <= 0.9 for trial in trials)
    # Told what the run scored, at every evaluation.
    first = trials[0]
    assert first.value == pytest.approx(50 - 5 * 0.30103**2 - 40 * 0.04, abs=1e-4)
    assert first.intermediate_values == {10 * k: pytest.approx(first.value * k / EVALUATIONS) for k in range(1, 6)}


@pytest.mark.slow
def test_a_worker_that_dies_is_told_as_failed_and_its_setting_goes_on_where_it_was(searched: Make) -> None:
    killed: list[Path] = []

    def fate(job: WorkerJob, done: int) -> str | None:
        if len(killed) == 0 and done == 3 and job.label == "trial 7":
            killed.append(job.run.folder)
            return "lost"
        return None

    pool = FakePool(3, fate)
    study = searched(pool, 12)
    assert states(study) == {TrialState.COMPLETE: 12, TrialState.FAIL: 1}
    (dead,) = of(study, TrialState.FAIL)
    assert (dead.number, dead.user_attrs[OUTCOME]) == (7, LOST)
    (again,) = [trial for trial in of(study, TrialState.COMPLETE) if trial.user_attrs.get(RETRY_OF) == 7]
    assert again.params == dead.params
    assert [folder for folder, count in Counter(pool.submitted).items() if count == 2] == killed


@pytest.mark.slow
def test_a_setting_whose_workers_keep_dying_is_given_up(searched: Make) -> None:
    def fate(job: WorkerJob, done: int) -> str | None:
        return "lost" if job.run.cfg.TERMS.MRM.WEIGHT == 1.0 else None

    study = searched(FakePool(2, fate), 6)
    published = [trial for trial in study.get_trials() if trial.params["lambda"] == 1.0]
    assert [trial.user_attrs[OUTCOME] for trial in published] == [LOST, LOST, FAILED]
    assert trials_over(study) == 6


@pytest.mark.slow
def test_after_a_kill_no_trial_is_lost_and_none_is_made_twice(searched: Make, tmp_path: Path) -> None:
    """Of three runs under way one ends while no command looks, one goes on in its worker, and one is dead."""

    def fate(job: WorkerJob, done: int) -> str | None:
        return "interrupt" if job.label == "trial 5" and done == 2 else None

    first = FakePool(3, fate)
    with pytest.raises(KeyboardInterrupt):
        searched(first, 12)
    storage = open_storage(None, tmp_path / "study").optuna
    study = optuna.load_study(study_name=storage.get_all_studies()[0].study_name, storage=storage)
    asked = study.get_trials()
    ended, goes_on, dead = of(study, TrialState.RUNNING)
    search = described(parse_arguments(["--iters", "50", "--pruner", "none"]))

    def of_trial(trial: FrozenTrial) -> Path:
        return tmp_path / trial.user_attrs[FOLDER]

    write(of_trial(ended), search.spec(ended.params).resolve(), EVALUATIONS, FINISHED)
    lock = locked(of_trial(goes_on))
    lock.__enter__()
    looks = []

    def later(job: WorkerJob, done: int) -> str | None:
        looks.append(job)
        if len(looks) == 8:  # the worker of the killed command is done
            write(of_trial(goes_on), search.spec(goes_on.params).resolve(), EVALUATIONS, FINISHED)
            lock.__exit__(None, None, None)
        return None

    second = FakePool(3, later)
    study = searched(second, 12)
    assert states(study) == {TrialState.COMPLETE: 12, TrialState.FAIL: 1}
    assert settings(asked) <= settings(of(study, TrialState.COMPLETE))
    assert [trial.number for trial in of(study, TrialState.FAIL)] == [dead.number]
    made = Counter([*first.submitted, *second.submitted])
    assert {folder for folder, count in made.items() if count > 1} == {of_trial(dead)}
    assert not {of_trial(ended), of_trial(goes_on)} & set(second.submitted)


@pytest.mark.slow
def test_a_search_that_was_stopped_draws_what_one_that_was_not_draws(searched: Make, tmp_path: Path) -> None:
    searched(FakePool(1), 5)
    halves = settings(searched(FakePool(1), 14).get_trials())
    other = tmp_path / "other"
    search = described(parse_arguments(["--iters", "50", "--pruner", "none"]))
    storage = open_storage(None, other)
    study, _ = open_study(search, storage.optuna)
    with TrialProgress(study) as progress:
        Driver(study, storage.optuna, search, other, FakePool(1), progress).run(14)  # type: ignore[arg-type]
    assert settings(study.get_trials()) == halves


@pytest.mark.slow
def test_a_trial_that_lags_behind_is_pruned_and_its_run_stopped(searched: Make, tmp_path: Path) -> None:
    pool = FakePool(2)
    study = searched(pool, 20, "--pruner", "median")
    pruned = of(study, TrialState.PRUNED)
    assert pruned and len(pruned) + len(of(study, TrialState.COMPLETE)) == 20
    for trial in pruned:
        folder = tmp_path / trial.user_attrs[FOLDER]
        record = read_record(folder)
        assert folder in pool.cancelled and record is not None and record["status"] == STOPPED
        assert "pruned at iteration" in record["reason"]
        # By the second score at the earliest, which is below the median of what the others had there.
        last = max(trial.intermediate_values)
        assert 20 <= last < 50 and trial.user_attrs[OUTCOME] == PRUNED
    assert study.best_trial.value == max(trial.value for trial in of(study, TrialState.COMPLETE) if trial.value)


@pytest.mark.slow
def test_a_diverged_run_keeps_the_sampler_away_and_a_failed_one_is_counted(searched: Make) -> None:
    def fate(job: WorkerJob, done: int) -> str | None:
        return {"trial 2": DIVERGED, "trial 4": FAILED}.get(job.label) if done == 1 else None

    study = searched(FakePool(2, fate), 8)
    second, fourth = study.get_trials()[2], study.get_trials()[4]
    assert (second.state, second.user_attrs[OUTCOME]) == (TrialState.PRUNED, DIVERGED)
    assert (fourth.state, fourth.user_attrs[OUTCOME]) == (TrialState.FAIL, FAILED)
    assert states(study)[TrialState.COMPLETE] == 6 and len(study.get_trials()) == 8


def test_a_search_whose_first_trials_all_fail_ends(searched: Make) -> None:
    pool = FakePool(1, lambda job, done: FAILED)
    with pytest.raises(ConfigError, match="first 3 trials failed, the last one with: failed as it was told to"):
        searched(pool, 30)
    assert len(pool.submitted) == 3


@pytest.mark.slow
def test_two_objectives_have_a_front_and_the_counted_cost(searched: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ablations.study.trial_reporter.CostCounter", lambda: COUNTER)  # each config once
    words = ("--objective", "target-miou,step-cost", "--space", "TERMS.MRM.BLOCKS=1..2,mask-ratio")
    words += ("--network", NETWORK, "WEIGHTS", "none")
    study = searched(FakePool(2), 4, *words)
    search: Search = described(parse_arguments(["--iters", "50", *words]))
    for trial in study.get_trials():
        cfg = search.spec(trial.params).resolve()
        assert trial.values == [score(cfg), COUNTER.method(cfg).step_macs / GIGA]
    costs = {trial.params["TERMS.MRM.BLOCKS"]: trial.values[1] for trial in study.get_trials()}
    assert costs[1] < costs[2]


@pytest.mark.slow
def test_one_setting_suggested_twice_is_one_run(searched: Make) -> None:
    pool = FakePool(4)
    study = searched(pool, 9, "--space", "TERMS.MRM.BLOCKS=1..2")
    assert states(study) == {TrialState.COMPLETE: 9}
    assert len(pool.submitted) == len(set(pool.submitted)) == 2


@pytest.mark.slow
def test_a_grid_has_each_point_once(searched: Make) -> None:
    pool = FakePool(4)
    words = ("--sampler", "grid", "--space", "lambda,mask-ratio=0.2|0.4|0.6")
    study = searched(pool, 15, *words)
    points = {(weight, ratio) for weight in (0.1, 0.5, 1.0, 2.0, 10.0) for ratio in (0.2, 0.4, 0.6)}
    assert settings(study.get_trials()) == points and len(pool.submitted) == 15
    assert tuple(study.get_trials()[0].params.values()) == (1.0, 0.4)


@pytest.mark.slow
@pytest.mark.parametrize("sampler", ["gp", "qmc"])
def test_the_other_samplers_draw_and_differ(searched: Make, sampler: str) -> None:
    study = searched(FakePool(2), 13, "--sampler", sampler)
    assert states(study) == {TrialState.COMPLETE: 13} and len(settings(study.get_trials())) == 13


@pytest.mark.slow
def test_hyperband_stops_some(searched: Make) -> None:
    study = searched(FakePool(2), 20, "--pruner", "hyperband")
    assert of(study, TrialState.PRUNED) and trials_over(study) == 20


@pytest.mark.slow
def test_a_study_goes_on_with_the_same_search_alone(searched: Make) -> None:
    name = ("--study", "mine")
    searched(FakePool(2), 2, *name)
    for words, named in (
        (("--space", "lambda"), "space"),
        (("--host", "daformer"), "method"),
        (("SOLVER.BATCH", "2"), "set"),
        (("--seed", "3"), "seed"),
    ):
        with pytest.raises(ConfigError, match=f"--study mine: its trials have {named}"):
            searched(FakePool(2), 3, *name, *words)
