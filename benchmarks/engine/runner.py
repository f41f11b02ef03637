"""One run, from its config to its record."""

from __future__ import annotations

import logging
import math
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.utils import comm

from benchmarks.config.keys import config_name, from_node
from benchmarks.config.label_space import label_space, scoring
from benchmarks.config.spec import id_in, numerics
from benchmarks.config.stored_config import stored
from benchmarks.core.errors import ConfigError, RunLeftOut, RunLocked, RunRefused
from benchmarks.data.from_config import data_root, training_set, validation_set
from benchmarks.engine.bf16 import emulated_bf16
from benchmarks.engine.checkpoint import checkpointer, remove_superseded, resume
from benchmarks.engine.determinism import deterministic
from benchmarks.engine.distributed import broadcast_parameters, check_ranks, from_rank_0
from benchmarks.engine.hooks import Evaluation, Watcher, run_hooks
from benchmarks.engine.memory import peak_mib, start_peak
from benchmarks.engine.trainer import Diverged, Trainer
from benchmarks.evaluation.target_free import Criteria
from benchmarks.state import again
from benchmarks.state.fingerprint import Listings
from benchmarks.state.lock import locked
from benchmarks.state.provenance import code_state, hardware, job_id, versions
from benchmarks.state.run_files import unfit_file
from datasets.pairs import batches
from methods.base.randomness import seed_pass
from methods.framework.recipes import Recipe, parse
from methods.framework.term import TERMS, Term
from methods.networks import Segmentor, build_segmentor
from methods.networks.multi_resolution import MultiResolution, MultiResolutionSegmentor
from methods.networks.registry import is_weights_name
from methods.networks.sync_norm import synchronize_norms
from methods.networks.weights import load_weights
from methods.parts.teacher import Teacher
from results.files.errors import ResultsError
from results.records.record import (
    DATA,
    DIVERGED,
    FAILED,
    FINISHED,
    PENDING,
    RUNNING,
    STOPPED,
    read_record,
    write_record,
    write_text,
)
from slurm.processes.ranks import failure_of_another, is_loss_of_another

_LOGGER = logging.getLogger(__name__)

_MEASURED = ("iterations", "curve", "seconds_per_iteration", "peak_memory_mib", "wall_seconds")  # in a record, so far


class RunWatcher(Watcher):
    """Told how a run goes; this one is told nothing in particular."""

    def started(self, iteration: int, miou: float | None = None) -> None:
        """Training begins, or goes on, at ``iteration``; ``miou``: of the last evaluation, where there was one."""

    def step(self, done: int, losses: Any) -> None: ...

    def evaluating(self, done: int, images: int) -> None: ...

    def evaluated(self, miou: float) -> None: ...


def run_one(
    cfg: CfgNode, folder: Path, watcher: RunWatcher, force: bool = False, begun: bool = False
) -> dict[str, Any]:
    """Make the run of ``cfg`` in ``folder``, or pick it up where it stopped, and return its record.

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
    check_ranks(cfg, comm.get_world_size())
    with ExitStack() as stack:
        record: dict[str, Any] | None = None
        refused: RunLeftOut | None = None
        place, over, data = folder, False, dict[str, Any]()
        if comm.is_main_process():
            try:
                stack.enter_context(locked(folder))
                again.settle(folder)
                if force:
                    place = again.newest(folder) if begun else again.begin(folder)
                record = _known(place)
                if record is None or record["status"] not in (FINISHED, DIVERGED):
                    if unfit := unfit_file(place):
                        reason = {"status": FAILED, "reason": unfit, "result": None}
                        record, over = (record or initial_record(cfg, place)) | reason, True
                        _write(place, record)
                    else:
                        listings = Listings()  # of now: a command may have begun days ago
                        listings.check(cfg, place)
                        data = listings.of(cfg)
                else:
                    over = True
            except RunLocked as error:
                refused = error
            except (ConfigError, ResultsError) as error:
                refused = RunRefused(str(error))
                if record is not None and record["status"] == PENDING:
                    _write(place, record | {"status": STOPPED, "reason": str(error)})
        record, refused, place, over = from_rank_0((record, refused, place, over))
        if refused is not None:
            raise refused
        if over:
            assert record is not None
            return record
        log = "log.txt" if comm.is_main_process() else f"log-rank{comm.get_rank()}.txt"
        with _log_file(place / log), deterministic(cfg.SOLVER.DETERMINISTIC):
            record = _run(cfg, place, watcher, data, record or {})
        if comm.is_main_process():
            again.settle(folder)
        return record


def _known(folder: Path) -> dict[str, Any] | None:
    """The run's record; one that cannot be read is none, so that the run is made good."""
    try:
        return read_record(folder)
    except ResultsError as error:
        _LOGGER.warning("%s", error)
        return None


