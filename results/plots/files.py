"""Files of figures: PNG for the screen, PDF for a paper, SVG for a page or a talk."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from results.files.errors import ResultsError
from results.files.plain_file import replacing
from results.plots.style import styled

# No versions and no dates: equal figures are equal files, whoever draws them when.
_METADATA: dict[str, dict[str, Any]] = {
    "png": {"Software": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    "svg": {"Date": None, "Creator": None},
}
FORMATS = tuple(_METADATA)
_DPI = 300  # of the PNG: 990 pixels a column, 2070 a page


def read_formats(text: str) -> tuple[str, ...]:
    """The formats that an option names: ``"png,pdf"`` -> ("png", "pdf"). Raises ResultsError for one there is not."""
    formats = tuple(dict.fromkeys(filter(None, (part.strip() for part in text.lower().split(",")))))
    if not formats or not set(formats) <= set(FORMATS):
        raise ResultsError(f"--plots is {text!r}, expected some of {','.join(FORMATS)}")
    return formats


def write_figure(figure: Figure, stem: Path, formats: Sequence[str] = FORMATS) -> list[Path]:
    """Write ``stem``.png, .pdf and .svg, or those of ``formats``; returns their paths.

    Each is whole or not there: under a temporary name, which follows no link, then renamed. Fonts are embedded in the
    PDF, and paths in the SVG. Equal figures are equal files. Raises OSError where one cannot be written.
    """
    paths = paths_of(stem, formats)
    with styled():
        for path, form in zip(paths, formats, strict=True):
            with replacing(path) as file:
                figure.savefig(file, format=form, dpi=_DPI, metadata=_METADATA[form])
    return paths


def paths_of(stem: Path, formats: Iterable[str]) -> list[Path]:
    """The files of a figure; the stem's name may have dots."""
    return [stem.with_name(f"{stem.name}.{form}") for form in formats]
