"""How plots look: colours that the colour-blind tell apart, widths of a paper, sizes that are read at them.

Figures are made and written inside `styled`, whatever the user's own matplotlibrc says, and outside nothing is changed.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import matplotlib.style
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

COLUMN, PAGE = 3.3, 6.9
"""Widths in inches: of a column and of a page of a two-column paper, as CVPR's."""
WIDTHS = {"column": COLUMN, "page": PAGE}

# Okabe and Ito, "Color Universal Design" (2008), https://jfly.uni-koeln.de/color/. Its yellow is too pale for lines on
# white, and is left out; greys are for what others are compared with.
BLACK, ORANGE, SKY_BLUE, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
BLUE, VERMILLION, PURPLE = "#0072B2", "#D55E00", "#CC79A7"
GREY = "#767676"  # 4.5:1 on white
PALETTE = (BLUE, VERMILLION, GREEN, ORANGE, PURPLE, SKY_BLUE, BLACK)
"""Colours for what is measured, in the order in which they are given out."""
DIVERGING, SEQUENTIAL = "PuOr_r", "cividis"
"""Colour maps: of differences, whose middle is 0 (ColorBrewer 2), and of values (Nuñez et al., PLoS ONE 2018)."""

MARKERS = "osD^vP"


class Look(NamedTuple):
    """How a method is drawn: colour as hexadecimal RGB, and Matplotlib's marker."""

    color: str
    marker: str


_KNOWN = {
    "source-only": Look(GREY, "v"),
    "target-only": Look(GREY, "^"),
    "dacs": Look(BLUE, "o"),
    "dacs-original": Look(BLUE, "s"),
    "daformer": Look(GREEN, "o"),
    "hrda": Look(PURPLE, "o"),
    "dacs+mic": Look(ORANGE, "o"),
    "dacs+mrm": Look(VERMILLION, "o"),
    "dacs+mrm-input": Look(SKY_BLUE, "o"),
    "dacs+mic+mrm": Look(BLACK, "o"),
    "dacs+mixup": Look(PURPLE, "s"),
    "dacs+mixup-local": Look(BLACK, "s"),
}


def looks(names: Iterable[str]) -> dict[str, Look]:
    """How each method is drawn, by canonical name: the same in every plot, and no two of one plot alike.

    Shipped methods have looks of their own; that of any other name is a function of it. Where two names meet in one,
    the later of the alphabet takes the next that is free. There are 42, and beyond that they repeat.
    """
    every = [Look(*each) for each in itertools.product(PALETTE, MARKERS)]
    found: dict[str, Look] = {}
    for name in sorted(set(names), key=lambda name: (name not in _KNOWN, name)):
        first = _KNOWN.get(name)
        if first is None:
            place = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big") % len(every)
            turned = every[place:] + every[:place]
            first = next((look for look in turned if look not in found.values()), turned[0])
        found[name] = first
    return found


_STYLE: dict[str, Any] = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 7,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "figure.titlesize": 8,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "grid.color": "#D9D9D9",
    "grid.linewidth": 0.5,
    "lines.linewidth": 1.2,
    "lines.markersize": 4,
    "legend.frameon": False,
    "pdf.fonttype": 42,  # TrueType, which journals take, in place of Type 3
    "ps.fonttype": 42,
    "svg.fonttype": "path",  # looks the same where the font is not
    "svg.hashsalt": "segshift",  # equal figures are equal files
}
SMALL = 6  # points, of notes in a plot: the least that is read in print


@contextmanager
def styled() -> Iterator[None]:
    """A block, or by ``@styled()`` a function, in which figures are made and written in this style.

    It begins from Matplotlib's own defaults; at its end all settings are as before.
    """
    with matplotlib.style.context(["default", _STYLE]):
        yield


def new_figure(width: float = COLUMN, height: float | None = None) -> Figure:
    """An empty figure of these inches, without a window; its parts are laid out so that they do not overlap.

    ``height``: None is two thirds of the width, at least 2.2.
    """
    figure = Figure(figsize=(width, max(2.2, width * 2 / 3) if height is None else height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def plain(text: str) -> str:
    """A text for Matplotlib to show as it is: what stands between two dollar signs would be read as TeX."""
    return text.replace("$", r"\$")
