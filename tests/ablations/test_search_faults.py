"""What could go wrong in a search: kills at any instant, two commands, names and values that make no sense."""

from __future__ import annotations

import io
import json
import signal
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import optuna
import pytest
from fake_runs import EVALUATIONS, FakePool, Fate, write
from optuna.storages import BaseStorage, InMemoryStorage
from optuna.trial import FrozenTrial, TrialState
from record_files import read_record, write_record
from rich.console import Console

from ablations.search import described, parse_arguments
from ablations.study.search_driver import Driver
from ablations.study.search_report import write_search_report
from ablations.study.storage import open_storage
from ablations.study.study import DEFINITION, FOLDER, OUTCOME, PRUNED, Search, open_study
from ablations.study.trial_progress import TrialProgress
from benchmarks.config.protocol_file import PROTOCOLS
from benchmarks.config.run import Run
from benchmarks.config.run_id import run_folder
from benchmarks.config.spec import RunSpec
from benchmarks.core.errors import ConfigError
from benchmarks.launch.workers import WorkerJob
from benchmarks.state.lock import locked
from results.records.record import FAILED, FINISHED, RUNNING, STOPPED
from slurm.base.outcome import Lost
from slurm.processes.local import LocalPool


def search_of(*words: str) -> Search:
    return described(parse_arguments(["--iters", "50", *words]))


class Place:
    """A command's part, called once or more: runs below one folder, a study that outlives each call."""

    def __init__(self, output: Path, storage: BaseStorage | None = None) -> None:
        self.output, self.storage = output, storage or InMemoryStorage()

    def study(self, *words: str) -> optuna.Study:
        return open_study(search_of(*words), self.storage)[0]

    def go(self, pool: FakePool, trials: int, *words: str, console: Console | None = None) -> optuna.Study:
        search = search_of(*words)
        study, _ = open_study(search, self.storage)
        with TrialProgress(study, console) as progress:
            Driver(study, self.storage, search, self.output, pool, progress).run(trials)  # type: ignore[arg-type]
        return study


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def of(study: optuna.Study, *states: TrialState) -> list[FrozenTrial]:
    return study.get_trials(states=states)


def interrupt_when(seen: Callable[[WorkerJob, int], bool]) -> Fate:
    return lambda job, done: "interrupt" if seen(job, done) else None


class _LateEnd(FakePool):
    """Runs as they are: the last score is in a record that still says running, a moment before it says finished.

    All score alike, but for those after the seventh, which no longer rise at the end.
    """

    def ended(self) -> list[tuple[int, str | Lost | None]]:
        late: list[tuple[int, str | Lost | None]] = []
        for index, (job, done) in list(self._running.items()):
            if done == EVALUATIONS:
                stopped = index in self._stopping
                if not stopped:
                    self._score(index, job, EVALUATIONS, FINISHED)
                late.append((index, Lost("its process died", job.run.folder) if stopped else None))
                del self._running[index]
        before = dict(self._running)
        over = super().ended()
        for index, outcome in over:
            job, _ = before[index]
            if outcome is None:
                self._running[index] = (job, EVALUATIONS)
            else:
                late.append((index, outcome))
        for index, (job, done) in self._running.items():
            self._score(index, job, done, RUNNING)
        return late

    def _score(self, index: int, job: WorkerJob, done: int, status: str) -> None:
        write(job.run.folder, job.run.cfg, done, status)
        record = read_record(job.run.folder)
        assert record
        for point in record["curve"]:
            point["miou"] = float(point["iteration"] if index < 7 else min(point["iteration"], 41))
        write_record(job.run.folder, record)


def test_a_run_that_has_its_last_score_is_not_pruned_any_more(place: Place) -> None:
    study = place.go(_LateEnd(2), 12, "--pruner", "median")
    assert [trial.number for trial in of(study, TrialState.PRUNED) if trial.last_step == 50] == []


