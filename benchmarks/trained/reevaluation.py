"""What the evaluate command does: score a checkpoint again, compare with the record, and by cityscapesscripts."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from detectron2.config import CfgNode

import datasets.streets
from benchmarks.cli.progress import Progress, shown
from benchmarks.computing.device import pick_device
from benchmarks.config.label_space import Scoring, label_space, scoring
from benchmarks.config.metric_counts import check_metrics
from benchmarks.config.sliding_window import SlidingWindow, sliding
from benchmarks.config.spec import RunSpec
from benchmarks.core.errors import ConfigError
from benchmarks.data import from_config as data
from benchmarks.data.data_sets import allow_module, items
from benchmarks.data.loader_workers import loader_workers
from benchmarks.evaluation.evaluator import Evaluated, SegmentationEvaluator, with_classes
from benchmarks.state.fingerprint import Listings, difference
from benchmarks.state.provenance import hardware, versions
from benchmarks.trained.cityscapes_scripts import LabelIdFiles, official_iou
from benchmarks.trained.opened_run import Predictor, TrainedRun, load_segmentor, sides, with_place
from datasets.batches.loading import in_order
from datasets.classes.label_space import CITYSCAPES
from methods.pretrained.published_folder import pinned
from results.files.plain_file import read_plain_text
from results.files.text import one_line
from results.forms.folding import render_table
from results.records.record import Record, as_json, write_text
from results.records.scores import CLASS_IOU, HEADLINE, Scores

FILE = "evaluation.json"
SCHEMA = 1
OFFICIAL = "cityscapesscripts"

def reevaluate(
    run: TrainedRun,
    model: str,
    *,
    protocol: str | None = None,
    checkpoint: Path | None = None,
    official: bool = False,
    device: str | None = None,
    data_root: str | None = None,
    metrics: Sequence[str] = (),
) -> dict[str, Any]:
    """Score ``model`` on a protocol's validation images, print the table, and add the scores to FILE in the run folder.

    Of another protocol come the images, their labels and the size that they are tested at (TEST.RESIZE, as the run's
    method sets it there). All else stays the run's: its class sets, since a network is told on what its source labels,
    and its crop and windows.

    Returns what was added. The run's own scores are compared with the record's only where they are of the same images
    and the same weights.

    Raises:
        ConfigError, DataError or MethodError: one line that says what is wrong; of a metric when all is written.
    """
    checkpoint = checkpoint and Path(pinned(str(checkpoint)))
    own = protocol in (None, run.cfg.PROTOCOL) and checkpoint is None and run.finished
    file = checkpoint or run.checkpoint()
    cfg, images = with_place(run.cfg, device), with_place(_images(run, protocol), data_root=data_root)
    if official and label_space(cfg) != CITYSCAPES:
        raise ConfigError(f"--{OFFICIAL} scores Cityscapes' {len(CITYSCAPES.names)} classes, not those of DATA.CLASSES")
    place = pick_device(cfg)
    windows, scored = sliding(cfg), scoring(cfg)
    scored = replace(scored, metrics=tuple(dict.fromkeys([*scored.metrics, *metrics])))
    check_metrics(scored)
    predictor = Predictor(load_segmentor(run, model, file), place, windows)
    found, theirs = _score(predictor, images, scored, loader_workers(cfg, place), official)
    entry = {
        "model": model,
        "protocol": images.PROTOCOL,
        "checkpoint": file.name if checkpoint is None else str(checkpoint),
        "classes": cfg.TEST.CLASSES,
        "resize": list(images.TEST.RESIZE) or None,
        "window": list(windows.window) if windows else None,
        "stride": list(windows.stride) if windows else None,
        **_in_file(found.scores),
        "labelled_pixels": found.labelled_pixels,
        "equals_record": _equal(found, run.record, model, scored) if own and run.record else None,
        OFFICIAL: None if theirs is None else _in_file(theirs),
        "hardware": hardware(place),
        "versions": versions(),
    }
    now = Listings().of_role(images, "VAL", labelled=True) if own else None
    if other := difference(run.record.data.get("VAL") if run.record else None, now):
        entry |= {"equals_record": None}
    print(_table(found, theirs, scored))
    about = f"{images.PROTOCOL}, {model} of {file}. {_tested(images, windows)} {_verdict(entry, found, run, other)}"
    print(f"\n{one_line(about)}")
    _add(run.outputs / FILE, entry)
    print(f"written: {run.outputs / FILE}")
    for fault in found.scores.faults.values():
        raise ConfigError(f"{fault}; the others are written")
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
) -> tuple[Evaluated, Scores | None]:
    """Our scores on the images of ``cfg``, and cityscapesscripts' where asked for."""
    with shown("drawing streets") as drawing:
        root = data.data_root(cfg, drawing)
    dataset, evaluator = data.validation_set(cfg, root), SegmentationEvaluator(scored)
    records = items(cfg, "VAL", root, labelled=True)
    with TemporaryDirectory() as folder, Progress("scoring", len(dataset), "images") as progress:
        files = LabelIdFiles(Path(folder)) if official else None
        loaded = in_order(dataset.__getitem__, range(len(dataset)), workers, False)
        for item, record in zip(loaded, records, strict=True):
            where = item["image"], tuple(item["label"].shape)
            with_logits = evaluator.needs_logits
            output = with_classes(predictor(*where)) if with_logits else {"classes": predictor.classes(*where)}
            evaluator.process([item], [output])
            if files is not None:
                files.add(record, output["classes"].cpu().numpy(), item["label"].numpy())
            progress.advance()
        theirs = official_iou(files.pairs) if files is not None else None
    ours = evaluator.evaluate()
    if theirs is None:
        return ours, None
    iou = {name: value if math.isfinite(value) else None for name, value in theirs.items()}
    means = {
        size: _mean([iou[name] for name in scored.names(size) if ours.labelled_pixels[name]])
        for size in scored.class_sets
    }
    return ours, Scores(means[scored.class_sets[0]], {HEADLINE: means}, {CLASS_IOU: iou})


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _in_file(scores: Scores) -> dict[str, Any]:
    """The class set that comes first is among the others."""
    return {key: value for key, value in scores.as_json().items() if key != "miou"}


