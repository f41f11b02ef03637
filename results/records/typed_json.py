"""Values of JSON, checked against the types of dataclasses: what is of another kind is named."""

from __future__ import annotations

import types
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import lru_cache
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

_T = TypeVar("_T")
_LARGEST = 2**53  # of a whole number that a float still tells from the next
_HUGE = 1e300  # beyond it sums of numbers are infinite

Name = str | tuple[Any, "str | int"]
"""Where a value stands: a text, or what it stands in and its key or place there; put together for an error alone."""
_Check = Callable[[Any, Name], Any]


def typed(kind: type[_T], content: Mapping[str, Any], name: Name = "") -> _T:
    """A dataclass of ``content``'s values; a key that is not there, or is null, leaves the default of its field.

    Field types are str, bool, int, float, Any, an Enum, a dataclass, list[...] and dict[str or int, ...] of these (keys
    of JSON that are digits become int), and ``X | None``; a class can have a ``from_json(content, name)`` of its own.
    Keys that are no fields are not looked at. A null is no whole number, which is known wherever it is written.

    Raises:
        ValueError: "spec.seed is 'x', expected a whole number", the name beginning with ``name``.
    """
    found = {}
    for field, check in _fields(kind):  # type: ignore[arg-type]  # mypy takes no type for hashable
        if field in content and (value := check(content[field], (name, field))) is not None:
            found[field] = value
    return kind(**found)


@lru_cache
def _fields(kind: Any) -> list[tuple[str, _Check]]:
    """The fields of a dataclass, each with the check of its type."""
    hints = get_type_hints(kind)
    return [(each.name, _check(hints[each.name])) for each in fields(kind)]


@lru_cache
def _check(kind: Any) -> _Check:
    """The function that gives a value of this type as its field has it, None for null; ValueError for another kind."""
    if get_origin(kind) is types.UnionType:
        kind = next(each for each in get_args(kind) if each is not types.NoneType)
    if kind is Any or (isinstance(kind, type) and issubclass(kind, Enum)):
        return lambda value, name: value
    if is_dataclass(kind):
        return _object(kind)
    if get_origin(kind) is list:
        return _list(*get_args(kind))
    return _dict(*get_args(kind)) if get_origin(kind) is dict else {int: _whole, float: _number}.get(kind) or _is(kind)


def _whole(value: Any, name: Name) -> Any:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _LARGEST:
        return value
    raise _other(name, value, "a whole number")


def _number(value: Any, name: Name) -> Any:
    if value is None or (isinstance(value, (float, int)) and not isinstance(value, bool) and -_HUGE < value < _HUGE):
        return value
    raise _other(name, value, "a number")


def _is(kind: type) -> _Check:
    expected = {str: "text", bool: "true or false"}[kind]

    def check(value: Any, name: Name) -> Any:
        if value is None or isinstance(value, kind):
            return value
        raise _other(name, value, expected)

    return check


def _object(kind: Any) -> _Check:
    make = getattr(kind, "from_json", None) or (lambda value, name: typed(kind, value, name))

    def check(value: Any, name: Name) -> Any:
        if value is None:
            return None
        if not isinstance(value, dict):
            raise _other(name, value, "an object")
        return make(value, name)

    return check


def _list(of: Any) -> _Check:
    item, is_object = _check(of), is_dataclass(of)

    def check(value: Any, name: Name) -> Any:
        if value is None:
            return None
        if not isinstance(value, list):
            raise _other(name, value, "a list")
        if is_object and None in value:
            raise ValueError(f"{_dotted((name, value.index(None)))} is null, expected an object")
        return [item(each, (name, number)) for number, each in enumerate(value)]

    return check


def _dict(of_key: Any, of_value: Any) -> _Check:
    item = _check(of_value)
    are_good = _are_numbers if item is _number else _are_whole if item is _whole else None

    def check(value: Any, name: Name) -> Any:
        if value is None:
            return None
        if not isinstance(value, dict):
            raise _other(name, value, "an object")
        if of_key is int:
            return {_size(key, name): item(each, (name, key)) for key, each in value.items()}
        if are_good and are_good(value.values()):
            return value  # figures by class are most of a record: tables of ten thousand read them at once
        return {key: item(each, (name, key)) for key, each in value.items()}

    return check


def _are_numbers(values: Iterable[Any]) -> bool:
    return {float}.issuperset(map(type, values)) and min(values, default=0) > -_HUGE and max(values, default=0) < _HUGE


def _are_whole(values: Iterable[Any]) -> bool:
    return {int}.issuperset(map(type, values)) and min(values, default=0) >= 0 and max(values, default=0) < _LARGEST


def _size(key: str, name: Name) -> int:
    if not (key.isascii() and key.isdigit() and len(key) < 9):
        raise ValueError(f"{_dotted(name)} has {key!r:.60}, expected a number of classes")
    return int(key)


def _dotted(name: Name) -> str:
    """The name as a text: ``curve[3].miou``."""
    if isinstance(name, str):
        return name
    outer, last = _dotted(name[0]), name[1]
    if isinstance(last, int):
        return f"{outer}[{last}]"
    return f"{outer}.{last}" if outer else last


def _other(name: Name, value: Any, expected: str) -> ValueError:
    return ValueError(f"{_dotted(name)} is {value!r:.60}, expected {expected}")
