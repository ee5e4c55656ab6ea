"""Pages of methods and suites, written from the code when the site is built."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cdnbench.errors import BenchError
from cdnbench.method import MethodInfo
from cdnbench.registry import METHODS, SUITES, entries, load_class

SUPERVISED = {
    "no": "nothing to train",
    "pretrained": "predicts with weights that come with the package",
    "required": "is trained on the training tasks of a suite",
}


def main(docs: Path) -> None:
    pages(docs / "methods", "Methods", METHODS, METHODS_INTRODUCTION, method_page)
    pages(docs / "suites", "Suites", SUITES, SUITES_INTRODUCTION, suite_page)
    write(docs / "model-card-table.md", cards(docs.parent / "methods" / "cdn" / "weights"))


def cards(folder: Path) -> str:
    """A table of the weights, from their cards."""
    heads = ("weights", "steps", "minutes", "device", "date", "commit", "held out")
    lines = [f"| {' | '.join(heads)} |", "|" + "---|" * len(heads)]
    for path in sorted(folder.glob("*.json")):
        card = json.loads(path.read_text(encoding="utf-8"))
        if "model" in card:
            commit = card["git_sha"][:8] + (" and changes" if card["dirty"] else "")
            values = (f"`{path.stem}`", f"{card['steps']:,}", f"{card['minutes']:.0f}")
            values += (card["device"], card["date"], commit, card["held_out"])
            lines.append(f"| {' | '.join(map(cell, values))} |")
    return "\n".join(lines) + "\n"


def pages(
    folder: Path, title: str, group: str, introduction: str, page: Callable[[str, type], str]
) -> None:
    lines = [f"# {title}", "", introduction, "", "| name | what it is |", "|---|---|"]
    for name in entries(group):
        try:
            loaded = load_class(group, name)
        except BenchError as error:  # an optional package is absent
            lines.append(f"| `{name}` | cannot be imported here: {error} |")
            continue
        write(folder / f"{name}.md", page(name, loaded))
        lines.append(f"| [`{name}`]({name}.md) | {cell(loaded.info.summary)} |")
    lines += ["", "```{toctree}", ":hidden:", ":glob:", "", "*", "```"]
    write(folder / "index.md", "\n".join(lines) + "\n")


METHODS_INTRODUCTION = (
    "Every method answers through one call, `predict_targets`. Its page says where it comes from, "
    "what it needs, its parameters, and what deviates from the reference. This list is made from "
    "the code."
)
SUITES_INTRODUCTION = (
    "A suite supplies tasks with known targets. Its page says what the tasks are and which options "
    "`bench run` takes for it. This list is made from the code."
)


def method_page(name: str, loaded: type) -> str:
    info: MethodInfo = loaded.info  # type: ignore[attr-defined]
    facts = {
        "paper": info.citation,
        "reference implementation": info.reference,
        "design": info.design,
        "licence": info.licence,
        "version": info.version,
        "training": SUPERVISED[info.supervised],
        "readings": ", ".join(f"`{v}`" for v in info.variants),
        "runs without being asked for": "yes" if info.default else "no",
        "needs": ", ".join([*info.needs, *info.packages]),
        "most variables": info.max_variables or "",
        "fewest rows": info.min_samples,
        "for genes only": "yes" if info.needs_symbols else "",
        "computes on": ", ".join(info.devices),
        "depends on units": "yes" if info.depends_on_units else "",
    }
    module = importlib.import_module(loaded.__module__)
    parts = [f"# {name}", "", sentence(info.summary), "", "| | |", "|---|---|"]
    parts += [f"| {what} | {cell(value)} |" for what, value in facts.items() if value]
    parts += ["", "```", f"bench run --suite synthetic-mini --methods {name}", "```"]
    parts += ["", "## Description", "", *description(module, loaded)]
    if found := parameters(loaded):
        parts += ["", "## Parameters", "", "| name | default |", "|---|---|"]
        parts += [f"| `{key}` | `{value!r}` |" for key, value in found.items()]
    parts += ["", f"Source: `{loaded.__module__.removeprefix('cdnbench.').replace('.', '/')}.py`"]
    return "\n".join(parts) + "\n"


def suite_page(name: str, loaded: type) -> str:
    info: Any = loaded.info  # type: ignore[attr-defined]
    parts = [f"# {name}", "", sentence(info.summary), ""]
    parts += ["```", f"bench run --suite {name} --limit 2", "```", ""]
    if info.options:
        parts += ["## Options", "", "| option | default | meaning |", "|---|---|---|"]
        for option in info.options:
            key = "--" + option.name.replace("_", "-")
            values = "\\|".join(map(str, option.choices)) if option.choices else ""
            default = "" if option.default is None else f"`{option.default}`"
            shown = f"`{key}` {values}".strip()
            parts.append(f"| {shown} | {default} | {cell(option.help)} |")
    module = importlib.import_module(loaded.__module__)
    parts += ["", "## Description", "", *description(module, loaded)]
    return "\n".join(parts) + "\n"


def description(module: Any, loaded: type) -> list[str]:
    """The docstrings of the module and the class, as they are."""
    texts = [inspect.cleandoc(text) for text in (module.__doc__, loaded.__doc__) if text]
    if dataclasses.is_dataclass(loaded) and re.match(rf"{loaded.__name__}\(", texts[-1]):
        texts.pop()  # what `dataclass` writes where there is none
    return ["```text", "\n\n".join(texts), "```"]


def parameters(loaded: type) -> dict[str, Any]:
    if not dataclasses.is_dataclass(loaded):
        return {}
    return {
        field.name: None if field.default is dataclasses.MISSING else field.default
        for field in dataclasses.fields(loaded)
        if field.init
    }


def sentence(text: str) -> str:
    text = text.strip()
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")


def cell(value: Any) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")


def write(path: Path, text: str) -> None:
    """Write a page, unless it is there already, so that a second build has less to do."""
    path.parent.mkdir(exist_ok=True)
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")
