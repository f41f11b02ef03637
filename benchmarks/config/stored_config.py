"""A run's config as its folder holds it: without the settings of terms that the run's recipe does not have."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from detectron2.config import CfgNode

from benchmarks.config.keys import config_name
from benchmarks.core.yaml_file import dumped
from methods.framework.recipes import parse
from methods.framework.term import TERMS

_LOGGER = logging.getLogger(__name__)


def stored(cfg: CfgNode) -> str:
    """The text of config.yaml: a term that is registered today, and that the run does not use, may be gone tomorrow."""
    used = _sections(cfg.METHOD)
    return dumped({**cfg, "TERMS": {name: section for name, section in cfg.TERMS.items() if name in used}})


def without_unused_terms(content: Any, path: Path) -> Any:
    """The content of a config.yaml without the sections of terms that the run does not use.

    Those of terms that are not registered (any more) are told in one line; earlier versions stored all there were.

    Raises:
        MethodError: the run's method is unknown.
    """
    if not isinstance(content, Mapping) or not isinstance(content.get("TERMS"), Mapping):
        return content
    if not isinstance(content.get("METHOD"), str):
        return content
    used, sections = _sections(content["METHOD"]), content["TERMS"]
    known = {config_name(name) for name in TERMS}
    if unknown := [str(name) for name in sections if name not in used and name not in known]:
        _LOGGER.warning("%s: settings of %s left out, which the run does not use", path, ", ".join(unknown))
    return {**content, "TERMS": {name: section for name, section in sections.items() if name in used}}


def _sections(method: str) -> set[str]:
    return {config_name(name) for name in parse(method).terms}
