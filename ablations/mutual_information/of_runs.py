"""What the information command does: opens runs, measures one after the other, and puts methods together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ablations.mutual_information.locations import LEAST_IMAGES, Pictures
from ablations.mutual_information.measures import STEPS, Measured, Settings, measure
from ablations.mutual_information.opened import load_rebuilder
from ablations.mutual_information.similarity import cka
from ablations.mutual_information.tables import Method, methods_of
from benchmarks.cli.progress import Progress, shown
from benchmarks.computing.device import pick_device
from benchmarks.config.keys import flatten
from benchmarks.config.label_space import label_space
from benchmarks.core.errors import ConfigError
from benchmarks.core.nearest import did_you_mean
from benchmarks.data import from_config as data
from benchmarks.trained.opened_run import TrainedRun, load_segmentor, torch_in_one_line, with_place
from methods.mrm import MRM
from methods.networks import Segmentor
from results.tables.frame import from_folders, say
from results.tables.rows import Row, rows_of

_SAME = ("NETWORK", "TEST.CLASSES", "TEST.RESIZE", "INPUT.CROP", "HRDA.ENABLED")
_SAME_BELOW = ("DATA.VAL.", "DATA.STREETS.", "DATA.CLASSES")
"""Keys in which runs must agree, so that their locations are the same."""

Keep = Callable[[Sequence[Method]], object]


def measured_methods(
    runs: Sequence[TrainedRun],
    model: str,
    settings: Settings,
    *,
    baseline: str | None = None,
    rebuilder: bool = True,
    device: str | None = None,
    data_root: str | None = None,
    keep: Keep,
) -> list[Method]:
    """Measure runs; those that differ in their seed alone are one method, and what others are compared with is first.

    Args:
        runs: finished ones, of the same images and network.
        model: "student" or "teacher".
        settings: what is measured.
        baseline: the method that others are compared with, or the label of its row, as "dacs+mrm, TERMS.MRM.RATIO 0.6";
            None: that of the first run.
        rebuilder: whether Rebuilders are measured, where a method has one.
        device: where encoders run; None: where the run did.
        data_root: folder of the data sets; None: the run's.
        keep: called with what is known, after each run: nothing that was measured is lost.

    Raises:
        ConfigError, DataError, MethodError or ResultsError: one line; of what a run lacks before anything is measured.
    """
    _check(runs)
    rows = _rows(runs, baseline)
    loaded = [_load(run, model, rebuilder) for run in runs]
    encoder, first = loaded[0][0].encoder, with_place(runs[0].cfg, data_root=data_root)
    if settings.stage > len(encoder.channels):
        raise ConfigError(f"--stage is {settings.stage}, expected at most {len(encoder.channels)}, of {first.NETWORK}")
    with shown("drawing streets") as drawing:
        root = data.data_root(first, drawing)
    pictures = Pictures(first, root, settings.images, max(encoder.strides), settings.seed)
    if len(pictures) < LEAST_IMAGES:
        raise ConfigError(f"{len(pictures)} images of DATA.VAL, expected at least {LEAST_IMAGES}, one of each part")
    known: dict[str, Measured] = {}
    with Progress("measuring", len(runs) * (len(pictures) + STEPS), "steps", stderr=True) as progress:
        for run, (network, term) in zip(runs, loaded, strict=True):
            place = pick_device(with_place(run.cfg, device))
            with torch_in_one_line(f"{run.folder}: {run.cfg.NETWORK}"):
                known[str(run.folder)] = measure(
                    network.to(place),
                    None if term is None else term.to(place),
                    pictures,
                    len(label_space(run.cfg).names),
                    network.scale_sizes(run.cfg.INPUT.CROP[::-1])[-1],
                    (run.cfg.TERMS.MRM.RESOLUTION, run.cfg.TERMS.MRM.RATIO),
                    settings,
                    lambda done, label=run.label: progress.advance(f"{label}: {done}"),  # type: ignore[misc]
                )
            network.cpu()
            keep(_methods(rows, known))
    _compare_features(rows, known)
    return _methods(rows, known)


def _check(runs: Sequence[TrainedRun]) -> None:
    first = _of_images(runs[0])
    for run in runs:
        if not run.finished:
            raise ConfigError(f"run {run.folder} is {run.status}, expected a finished one")
        for key, value in _of_images(run).items():
            if value != first.get(key):
                raise ConfigError(
                    f"run {run.folder}: its {key} is {value}, and that of {runs[0].folder} is {first.get(key)}: "
                    "expected runs of the same images and network, whose locations are the same"
                )


def _of_images(run: TrainedRun) -> dict[str, Any]:
    """What decides which images are seen, and at which locations."""
    values = flatten(run.cfg)
    return {key: value for key, value in values.items() if key in _SAME or key.startswith(_SAME_BELOW)}


def _rows(runs: Sequence[TrainedRun], baseline: str | None) -> list[Row]:
    rows = rows_of(from_folders(run.folder for run in runs), ["method"], say)
    if baseline is None:
        return rows
    labels, names = [row.label for row in rows], [row.names["method"] for row in rows]
    if baseline not in [*labels, *names]:
        hint = did_you_mean(baseline, [*labels, *names], "", quote="'")
        raise ConfigError(f"--baseline {baseline}: no run of it; {hint or 'expected one of ' + ', '.join(labels)}")
    # A method whose runs differ in more than their seed is several rows, which a label tells apart.
    return [rows.pop((labels if baseline in labels else names).index(baseline)), *rows]


def _load(run: TrainedRun, model: str, rebuilder: bool) -> tuple[Segmentor, MRM | None]:
    segmentor = load_segmentor(run, model, run.checkpoint())
    return segmentor, load_rebuilder(run, segmentor) if rebuilder else None


def _methods(rows: Sequence[Row], known: Mapping[str, Measured]) -> list[Method]:
    """The methods of which something is known."""
    found = methods_of(rows, {folder: each.numbers for folder, each in known.items()})
    return [method for method in found if method.runs]


def _compare_features(rows: Sequence[Row], known: Mapping[str, Measured]) -> None:
    """Add the CKA of each run's features to those of the first method's run of the same seed."""
    first, *others = [dict(zip(row.finished["seed"], row.finished["folder"], strict=True)) for row in rows]
    for other in others:
        for seed in first.keys() & other.keys():
            one, two = known[other[seed]], known[first[seed]]
            one.numbers["cka_reference"] = cka(one.features, two.features)
