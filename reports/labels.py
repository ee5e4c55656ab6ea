"""How tables call a reading. Labels are for readers: no code takes them apart again, since each
reading has its method, variant, parameters and knowledge as columns."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from cdnbench.design import BEFORE, told
from cdnbench.digest import digest
from cdnbench.method import label
from cdnbench.printable import printable
from cdnbench.record import JobRecord, Record

_LONGEST = 100
"""Characters of all parameters in a label. Files are named by their paths, which may be long."""


def reading_label(record: JobRecord, variant: str) -> str:
    """`dci-graph[max_set_size=2]`, and in brackets of its own what the method was trained with. A
    network says whose design it is and what it was trained on: `cdn-axial (Wu et al. 2025; suites,
    hard only)`."""
    shown = short_label(record, variant) + _shown_knowledge(record.knowledge)
    return shown + _shown_origin(record)


def short_label(record: JobRecord, variant: str) -> str:
    """`dci-graph[max_set_size=2]`: the label without what the method was trained with or on, for
    figures."""
    return label(record.method, variant, record.variants) + shown_parameters(record.parameters)


def job_label(record: Record) -> str:
    """The label of a job or a fit, whatever its readings."""
    shown = record.method + shown_parameters(record.parameters)
    return shown + _shown_origin(record) if isinstance(record, JobRecord) else shown


def design_of(record: JobRecord) -> str:
    """Whose design a network is; "" for what is no network. Records of earlier versions do not hold
    it: there it goes by the method's name."""
    if record.design or not record.trained_on:
        return record.design
    return BEFORE.get(record.method, "")


def _shown_origin(record: JobRecord) -> str:
    origin = told(design_of(record), record.trained_on)
    return f" ({origin})" if origin else ""


def shown_parameters(parameters: Mapping[str, Any]) -> str:
    """`[max_set_size=2]`, or nothing if there are none. See `told_apart` for what is left out.

    On one line. What is long is cut, and a digest of the whole keeps the labels of two readings
    apart.
    """
    texts = (
        f"{name}={value if isinstance(value, str) else json.dumps(value)}"
        for name, value in sorted(told_apart(parameters).items())
    )
    shown = printable(", ".join(texts), sys.maxsize)
    if len(shown) > _LONGEST:
        shown = f"{shown[: _LONGEST - 12]}... {digest(told_apart(parameters), size=4)}"
    return f"[{shown}]" if shown else ""


def told_apart(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters that make another reading of a method. The device does not: a report averages
    over devices, and the jobs table tells them apart."""
    return {name: value for name, value in parameters.items() if name != "device"}


def digests(knowledge: Mapping[str, str]) -> dict[str, str]:
    """Kind of knowledge -> digest of what the method was trained with."""
    return {kind: value for kind, value in knowledge.items() if kind != "name"}


def _shown_knowledge(knowledge: Mapping[str, str]) -> str:
    """What --knowledge named. A list of kind=path is shown as files with the start of their
    digests, for the kinds that the method was trained with."""
    known, name = digests(knowledge), knowledge.get("name", "")
    if "=" in name:
        files = [part.partition("=") for part in name.split(",")]
        name = ", ".join(
            f"{PurePath(path).name} {known[kind][:4]}" for kind, _, path in files if kind in known
        )
    return f" [{name}]" if name else ""
