"""One run, from its config to its record."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.utils import comm

from benchmarks.computing.bf16 import emulated_bf16
from benchmarks.computing.compiled import check_compile
from benchmarks.computing.determinism import deterministic
from benchmarks.computing.device import pick_device
from benchmarks.computing.memory import start_peak
from benchmarks.computing.tf32 import TF32, check_tf32, products, tf32
from benchmarks.config.label_space import label_space
from benchmarks.config.plugins import used_plugins
from benchmarks.config.run import Run
from benchmarks.config.spec import numerics
from benchmarks.config.stored_config import stored
from benchmarks.core.errors import ConfigError, RunLeftOut, RunLocked, RunRefused
from benchmarks.data.from_config import cache_folder, data_root, target_labels, training_set, validation_set
from benchmarks.data.further_sets import further_sets
from benchmarks.data.loader_workers import loader_workers, own_cores
from benchmarks.engine.build import build_learners
from benchmarks.engine.checkpoint import checkpointer, remove_superseded, resume
from benchmarks.engine.distributed import broadcast_parameters, check_ranks, from_rank_0
from benchmarks.engine.hooks import Evaluation, Watcher, run_hooks
from benchmarks.engine.run_log import log_file
from benchmarks.engine.run_record import initial_record, labelled, measured, parameters, result, validation
from benchmarks.engine.step_pictures import StepPictures
from benchmarks.engine.trainer import Diverged, Trainer
from benchmarks.engine.watched import NeighboursHook
from benchmarks.evaluation.target_free import Criteria
from benchmarks.state import again
from benchmarks.state.fingerprint import Listings
from benchmarks.state.lock import locked
from benchmarks.state.neighbours import Neighbours, Place
from benchmarks.state.provenance import code_state, hardware, job_id, versions
from benchmarks.state.run_files import unfit_file
from datasets.batches.pairs import batches
from results.files.errors import ResultsError
from results.records.examples import write_examples
from results.records.image_counts import write_counts
from results.records.record import (
    DIVERGED,
    FAILED,
    FINISHED,
    PENDING,
    RUNNING,
    STOPPED,
    Record,
    read_record,
    write_record,
    write_text,
)
from results.tables.run_index import note_in_index
from slurm.processes.ranks import failure_of_another, is_loss_of_another

_LOGGER = logging.getLogger(__name__)

_MEASURED = ("iterations", "curve", "seconds_per_iteration", "peak_memory_mib", "wall_seconds", "shared")  # in a record


class RunWatcher(Watcher):
    """Told how a run goes; this one is told nothing in particular."""

    def started(self, iteration: int, miou: float | None = None) -> None:
        """Training begins, or goes on, at ``iteration``; ``miou``: of the last evaluation, where there was one."""

    def preparing(self, what: str) -> None: ...

    def step(self, done: int, losses: Any) -> None: ...

    def evaluating(self, done: int, images: int) -> None: ...

    def evaluated(self, miou: float) -> None: ...


def run_one(run: Run, watcher: RunWatcher, force: bool = False, begun: bool = False) -> Record:
    """Make the run in its folder, or pick it up where it stopped, and return its record.

    A finished run is returned as it is, unless ``force``, which starts anew: beside what is there, in whose place the
    new run is put when it is finished or has diverged (`benchmarks.state.again`). With ``begun`` it was started anew by
    who submitted it, and is gone on with. A run that fails or diverges has a record that says so and why; its traceback
    is in log.txt. An interrupt leaves it to be picked up. While the run goes on, its record.json has what is measured
    so far, written after each evaluation.

    Several processes that train the run together (`slurm.processes.ranks.joined`) all call this. The lock and all files
    but logs of the others (log-rank1.txt, ...) are rank 0's. A failure of one is raised in each: rank 0 has written it
    down, unless another process just vanished, which those who started them see better.

    Raises:
        RunLocked: another process has the run.
        RunRefused: the run was begun with other images, or what a kill left of two makings of it cannot be read. It is
            left as it is, but for the record of one that waited in a queue, which does so no more.
        OSError: its record cannot be written.
    """
    folder = run.folder
    check_ranks(run.cfg, comm.get_world_size())
    with ExitStack() as stack:
        record: Record | None = None
        refused: RunLeftOut | None = None
        place, over, data = folder, False, dict[str, Any]()
        if comm.is_main_process():
            try:
                stack.enter_context(locked(folder))
                again.settle(folder)
                if force:
                    place = again.newest(folder) if begun else again.begin(folder)
                record = _known(place)
                if record is None or not record.is_over:
                    if unfit := unfit_file(place):
                        known = record or initial_record(run)
                        record, over = known.changed(status=FAILED, reason=unfit, result=None), True
                        _write(place, record)
                    else:
                        listings = Listings()  # of now: a command may have begun days ago
                        listings.check(run, place)
                        data = listings.of(run)
                else:
                    over = True
            except RunLocked as error:
                refused = error
            except (ConfigError, ResultsError) as error:
                refused = RunRefused(str(error))
                if record is not None and record.status == PENDING:
                    _write(place, record.changed(status=STOPPED, reason=str(error)))
        record, refused, place, over = from_rank_0((record, refused, place, over))
        if refused is not None:
            raise refused
        if over:
            assert record is not None
            return record
        log = "log.txt" if comm.is_main_process() else f"log-rank{comm.get_rank()}.txt"
        solver = run.cfg.SOLVER
        with log_file(place / log), deterministic(solver.DETERMINISTIC, solver.COMPILE), tf32(solver.PRECISION == TF32):
            record = _run(run, place, watcher, data, record)
        if comm.is_main_process():
            again.settle(folder)
        return record


def _known(folder: Path) -> Record | None:
    """The run's record; one that cannot be read is none, so that the run is made good."""
    try:
        return read_record(folder)
    except ResultsError as error:
        _LOGGER.warning("%s", error)
        return None


