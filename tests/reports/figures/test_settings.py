"""The figure of settings reads the factors of a setting from its name."""

from __future__ import annotations

from cdnbench.reports.drawing.look import Look
from cdnbench.reports.figures import FIGURES
from cdnbench.reports.frame import read


def test_values_may_hold_commas(make_store):
    store = make_store("doses")
    targets = store.one_target_each(1, 5)
    for medium in ("water, salt", "water, salt, sugar"):
        for dose in ("high", "low"):
            for i in range(3):
                about = {"setting": ("medium", "dose"), "medium": medium, "dose": dose}
                task = store.task(f"{medium}/{dose}/{i}", targets, **about)
                store.job("target-shift", task, store.at_place(targets, 1 + i))
    ((_, drawn),) = FIGURES.load("settings").draw(read([store.store]), Look())
    labels = [text.get_text() for axes in drawn.axes for text in axes.get_xticklabels()]
    labels += [axes.get_title(loc) for axes in drawn.axes for loc in ("left", "center")]
    assert any("salt, sugar" in text for text in (label.replace("\n", " ") for label in labels))
