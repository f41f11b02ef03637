"""Values of JSON, checked against the types of dataclasses: what is of another kind is named."""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import lru_cache
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

_T = TypeVar("_T")
_LARGEST = 2**53  # of a whole number that a float still tells from the next
_HUGE = 1e300  # beyond it sums of numbers are infinite
_EXPECTED: Mapping[Any, str] = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}


def typed(kind: type[_T], content: Mapping[str, Any], name: str = "") -> _T:
    """A dataclass of ``content``'s values; a key that is not there, or is null, leaves the default of its field.

    Field types are str, bool, int, float, Any, a dataclass, list[...] and dict[str or int, ...] of these (keys of JSON
    that are digits become int), and ``X | None``; a class can have a ``from_json(content, name)`` of its own. Keys that
    are no fields are not looked at.

    Raises:
        ValueError: "spec.seed is 'x', expected a whole number", the name beginning with ``name``.
    """
    dotted = f"{name}." if name else ""
    found = {
        field: _value(hint, content[field], f"{dotted}{field}")
        for field, hint in _fields(kind).items()  # type: ignore[arg-type]  # mypy takes no type for hashable
        if field in content
    }
    return kind(**{key: value for key, value in found.items() if value is not None})


@lru_cache
def _fields(kind: Any) -> dict[str, Any]:
    """The types of a dataclass's fields by name."""
    hints = get_type_hints(kind)
    return {each.name: hints[each.name] for each in fields(kind)}


@lru_cache
def _sort(kind: Any) -> tuple[Any, Any]:
    """A field's type without ``| None``; and list, dict, "object" (a dataclass) or "any" for what it is, None else."""
    if get_origin(kind) is types.UnionType:
        kind = next(each for each in get_args(kind) if each is not types.NoneType)
    if kind is Any:
        return kind, "any"
    origin = get_origin(kind)
    return kind, origin if origin in (list, dict) else "object" if is_dataclass(kind) else None


def _value(kind: Any, value: Any, name: str) -> Any:
    """A value, None for null, but for a whole number, which is known wherever it is written."""
    kind, sort = _sort(kind)
    if sort == "any" or (value is None and kind is not int) or isinstance(value, Enum):
        return value
    if sort is None:
        if not _is(value, kind):
            raise _other(name, value, _EXPECTED[kind])
        return value
    if sort is list:
        if not isinstance(value, list):
            raise _other(name, value, "a list")
        return [_item(get_args(kind)[0], each, f"{name}[{number}]") for number, each in enumerate(value)]
    if not isinstance(value, dict):
        raise _other(name, value, "an object")
    if sort == "object":
        return kind.from_json(value, name) if hasattr(kind, "from_json") else typed(kind, value, name)
    of_key, of_value = get_args(kind)
    if of_key is str and _sort(of_value)[0] is float and all(map(_is_plain, value.values())):
        return value  # a score a class: what tables of ten thousand runs read most of
    return {_key(of_key, key, name): _value(of_value, each, f"{name}.{key}") for key, each in value.items()}


def _item(kind: Any, value: Any, name: str) -> Any:
    if value is None and _sort(kind)[1] == "object":
        raise ValueError(f"{name} is null, expected an object")
    return _value(kind, value, name)


def _key(kind: Any, key: str, name: str) -> str | int:
    if kind is not int:
        return key
    if not (key.isascii() and key.isdigit() and len(key) < 9):
        raise ValueError(f"{name} has {key!r:.60}, expected a number of classes")
    return int(key)


def _is(value: Any, kind: type) -> bool:
    if kind in (str, bool):
        return isinstance(value, kind)
    if isinstance(value, bool) or not isinstance(value, int if kind is int else (int, float)):
        return False
    return 0 <= value < _LARGEST if kind is int else -_HUGE < value < _HUGE


def _is_plain(value: Any) -> bool:
    return value is None or (type(value) is float and -_HUGE < value < _HUGE)


def _other(name: str, value: Any, expected: str) -> ValueError:
    return ValueError(f"{name} is {value!r:.60}, expected {expected}")
