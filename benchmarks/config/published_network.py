"""Where a method is trained on another network than its published figures are of."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

from detectron2.config import CfgNode

from methods.framework.recipes import parse
from results.records.published import Names, read_published


def other_networks(configs: Iterable[CfgNode]) -> list[str]:
    """One line for each host that runs under a protocol with figures of its own network, but on none that has one.

    Nothing is said under other protocols, as the embedded one or the user's own: no figure there is to be met. Add-ons
    are published on their host's network.
    """
    lines: dict[str, None] = {}
    for cfg in configs:
        host = parse(cfg.METHOD).host
        if cfg.PROTOCOL_FILE or not host.network or host.network == cfg.NETWORK:
            continue
        figures = [names for names in _published() if names.protocol == cfg.PROTOCOL]
        if not any((parse(names.method).host, names.network) == (host, host.network) for names in figures):
            continue
        if any((names.method, names.network) == (cfg.METHOD, cfg.NETWORK) for names in figures):
            continue
        lines[f"{host.name} is published on {host.network}, and runs here on {cfg.NETWORK}"] = None
    return list(lines)


@cache
def _published() -> tuple[Names, ...]:
    return tuple(read_published())
