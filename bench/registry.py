"""Methods and suites by name, found through entry points and imported only when asked for.

Any installed package can add to them:

    [project.entry-points."cdnbench.methods"]
    my-method = "my_package:MyMethod"
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import json
import math
import os
import re
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import numpy as np

from cdnbench.declarations import check_declarations
from cdnbench.errors import BenchError, InvalidParameter, UnknownName, did_you_mean
from cdnbench.fields import LARGEST
from cdnbench.loaded import LoadedMethod
from cdnbench.method import MethodInfo
from cdnbench.ranges import Values, one_of
from cdnbench.suite import Suite, check_suite

METHODS = "cdnbench.methods"
SUITES = "cdnbench.suites"
RESERVED = ("all", "auto", "ceiling")
"""What stands for methods on the command line, and the row of the best possible score."""
_NAME = re.compile(r"\w[\w.+-]*")


@functools.cache
def entries(group: str) -> dict[str, EntryPoint]:
    """Name -> entry point. Nothing is imported.

    Raises
    ------
    BenchError: two packages register the same name.
    """
    found: dict[str, EntryPoint] = {}
    for entry in entry_points(group=group):
        other = found.get(entry.name)
        if other is not None and other.value != entry.value:
            raise BenchError(
                f"Two packages register {entry.name!r} in {group}: {other.value} and "
                f"{entry.value}. Uninstall one of them."
            )
        found[entry.name] = entry
    return dict(sorted(found.items()))


@functools.cache
def load_class(group: str, name: str) -> type:
    """The registered class.

    Raises
    ------
    UnknownName: nothing is registered under this name.
    BenchError: it cannot be imported, calls itself something else, or is not what it is registered
    as (`check_declarations`, `check_suite`). The message names the entry point and what is wrong.
    """
    kind = "method" if group == METHODS else "suite"
    if name not in entries(group):
        raise _unknown(kind, name, entries(group))
    entry = entries(group)[name]
    where = f"{name!r} ({entry.value})"
    _check_name(group, name, f"The {kind} {where}")
    try:
        loaded = entry.load()
    except Exception as error:  # somebody else's mistake must not stop the other methods
        why = f"{type(error).__name__}: {error}"
        raise BenchError(f"The {kind} {where} cannot be imported: {why}.") from error
    check = check_declarations if group == METHODS else check_suite
    check(loaded, where)
    if loaded.info.name != name:
        raise BenchError(
            f"{entry.value} is registered as {name!r} but its info.name is {loaded.info.name!r}; "
            "make them the same."
        )
    return loaded


def _check_name(group: str, name: str, where: str) -> None:
    """Check that a name can be asked for, and that no other row of a report is called like it.

    Raises
    ------
    BenchError: it cannot be written after --methods or as a folder, or something else has it.
    """
    if not _NAME.fullmatch(name):
        raise BenchError(
            f"{where} has a name that cannot be asked for. Choose one of letters, digits and "
            "- _ . +, which begins with a letter or a digit."
        )
    if group != METHODS:
        return
    if name in RESERVED:
        raise BenchError(f"{where} has a name that is taken. Choose another one.")
    for base in (other for other in entries(METHODS) if name.startswith(f"{other}-")):
        try:
            variants = load_class(METHODS, base).info.variants  # type: ignore[attr-defined]
        except BenchError:
            continue
        if name.removeprefix(f"{base}-") in variants:
            raise BenchError(
                f"{where} has the name of a reading of {base}. Reports would mix the two: choose "
                "another name for one of them."
            )


@functools.cache
def package_of(group: str, name: str) -> tuple[str, str] | None:
    """Name and version of the installed package that registers `name`."""
    distribution = entries(group)[name].dist
    return None if distribution is None else (distribution.name, distribution.version)


def resolve_method(name: str) -> tuple[str, str]:
    """Split a method's name into the registered name and the variant ("" if it has none).

    >>> resolve_method("ut-igsp"), resolve_method("ut-igsp-set")
    (('ut-igsp', 'soft'), ('ut-igsp', 'set'))

    Raises
    ------
    UnknownName: no such method; the message lists the nearest names.
    """
    known = entries(METHODS)
    if name in known:
        variants = load_class(METHODS, name).info.variants  # type: ignore[attr-defined]
        return name, variants[0] if variants else ""
    for base in sorted((b for b in known if name.startswith(b + "-")), key=len, reverse=True):
        variant = name.removeprefix(base + "-")
        if variant in load_class(METHODS, base).info.variants:  # type: ignore[attr-defined]
            return base, variant
    raise _unknown("method", name, known)


def _unknown(kind: str, name: str, known: Iterable[str]) -> UnknownName:
    """The error for a name that no installed package registers."""
    hint = f"If another package provides this {kind}, install it in this Python environment."
    return did_you_mean(kind, name, known, hint)


def load_method(name: str, **parameters: Any) -> LoadedMethod:
    """A method by name, with its parameters.

    >>> load_method("random").info.name
    'random'

    Raises
    ------
    UnknownName: no such method or parameter; the message lists the nearest names.
    InvalidParameter: a parameter is missing, of the wrong type, or refused by the method.
    BenchError: the class is not what its `info` declares (`cdnbench.declarations`).
    """
    if not isinstance(name, str):
        raise InvalidParameter(f'A method is asked for by its name, such as "cdn"; got {name!r}.')
    base, variant = resolve_method(name)
    cls = load_class(METHODS, base)
    known = _defaults(cls)
    for parameter in parameters:
        if parameter not in known:
            raise did_you_mean(f"parameter of {base}", parameter, known)
    takes = _values(cls.info)  # type: ignore[attr-defined]
    typed = {p: _typed(base, p, v, known[p], takes.get(p)) for p, v in parameters.items()}
    missing = [p for p, v in known.items() if v is inspect.Parameter.empty and p not in typed]
    if missing:
        raise InvalidParameter(
            f"{base} needs a value for {', '.join(missing)}: write {base}:{missing[0]}=value."
        )
    changed = {p: v for p, v in typed.items() if v != known[p]}
    try:
        method = cls(**typed)
    except BenchError:
        raise
    except Exception as error:
        why = f"{type(error).__name__}: {error}"
        raise InvalidParameter(f"{base} refuses its parameters: {why}.") from error
    return LoadedMethod(method=method, variant=variant, parameters=changed)


def _defaults(cls: type) -> dict[str, Any]:
    """The parameters of a method and their defaults, `inspect.Parameter.empty` where there is none.

    Without `*args` and `**kwargs`, which nobody can name.
    """
    listed = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    signature = inspect.signature(cls).parameters.items()
    found = {name: each.default for name, each in signature if each.kind not in listed}
    if dataclasses.is_dataclass(cls):  # its signature shows a mark in place of what is made anew
        for field in dataclasses.fields(cls):
            if field.name in found and field.default_factory is not dataclasses.MISSING:
                found[field.name] = field.default_factory()
    return found


def load_suite(name: str, **options: Any) -> Suite:
    """A suite by name, with its options.

    Raises
    ------
    UnknownName: no such suite or option.
    InvalidParameter: a value that the option does not take.
    BenchError: what is registered under the name is not a suite (`cdnbench.suite.check_suite`).
    """
    if not isinstance(name, str):
        raise InvalidParameter(
            f'A suite is asked for by its name, such as "synthetic"; got {name!r}.'
        )
    cls = load_class(SUITES, name)
    return cls(**cls.info.checked(options))  # type: ignore[attr-defined]


def parse_methods(text: str) -> list[tuple[str, dict[str, Any]]]:
    """Names and parameters from what follows `--methods` on the command line.

    Methods are separated by commas. Parameters follow a colon, or a comma after another parameter.
    Commas and colons inside brackets or double quotes belong to the value.

    >>> parse_methods("bacadi-e:likelihood=fc,n_steps=100,dci")
    [('bacadi-e', {'likelihood': 'fc', 'n_steps': 100}), ('dci', {})]
    >>> parse_methods('traversal:graph="calls, 2:3.csv"')
    [('traversal', {'graph': 'calls, 2:3.csv'})]

    Raises
    ------
    InvalidParameter: the text is not of this form; the message names the part that is wrong.
    """
    methods: list[tuple[str, dict[str, Any]]] = []
    for token in filter(None, _split(text, ",")):
        name, *assignments = _split(token, ":")
        if "=" in name:
            if not methods or not methods[-1][1]:
                raise InvalidParameter(
                    f"--methods: {token!r} is a parameter without a method; write "
                    "method:name=value."
                )
            assignments = [name, *assignments]
        else:
            if not name:
                raise InvalidParameter(f"--methods: empty name in {text!r}.")
            methods.append((name, {}))
        for assignment in assignments:
            key, equals, value = assignment.partition("=")
            if not equals or not key:
                raise InvalidParameter(
                    f"--methods: {assignment!r} in {token!r} is not of the form name=value. A "
                    'value with commas or colons goes in double quotes: name="a,b".'
                )
            if key.strip() in methods[-1][1]:
                raise InvalidParameter(
                    f"--methods: {key.strip()} of {methods[-1][0]} is given twice. For two "
                    "settings name the method twice."
                )
            methods[-1][1][key.strip()] = _value(value.strip())
    return methods


def _split(text: str, separator: str) -> list[str]:
    """Split outside brackets and double quotes. A quote counts where a value begins, or inside
    brackets.

    Raises
    ------
    InvalidParameter: a bracket or a quote is not closed.
    """
    tokens, depth, quoted, escaped = [""], 0, False, False
    for character in text:
        if quoted:
            quoted, escaped = character != '"' or escaped, character == "\\" and not escaped
        elif character == '"' and (depth or tokens[-1].rstrip().endswith("=")):
            quoted = True
        elif character == separator and depth == 0:
            tokens.append("")
            continue
        else:
            depth = max(0, depth + (character in "[{(") - (character in "]})"))
        tokens[-1] += character
    if quoted or depth:
        what = "double quote" if quoted else "bracket"
        raise InvalidParameter(
            f"--methods: a {what} in {tokens[-1]!r} is not closed. A value with brackets, commas "
            'or colons goes in double quotes: name="a(b".'
        )
    return [token.strip() for token in tokens]


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return {"True": True, "False": False, "None": None}.get(text, text)


def _values(info: MethodInfo) -> dict[str, Values]:
    """Which values the parameters of a method take, as far as it says so."""
    devices = {"device": one_of(*info.devices)} if len(info.devices) > 1 else {}
    return {**devices, **info.takes}


def _typed(method: str, name: str, value: Any, default: Any, takes: Values | None) -> Any:
    """The value, converted to the type of the parameter's default if that loses nothing.

    takes: which values the method says that the parameter takes; None if it does not say.

    Raises
    ------
    InvalidParameter: it has another type, is or holds NaN, is infinite where neither the default is
        nor `takes` says so, is too large for a record, or is not one that the parameter takes.
    """
    value = _plain(value)
    if _any_number(lambda number: isinstance(number, int) and abs(number) > LARGEST, value):
        raise InvalidParameter(
            f"{method}: {name} is far too large; whole numbers go up to {LARGEST:,}."
        )
    if _any_number(math.isnan, value):
        raise InvalidParameter(f"{method}: {name} is NaN, which is not a number; give one.")
    if _any_number(math.isinf, value) and not (
        _any_number(math.isinf, default) or (takes is not None and takes.holds(value))
    ):
        raise InvalidParameter(f"{method}: {name} is infinite; give a finite number.")
    if takes is None:
        return _converted(method, name, value, default)
    typed = None if value is None else _converted(method, name, value, default)
    if not takes.holds(typed):
        raise InvalidParameter(f"{method}: {name} takes {takes.words}; got {value!r}.")
    return typed


def _converted(method: str, name: str, value: Any, default: Any) -> Any:
    """The value in the type of the default. Raises as `_typed`."""
    if isinstance(default, tuple) and isinstance(value, int | float | list | tuple):
        return tuple(value) if isinstance(value, list | tuple) else (value,)
    if isinstance(default, float) and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if default is None or default is inspect.Parameter.empty or isinstance(default, Mapping):
        return value
    if isinstance(default, list) and isinstance(value, tuple):
        return list(value)
    if type(value) is not type(default):
        example = json.dumps(default) if isinstance(default, tuple) else repr(default)
        raise InvalidParameter(
            f"{method}: {name} takes a value of type {type(default).__name__}, such as {example}; "
            f"got {value!r}."
        )
    return value


def _plain(value: Any) -> Any:
    """A value that Python code gives as a command line would: numbers of numpy, and paths."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, list | tuple):
        return type(value)(map(_plain, value)) if type(value) in (list, tuple) else value
    return value


def _any_number(is_so: Callable[[float], bool], value: Any) -> bool:
    """Whether something is so of a value that is a number, or of one that it holds."""
    if isinstance(value, Mapping):
        return any(_any_number(is_so, part) for part in value.values())
    if isinstance(value, list | tuple):
        return any(_any_number(is_so, part) for part in value)
    return isinstance(value, int | float) and is_so(value)
