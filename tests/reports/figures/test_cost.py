"""The line of the figure `cost` leads through methods whose means are of the same tasks."""

from __future__ import annotations

import numpy as np

from cdnbench.reports.drawing.look import RULE, Look
from cdnbench.reports.figures import FIGURES
from cdnbench.reports.frame import read


def test_a_method_that_finished_a_part_is_on_no_line(make_store):
    store = make_store()
    targets = store.one_target_each(4, 4)
    for i in range(3):
        task = store.task(f"t{i}", targets, protocol="dcdi")
        store.job("slow", task, store.at_place(targets, 1), wall_s=9.0)
        store.job("quick", task, store.at_place(targets, 2), wall_s=1.0)
        if not i:
            store.job("part", task, store.at_place(targets, 1), wall_s=0.1)
    ((_, figure),) = FIGURES.load("cost").draw(read([store.store]), Look())
    (axes,) = figure.axes
    (line,) = [
        line for line in axes.lines if line.get_color() == RULE and line.get_linewidth() == 2
    ]
    np.testing.assert_allclose(line.get_xdata(), [1.0, 9.0])
