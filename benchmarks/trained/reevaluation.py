"""What the evaluate command does: score a checkpoint again, compare with the record, and by cityscapesscripts."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from detectron2.config import CfgNode

import datasets.streets
from benchmarks.cli.progress import Progress, shown
from benchmarks.config.label_space import Scoring, label_space, scoring
from benchmarks.config.sliding_window import SlidingWindow, sliding
from benchmarks.config.spec import RunSpec
from benchmarks.core.errors import ConfigError
from benchmarks.data import from_config as data
from benchmarks.data.data_sets import allow_module, items
from benchmarks.engine.device import pick_device
from benchmarks.evaluation.evaluator import PIXELS, SegmentationEvaluator
from benchmarks.state.fingerprint import Listings, difference
from benchmarks.state.provenance import hardware, versions
from benchmarks.trained.cityscapes_scripts import LabelIdFiles, official_iou
from benchmarks.trained.opened_run import Predictor, TrainedRun, load_segmentor, sides, with_place
from datasets.label_space import CITYSCAPES
from datasets.loading import in_order
from results.files.plain_file import read_plain_text
from results.files.text import one_line
from results.records.record import Record, as_json, write_text
from results.records.scores import CLASS_IOU, HEADLINE
from results.tables.run_table import render_table

FILE = "evaluation.json"
SCHEMA = 1
OFFICIAL = "cityscapesscripts"

Scores = dict[str, Any]
"""{"miou_by_classes": {"19": ...}, "iou": {"road": ...}}, in percent; None for what occurs nowhere.

