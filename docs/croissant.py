"""A description of the suites and of their stored truth, in the vocabulary of Croissant 1.0
(mlcommons.org/croissant), for search engines and loaders of data sets."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from cdnbench import __version__
from cdnbench.errors import BenchError
from cdnbench.registry import SUITES, entries, load_class

CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "dct": "http://purl.org/dc/terms/",
    "conformsTo": "dct:conformsTo",
    "recordSet": "cr:recordSet",
    "field": "cr:field",
    "source": "cr:source",
    "extract": "cr:extract",
    "column": "cr:column",
    "fileObject": "cr:fileObject",
    "repeated": "cr:repeated",
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
}
FIELDS = (
    ("hash", "sc:Text", False, "Identity of the task."),
    ("about", "sc:Text", False, "JSON: the name of the task, its suite and its settings."),
    ("variables", "sc:Text", True, "Names of the N variables."),
    ("candidates", "sc:Boolean", True, "Which variables may be targets: R x N, row by row."),
    ("targets", "sc:Boolean", True, "Which variables were hit: R x N, row by row."),
)


def describe(store: Path) -> str:
    """JSON-LD. store: a folder of archives, whose tables of tasks it describes."""
    files = sorted(store.glob("*/tasks.parquet"))
    description = {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": "bench-suites",
        "description": "Tasks with known targets of interventions: samples of a system before and "
        "after, and which variables were hit. Samples are generated, or read from public files, by "
        "the package cdnbench; the tables here hold the tasks and their truth.",
        "version": __version__,
        "license": "https://spdx.org/licenses/MIT.html",
        "keywords": ["causal discovery", "intervention targets", "perturbation screens"],
        "hasPart": [
            {"@type": "sc:Dataset", "name": name, "description": summary}
            for name, summary in suites()
        ],
        "distribution": [
            {
                "@type": "cr:FileObject",
                "@id": path.parent.name,
                "name": path.parent.name,
                "contentUrl": f"results/store/{path.parent.name}/{path.name}",
                "encodingFormat": "application/x-parquet",
                "contentSize": f"{path.stat().st_size} B",
                "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            }
            for path in files
        ],
        "recordSet": [record_set(path.parent.name) for path in files],
    }
    return json.dumps(description, indent=1) + "\n"


def suites() -> list[tuple[str, str]]:
    found = []
    for name in entries(SUITES):
        try:
            found.append((name, load_class(SUITES, name).info.summary))  # type: ignore[attr-defined]
        except BenchError:  # an optional package is absent
            continue
    return found


def record_set(file: str) -> dict[str, Any]:
    return {
        "@type": "cr:RecordSet",
        "@id": f"{file}/tasks",
        "name": f"{file}/tasks",
        "field": [
            {
                "@type": "cr:Field",
                "@id": f"{file}/tasks/{name}",
                "name": f"{file}/tasks/{name}",
                "description": meaning,
                "dataType": kind,
                **({"repeated": True} if repeated else {}),
                "source": {"fileObject": {"@id": file}, "extract": {"column": name}},
            }
            for name, kind, repeated, meaning in FIELDS
        ],
    }
