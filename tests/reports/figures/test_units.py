"""Figures say what their intervals are over: genes where one is perturbed in several lines."""

from __future__ import annotations

import pytest

from cdnbench.reports.drawing.look import Look
from cdnbench.reports.figures import FIGURES
from cdnbench.reports.frame import read


@pytest.mark.parametrize("figure", ["dots", "cost", "knowledge"])
@pytest.mark.parametrize(("lines", "unit"), [("ab", "perturbations"), ("a", "datasets")])
def test_the_unit_of_intervals_is_told(make_store, figure, lines, unit):
    store = make_store("perturbseq")
    targets = store.one_target_each(1, 5)
    for gene in range(6):
        for line in lines:
            facts = {"perturbation": f"g{gene}"}
            about = {"setting": ("cell_line",), "cell_line": line, "facts": facts}
            task = store.task(f"{line}/{gene}", targets, **about)
            for place, error in enumerate(("", "error 0.9"), start=1):
                told = {"name": error, "annotations": error or "abc"}
                scores = store.at_place(targets, place + gene % 2)
                store.job("gears", task, scores, knowledge=told)
    ((_, drawn),) = FIGURES.load(figure).draw(read([store.store]), Look())
    labels = [text for axes in drawn.axes for text in (axes.get_xlabel(), axes.get_ylabel())]
    (said,) = [text for text in labels if "95 % interval" in text]
    assert said.endswith(f"over {unit}")