def _equal(found: Evaluated, record: Record, model: str, scored: Scoring) -> bool | None:
    """Whether all scores that the record has, of metrics that are scored now, are the same, to the last bit.

    None if it has none of this model. Means of before that count a class without labelled pixels are of more classes:
    of those the IoU alone are compared.
    """
    scores, recorded = found.scores, record.result.of(model)
    if not recorded.by_class:
        return None
    # Records made before class sets were added hold the headline alone.
    means = {name: dict(values) for name, values in recorded.means.items()}
    if record.validation is None:
        known = means.get(HEADLINE, {})
        means[HEADLINE] = {size: mean for size, mean in known.items() if not _counted_more(found, size, scored)}
    same_means = all(scores.means[name].get(size) == mean for name in means.keys() & scores.means.keys()
                     for size, mean in means[name].items())  # fmt: skip
    by_class = recorded.by_class
    both = by_class.keys() & scores.by_class.keys()
    return same_means and all(scores.by_class[name] == by_class[name] for name in both)


def _counted_more(found: Evaluated, size: int, scored: Scoring) -> list[str]:
    """The classes of a class set that a mean of before counted as 0: predicted, and in no label."""
    names = scored.names(size) if size in scored.space.class_sets else []
    iou = found.scores.by_class[CLASS_IOU]
    return [name for name in names if not found.labelled_pixels[name] and iou[name] is not None]


