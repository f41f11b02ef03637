"""Names for methods: a host, then add-ons in any order (``dacs``, ``dacs+mrm``, ``daformer+mic+mrm``)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from methods.base.choices import nearest
from methods.base.errors import MethodError

DEFAULT_HOST = "dacs"


@dataclass(frozen=True)
class MethodPart:
    """One name in a recipe.

    Attributes:
        name: as written in ``--methods``.
        description: one line for ``--list``, with the source.
        terms: names of registered terms, in the order their losses are made.
        host: whether it stands alone (``dacs``) or is added to a host (``mrm``).
        teacher: of a host: whether it has a teacher, pseudo-labels and target images.
        labelled: of a host: the data that the supervised loss learns from, ``source`` or ``target`` (the oracle).
        pseudo_labels: of an add-on: whether it needs a host that makes them.
        few_labels: of an add-on: whether it learns from target images that are labelled (DATA.LABELLED_TARGET).
        min_batch: the fewest images of each domain that it can be trained with.
        network: of a host: the network that its published figures are of; "" where there are none.
        one_process: whether its losses join images of a batch, so that one process must have all of it.
        config: config keys and values it sets above the protocol's; the user's own overrides go above them.
        adapt: what it sets as a function of the values so far (flat config keys), where it depends on the protocol:
            HRDA doubles the sizes. Called after ``config``.
    """

    name: str
    description: str
    terms: tuple[str, ...]
    host: bool = False
    teacher: bool = False
    labelled: str = "source"
    pseudo_labels: bool = True
    few_labels: bool = False
    min_batch: int = 1
    network: str = ""
    one_process: bool = False
    config: Mapping[str, Any] = field(default_factory=dict)
    adapt: Callable[[Mapping[str, Any]], Mapping[str, Any]] | None = None


@dataclass(frozen=True)
class Recipe:
    """A host and its add-ons. ``name`` is canonical: host first, add-ons sorted."""

    host: MethodPart
    add_ons: tuple[MethodPart, ...]

    @property
    def name(self) -> str:
        return "+".join(part.name for part in self.parts)

    @property
    def parts(self) -> tuple[MethodPart, ...]:
        return (self.host, *self.add_ons)

    @property
    def terms(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(term for part in self.parts for term in part.terms))

    def configure(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The config keys that the parts set, host first.

        ``values``: the flat keys of defaults and protocol, with those of DATA as the user has them.
        """
        changes: dict[str, Any] = {}
        for part in self.parts:
            changes |= part.config
            if part.adapt is not None:
                changes |= part.adapt({**values, **changes})
        return changes

    @property
    def oracle(self) -> bool:
        """Whether it trains on target labels: an upper reference, not a UDA method."""
        return self.host.labelled == "target"

    @property
    def few_labels(self) -> bool:
        """Whether it learns from labelled target images beside the source (DATA.LABELLED_TARGET)."""
        return any(part.few_labels for part in self.add_ons)


PARTS: dict[str, MethodPart] = {}


def register(part: MethodPart) -> MethodPart:
    """Make a part known by its name."""
    if part.name in PARTS:
        raise ValueError(f"two methods are called {part.name!r}")
    PARTS[part.name] = part
    return part


def parse(text: str) -> Recipe:
    """Read ``dacs+mrm``; an add-on without a host is added to ``dacs``.

    Raises:
        MethodError: an unknown, repeated or misplaced name, add-ons that need pseudo-labels on a host that has none, or
            further target labels beside the oracle's.
    """
    names = [name.strip() for name in text.split("+")]
    parts = [_part(name, text) for name in names]
    for name in names:
        if names.count(name) > 1:
            raise MethodError(f"method {text!r}: {name!r} is named twice")
    hosts = [part for part in parts if part.host]
    if len(hosts) > 1:
        raise MethodError(f"method {text!r}: {hosts[0].name!r} and {hosts[1].name!r} are both hosts; name one")
    host = hosts[0] if hosts else PARTS[DEFAULT_HOST]
    add_ons = tuple(sorted((part for part in parts if not part.host), key=lambda part: part.name))
    for part in add_ons:
        if part.pseudo_labels and not host.teacher:
            raise MethodError(
                f"method {text!r}: {part.name!r} needs pseudo-labels, which {host.name!r} does not make; "
                f"add it to {_names(part.name for part in PARTS.values() if part.teacher)}"
            )
        if part.few_labels and host.labelled == "target":
            raise MethodError(
                f"method {text!r}: {part.name!r} learns from target labels, as {host.name!r} does alone: expected "
                f"{host.name!r}, of which DATA.LABELLED_TARGET says how many"
            )
    for index, part in enumerate(add_ons):
        for other in add_ons[:index]:
            if shared := set(part.terms) & set(other.terms):
                raise MethodError(
                    f"method {text!r}: {other.name!r} and {part.name!r} are two forms of one loss, {shared.pop()!r}; "
                    "name one"
                )
    return Recipe(host, add_ons)


def _part(name: str, text: str) -> MethodPart:
    if name in PARTS:
        return PARTS[name]
    hint = nearest(name, PARTS) or f"known: {_names(PARTS)}"
    raise MethodError(f"unknown method {name!r}{f' in {text!r}' if text != name else ''}; {hint}")


def _names(names: Iterable[str]) -> str:
    return ", ".join(names)
