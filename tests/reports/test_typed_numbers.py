"""Numbers that are typed in a page are compared with the stores."""

from __future__ import annotations

import pandas as pd
import pytest


@pytest.fixture
def typed_numbers(benchmark_module):
    return benchmark_module("typed_numbers")


FRAME = pd.DataFrame(
    [
        ("seen", "cdn (this package)", 0.8578, 0.9971),
        ("seen", "cdn-cells[epochs=10]", 0.1284, 0.5),
        ("seen", "mlp", 0.0, 0.25),
        ("unseen", "cdn (this package)", 0.1, 0.2),
    ],
    columns=["split", "label", "recall_at_1", "rank"],
)
PAGE = """
<!-- numbers: leaderboard split=seen; recall_at_1, rank, - -->
| method | R@1 | rank | remark |
|---|---|---|---|
{}

| method | R@1 |
|---|---|
| `mlp` | .9 |
"""


@pytest.mark.parametrize(
    ("row", "wrong"),
    [
        ("| `cdn` | .858 | .997 | 99 |", ""),
        ("| `cdn`, and its stack | .86 (.1 to .2) | | |", ""),
        ("| `cdn-cells[epochs=10]` | .128 | .500 | |", ""),
        ("| `cdn`, `mlp` | 0 to .858 | .25 to .997 | |", ""),
        ("| `mlp` | 0 | .250 | |", ""),
        ("| `cdn` | .857 | .997 | |", ".857 is typed for recall_at_1, which is 0.85780"),
        ("| `cdn` | .858 | .997; .3 | |", "which is 0.99710"),
        ("| `cdn`, `mlp` | .858 | .25 to .997 | |", "which is 0.00000, 0.85780"),
        ("| `cdn-cells[epochs=10]` | 0 | .5 | |", "0 is typed for recall_at_1"),
        ("| `linear` | .3 | | |", "0 values of recall_at_1 for 1 methods"),
        ("| `cdn` trained otherwise | .3 | .3 | not in the store |", "no number of the table"),
        ("| `mlp` | 0 | .250 | |\n| `cdn` trained otherwise | .3 | .3 | |", "cannot be read"),
        ("| `mlp` | 0 | .250 |", "2 columns, and the mark tells of 3"),
    ],
)
def test_what_is_typed_is_what_is_stored(typed_numbers, row, wrong):
    found = typed_numbers.wrong_numbers(PAGE.format(row), {"leaderboard": FRAME}.get)
    assert (len(found) == 1 and wrong in found[0]) if wrong else not found


def test_columns_may_hold_parts_of_the_tasks(typed_numbers):
    frame = FRAME.assign(stratum="not trivial")
    page = PAGE.replace(
        "recall_at_1, rank, -", "recall_at_1 stratum=not trivial, rank split=seen, -"
    )
    page = page.format("| `cdn` | .858 | .998 | |")
    (found,) = typed_numbers.wrong_numbers(page, {"leaderboard": frame}.get)
    assert found == "line 2: `cdn`: .998 is typed for rank split=seen, which is 0.99710"


def test_rows_may_be_of_one_size(typed_numbers):
    frame = pd.DataFrame(
        [
            ("dcdi-g", 10, "linear", "hard", 0.6),
            ("dcdi-g", 20, "linear", "hard", 0.5),
            ("dcdi-g", 20, "linear", "soft", 0.3),
        ],
        columns=["label", "n_edges", "mechanism", "intervention", "mean"],
    )
    page = """<!-- numbers: table11; mean mechanism=linear intervention=hard -->
| method | linear, hard |
|---|---|
| `dcdi-g`, E = 10 | .60 (.3) |
| `dcdi-g`, E = 20 | .60 |
"""
    (found,) = typed_numbers.wrong_numbers(page, {"table11": frame}.get)
    assert "`dcdi-g`, E = 20: .60 is typed for" in found and found.endswith("which is 0.50000")


@pytest.mark.parametrize("mark", ["<!--numbers: leaderboard; rank -->", " <!-- numbers: a b -->"])
def test_a_mark_that_cannot_be_read_is_told(typed_numbers, mark):
    (found,) = typed_numbers.wrong_numbers(f"{mark}\n| a | b |\n|---|---|\n", {}.get)
    assert found == "line 1: this mark is not of the form that is read"