def test_a_run_that_another_command_has_in_a_queue_is_waited_for(place: Place) -> None:
    class Queued(FakePool):
        """The first run has a job of another command, which ends at the third look."""

        theirs: Any = None
        looks = 0

        def submit(self, index: int, job: WorkerJob) -> str:
            if index:
                return super().submit(index, job)
            self.theirs = job.run
            return f"{job.run.folder} is in the queue as job 7_1"

        def busy(self, folder: Path) -> bool:
            return self.theirs is not None and folder == self.theirs.folder and self.looks < 3

        def ended(self) -> list[tuple[int, str | Lost | None]]:
            self.looks += 1
            if self.looks == 3:
                write(self.theirs.folder, self.theirs.cfg, EVALUATIONS, FINISHED)
            return super().ended()

    shown = io.StringIO()
    pool = Queued(2)
    study = place.go(pool, 3, "--pruner", "none", console=Console(file=shown, width=300))
    assert [trial.number for trial in of(study, TrialState.COMPLETE)] == [0, 1, 2]
    assert pool.theirs.folder not in pool.submitted and len(pool.submitted) == 2
    told = f"trial 0: left to another process, {pool.theirs.folder} is in the queue as job 7_1"
    assert shown.getvalue().count(told) == 1


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_a_study_of_another_program_is_refused(tmp_path: Path, direction: str) -> None:
    storage = open_storage(None, tmp_path).optuna
    other = optuna.create_study(storage=storage, study_name="mine", direction=direction)
    other.ask({"x": optuna.distributions.FloatDistribution(0, 1)})
    with pytest.raises(ConfigError, match="--study mine"):
        open_study(search_of("--study", "mine"), storage)


def test_a_grid_is_a_search_of_its_own(place: Place) -> None:
    words = ("--pruner", "none", "--space", "mask-ratio=0.2|0.3|0.4")
    place.go(FakePool(2), 2, *words, "--sampler", "tpe")
    with pytest.raises(ConfigError, match="its trials have sampler one that draws, not grid"):
        place.go(FakePool(2), 3, *words, "--sampler", "grid")


def test_a_grid_draws_nothing_beside_its_points(place: Place) -> None:
    words = ("--pruner", "none", "--space", "lambda", "--sampler", "grid")
    with pytest.raises(ConfigError, match="--trials is 9, expected at most 5"):
        place.go(FakePool(2), 9, *words)
    study = place.go(FakePool(2, lambda job, done: "lost" if job.label == "trial 2" else None), 5, *words)
    made = [trial.params["lambda"] for trial in of(study, TrialState.COMPLETE)]
    assert sorted(made) == [0.1, 0.5, 1.0, 2.0, 10.0] and len(study.get_trials()) == 6


@pytest.mark.slow
def test_a_second_command_with_other_output_does_not_tell_what_the_first_has_under_way(tmp_path: Path) -> None:
    storage, refused = open_storage(None, tmp_path).optuna, []

    def fate(job: WorkerJob, done: int) -> str | None:
        if done == 2 and not refused:
            refused.append(True)
            with pytest.raises(ConfigError):
                Place(tmp_path / "two", storage).go(FakePool(1), 3, "--pruner", "none")
        return None

    study = Place(tmp_path / "one", storage).go(FakePool(2, fate), 3, "--pruner", "none")
    assert len(of(study, TrialState.COMPLETE)) == 3


def test_a_study_that_no_trial_of_has_begun_may_become_another(tmp_path: Path) -> None:
    """The data were checked after it was made, and did not do: the user sets a key and tries again."""
    storage = open_storage(None, tmp_path).optuna
    first, second = (
        search_of("--objective", "source-val-miou", "TEST.SOURCE_IMAGES", images) for images in ("20", "10")
    )
    open_study(first, storage)
    study, _ = open_study(second, storage)
    assert study.user_attrs[DEFINITION] == second.definition() != first.definition()
    assert optuna.get_all_study_names(storage) == [study.study_name]


