"""What counts as other code of a method, and what does not."""

import ast
import importlib
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from cdnbench import code_digest as module
from cdnbench.code_digest import code_digest
from cdnbench.registry import METHODS, entries, load_class

METHOD = '''
"""A method."""
import numpy as np
from . import helpers
from .helpers import centred, unused


class Method:
    """It scores."""

    info = {"name": "method"}
    weight: float = 2.0

    def predict(self, task):
        values = centred(task)
        return self.weight * np.abs(values) + helpers.floor(values)


def other():
    return unused()
'''
HELPERS = """
from .deep import spread

LEAST = 1e-9


def centred(rows):
    # a comment
    return (rows - rows.mean()) / spread(rows)


def floor(values):
    return LEAST


def unused():
    return 1
"""
DEEP = """
def spread(rows):
    return rows.std()
"""
FILES = {"__init__": "", "method": METHOD, "helpers": HELPERS, "deep": DEEP}


@pytest.fixture
def digest_of(tmp_path, monkeypatch):
    """A function: the digest of the method after replacements (file, old, new)."""
    made = []

    def digest(*replacements):
        package = f"some_package_{len(made)}"
        made.append(package)
        folder = tmp_path / package
        folder.mkdir()
        files = dict(FILES)
        for file, old, new in replacements:
            assert old in files[file]
            files[file] = files[file].replace(old, new)
        for name, text in files.items():
            (folder / f"{name}.py").write_text(text, encoding="utf-8")
        monkeypatch.syspath_prepend(str(tmp_path))
        importlib.invalidate_caches()
        try:
            return code_digest(importlib.import_module(f"{package}.method").Method)
        finally:
            for name in [n for n in sys.modules if n.startswith(package)]:
                del sys.modules[name]

    return digest


@pytest.mark.parametrize(
    "replacement",
    [
        ("method", "2.0", "3.0"),
        ("method", "weight:", "factor:"),  # a parameter's name is what users write
        ("method", "np.abs", "np.square"),
        ("method", "self.weight * np.abs(values)", "np.abs(values) * self.weight"),
        ("method", "numpy as np", "scipy as np"),
        ("helpers", "1e-9", "1e-6"),
        ("helpers", "rows - rows.mean()", "rows.mean() - rows"),
        ("deep", "rows.std()", "rows.std(ddof=1)"),
        ("method", "centred(task)", "helpers.floor(task)"),
    ],
)
def test_what_changes_scores_changes_the_digest(digest_of, replacement):
    assert digest_of(replacement) != digest_of()


def test_two_functions_that_change_places_change_the_digest(digest_of):
    swapped = [
        ("method", "centred(task)", "helpers.floor (task)"),
        ("method", "helpers.floor(values)", "centred(values)"),
    ]
    assert digest_of(*swapped) != digest_of()


@pytest.mark.parametrize(
    "replacements",
    [
        [("helpers", "# a comment", "# another one")],
        [("method", "It scores.", "It ranks.")],
        [("method", '"name": "method"', '"name": "another"')],
        [("method", "values", "moved")],
        [("method", "(self, task)", "(self, task: dict) -> float")],
        [("helpers", "return 1\n", "return 2\n")],  # of a function that the method does not use
        [("method", "centred", "centered"), ("helpers", "centred", "centered")],
        [("helpers", "LEAST", "SMALLEST")],
        [("helpers", "\n\ndef floor", "\n\n\n\ndef floor")],
    ],
)
def test_what_changes_no_score_leaves_it(digest_of, replacements):
    assert digest_of(*replacements) == digest_of()


def test_without_source_nothing_is_known():
    assert code_digest(dict) == ""


def test_every_registered_method_has_one_of_its_own():
    known = {}
    for name in entries(METHODS):
        digest = code_digest(load_class(METHODS, name))
        assert digest, name
        known[name] = digest
    assert known["target-shift"] != known["effect-size"] != known["cdn"]


def test_threads_may_ask_at_once(monkeypatch):
    """Python 3.11 fails where two threads make syntax trees at once."""
    inside, most, real = [], [], ast.parse

    def parse(*arguments):
        inside.append(None)
        most.append(len(inside))
        time.sleep(0.01)
        inside.pop()
        return real(*arguments)

    monkeypatch.setattr(module.ast, "parse", parse)
    path = module.__file__
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda i: module._parsed("m", "p", path, -i), range(8)))
    assert all(found) and max(most) == 1 and len(most) == 8
