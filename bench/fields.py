"""Stored values against the fields of a record: whoever wrote them, they may be anything."""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Mapping
from typing import Any

from cdnbench.errors import BenchError
from cdnbench.files import is_name

_TYPES: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "bool": (bool,),
    "int": (int,),
    "float": (int, float),
    "None": (type(None),),
    "tuple": (tuple, list),
    "Mapping": (dict,),
}
_FILES = ("key", "suite", "method", "task_hash", "fit", "hash")
"""Fields that become names of files and folders."""
_TEXTS = ("versions", "factors", "knowledge")
"""Mappings from names to words."""
_LOG = re.compile(r"(?:logs|jobs)/([^/]+)\.log|models/([^/]+)/fit\.log")
_LARGEST = 2**63 - 1
_DEEPEST = 50
_CONTAINERS = (dict, list, tuple)


class NotARecord(BenchError, ValueError):
    """Stored values that are not a record; the message names what is missing or wrong."""


@functools.cache
def field_names(cls: type) -> tuple[frozenset[str], frozenset[str]]:
    """All fields of a data class, and those without a default."""
    every = frozenset(f.name for f in dataclasses.fields(cls))
    optional = {
        f.name
        for f in dataclasses.fields(cls)
        if f.default is not dataclasses.MISSING or f.default_factory is not dataclasses.MISSING
    }
    return every, every - optional


def checked_fields(cls: type, values: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a data class's fields. Those that are not known are dropped.

    Raises
    ------
    NotARecord: a required field is missing, or a value is of another type, not finite, or not a
        name that stays in its folder.
    """
    known, needed = field_names(cls)
    given = {name: value for name, value in values.items() if name in known}
    for name, value in given.items():
        if value and isinstance(value, dict | list | tuple):
            if is_deep(value):
                raise NotARecord(f"its {name} is nested too deeply")
            if _holds_huge(value):
                raise NotARecord(f"its {name} holds a number that is far too large")
    for name, kinds in _kinds(cls).items():
        value = given.get(name)
        if value is None and type(None) not in kinds:
            given.pop(name, None)  # older records
        elif not isinstance(value, kinds) or not _is_sound(name, value):
            raise NotARecord(f"its {name} is {_shown(value)}")
    if missing := needed.difference(given):
        raise NotARecord(f"it lacks {', '.join(sorted(missing))}")
    return given


def is_deep(value: Any) -> bool:
    """Whether lists and mappings are nested more deeply than functions that follow them can go."""
    level = [value]
    for _ in range(_DEEPEST):
        inner = [each for each in level if isinstance(each, _CONTAINERS)]
        if not inner:
            return False
        level = [each for one in inner for each in (one.values() if isinstance(one, dict) else one)]
    return True


def _holds_huge(value: Any) -> bool:
    """Whether a whole number in it is more than other programs can take."""
    for each in value.values() if isinstance(value, dict) else value:
        kind = type(each)  # of JSON, which has no subclasses; stores hold many values
        if kind is int:
            if abs(each) > _LARGEST:
                return True
        elif kind is not str and isinstance(each, dict | list | tuple) and _holds_huge(each):
            return True
    return False


def _is_sound(name: str, value: Any) -> bool:
    if isinstance(value, str):
        if name in _FILES:
            return is_name(value) or (value == "" and name in ("task_hash", "fit"))
        if name == "log" and value:
            found = _LOG.fullmatch(value)
            return bool(found and is_name(found[1] or found[2]))
        return True
    if isinstance(value, int | float):
        return abs(value) <= _LARGEST  # which is false for NaN
    if isinstance(value, list | tuple):
        return all(isinstance(each, str) for each in value)
    if name in _TEXTS and isinstance(value, Mapping):
        return all(isinstance(each, str) for each in value.values())
    return True


def _shown(value: Any) -> str:
    try:
        return repr(str(value)[:60])
    except ValueError:  # a number with more digits than Python prints
        return "a number that is far too large"


@functools.cache
def _kinds(cls: type) -> dict[str, tuple[type, ...]]:
    """The types that JSON values of the fields may have, where they are plain."""
    found = {}
    for each in dataclasses.fields(cls):
        names = [part.strip().partition("[")[0] for part in str(each.type).split("|")]
        if all(name in _TYPES for name in names):
            found[each.name] = tuple(kind for name in names for kind in _TYPES[name])
    return found