def test_what_a_killed_command_left_is_counted_of_the_trials_that_are_wanted(place: Place, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        place.go(FakePool(1, interrupt_when(lambda job, done: job.label == "trial 3" and done == 2)), 6)
    search = search_of()
    (left,) = of(place.study(), TrialState.RUNNING)
    write(tmp_path / left.user_attrs[FOLDER], search.spec(left.params).resolve(), EVALUATIONS, FINISHED)
    shown = io.StringIO()
    place.go(FakePool(1), 6, console=Console(file=shown, width=200))
    assert "trial 3" in shown.getvalue() and "of 0 over" not in shown.getvalue()


class _DeadOnArrival(FakePool):
    """A worker that dies before its run wrote anything."""

    died = False

    def submit(self, index: int, job: WorkerJob) -> None:
        record = read_record(job.run.folder) if job.run.folder.is_dir() else None
        super().submit(index, job)
        if record is not None and not self.died:
            self.died = True
            write(job.run.folder, job.run.cfg, 0, record["status"], record["reason"])
            self._stopping.add(index)


def test_a_failure_of_an_earlier_command_is_not_told_of_a_trial_whose_worker_died(place: Place, tmp_path: Path) -> None:
    search = search_of("--pruner", "none")
    assert search.base
    cfg = search.spec(search.base).resolve()
    write(run_folder(tmp_path, cfg), cfg, 0, FAILED, "of an earlier command")
    study = place.go(_DeadOnArrival(1), 2, "--pruner", "none")
    assert len(of(study, TrialState.COMPLETE)) == 2


def test_a_kill_before_a_pruned_trial_was_told_leaves_it_pruned(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    tell = optuna.Study.tell

    def killed(study: optuna.Study, number: int, values: object = None, state: TrialState | None = None) -> object:
        if state == TrialState.PRUNED:
            raise KeyboardInterrupt
        return tell(study, number, values, state)  # type: ignore[arg-type]

    words = ("--pruner", "median")
    monkeypatch.setattr(optuna.Study, "tell", killed)
    with pytest.raises(KeyboardInterrupt):
        place.go(FakePool(1), 20, *words)
    monkeypatch.undo()
    (left,) = of(place.study(*words), TrialState.RUNNING)
    assert left.user_attrs[OUTCOME] == PRUNED
    pool = FakePool(1)
    study = place.go(pool, left.number + 1, *words)
    assert study.get_trials()[left.number].state == TrialState.PRUNED and not pool.submitted


class _SlowDeath(FakePool):
    """The process of a cancelled run, or its loaders', lets go of the lock a moment after the one between ended."""

    def __init__(self) -> None:
        super().__init__(2)
        self._locks, self.held = ExitStack(), set[Path]()

    def ended(self) -> list[tuple[int, str | Lost | None]]:
        self._locks.close()
        jobs = {index: job for index, (job, _) in self._running.items()}
        over = super().ended()
        for index, outcome in over:
            if isinstance(outcome, Lost):
                self._locks.enter_context(locked(jobs[index].run.folder))
                self.held.add(jobs[index].run.folder)
        return over


@pytest.mark.slow
def test_a_pruned_run_whose_process_is_slow_to_end_is_recorded_as_stopped(place: Place) -> None:
    pool = _SlowDeath()
    place.go(pool, 20, "--pruner", "median")
    records = [read_record(folder) for folder in pool.held]
    assert records and {record["status"] for record in records if record} == {STOPPED}


@pytest.mark.parametrize("name", ["why?not.db", "a%20b%3fc?d.db"])
def test_the_file_that_is_named_is_the_storage(tmp_path: Path, name: str) -> None:
    try:
        storage = open_storage(str(tmp_path / name), tmp_path)
    except ConfigError:
        return  # a name that no URL can hold is better refused than taken for another
    optuna.create_study(storage=storage.optuna, study_name="one")
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert optuna.load_study(study_name="one", storage=storage.shown).study_name == "one"


def test_a_storage_in_memory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--storage"):
        open_storage("sqlite://", tmp_path)


@pytest.mark.parametrize("name", ["..", "../../elsewhere", "/elsewhere", "a/b", ".", "x" * 300, "cost $\\a$"])
def test_a_name_that_is_no_folder_of_its_own_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="--study"):
        search_of("--study", name)


def test_qmc_draws_anew_after_a_trial_that_failed(place: Place) -> None:
    words = ("--pruner", "none", "--space", "lambda=2..10", "--sampler", "qmc")
    study = place.go(FakePool(1, lambda job, done: FAILED if job.label == "trial 0" else None), 2, *words)
    first, second = study.get_trials()
    assert first.params != second.params


@pytest.mark.slow
def test_workers_of_a_killed_command_count_among_those_at_a_time(place: Place, tmp_path: Path) -> None:
    words = ("--pruner", "none")
    with pytest.raises(KeyboardInterrupt):
        place.go(FakePool(1, interrupt_when(lambda job, done: job.label == "trial 1" and done == 2)), 4, *words)
    search = search_of(*words)
    (left,) = of(place.study(*words), TrialState.RUNNING)
    folder, looks, during = tmp_path / left.user_attrs[FOLDER], [], []
    lock = locked(folder)
    lock.__enter__()

    class Pool(FakePool):
        def ended(self) -> list[tuple[int, str | Lost | None]]:
            looks.append(1)
            if len(looks) <= 3:
                during.extend(self.submitted)
            if len(looks) == 3:
                write(folder, search.spec(left.params).resolve(), EVALUATIONS, FINISHED)
                lock.__exit__(None, None, None)
            return super().ended()

    place.go(Pool(1), 4, *words)
    assert not during


def test_one_run_that_two_trials_wait_for_is_one_run_after_a_kill(place: Place, tmp_path: Path) -> None:
    words = ("--pruner", "none", "--space", "TERMS.MRM.BLOCKS=1..2")
    with pytest.raises(KeyboardInterrupt):
        place.go(FakePool(2, interrupt_when(lambda job, done: done == 2)), 2, *words)
    first, second = of(place.study(*words), TrialState.RUNNING)
    # As it is where a sampler suggested one setting twice.
    folder = tmp_path / first.user_attrs[FOLDER]
    place.storage.set_trial_user_attr(second._trial_id, FOLDER, first.user_attrs[FOLDER])
    lock, looks = locked(folder), []
    lock.__enter__()

    class Pool(FakePool):
        def ended(self) -> list[tuple[int, str | Lost | None]]:
            looks.append(1)
            if len(looks) == 2:  # the worker of the killed command dies
                lock.__exit__(None, None, None)
            return super().ended()

    pool = Pool(2)
    place.go(pool, 2, *words)
    assert pool.submitted.count(folder) == 1


@pytest.mark.slow
def test_a_correlation_counts_each_run_once(place: Place, tmp_path: Path) -> None:
    words = ("--pruner", "none", "--objective", "pseudo-label-confidence", "--space", "TERMS.MRM.BLOCKS=1..4")

    class Pool(FakePool):
        def ended(self) -> list[tuple[int, str | Lost | None]]:
            jobs = {index: job for index, (job, _) in self._running.items()}
            over = super().ended()
            for index, _ in over:
                folder, blocks = jobs[index].run.folder, jobs[index].run.cfg.TERMS.MRM.BLOCKS
                record = read_record(folder)
                if record is None or record["status"] != FINISHED:
                    continue
                record["curve"][-1] |= {"confidence": blocks / 10, "miou": 30.0 + blocks % 3}
                record["result"] = {"student": {"miou": 30.0 + blocks % 3}, "criteria": {"confidence": blocks / 10}}
                write_record(folder, record)
            return over

    pool = Pool(2, lambda job, done: "lost" if job.label == "trial 0" else None)
    study = place.go(pool, 9, *words)
    text = write_search_report(study, search_of(*words), tmp_path / "report", tmp_path).text
    assert f"n = {len(set(pool.submitted))} " in text


@pytest.mark.parametrize(
    "words", [("--space", "SOLVER.DECODER_LR=1e-3..1e-1:log"), ("--space", "lambda", "TERMS.MRM.BLOCKS", "6")]
)
def test_what_is_not_published_is_not_called_so(words: tuple[str, ...]) -> None:
    """The rates and MRM's tokens of streets are its own, and no paper has six blocks."""
    tokens = ("TERMS.MRM.RESOLUTION", "16")
    assert search_of(*words, *tokens).base_name == "base"
    space = ("--space", "lambda,TERMS.MRM.BLOCKS=1..4")
    assert search_of(*space, *tokens).base_name == "published" and search_of(*space).base_name == "base"


def test_a_study_goes_on_with_another_pruner(tmp_path: Path) -> None:
    storage = open_storage(None, tmp_path).optuna
    study, _ = open_study(search_of("--pruner", "none"), storage)
    assert isinstance(study.pruner, optuna.pruners.NopPruner)
    begun = study.ask()
    study, _ = open_study(search_of("--pruner", "median"), storage)
    assert isinstance(study.pruner, optuna.pruners.MedianPruner)
    assert [trial.number for trial in of(study, TrialState.RUNNING)] == [begun.number]


def test_a_protocol_by_another_path_is_the_same_search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own.yaml").write_text((PROTOCOLS / "streets.yaml").read_text())
    monkeypatch.chdir(tmp_path)
    one, other = (search_of("--protocol", path) for path in ("own.yaml", str(tmp_path / "own.yaml")))
    assert one.definition() == other.definition()


def test_what_the_objective_needs_is_not_set_to_nothing() -> None:
    with pytest.raises(ConfigError, match=r"TEST\.SOURCE_IMAGES"):
        search_of("--objective", "source-val-miou", "TEST.SOURCE_IMAGES", "0")


def test_a_range_of_whole_numbers_too_long_to_list_is_one_line() -> None:
    with pytest.raises(ConfigError):
        search_of("--space", "TERMS.MRM.BLOCKS=1..99999999999999999999")


def test_time_left_is_of_what_this_command_did(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that goes on at 90 of 100 iterations and needs a minute for the next: ten trials take 15 hours more."""
    now, shown = [1000.0], io.StringIO()
    monkeypatch.setattr("time.monotonic", lambda: now[0])

    def done(iterations: int) -> None:
        (tmp_path / "metrics.json").write_text(json.dumps({"iteration": iterations - 1}) + "\n")

    run = Run.at(tmp_path, RunSpec("streets", "dacs", overrides={"SOLVER.ITERS": 100}).resolve())
    done(90)
    with TrialProgress(optuna.create_study(), Console(file=shown, width=200)) as progress:
        progress.begin(10, 0)
        progress.state([(0, run)])
        now[0] += 60
        done(91)
        progress.state([(0, run)])
    assert "time left 15:" in shown.getvalue()


@pytest.mark.parametrize("handler", [signal.default_int_handler, signal.SIG_IGN])
def test_a_worker_that_is_cancelled_ends_and_prints_no_traceback(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], handler: Any
) -> None:
    """Each pruned trial is such a worker; nothing of it is lost, so that no file of it has to stay.

    Also where the command itself ignores interrupts, as in the background of a script.
    """
    before = signal.signal(signal.SIGINT, handler)
    try:
        _cancel_one(tmp_path / "workers")
        assert signal.getsignal(signal.SIGINT) == handler
    finally:
        signal.signal(signal.SIGINT, before)
    assert capfd.readouterr().err == ""
    assert not list(tmp_path.iterdir())


def _cancel_one(folder: Path) -> None:
    with LocalPool[float, None](time.sleep, 1, folder) as pool:
        pool.submit(0, 60.0)
        end = time.monotonic() + 30
        while not list(folder.rglob("*.out")) and time.monotonic() < end:
            time.sleep(0.02)
        pool.cancel(0)
        while not pool.ended():
            assert time.monotonic() < end


def test_a_search_killed_in_the_middle_of_a_trial_draws_what_one_that_was_not_draws(tmp_path: Path) -> None:
    whole, halves = Place(tmp_path / "whole"), Place(tmp_path / "halves")
    words = ("--pruner", "none")
    with pytest.raises(KeyboardInterrupt):
        halves.go(FakePool(1, interrupt_when(lambda job, done: job.label == "trial 3" and done == 2)), 6, *words)
    made, expected = (place.go(FakePool(1), 6, *words) for place in (halves, whole))
    drawn = [trial.params for trial in of(made, TrialState.COMPLETE)]
    assert drawn == [trial.params for trial in of(expected, TrialState.COMPLETE)]