def _run(
    run: Run, folder: Path, watcher: RunWatcher, data: dict[str, Any], before: Record | None
) -> Record:
    """Make the run in ``folder``; ``before``: the record of an earlier session, until the checkpoint says more."""
    cfg = run.cfg
    device = pick_device(cfg)
    check_tf32(cfg, device)
    check_compile(cfg, device)
    if cfg.SOLVER.PRECISION == "bf16" and device.type == "cpu" and emulated_bf16():
        _LOGGER.warning(
            "SOLVER.PRECISION is bf16, and this processor has no bf16 instructions: a step takes 30 to 100 times as "
            "long as with fp32"
        )
    git, diff = code_state()
    measured_before = {key: before.content[key] for key in _MEASURED if before and key in before.content}
    made_by = {"hardware": hardware(device), "versions": versions(), "git": git, "job": job_id()}
    made_by |= products(device)
    record = initial_record(run).changed(status=RUNNING, data=data, **measured_before, **made_by)
    trainer: Trainer | None = None
    outcome: dict[str, Any]
    neighbours = Neighbours(cache_folder(), run.folder, Place.of(device))

    def note() -> None:
        assert trainer is not None
        _write(folder, record.changed(**measured(trainer, device, neighbours)))

    try:
        if comm.is_main_process():
            write_text(folder / "config.yaml", stored(cfg))
            if diff:
                write_text(folder / "code.diff", diff, mode=0o600)  # it may hold what was not to be published
        _write(folder, record)
        start_peak(device)
        trainer, evaluation = _prepare(run, folder, device, watcher, note)
        trainer.register_hooks([NeighboursHook(neighbours)])
        begun = {"resumed_at": trainer.start_iter, "session_began": time.time()}
        record = record.changed(parameters=parameters(trainer), **labelled(run), **begun)
        note()  # of a resumed run: what its checkpoint knows
        watcher.started(trainer.start_iter, trainer.progress.curve[-1]["miou"] if trainer.progress.curve else None)
        trainer.train(trainer.start_iter, trainer.max_iter)
        outcome = {"status": FINISHED, "result": result(evaluation), "validation": validation(evaluation, cfg)}
        outcome |= {"also": evaluation.also} if evaluation.also else {}
        if comm.is_main_process():
            for model, found in evaluation.last.items():
                write_counts(folder, model, found.by_image)
            if evaluation.examples is not None:
                write_examples(folder, evaluation.examples)
            remove_superseded(folder)
    except Diverged as error:
        _LOGGER.error("diverged: %s", error)
        outcome = {"status": DIVERGED, "reason": str(error)}
    except Exception as error:  # whatever it was, the runs beside this one go on and the table shows it
        _LOGGER.exception("failed")
        other = failure_of_another()
        outcome = {"status": FAILED, "reason": other or f"{type(error).__name__}: {error}"}
        if comm.get_world_size() > 1:
            if other or not is_loss_of_another(error):
                _write(folder, record.changed(**outcome))
            raise
    finally:
        neighbours.leave()
    record = record.changed(**(measured(trainer, device, neighbours) if trainer is not None else {}), **outcome)
    try:
        _write(folder, record)
    except OSError as error:  # a full disk: what can be told is told here
        reason = record.reason or f"{type(error).__name__}: {error}"
        record = Record.of({key: value for key, value in record.content.items() if key != "result"})
        record = record.changed(status=FAILED, reason=reason)
        _LOGGER.warning("%s: failed, %s; its record could not be written (%s)", folder, reason, error)
    return record


