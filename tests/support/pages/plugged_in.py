"""Plug-ins imported for a while."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from benchmarks.config import plugins
from benchmarks.config.metrics import METRICS
from methods.framework.recipes import PARTS
from methods.framework.term import TERMS
from methods.networks import NETWORKS

_REGISTRIES: tuple[dict[str, Any], ...] = (PARTS, TERMS, NETWORKS, METRICS, plugins._imported)


@contextmanager
def forgotten() -> Iterator[None]:
    """What is imported within is not known afterwards, as in another process; nor are modules of the package mylab."""
    before, modules = [dict(registry) for registry in _REGISTRIES], set(sys.modules)
    try:
        yield
    finally:
        for registry, content in zip(_REGISTRIES, before, strict=True):
            registry.clear()
            registry.update(content)
        for name in set(sys.modules) - modules:
            if name.startswith(("segshift_user_", "mylab")):
                del sys.modules[name]
        os.environ.pop(plugins.VARIABLE, None)