Ours have {"labelled_pixels": {"road": ...}}, too. A class without has no part in a mean (`evaluation.mean_iou`)."""


def reevaluate(
    run: TrainedRun,
    model: str,
    *,
    protocol: str | None = None,
    checkpoint: Path | None = None,
    official: bool = False,
    device: str | None = None,
    data_root: str | None = None,
) -> dict[str, Any]:
    """Score ``model`` on a protocol's validation images, print the table, and add the scores to FILE in the run folder.

    Of another protocol come the images, their labels and the size that they are tested at (TEST.RESIZE, as the run's
    method sets it there). All else stays the run's: its class sets, since a network is told on what its source labels,
    and its crop and windows.

    Returns what was added. The run's own scores are compared with the record's only where they are of the same images
    and the same weights.

    Raises:
        ConfigError, DataError or MethodError: one line that says what is wrong.
    """
    own = protocol in (None, run.cfg.PROTOCOL) and checkpoint is None and run.finished
    file = checkpoint or run.checkpoint()
    cfg, images = with_place(run.cfg, device), with_place(_images(run, protocol), data_root=data_root)
    if official and label_space(cfg) != CITYSCAPES:
        raise ConfigError(f"--{OFFICIAL} scores Cityscapes' {len(CITYSCAPES.names)} classes, not those of DATA.CLASSES")
    place = pick_device(cfg)
    scored, windows = scoring(cfg), sliding(cfg)
    predictor = Predictor(load_segmentor(run, model, file), place, windows)
    scores, theirs = _score(predictor, images, scored, cfg.NUM_WORKERS, official)
    entry = {
        "model": model,
        "protocol": images.PROTOCOL,
        "checkpoint": file.name if checkpoint is None else str(checkpoint),
        "classes": cfg.TEST.CLASSES,
        "resize": list(images.TEST.RESIZE) or None,
        "window": list(windows.window) if windows else None,
        "stride": list(windows.stride) if windows else None,
        **scores,
        "equals_record": _equal(scores, run.record, model, scored) if own and run.record else None,
        OFFICIAL: theirs,
        "hardware": hardware(place),
        "versions": versions(),
    }
    now = Listings().of_role(images, "VAL", labelled=True) if own else None
    if other := difference(run.record.data.get("VAL") if run.record else None, now):
        entry |= {"equals_record": None}
    print(_table(scores, theirs, scored))
    about = f"{images.PROTOCOL}, {model} of {file}. {_tested(images, windows)} {_verdict(entry, run, other)}"
    print(f"\n{one_line(about)}")
    _add(run.folder / FILE, entry)
    print(f"written: {run.folder / FILE}")
    return entry


def _images(run: TrainedRun, protocol: str | None) -> CfgNode:
    """What says which images are scored: the run's config, or that of its method under a protocol of the same classes.

    They lie where the run's lay, unless the protocol's own file says where, by DATA.ROOT or by the folder it is in.
    """
    if protocol in (None, run.cfg.PROTOCOL):
        return run.cfg
    assert protocol is not None
    other = RunSpec(protocol, run.cfg.METHOD, run.cfg.NETWORK, run.cfg.SEED).resolve()
    allow_module(other)  # the user named its protocol
    if label_space(other).names != label_space(run.cfg).names:
        raise ConfigError(f"--protocol {protocol}: its classes are not those that run {run.folder} was trained on")
    return other if other.DATA.ROOT or other.PROTOCOL_FILE else with_place(other, data_root=run.cfg.DATA.ROOT)


def _score(
    predictor: Predictor, cfg: CfgNode, scored: Scoring, workers: int, official: bool
) -> tuple[Scores, Scores | None]:
    """Our scores on the images of ``cfg``, and cityscapesscripts' where asked for."""
    with shown("drawing streets") as drawing:
        root = data.data_root(cfg, drawing)
    dataset, evaluator = data.validation_set(cfg, root), SegmentationEvaluator(scored)
    records = items(cfg, "VAL", root, labelled=True)
    with TemporaryDirectory() as folder, Progress("scoring", len(dataset), "images") as progress:
        files = LabelIdFiles(Path(folder)) if official else None
        loaded = in_order(dataset.__getitem__, range(len(dataset)), workers, False)
        for item, record in zip(loaded, records, strict=True):
            logits = predictor(item["image"], tuple(item["label"].shape))
            evaluator.process([item], [{"sem_seg": logits}])
            if files is not None:
                train_ids = logits.argmax(dim=0).to(torch.uint8).cpu().numpy()
                files.add(record, train_ids, item["label"].numpy())
            progress.advance()
        theirs = official_iou(files.pairs) if files is not None else None
    ours = evaluator.evaluate()["sem_seg"]
    means = {name.removeprefix("mIoU-"): value for name, value in ours.items() if name.startswith("mIoU-")}
    iou = {name.removeprefix("IoU-"): value for name, value in ours.items() if name.startswith("IoU-")}
    pixels = {name.removeprefix(PIXELS): int(count) for name, count in ours.items() if name.startswith(PIXELS)}
    scores = _scores(means, iou) | {"labelled_pixels": pixels}
    if theirs is None:
        return scores, None
    sets = {str(number): scored.space.class_sets[number] for number in scored.class_sets}
    values, names = list(theirs.values()), scored.space.names
    their_means = {
        number: _mean([values[train_id] for train_id in train_ids if pixels[names[train_id]]])
        for number, train_ids in sets.items()
    }
    return scores, _scores(their_means, theirs)


def _scores(means: Mapping[str, float], iou: Mapping[str, float]) -> Scores:
    return {
        "miou_by_classes": {number: _known(value) for number, value in means.items()},
        "iou": {name: _known(value) for name, value in iou.items()},
    }


def _mean(values: list[float]) -> float:
    known = [value for value in values if math.isfinite(value)]
    return float(np.mean(known)) if known else math.nan


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _equal(scores: Scores, record: Record, model: str, scored: Scoring) -> bool | None:
    """Whether all scores that the record has are the same, to the last bit; None if it has none of this model.

    Means of before that count a class without labelled pixels are of more classes: of those the IoU alone are compared.
    """
    recorded = record.result.of(model)
    if not recorded.by_class:
        return None
    # Records made before class sets were added hold the headline alone.
    means = recorded.means.get(HEADLINE, {})
    if record.validation is None:
        means = {number: mean for number, mean in means.items() if not _counted_more(scores, number, scored)}
    same = all(scores["miou_by_classes"].get(str(number)) == mean for number, mean in means.items())
    return scores["iou"] == recorded.by_class.get(CLASS_IOU) and same