def _tested(images: CfgNode, windows: SlidingWindow | None) -> str:
    size = f"at {sides(images.TEST.RESIZE)}" if images.TEST.RESIZE else "at their own size"
    by = f"by windows of {sides(windows.window)}, {sides(windows.stride)} apart" if windows else "taken whole"
    return f"Images {size}, {by}."


def _verdict(entry: Mapping[str, Any], found: Evaluated, run: TrainedRun, other: str) -> str:
    record = run.record
    if record is None or not run.finished:
        return f"The run is {run.status}: there is no record to compare with."
    if other:
        return f"NOT compared with the record, which is of other {other} of DATA.VAL."
    if entry["equals_record"] is None:
        return "Nothing of the same weights and images is in the record to compare with."
    if entry["equals_record"]:
        more = () if record.validation else _counted_more(found, run.cfg.TEST.CLASSES, scoring(run.cfg))
        but = f" Its mean, made before, counts {', '.join(more)} too, which no label has." if more else ""
        return f"Equal to the record, bit for bit.{but}"
    recorded = record.result.of(entry["model"]).by_class[CLASS_IOU]
    iou = found.scores.by_class[CLASS_IOU]
    pairs = [(iou[name], value) for name, value in recorded.items()]
    apart = max((abs(a - b) for a, b in pairs if a is not None and b is not None), default=math.nan)
    if run.cfg.DATA.STREETS.VERSION not in (0, datasets.streets.VERSION):
        return "NOT equal to the record, whose images another version of the drawing code made."
    then, now = record.content.get("hardware"), entry["hardware"]
    where = "on the same hardware" if then == now else f"made on {_place(then)}, this on {_place(now)}"
    return f"NOT equal to the record: IoU of a class differs by up to {apart:.2g} points; {where}."


def _place(hardware: Mapping[str, Any] | None) -> str:
    return f"{hardware['name']} with {hardware['threads']} threads" if hardware else "unknown hardware"


def _table(found: Evaluated, theirs: Scores | None, scored: Scoring) -> str:
    """A row for each class of the run's sets: what its source does not label it cannot have learned."""
    names, ours = scored.space.names, found.scores
    told = {train_id for number in scored.class_sets for train_id in scored.space.class_sets[number]}
    classes = [names[i] for i in sorted(told)]
    sets = [(name, size) for name, values in ours.means.items() for size in values]
    table = {"class": [*classes, *(f"{name}, {_counted(found, size, scored)} classes" for name, size in sets)]}
    for head, column in {**dict.fromkeys(ours.by_class, ours), OFFICIAL: theirs}.items():
        if column is None:
            continue
        of_classes = column.by_class[CLASS_IOU if column is theirs else head]
        # Of a class set a score is in the first column; a further one is of classes alone.
        means = column.means if head in (CLASS_IOU, OFFICIAL) else {}
        values = [of_classes[name] for name in classes] + [means.get(name, {}).get(size) for name, size in sets]
        table[head] = list(map(_percent, values))
    left_out = ", ".join(name for i, name in enumerate(names) if i not in told)
    note = f"\n\nLeft out, in no class set of the run: {one_line(left_out)}" if left_out else ""
    return render_table(table, "table") + note


def _counted(found: Evaluated, size: int, scored: Scoring) -> str:
    counted = sum(found.labelled_pixels[name] > 0 for name in scored.names(size))
    return f"{size}" if counted == size else f"{counted} of {size}"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _add(path: Path, entry: Mapping[str, Any]) -> None:
    """Put ``entry`` into the file, in place of an earlier one of the same model, protocol and checkpoint."""
    key = ("model", "protocol", "checkpoint")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        content = json.loads(read_plain_text(path)) if path.exists() else {"evaluations": []}
        kept = [old for old in content["evaluations"] if any(old[name] != entry[name] for name in key)]
        write_text(path, as_json({"schema": SCHEMA, "evaluations": [*kept, entry]}))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ConfigError(f"{path}: expected what this command writes ({error}); move it away") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written ({error.strerror})") from None
