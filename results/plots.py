"""Plots of mIoU over settings, drawn without a display."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from results.files.plain_file import replacing

_MEASURED, _REFERENCE, _PUBLISHED, _FAILED = "tab:blue", "tab:gray", "tab:orange", "tab:red"
_DPI = 150


@dataclass(frozen=True)
class Mark:
    """What is plotted of one setting.

    Attributes:
        label: of the setting. value: the number it stands for, where it is one.
        miou: mean in percent; NaN where no run finished.
        deviation: sample standard deviation in percent; NaN for one run.
        n: finished runs.
        unfinished: the others, by status, as "1 diverged"; shown beside the mark.
        published: mIoU in percent, where one is known.
    """

    label: str
    value: float | None
    miou: float
    deviation: float
    n: int
    unfinished: str = ""
    published: float | None = None


def plot_line(
    path: Path, marks: Sequence[Mark], reference: Mark, *, title: str, x_label: str, log: bool
) -> None:
    """mIoU over a number, with the reference as a line, and as a mark where it has a value.

    On a logarithmic axis a reference at 0 stands apart, left of a dotted line.
    """
    figure, axes = _figure(title, _score([*marks, reference]))
    axes.margins(x=0.08, y=0.12)
    places = [float(mark.value) for mark in marks if mark.value is not None]
    ticks = list(zip(places, [plain(mark.label) for mark in marks], strict=True))
    with_reference = reference.value is not None
    if with_reference:
        place = float(reference.value or 0.0)
        if log and place <= 0:
            axes.axvline(min(places) / math.sqrt(3), color="black", linestyle=":", linewidth=0.8)
            place = min(places) / 3
        ticks.insert(0, (place, plain(reference.label)))
        _marks(axes, [place], [reference], color=_REFERENCE)
    _marks(axes, places, marks, color=_MEASURED, line=True)
    _published(axes, places, marks)
    _reference_line(axes, reference, f"{x_label} {reference.label}" if with_reference else reference.label)
    if log:
        axes.set_xscale("log")
    axes.set_xticks([place for place, _ in ticks], [label for _, label in ticks])
    axes.minorticks_off()
    axes.set_xlabel(plain(x_label))
    noted = [*zip(places, marks, strict=True), *([(ticks[0][0], reference)] if with_reference else [])]
    _notes(axes, [place for place, _ in noted], [mark for _, mark in noted])
    write_figure(figure, path)


def plot_points(path: Path, marks: Sequence[Mark], reference: Mark | None, *, title: str) -> None:
    """A mark for each setting, with the reference as a line, where there is one for all.

    No bars: differences are small beside the values, and bars that do not begin at 0 would make much of them.
    """
    figure, axes = _figure(title, _score(marks), width=max(6.0, 0.9 * len(marks) + 1.5))
    axes.margins(y=0.2)
    places = [float(index) for index in range(len(marks))]
    for place, mark in zip(places, marks, strict=True):
        _marks(axes, [place], [mark], color=_REFERENCE if mark is reference else _MEASURED)
    _published(axes, places, marks)
    if reference is not None:
        _reference_line(axes, reference, reference.label)
    long = max(len(mark.label) for mark in marks) > 12
    axes.set_xticks(
        places, [plain(mark.label) for mark in marks], rotation=30 if long else 0, ha="right" if long else "center"
    )
    axes.set_xlim(-0.5, len(marks) - 0.5)
    _notes(axes, places, marks)
    write_figure(figure, path)


def plot_heat_map(
    path: Path,
    marks: Sequence[Sequence[Mark]],
    reference: Mark,
    *,
    title: str,
    x_label: str,
    y_label: str,
    x_ticks: Sequence[str],
    y_ticks: Sequence[str],
) -> None:
    """mIoU over two settings: one row of ``marks`` a value of ``y``, one column a value of ``x``."""
    figure, axes = _figure("", y_label, width=1.1 * len(x_ticks) + 2.5, height=0.8 * len(y_ticks) + 2.0)
    axes.set_title(plain(f"{title}\n{reference.label}: {_text(reference)}"), fontsize=10)
    values = np.array([[mark.miou for mark in row] for row in marks], dtype=float)
    image = axes.imshow(np.ma.masked_invalid(values), aspect="auto", cmap="viridis", origin="lower")
    axes.set_facecolor("lightgray")
    axes.grid(visible=False)
    for y, row in enumerate(marks):
        for x, mark in enumerate(row):
            color = "black"
            if not math.isnan(mark.miou):
                red, green, blue, _ = image.cmap(image.norm(np.array(mark.miou)))
                color = "black" if 0.3 * red + 0.6 * green + 0.1 * blue > 0.5 else "white"
            lines = [_text(mark), *([mark.unfinished] if mark.unfinished else [])]
            axes.text(x, y, "\n".join(lines), ha="center", va="center", color=color, fontsize=7)
    axes.set_xticks(range(len(x_ticks)), [plain(text) for text in x_ticks])
    axes.set_yticks(range(len(y_ticks)), [plain(text) for text in y_ticks])
    axes.set_xlabel(plain(x_label))
    figure.colorbar(image, ax=axes, label=_score([mark for row in marks for mark in row]))
    write_figure(figure, path)


def plain(text: str) -> str:
    """A text for Matplotlib to show as it is: what stands between two dollar signs would be read as TeX."""
    return text.replace("$", r"\$")


def _score(marks: Sequence[Mark]) -> str:
    """What an axis says: mIoU, what its error bars are, and of how many runs."""
    numbers = sorted({mark.n for mark in marks if mark.n})
    if not numbers:
        return "mIoU (%)"
    several = f"mean ± sample deviation, n = {numbers[0]}" + (f" to {numbers[-1]}" if len(numbers) > 1 else "")
    return f"mIoU (%)\n{'one run each' if numbers == [1] else several}"


def _figure(title: str, y_label: str, width: float = 6.0, height: float = 4.0) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set_title(plain(title), fontsize=10)
    axes.set_ylabel(plain(y_label))
    axes.grid(axis="y", alpha=0.3)
    return figure, axes


def _marks(axes: Axes, places: Sequence[float], marks: Sequence[Mark], *, color: str, line: bool = False) -> None:
    axes.errorbar(
        places,
        [mark.miou for mark in marks],
        yerr=[0.0 if math.isnan(mark.deviation) else mark.deviation for mark in marks],
        fmt="o-" if line else "o",
        color=color,
        capsize=4,
        label="measured" if line else None,
    )


def _published(axes: Axes, places: Sequence[float], marks: Sequence[Mark]) -> None:
    known = [(place, mark.published) for place, mark in zip(places, marks, strict=True) if mark.published is not None]
    if known:
        axes.plot(
            [place for place, _ in known],
            [published for _, published in known],
            linestyle="none",
            marker="D",
            markerfacecolor="none",
            color=_PUBLISHED,
            label="published",
        )
        axes.legend(fontsize=8)


def _reference_line(axes: Axes, reference: Mark, name: str) -> None:
    if math.isnan(reference.miou):
        return
    label = plain(f"{name}: {_text(reference)}")
    axes.axhline(reference.miou, color=_REFERENCE, linestyle="--", linewidth=1, label=label)
    if not math.isnan(reference.deviation):
        low, high = reference.miou - reference.deviation, reference.miou + reference.deviation
        axes.axhspan(low, high, color=_REFERENCE, alpha=0.12, linewidth=0)
    axes.legend(fontsize=8)


def _notes(axes: Axes, places: Sequence[float], marks: Sequence[Mark]) -> None:
    """What did not finish, and, where they differ, of how many runs a mark is."""
    uneven = len({mark.n for mark in marks if mark.n}) > 1
    for place, mark in zip(places, marks, strict=True):
        lines = ([f"n = {mark.n}"] if uneven and mark.n else []) + ([mark.unfinished] if mark.unfinished else [])
        if lines:
            axes.text(
                place,
                0.02,
                "\n".join(lines),
                transform=axes.get_xaxis_transform(),
                ha="center",
                va="bottom",
                fontsize=7,
                color=_FAILED if mark.unfinished else "black",
            )


def _text(mark: Mark) -> str:
    if math.isnan(mark.miou):
        return "-"
    return f"{mark.miou:.1f}" if math.isnan(mark.deviation) else f"{mark.miou:.1f} ± {mark.deviation:.1f}"


def write_figure(figure: Figure, path: Path) -> None:
    """Write a PNG, whole or not at all: under a temporary name, which follows no link, then renamed.

    Equal figures are equal files. Raises OSError where it cannot be written.
    """
    with replacing(path) as file:
        figure.savefig(file, format="png", dpi=_DPI, metadata={"Software": None})