def _counted_more(scores: Mapping[str, Any], number: int, scored: Scoring) -> list[str]:
    """The classes of a class set that a mean of before counted as 0: predicted, and in no label."""
    names = (scored.space.names[train_id] for train_id in scored.space.class_sets.get(number, ()))
    return [name for name in names if not scores["labelled_pixels"][name] and scores["iou"][name] is not None]


def _tested(images: CfgNode, windows: SlidingWindow | None) -> str:
    size = f"at {sides(images.TEST.RESIZE)}" if images.TEST.RESIZE else "at their own size"
    by = f"by windows of {sides(windows.window)}, {sides(windows.stride)} apart" if windows else "taken whole"
    return f"Images {size}, {by}."


def _verdict(entry: Mapping[str, Any], run: TrainedRun, other: str) -> str:
    record = run.record
    if record is None or not run.finished:
        return f"The run is {run.status}: there is no record to compare with."
    if other:
        return f"NOT compared with the record, which is of other {other} of DATA.VAL."
    if entry["equals_record"] is None:
        return "Nothing of the same weights and images is in the record to compare with."
    if entry["equals_record"]:
        more = () if record.validation else _counted_more(entry, run.cfg.TEST.CLASSES, scoring(run.cfg))
        but = f" Its mean, made before, counts {', '.join(more)} too, which no label has." if more else ""
        return f"Equal to the record, bit for bit.{but}"
    recorded = record.result.of(entry["model"]).by_class[CLASS_IOU]
    pairs = [(entry["iou"][name], value) for name, value in recorded.items()]
    apart = max((abs(a - b) for a, b in pairs if a is not None and b is not None), default=math.nan)
    if run.cfg.DATA.STREETS.VERSION not in (0, datasets.streets.VERSION):
        return "NOT equal to the record, whose images another version of the drawing code made."
    then, now = record.content.get("hardware"), entry["hardware"]
    where = "on the same hardware" if then == now else f"made on {_place(then)}, this on {_place(now)}"
    return f"NOT equal to the record: IoU of a class differs by up to {apart:.2g} points; {where}."


def _place(hardware: Mapping[str, Any] | None) -> str:
    return f"{hardware['name']} with {hardware['threads']} threads" if hardware else "unknown hardware"


def _table(scores: Scores, theirs: Scores | None, scored: Scoring) -> str:
    """A row for each class of the run's sets: what its source does not label it cannot have learned."""
    names = scored.space.names
    told = {train_id for number in scored.class_sets for train_id in scored.space.class_sets[number]}
    sets = list(scores["miou_by_classes"])
    heads = [*(names[i] for i in sorted(told)), *(f"mIoU, {_counted(scores, size, scored)} classes" for size in sets)]
    table = {"class": heads}
    for head, column in {"IoU": scores, OFFICIAL: theirs}.items():
        if column is not None:
            values = [column["iou"][names[i]] for i in sorted(told)]
            table[head] = list(map(_percent, [*values, *(column["miou_by_classes"][size] for size in sets)]))
    left_out = ", ".join(name for i, name in enumerate(names) if i not in told)
    note = f"\n\nLeft out, in no class set of the run: {one_line(left_out)}" if left_out else ""
    return render_table(table, "table") + note


def _counted(scores: Scores, number: str, scored: Scoring) -> str:
    names = [scored.space.names[train_id] for train_id in scored.space.class_sets[int(number)]]
    counted = sum(scores["labelled_pixels"][name] > 0 for name in names)
    return number if counted == len(names) else f"{counted} of {number}"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _add(path: Path, entry: Mapping[str, Any]) -> None:
    """Put ``entry`` into the file, in place of an earlier one of the same model, protocol and checkpoint."""
    key = ("model", "protocol", "checkpoint")
    try:
        content = json.loads(read_plain_text(path)) if path.exists() else {"evaluations": []}
        kept = [old for old in content["evaluations"] if any(old[name] != entry[name] for name in key)]
        write_text(path, as_json({"schema": SCHEMA, "evaluations": [*kept, entry]}))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ConfigError(f"{path}: expected what this command writes ({error}); move it away") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written ({error.strerror})") from None
