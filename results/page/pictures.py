"""Predictions of all rows on the same few images, with their errors, chosen by rule and not by eye."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from results.page.compared import Compared
from results.page.encoded import class_map, error_map, jpeg
from results.page.figure import MOST_SERIES
from results.page.left_examples import LeftExamples, left_examples


@dataclass(frozen=True)
class Prediction:
    """What a row makes of an image: addresses of the two pictures, and its scores as text."""

    label: str
    prediction: str
    errors: str
    score: str


@dataclass(frozen=True)
class Picture:
    """An image with what all rows make of it; ``why`` it is shown."""

    name: str
    why: str
    image: str
    label: str
    predictions: Sequence[Prediction]


@dataclass(frozen=True)
class Gallery:
    """The pictures of one protocol and network.

    Attributes:
        place: both by name. rule: how pictures were chosen.
        legend: the classes that are in them, with their colours as CSS has them.
        without: rows that left no predictions on these images.
    """

    place: str
    rule: str
    pictures: Sequence[Picture]
    legend: Sequence[tuple[str, str]]
    without: Sequence[str]


def galleries(compared: Compared, say: Callable[[str], None]) -> list[Gallery]:
    """The pictures of each protocol and network whose runs left examples; ``say`` gets a line for what is damaged."""
    found = []
    for place, members in compared.by_place():
        left = left_examples([summary.row for summary in members][:MOST_SERIES], compared.model, say)
        if left and (names := set.intersection(*(set(each.images) for each in left))):
            known = {each.row.label for each in left}
            without = [summary.row.label for summary in members if summary.row.label not in known]
            found.append(_gallery(compared.baseline, place, left, sorted(names), without))
    return found


def _gallery(
    baseline: str | None, place: str, left: Sequence[LeftExamples], names: Sequence[str], without: Sequence[str]
) -> Gallery:
    counted = all(each.counts is not None for each in left)
    scores = [each.scores(counted) for each in left]
    is_baseline = [{*each.row.runs["method"]} == {baseline} for each in left]
    others = [at for at, each in enumerate(left) if not is_baseline[at] and not each.row.is_oracle]
    against = [at for at, each in enumerate(is_baseline) if each] if others else []
    others = others or [*range(len(left))]

    def mean(name: str, rows: Sequence[int]) -> float:
        return sum(scores[at][name][0] for at in rows) / len(rows)

    values = {name: mean(name, others) - (mean(name, against) if against else 0.0) for name in names}
    ranked = sorted(names, key=lambda name: (-values[name], name))
    what = f"difference to {baseline}" if against else "mIoU"
    places = {"Highest": 0, "Median": (len(ranked) - 1) // 2, "Lowest": len(ranked) - 1}
    chosen = {ranked[at]: word for word, at in reversed(places.items())}  # of few images one is two of them
    shown = []
    for name in sorted(chosen, key=ranked.index):
        why = f"{chosen[name]} {what}: {round(values[name], 1) + 0.0:{'+' if against else ''}.1f}"
        shown.append(_picture(name, why, left, [of_row[name] for of_row in scores]))
    seeds = " and ".join(map(str, sorted({each.seed for each in left})))
    rule = (
        f"Of the {len(names)} validation images that all rows left predictions of (seed {seeds}), those of the "
        f"highest, median and lowest {what}: mIoU of an image over the classes that it has, averaged over rows but "
        "oracles."
        + ("" if counted else " Scores are of the small pictures.")
    )
    return Gallery(place, rule, shown, _legend(list(chosen), left), without)


def _picture(name: str, why: str, left: Sequence[LeftExamples], scores: Sequence[tuple[float, float]]) -> Picture:
    predictions = []
    for each, (score, right) in zip(left, scores, strict=True):
        own, text = each.images[name], f"{score:.1f} mIoU, {right:.1f}% of pixels"
        picture, errors = class_map(own.prediction, each.colors), error_map(own.label, own.prediction)
        predictions.append(Prediction(each.row.label, picture, errors, text))
    first = left[0].images[name]
    return Picture(name, why, jpeg(first.image), class_map(first.label, left[0].colors), predictions)


def _legend(names: Sequence[str], left: Sequence[LeftExamples]) -> list[tuple[str, str]]:
    import numpy as np

    shown = [each.images[name] for each in left for name in names]
    there = {int(value) for each in shown for part in (each.label, each.prediction) for value in np.unique(part)}
    classes = [value for value in sorted(there) if value < len(left[0].classes)]
    return [(left[0].classes[value], "rgb({}, {}, {})".format(*left[0].colors[value])) for value in classes]