def _run(
    cfg: CfgNode, folder: Path, watcher: RunWatcher, data: dict[str, Any], before: Mapping[str, Any]
) -> dict[str, Any]:
    """``before``: the record of an earlier session, which holds until the checkpoint has said more."""
    recipe = parse(cfg.METHOD)
    device = pick_device(cfg)
    if cfg.SOLVER.PRECISION == "bf16" and device.type == "cpu" and emulated_bf16():
        _LOGGER.warning(
            "SOLVER.PRECISION is bf16, and this processor has no bf16 instructions: a step takes 30 to 100 times as "
            "long as with fp32"
        )
    git, diff = code_state()
    record = initial_record(cfg, folder) | {key: before[key] for key in _MEASURED if key in before}
    record |= {DATA: data, "hardware": hardware(device), "versions": versions(), "git": git, "job": job_id()}
    trainer: Trainer | None = None
    outcome: dict[str, Any]

    def note() -> None:
        assert trainer is not None
        _write(folder, record | _measured(trainer, device) | {"status": RUNNING})

    try:
        if comm.is_main_process():
            write_text(folder / "config.yaml", stored(cfg))
            if diff:
                write_text(folder / "code.diff", diff, mode=0o600)  # it may hold what was not to be published
        _write(folder, record | {"status": RUNNING})
        start_peak(device)
        trainer, evaluation = _prepare(cfg, recipe, folder, device, watcher, note)
        record["parameters"] = _parameters(trainer)
        record["resumed_at"] = trainer.start_iter
        record["session_began"] = time.time()
        note()  # of a resumed run: what its checkpoint knows
        watcher.started(trainer.start_iter, trainer.progress.curve[-1]["miou"] if trainer.progress.curve else None)
        trainer.train(trainer.start_iter, trainer.max_iter)
        outcome = {"status": FINISHED, "result": _result(evaluation), "validation": _validation(evaluation, cfg)}
        if comm.is_main_process():
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
                _write(folder, record | outcome)
            raise
    if trainer is not None:
        record |= _measured(trainer, device)
    record |= outcome
    try:
        _write(folder, record)
    except OSError as error:  # a full disk: what can be told is told here
        record = {key: value for key, value in record.items() if key != "result"} | {"status": FAILED}
        record["reason"] = record["reason"] or f"{type(error).__name__}: {error}"
        _LOGGER.warning("%s: failed, %s; its record could not be written (%s)", folder, record["reason"], error)
    return record


def _write(folder: Path, record: dict[str, Any]) -> None:
    if comm.is_main_process():
        write_record(folder, record)


