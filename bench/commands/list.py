"""`bench list`: what there is, by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Annotated, Any

import typer

from cdnbench.design import laws_seen
from cdnbench.errors import BenchError
from cdnbench.registry import METHODS, SUITES, entries, load_class, load_method


class Kind(StrEnum):
    methods = "methods"
    suites = "suites"
    datasets = "datasets"
    tables = "tables"
    figures = "figures"


def list_names(kind: Annotated[Kind, typer.Argument(help="What to list.")]) -> None:
    """List the methods, suites, data sets, tables or figures by name.

    Examples:

        bench list methods

        bench list suites

        bench list datasets
    """
    listed = {
        Kind.methods: _methods,
        Kind.suites: _suites,
        Kind.datasets: _datasets,
        Kind.tables: _tables,
        Kind.figures: _figures,
    }
    rows = listed[kind]()
    width = max(len(name) for name, _ in rows)
    for name, text in rows:
        print(f"{name:<{width}}  {text}")


def _infos(group: str) -> Iterator[tuple[str, Any, str]]:
    """(name, its info or None, why it has none) of all that is registered."""
    for name in entries(group):
        try:
            yield name, load_class(group, name).info, ""  # type: ignore[attr-defined]
        except BenchError as error:
            yield name, None, f"cannot be used: {error}"


def _methods() -> list[tuple[str, str]]:
    rows = []
    for name, info, why in _infos(METHODS):
        if info is None:
            rows.append((name, why))
            continue
        notes = [designed(info.design, _trained_on(name))] if info.design else []
        notes += [] if info.default else ["only when asked for"]
        notes += (
            [f"also as {', '.join(f'{name}-{variant}' for variant in info.variants[1:])}"]
            if info.variants[1:]
            else []
        )
        notes += [f"up to {info.max_variables} variables"] if info.max_variables else []
        rows.append((name, info.summary + (f" ({'; '.join(notes)})" if notes else "")))
    return rows


def designed(design: str, trained_on: Mapping[str, Any]) -> str:
    """`design: this package; trained on worlds + suites`."""
    laws = laws_seen(trained_on)
    return f"design: {design}" + (f"; trained on {laws}" if laws else "")


def _trained_on(name: str) -> dict[str, Any]:
    """What the method's own weights were trained on; nothing where they are not there."""
    try:
        return load_method(name).trained_on()
    except BenchError:
        return {}


def _suites() -> list[tuple[str, str]]:
    rows = []
    for name, info, why in _infos(SUITES):
        rows.append((name, why if info is None else info.summary))
        for option in info.options if info else ():
            values = "|".join(option.choices) or option.name.upper()
            default = f" (default {option.default})" if option.default not in ("", None) else ""
            rows.append(("", f"--{option.name.replace('_', '-')} {values}: {option.help}{default}"))
        for stratum, meaning in info.strata.items() if info else ():
            rows.append(
                ("", f"--subset {stratum}|non{stratum}: only these tasks. {stratum}: {meaning}.")
            )
    return rows


def _datasets() -> list[tuple[str, str]]:
    from cdnbench.datasets.real.listing import datasets

    return list(datasets())


def _tables() -> list[tuple[str, str]]:
    from cdnbench.reports.tables import TABLES

    return list(TABLES.summaries.items())


def _figures() -> list[tuple[str, str]]:
    from cdnbench.reports.figures import FIGURES

    return list(FIGURES.summaries.items())
