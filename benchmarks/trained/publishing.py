"""What the publish command does: a folder a run, of what others need to use it and to check its numbers."""

from __future__ import annotations

import filecmp
import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from detectron2.config import CfgNode

from benchmarks.config.keys import flatten
from benchmarks.core.errors import ConfigError
from benchmarks.core.yaml_file import dumped
from benchmarks.trained.cleaned import clean_config, clean_record, clean_text, last_name, paths_of
from benchmarks.trained.exporting import describe
from benchmarks.trained.made_again import changed_where_used
from benchmarks.trained.model_card import CARD, NOTICE, model_card, notice
from benchmarks.trained.opened_run import TrainedRun, load_segmentor, open_run
from benchmarks.trained.safe_file import read_safe_file, safe_bytes
from methods.base.errors import MethodError
from methods.pretrained.published_folder import DIGESTS, WEIGHTS_FILE
from results.files.bounded_yaml import load
from results.files.errors import ResultsError
from results.files.plain_file import read_plain, read_plain_text
from results.records.image_counts import counts_file, read_counts
from results.records.metrics import FILE as METRICS
from results.records.metrics import numbers_alone
from results.records.record import FILE, FINISHED, SCHEMA, Record, as_json
from results.records.scores import STUDENT, TEACHER

Files = dict[str, bytes]


def publish(
    names: Sequence[str], runs: Path, out: Path, model: str, *, records: bool = False, modules: Sequence[str] = ()
) -> list[str]:
    """Write a folder below ``out`` for each run; returns a line for each.

    What lies there already is left as it is where its files are the same. All is looked at before anything is written.

    Args:
        names: run folders, or ids of runs below ``runs``.
        runs: where ids are looked for.
        out: made where there is none.
        model: STUDENT or TEACHER.
        records: the record, config, counts and metrics alone, for tables that are made again.
        modules: code that configs name, which may be imported (`benchmarks.trained.opened_run.open_run`).

    Raises:
        ConfigError: a run that is not finished, or damaged, each by name; a folder in ``out`` that holds other files.
    """
    opened = _opened(names, runs, modules)
    faults, lines = list[str](), list[str]()
    try:
        out.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=out, prefix=".publish-") as scratch:
            made: list[Path] = []
            for run in opened:
                folder = Path(scratch, folder_name(run, model))
                try:
                    _write(folder, run, model, records)
                    made.append(folder)
                except (ConfigError, MethodError, ResultsError) as error:
                    faults.append(str(error))
            there = [each for each in made if (out / each.name).exists()]
            others = [out / each.name for each in there if not _same(each, out / each.name)]
            faults += [f"{other} holds other files, expected another --out, or that it is removed" for other in others]
            if faults:
                raise ConfigError(f"nothing is published: {'; '.join(faults)}")
            for folder in made:
                place = out / folder.name
                if place.exists():
                    lines.append(f"{place}: here already, the same")
                    continue
                folder.rename(place)
                lines.append(f"{place}: {', '.join(sorted(path.name for path in place.iterdir()))}")
    except OSError as error:
        raise ConfigError(f"--out {out}: expected a folder that can be written ({error.strerror or error})") from None
    return lines


def folder_name(run: TrainedRun, model: str) -> str:
    """What a run is called where it is published, in letters that the hub takes: ``streets-dacs-...-seed0-<id>``."""
    cfg, record = run.cfg, run.record
    assert record is not None
    words = [cfg.PROTOCOL, cfg.METHOD.replace("+", "-"), cfg.NETWORK, f"seed{cfg.SEED}", record.id]
    return "-".join([*words, *([model] if model != STUDENT else [])])