def _prepare(
    cfg: CfgNode, recipe: Recipe, folder: Path, device: torch.device, watcher: RunWatcher, note: Callable[[], None]
) -> tuple[Trainer, Evaluation]:
    _check_numerics(cfg)
    root = data_root(cfg)
    train, val = training_set(cfg, recipe, root), validation_set(cfg, root)
    student = build_student(cfg).to(device)
    student.encoder.checkpointing = cfg.SOLVER.ACTIVATION_CHECKPOINTING
    student.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if comm.get_world_size() > 1:
        synchronize_norms(student)  # before it is copied: the teacher's are such, too
    terms = [term.to(device) for term in build_terms(cfg, recipe, student)]
    teacher = Teacher(student, cfg.SELF_TRAINING.MOMENTUM) if recipe.host.teacher else None
    trainer = Trainer(
        cfg,
        student,
        teacher,
        terms,
        lambda start: batches(train, start, cfg.SOLVER.ITERS, cfg.NUM_WORKERS, device.type == "cuda"),
        device,
    )
    saver = checkpointer(trainer, folder)
    trainer.start_iter = resume(saver)
    broadcast_parameters([student, trainer.terms, *([teacher] if teacher else [])])
    evaluation = Evaluation(trainer, val, Criteria(cfg, root, device), cfg, watcher, note)
    trainer.register_hooks(run_hooks(trainer, cfg, folder, saver, evaluation, watcher))
    return trainer, evaluation


def _check_numerics(cfg: CfgNode) -> None:
    """A run that was begun before a term was mended is not gone on with: it would be neither the one nor the other."""
    if (now := numerics(cfg)) != tuple(cfg.NUMERICS):  # a list, as YAML has it
        begun, current = (" and ".join(names) or "before there were any" for names in (cfg.NUMERICS, now))
        raise ConfigError(
            f"NUMERICS is {begun}, {current} in this version of the code, which computes other losses from the same "
            "settings: expected a new run (the command that made this one makes it, with an id of its own)"
        )


def build_student(cfg: CfgNode) -> Segmentor:
    """The network, initialized from the run's seed; on the CPU."""
    seed_pass(cfg.SEED, "initialize", "network")
    segmentor = build_segmentor(cfg.NETWORK, len(label_space(cfg).names), cfg.WEIGHTS)
    resolutions = from_node(MultiResolution, cfg.HRDA)
    if not resolutions.enabled:
        return segmentor
    seed_pass(cfg.SEED, "initialize", "attention")
    width, height = cfg.INPUT.CROP
    student = MultiResolutionSegmentor(segmentor, resolutions, (height, width))
    if not is_weights_name(cfg.NETWORK, cfg.WEIGHTS):
        load_weights(student, cfg.WEIGHTS)  # once more, for the attention that it may hold
    return student


def build_terms(cfg: CfgNode, recipe: Recipe, segmentor: Segmentor) -> list[Term[Any]]:
    """The terms of a recipe whose weight is not 0, each initialized from a seed of its own name."""
    width, height = cfg.INPUT.CROP
    terms = []
    for name in recipe.terms:
        cls = TERMS[name]
        values = from_node(cls.Settings, cfg.TERMS[config_name(name)])
        if values.weight == 0:
            continue
        seed_pass(cfg.SEED, "initialize", name)
        terms.append(cls(values, segmentor, (height, width)))
    if not terms:
        raise ConfigError(f"method {recipe.name}: every weight is 0, nothing is left to train")
    return terms


def pick_device(cfg: CfgNode) -> torch.device:
    """DEVICE, or cuda where there is one, else cpu. Raises ConfigError for one that is not there."""
    name = cfg.DEVICE or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(f"DEVICE {name!r} cannot be used: {str(error).splitlines()[0]}") from None
    return device


def initial_record(cfg: CfgNode, folder: Path) -> dict[str, Any]:
    """What the record of a run that has not begun can say, but for its status."""
    recipe = parse(cfg.METHOD)
    return {
        "id": id_in(again.run_of(folder), cfg),
        "spec": {"protocol": cfg.PROTOCOL, "method": cfg.METHOD, "network": cfg.NETWORK, "seed": cfg.SEED},
        "oracle": recipe.oracle,
        "classes": cfg.TEST.CLASSES,
        "class_sets": list(scoring(cfg).class_sets),
        "iterations": 0,
        "max_iterations": cfg.SOLVER.ITERS,
        "precision": cfg.SOLVER.PRECISION,
        "deterministic": cfg.SOLVER.DETERMINISTIC,
        "hardware": {"name": ""},
        "reason": "",
    }


