"""Whether a method's class has what its `MethodInfo` declares, and declares what it has."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, get_args

from cdnbench.errors import BenchError
from cdnbench.method import MethodInfo, Supervised
from cdnbench.ranges import POSITIVE, Values


@dataclass(frozen=True)
class _Ability:
    """An optional part of a method: how it is declared, and the attributes that it consists of."""

    declaration: str
    is_declared: Callable[[MethodInfo], bool]
    attributes: tuple[str, ...]


_ABILITIES = (
    _Ability("variants", lambda info: bool(info.variants), ("predict_outputs",)),
    _Ability(
        'supervised="required"', lambda info: info.supervised == "required", ("fit", "fitted")
    ),
    _Ability(
        'supervised="pretrained" or starts_from_weights=True',
        lambda info: info.has_weights,
        ("weights_digest", "trained_on", "trained_origins"),
    ),
    _Ability("probabilities=True", lambda info: info.probabilities, ("calibration",)),
    _Ability("per_line=True", lambda info: info.per_line, ("check_lines",)),
    _Ability("batch_size", lambda info: info.is_batched, ("predict_targets_batch",)),
)


_TEXTS = ("name", "version", "summary", "citation", "licence", "reference", "design")
_FLAGS = (
    *("baseline", "stochastic", "starts_from_weights", "resumable", "gpu_helps"),
    *("depends_on_units", "probabilities", "default", "per_line"),
)
_LISTS = ("devices", "preload", "packages", "needs")
_WHOLE = ("max_variables", "default_up_to", "min_samples")
_NUMBERS = ("fit_timeout_s", "fit_gpu_memory_mb")
_OF_SIZES = ("timeout_s", "gpu_memory_mb")


def _of_other_types(info: MethodInfo) -> list[str]:
    """What is declared with a value of another type: records that hold it could not be read."""

    def others(names: Iterable[str], is_one: Callable[[Any], bool], what: str) -> list[str]:
        values = ((name, getattr(info, name)) for name in names)
        return [f"{name} is {value!r}, not {what}" for name, value in values if not is_one(value)]

    def is_whole(value: Any) -> bool:
        return isinstance(value, int) and not isinstance(value, bool)

    def are_texts(value: Any) -> bool:
        return isinstance(value, tuple | list) and all(isinstance(each, str) for each in value)

    def is_size(value: Any) -> bool:
        sizes = value.values() if isinstance(value, Mapping) else [value]
        return value is None or all(is_whole(size) and size >= 1 for size in sizes)

    wrong = others(_TEXTS, lambda value: isinstance(value, str), "a text")
    wrong += others(_FLAGS, lambda value: isinstance(value, bool), "True or False")
    wrong += others(_LISTS, are_texts, "a tuple of texts")
    wrong += others(_WHOLE[:2], lambda value: value is None or is_whole(value), "a whole number")
    wrong += others(_WHOLE[2:], is_whole, "a whole number")
    wrong += others(_NUMBERS, POSITIVE.holds, POSITIVE.words)
    wrong += others(_OF_SIZES, callable, "a function of the sizes of a task")
    wrong += others(["batch_size"], is_size, "a whole number from 1 on, or one for each device")
    if are_texts(info.devices) and (not info.devices or set(info.devices) - {"cpu", "cuda"}):
        wrong.append(f'devices is {info.devices!r}; it may hold "cpu" and "cuda"')
    return wrong


def check_declarations(cls: type, where: str) -> None:
    """Compare what a method's class has with what its `info` declares.

    where: how messages call it, for example `'my-method' (my_package:MyMethod)`.

    Raises
    ------
    BenchError: something is declared and missing, or there and not declared; the message lists
    everything that is wrong.
    """
    info = getattr(cls, "info", None)
    if not (isinstance(cls, type) and isinstance(info, MethodInfo)):
        raise BenchError(
            f"The method {where} is not a class with `info`, a `MethodInfo`. Write one (see "
            "`cdnbench.method`)."
        )
    present = {name for name, _ in inspect.getmembers(cls, callable)}
    wrong = [] if "predict_targets" in present else ["it has no predict_targets"]
    if info.supervised not in (known := get_args(Supervised)):
        wrong.append(f"supervised is {info.supervised!r}, which is none of {', '.join(known)}")
    if isinstance(info.variants, str):
        wrong.append(f"variants is the text {info.variants!r} instead of a tuple of names")
    if of_other_types := _of_other_types(info):  # what follows rests on these
        wrong += of_other_types
        raise _mismatch(where, wrong)
    for ability in _ABILITIES:
        found = [name for name in ability.attributes if name in present]
        missing = [name for name in ability.attributes if name not in present]
        if ability.is_declared(info) and missing:
            wrong.append(f"it declares {ability.declaration} but has no {', '.join(missing)}")
        elif not ability.is_declared(info) and found:
            wrong.append(f"it has {', '.join(found)} but does not declare {ability.declaration}")
    parameters = inspect.signature(cls).parameters
    if len(info.devices) > 1 and "device" not in parameters:
        wrong.append(f"it declares devices={info.devices} but has no parameter device")
    elif len(info.devices) == 1 and "device" in parameters:
        wrong.append('it has a parameter device but does not declare devices=("cpu", "cuda")')
    if other := [name for name, values in info.takes.items() if not isinstance(values, Values)]:
        wrong.append(f"what {', '.join(other)} takes is no `cdnbench.ranges.Values`")
    if unknown := [name for name in info.takes if name not in parameters]:
        wrong.append(f"takes names {', '.join(unknown)}, which it has no parameter for")
    if "fit" in present:
        fit = inspect.signature(cls.fit).parameters  # type: ignore[attr-defined]
        if info.needs and "resources" not in fit:
            wrong.append(f"it declares needs={info.needs} but its fit takes no resources")
        if info.resumable and "checkpoint" not in fit:
            wrong.append("it declares resumable=True but its fit takes no checkpoint")
        elif "checkpoint" in fit and not info.resumable:
            wrong.append("its fit takes a checkpoint but it does not declare resumable=True")
    if wrong:
        raise _mismatch(where, wrong)


def _mismatch(where: str, wrong: list[str]) -> BenchError:
    return BenchError(
        f"The method {where} does not match its MethodInfo: {'; '.join(wrong)}. Change the class "
        "or the declaration (see `cdnbench.method`)."
    )