def _opened(names: Sequence[str], runs: Path, modules: Sequence[str]) -> list[TrainedRun]:
    """The runs, each once. Raises ConfigError: those that cannot be published, by name."""
    opened, faults = dict[Path, TrainedRun](), list[str]()
    for name in names:
        try:
            run = open_run(name, runs, modules)
            if run.record is None or run.record.status != FINISHED:
                why = f" ({run.record.reason})" if run.record and run.record.reason else ""
                raise ConfigError(f"{run.folder} is {run.status}{why}, expected a finished run")
            if run.record.lacks:
                raise ResultsError(f"{run.folder / FILE}: has no {run.record.lacks}, expected the record of a run")
            opened[run.folder.resolve()] = run
        except (ConfigError, MethodError, ResultsError) as error:
            faults.append(str(error))
    if faults:
        raise ConfigError(f"nothing is published: {'; '.join(faults)}")
    return list(opened.values())


def _write(folder: Path, run: TrainedRun, model: str, records: bool) -> None:
    files = _of_record(run)
    if not records:
        files |= _of_model(run, model, folder.name)
        files[DIGESTS] = "".join(
            f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in sorted(files.items())
        ).encode()
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    if not records:
        _check_written(folder, run, model)


def _of_record(run: TrainedRun) -> Files:
    """Record, config, counts and metrics. Raises ResultsError: one of them is damaged."""
    record = _without_machine(run).record
    assert record is not None
    paths = paths_of(run.cfg, run.folder)
    config = clean_config(load(read_plain_text(run.folder / "config.yaml")), paths)
    files = {FILE: as_json({"schema": SCHEMA, **record.content}).encode(), "config.yaml": dumped(config).encode()}
    for scored in (STUDENT, TEACHER):
        if read_counts(run.folder, scored) is not None:
            path = counts_file(run.folder, scored)
            files[path.name] = read_plain(path)
    if numbers := numbers_alone(run.folder):
        files[METRICS] = numbers.encode()
    return files


def _of_model(run: TrainedRun, model: str, name: str) -> Files:
    """Weights, log, card and notice. Raises ConfigError: the checkpoint is damaged, or lacks the model."""
    state, shown = load_segmentor(run, model, run.checkpoint()).state_dict(), _without_machine(run)
    files = {WEIGHTS_FILE: safe_bytes(state, describe(shown, model))}
    log = run.folder / "log.txt"
    if log.exists():
        try:
            text = read_plain_text(log, errors="replace")
        except OSError as error:
            raise ConfigError(f"{log}: cannot be read ({error.strerror})") from None
        files[log.name] = clean_text(text, paths_of(run.cfg, run.folder)).encode()
    own = flatten(shown.cfg)
    changed = changed_where_used(run.cfg)
    told = changed and {key: (own[key], last_name(str(usual)) if isinstance(usual, str) else usual)
                        for key, (_, usual) in changed.items()}  # fmt: skip
    return files | {CARD: model_card(shown, model, name, told).encode(), NOTICE: notice(shown).encode()}


def _without_machine(run: TrainedRun) -> TrainedRun:
    """The run with config and record as they are published."""
    assert run.record is not None
    paths = paths_of(run.cfg, run.folder)
    cfg = CfgNode(clean_config(run.cfg, paths))
    cfg.freeze()
    return replace(run, cfg=cfg, record=Record.of(clean_record(run.record.content, paths)))


def _check_written(folder: Path, run: TrainedRun, model: str) -> None:
    """Raise ConfigError unless the weights read back are the run's."""
    expected = load_segmentor(run, model, run.checkpoint()).state_dict()
    found = read_safe_file(folder / WEIGHTS_FILE)["model"]
    if found.keys() != expected.keys() or not all(torch.equal(found[name], expected[name]) for name in expected):
        raise ConfigError(f"{folder / WEIGHTS_FILE}: does not hold what was written, expected a disk that keeps it")


def _same(made: Path, there: Path) -> bool:
    """Whether a folder holds each file of another; what it holds besides is its owner's."""
    return all((there / file.name).is_file() and filecmp.cmp(file, there / file.name, False) for file in made.iterdir())
