"""The report as one file of HTML, which loads nothing."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from results.page.table import shortened
from results.plots.style import BLACK, BLUE, GREEN, GREY, ORANGE, PURPLE, SKY_BLUE, VERMILLION

# What stands for the colours of plots where the page is dark: each at least 4.5:1 on it.
_ON_DARK = {
    BLUE: "#4AA8E0",
    VERMILLION: "#F08A3C",
    GREEN: "#2FC69B",
    ORANGE: "#F0C048",
    PURPLE: "#E0A0C8",
    SKY_BLUE: "#A6DBF8",
    BLACK: "#F2F2F2",
    GREY: "#A8A8A8",
}
TEMPLATES = Path(__file__).with_name("templates")


def rendered(context: Mapping[str, Any], template: str = "page.html.jinja") -> str:
    """The page of a template: what is in the context is text in it and never markup.

    Its policy lets no script run but its own, by digest, and nothing be loaded but what is in the file.
    """
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["shortened"] = shortened
    environment.globals["on_dark"] = _ON_DARK
    style, script = ((TEMPLATES / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    own = {"style": Markup(style), "script": Markup(script), "digest": digest}  # files of ours
    return environment.get_template(template).render({**context, **own})