def _parameters(trainer: Trainer) -> dict[str, int]:
    """Counts by part; what stays after training, and what is trained besides."""

    def count(module: torch.nn.Module) -> int:
        return sum(parameter.numel() for parameter in module.parameters())

    student = trainer.student
    return {
        "encoder": count(student.encoder),
        "decoder": count(student) - count(student.encoder),  # with the attention of a student of two resolutions
        "inference": count(student),
        "training_only": count(trainer.terms),
    }


def _measured(trainer: Trainer, device: torch.device) -> dict[str, Any]:
    seconds = trainer.progress.seconds
    return {
        "iterations": trainer.start_iter + len(seconds),
        "curve": trainer.progress.curve,
        "seconds_per_iteration": statistics.median(seconds) if seconds else None,
        "peak_memory_mib": peak_mib(device),
        "wall_seconds": trainer.progress.wall(),
    }


def _result(evaluation: Evaluation) -> dict[str, Any]:
    """Scores in percent by model, where a class that occurs nowhere has none; and the criteria, if any was measured."""
    result: dict[str, Any] = {}
    for model, scores in evaluation.last.items():
        known = _known_values(scores)
        iou = {name.removeprefix("IoU-"): value for name, value in known.items() if name.startswith("IoU-")}
        means = {name.removeprefix("mIoU-"): value for name, value in known.items() if name.startswith("mIoU-")}
        result[model] = {"miou": known["mIoU"], "miou_by_classes": means, "iou": iou}
    if evaluation.criteria:
        result["criteria"] = _known_values(evaluation.criteria)
    return result


def _validation(evaluation: Evaluation, cfg: CfgNode) -> dict[str, Any]:
    """Pixels of each class in the validation labels, and by class set the classes without any: no mean counts them."""
    pixels, scored = evaluation.labelled_pixels, scoring(cfg)
    left_out = {
        str(number): [
            scored.space.names[train_id]
            for train_id in scored.space.class_sets[number]
            if not pixels[scored.space.names[train_id]]
        ]
        for number in scored.class_sets
    }
    return {"labelled_pixels": pixels, "left_out": left_out}


def _known_values(scores: Mapping[str, float]) -> dict[str, float | None]:
    return {name: value if math.isfinite(value) else None for name, value in scores.items()}


@contextmanager
def _log_file(path: Path) -> Iterator[None]:
    """While a run lasts, all that is logged from INFO up goes to its log; rank 0's warnings also to the terminal."""
    root = logging.getLogger()
    level = root.level
    file, terminal = _LogFile(path), logging.StreamHandler()
    file.setFormatter(logging.Formatter("%(asctime)s %(name)s %(levelname)s: %(message)s"))
    terminal.setLevel(logging.WARNING)
    terminal.addFilter(_for_terminal)
    root.setLevel(logging.INFO)
    for handler in (file, terminal) if comm.is_main_process() else (file,):
        root.addHandler(handler)
    try:
        yield
    finally:
        for handler in (file, terminal):
            root.removeHandler(handler)
        root.setLevel(level)
        file.close()


class _LogFile(logging.FileHandler):
    """A full disk ends a run by its metrics or its checkpoint, not by a line of its log."""

    def handleError(self, record: logging.LogRecord) -> None:
        pass

    def close(self) -> None:
        with suppress(OSError):
            super().close()


def _for_terminal(entry: logging.LogRecord) -> bool:
    """Warnings of ours. The errors that end a run are told with its end."""
    folder = entry.name.split(".")[0]
    return folder in ("datasets", "methods") or (folder == "benchmarks" and entry.levelno == logging.WARNING)
