"""Tables and figures are found, not listed: each is a module of a package, under its own name.

Names and summaries are known without importing a module, so that listing them stays quick.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from importlib.resources import files
from types import ModuleType

from cdnbench.errors import did_you_mean


@dataclass(frozen=True)
class Modules:
    """The modules of a package by name.

    kind: what one of them is called in errors. first: the name that lists begin with.

    Each module has a `SUMMARY`: one line, written as a plain string.
    """

    package: str
    kind: str
    first: str = ""

    @cached_property
    def names(self) -> tuple[str, ...]:
        """All names, `first` first, the others in alphabetical order with numbers by size."""
        found = (entry.name for entry in files(self.package).iterdir())
        names = {name.removesuffix(".py") for name in found if name.endswith(".py")}
        names.discard("__init__")
        return tuple(sorted(names, key=lambda name: (name != self.first, _natural(name))))

    @cached_property
    def summaries(self) -> dict[str, str]:
        """Name -> its summary, read from the text of the module.

        Raises
        ------
        ValueError: a module has no `SUMMARY`.
        """
        return {name: self._summary(name) for name in self.names}

    def check(self, name: str) -> None:
        """Raise UnknownName for a name that is not there; the message lists the nearest names."""
        if name not in self.names:
            raise did_you_mean(self.kind, name, self.names)

    def load(self, name: str) -> ModuleType:
        """Import a module. Raises UnknownName."""
        self.check(name)
        return import_module(f"{self.package}.{name}")

    def _summary(self, name: str) -> str:
        text = (files(self.package) / f"{name}.py").read_text(encoding="utf-8")
        for node in ast.parse(text).body:
            if isinstance(node, ast.Assign) and [ast.unparse(t) for t in node.targets] == [
                "SUMMARY"
            ]:
                return ast.literal_eval(node.value)
        raise ValueError(f"{self.package}.{name} has no SUMMARY: give it one line of text.")


def _natural(name: str) -> list[tuple[int, str]]:
    """A key that puts table4 before table11."""
    return [(int(part), "") if part.isdigit() else (0, part) for part in re.split(r"(\d+)", name)]
