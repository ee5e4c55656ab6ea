"""The figure `ranks`: its unit is that of the table `comparisons`, and no reading is picked."""

from __future__ import annotations

import pytest

from cdnbench.reports.drawing.look import Look
from cdnbench.reports.figures import ranks
from cdnbench.reports.frame import read


def drawn(store):
    """The texts of the one figure."""
    ((_, figure),) = ranks.draw(read([store.store]), Look())
    texts = [text.get_text() for text in figure.texts]
    names = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    return " ".join(texts), names


@pytest.fixture
def screen(make_store):
    """Three methods on 8 genes in two lines."""
    store = make_store("perturbseq")
    targets = store.one_target_each(1, 5)
    for gene in range(8):
        for line in "ab":
            facts = {"perturbation": f"g{gene}"}
            about = {"setting": ("cell_line",), "cell_line": line, "facts": facts}
            task = store.task(f"{line}/{gene}", targets, **about)
            for place, method in enumerate(("first", "second", "third"), start=1):
                store.job(method, task, store.at_place(targets, place))
    return store


def test_a_gene_in_two_lines_counts_once(screen):
    notes, _ = drawn(screen)
    assert "8 perturbations, 3 methods" in notes and "16" not in notes


def test_the_main_reading_stands_for_a_method_although_another_is_better(make_store):
    store = make_store()
    targets = store.one_target_each(2, 5)
    for i in range(6):
        task = store.task(f"d{i}", targets)
        for place, method in enumerate(("first", "second", "third"), start=2):
            outputs = {"soft": store.at_place(targets, place), "set": store.at_place(targets, 1)}
            store.job(method, task, outputs, variants=("soft", "set"))
        store.job("first", task, store.at_place(targets, 1), parameters={"weights": "lucky"})
    notes, names = drawn(store)
    assert names == ["first", "second", "third"]
    assert "6 datasets" in notes and "the main reading of each" in notes