def _write(folder: Path, record: Record) -> None:
    if comm.is_main_process():
        write_record(folder, record)
        note_in_index(folder)


def _prepare(
    run: Run, folder: Path, device: torch.device, watcher: RunWatcher, note: Callable[[], None]
) -> tuple[Trainer, Evaluation]:
    cfg = run.cfg
    _check_numerics(cfg)
    _check_plugins(cfg)
    root, workers = data_root(cfg), loader_workers(cfg, device)
    if cfg.NUM_WORKERS < 0:
        _LOGGER.info("NUM_WORKERS: %d processes load images (this one has %d cores)", workers, own_cores())
    train, val = training_set(cfg, run.recipe, root), validation_set(cfg, root)
    student, teacher, terms = build_learners(cfg, device)
    trainer = Trainer(
        cfg,
        student,
        teacher,
        terms,
        lambda start: batches(train, start, cfg.SOLVER.ITERS, workers, device.type == "cuda"),
        device,
    )
    saver = checkpointer(trainer, folder)
    trainer.start_iter = resume(saver)
    broadcast_parameters([student, trainer.terms, *([teacher] if teacher else [])])
    further = further_sets(cfg, root)
    evaluation = Evaluation(trainer, val, Criteria(cfg, root, device), cfg, watcher, note, further)
    pictures = []
    if cfg.LOG.IMAGES:
        labels = target_labels(cfg, train, root) if run.recipe.host.teacher else lambda iteration: None
        domain = "target" if run.recipe.oracle else "source"
        pictures.append(
            StepPictures(cfg.LOG.IMAGES, folder, lambda t: train.load(t)[0], labels, label_space(cfg), domain)
        )
    trainer.register_hooks(run_hooks(trainer, cfg, folder, saver, evaluation, watcher, pictures, run.known_as))
    return trainer, evaluation


def _check_numerics(cfg: CfgNode) -> None:
    """A run that was begun before a term was mended is not gone on with: it would be neither the one nor the other."""
    if (now := numerics(cfg)) != tuple(cfg.NUMERICS):  # a list, as YAML has it
        begun, current = (" and ".join(names) or "before there were any" for names in (cfg.NUMERICS, now))
        raise ConfigError(
            f"NUMERICS is {begun}, {current} in this version of the code, which computes other losses from the same "
            "settings: expected a new run (the command that made this one makes it, with an id of its own)"
        )


def _check_plugins(cfg: CfgNode) -> None:
    """Likewise for one that was begun with another version of a plug-in."""
    if (now := used_plugins(cfg.METHOD, cfg.NETWORK)) != tuple(cfg.PLUGINS):
        begun, current = (" and ".join(digests) or "empty" for digests in (cfg.PLUGINS, now))
        raise ConfigError(
            f"PLUGINS is {begun}, {current} of the plug-ins as they are now: expected the code that the run was begun "
            "with, or a new run (the command that made this one makes it, with an id of its own)"
        )
