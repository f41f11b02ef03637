"""What evaluate.py --also does: score a run's networks on further sets of images, and add the scores to its record."""

from __future__ import annotations

from typing import Any

import torch
from detectron2.config import CfgNode

from benchmarks.cli.progress import Progress, shown
from benchmarks.computing.device import pick_device
from benchmarks.config.label_space import check_also, scoring
from benchmarks.config.protocol_file import protocols
from benchmarks.config.sliding_window import sliding
from benchmarks.core.errors import ConfigError
from benchmarks.data.from_config import data_root
from benchmarks.data.further_sets import further_sets
from benchmarks.data.loader_workers import loader_workers
from benchmarks.evaluation.elsewhere import score_elsewhere
from benchmarks.state.lock import locked
from benchmarks.trained.opened_run import TrainedRun, load_segmentor, with_place
from methods.networks import Segmentor
from methods.pretrained.published_folder import WEIGHTS_FILE
from results.files.text import one_line
from results.forms.folding import render_table
from results.records.record import read_record, write_record
from results.records.scores import HEADLINE, STUDENT, TEACHER


def evaluate_elsewhere(
    run: TrainedRun, names: tuple[str, ...], *, device: str | None = None, data_root: str | None = None
) -> dict[str, Any]:
    """Score student and teacher of a finished run on each set, print a table, and put the scores into its record.

    What the record has of these sets is replaced, all else stays. Returns what was added. A published run, which has no
    record to be added to, is scored and shown alone.

    Raises:
        ConfigError, DataError or MethodError: one line that says what is wrong.
    """
    cfg = _with_also(with_place(run.cfg, device, data_root), names)
    place = pick_device(cfg)
    models = _models(run, place)
    sets = further_sets(cfg, _root(cfg))
    found: dict[str, Any] = {}
    for each in sets:
        with Progress(f"scoring {each.name}", len(each.images), "images") as progress:
            found |= score_elsewhere(
                models, [each], scoring(cfg), place, loader_workers(cfg, place), sliding(cfg),
                lambda done, images, progress=progress: progress.advance(),  # type: ignore[misc]
            )  # fmt: skip
    print(_table(found, cfg.TEST.CLASSES))
    if faults := [f"{name}: {each['fault']}" for name, each in found.items() if "fault" in each]:
        raise ConfigError(one_line("; ".join(faults)))
    if _is_own(run) and run.finished and run.record is not None:
        with locked(run.folder):
            record = read_record(run.folder) or run.record
            write_record(run.folder, record.changed(also=record.content.get("also", {}) | found))
        print(f"added: {run.folder / 'record.json'}; tables have the columns {', '.join(_columns(found))}")
    return found


def _with_also(cfg: CfgNode, names: tuple[str, ...]) -> CfgNode:
    cfg = cfg.clone()
    cfg.defrost()
    cfg.TEST.ALSO = names
    cfg.freeze()
    check_also(cfg, protocols())
    return cfg


def _root(cfg: CfgNode) -> Any:
    with shown("drawing streets") as drawing:
        return data_root(cfg, drawing)


def _models(run: TrainedRun, device: torch.device) -> dict[str, Segmentor]:
    """The networks of the run's last checkpoint, ready to predict."""
    names = (STUDENT, TEACHER) if run.recipe.host.teacher and _is_own(run) else (STUDENT,)
    found = {}
    for name in names:
        segmentor = load_segmentor(run, name, run.checkpoint()).to(device)
        segmentor.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        found[name] = segmentor
    return found


def _is_own(run: TrainedRun) -> bool:
    """Whether it is a run's folder, and not what was published of one."""
    return run.checkpoint().name != WEIGHTS_FILE


def _columns(found: dict[str, Any]) -> list[str]:
    return [f"{HEADLINE}@{name}" for name in found]


def _table(found: dict[str, Any], classes: int) -> str:
    """A row a set, and one a condition."""
    rows = []
    for name, each in found.items():
        rows.append((name, each["images"], each.get("result", {})))
        rows += [(f"{name}-{key}", "", of) for key, of in each.get("conditions", {}).items()]
    head = f"{HEADLINE} ({classes})"
    table = {"set": [name for name, _, _ in rows], "images": [str(images) for _, images, _ in rows]}
    for model in (STUDENT, TEACHER):
        values = [result.get(model, {}).get("miou") for _, _, result in rows]
        if any(value is not None for value in values):
            table[f"{model}, {head}"] = ["-" if value is None else f"{value:.2f}" for value in values]
    return render_table(table, "table")
