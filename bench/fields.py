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
_FILES = frozenset(("key", "suite", "method", "task_hash", "fit", "hash"))
"""Fields that become names of files and folders."""
_TEXTS = ("versions", "factors", "knowledge")
"""Mappings from names to words."""
_LOG = re.compile(r"(?:logs|jobs)/([^/]+)\.log|models/([^/]+)/fit\.log")
LARGEST = 2**63 - 1
"""Of whole numbers; larger ones are not read."""
_DEEPEST = 50
_CONTAINERS = (dict, list, tuple)
_DEEP, _HUGE = "is nested too deeply", "holds a number that is far too large"


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
    kinds = _kinds(cls)
    given = {}
    for name, value in values.items():
        if name not in known:
            continue
        if value and isinstance(value, _CONTAINERS) and (fault := _fault(value)):
            raise NotARecord(f"its {name} {fault}")
        if (allowed := kinds.get(name)) is not None:
            if value is None and type(None) not in allowed:
                continue  # older records
            if not isinstance(value, allowed) or not _is_sound(name, value):
                raise NotARecord(f"its {name} is {_shown(value)}")
        given[name] = value
    if not needed <= given.keys():
        raise NotARecord(f"it lacks {', '.join(sorted(needed.difference(given)))}")
    return given


def is_deep(value: Any) -> bool:
    """Whether lists and mappings are nested more deeply than functions that follow them can go."""
    return isinstance(value, _CONTAINERS) and _fault(value) == _DEEP


def _fault(value: Any, level: int = 1) -> str:
    """What is wrong with a list or a mapping of JSON values; "" if nothing is.

    Nothing in it may be nested too deeply, and no whole number in it may be more than other
    programs can take. level: of the value itself, from 1.
    """
    if level >= _DEEPEST:
        return _DEEP
    huge = ""
    for each in value.values() if isinstance(value, dict) else value:
        kind = type(each)  # of JSON, which has no subclasses; stores hold many values
        if kind is str or kind is float or kind is bool or each is None:
            continue
        if kind is int:
            if not -LARGEST <= each <= LARGEST:
                huge = _HUGE
        elif isinstance(each, _CONTAINERS) and (fault := _fault(each, level + 1)):
            if fault == _DEEP:
                return fault
            huge = fault
    return huge


def _is_sound(name: str, value: Any) -> bool:
    if isinstance(value, str):
        if name in _FILES:
            return is_name(value) or (value == "" and name in ("task_hash", "fit"))
        if name == "log" and value:
            found = _LOG.fullmatch(value)
            return bool(found and is_name(found[1] or found[2]))
    elif isinstance(value, int | float):
        return -LARGEST <= value <= LARGEST  # which is false for NaN
    elif isinstance(value, list | tuple):
        return all(isinstance(each, str) for each in value)
    elif name in _TEXTS and isinstance(value, Mapping):
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
