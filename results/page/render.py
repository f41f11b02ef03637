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

TEMPLATES = Path(__file__).with_name("templates")


def rendered(context: Mapping[str, Any]) -> str:
    """The page: what is in the context is text in it and never markup.

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
    style, script = ((TEMPLATES / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    own = {"style": Markup(style), "script": Markup(script), "digest": digest}  # files of ours
    return environment.get_template("page.html.jinja").render({**context, **own})
