"""What can be named on the command line, a line each."""

from __future__ import annotations

from benchmarks.config.protocol_file import protocol_values, protocols
from methods.framework.recipes import DEFAULT_HOST
from methods.framework.shipped import declared_parts
from methods.networks import NETWORKS
from results.forms.cells import table_of


def listing() -> str:
    """Methods, networks and protocols."""
    parts = declared_parts()
    hosts = [(part.name, part.description) for part in parts if part.host]
    add_ons = [(f"+{part.name}", part.description) for part in parts if not part.host]
    sections = {
        "methods (hosts)": hosts,
        f"methods (added to a host, as in {DEFAULT_HOST}+mic+mrm; alone they are added to {DEFAULT_HOST})": add_ons,
        "networks": [(name, spec.description) for name, spec in NETWORKS.items()],
        "protocols": [(name, protocol_values(name)["DESCRIPTION"]) for name in protocols()],
    }
    return "\n\n".join(f"{title}\n{table_of((), rows, 'plain')}" for title, rows in sections.items())
