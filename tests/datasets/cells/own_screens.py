"""What the tests of a user's own file share: tables to read, and what is read of them."""

from dataclasses import replace

import numpy as np
import pandas as pd

from cdnbench.datasets.cells.screens.own_screen import OwnScreen
from cdnbench.prediction.options import Reading

CONTROL, LABEL = "non-targeting", "perturbation"
READING = Reading(perturbation=LABEL, control=CONTROL)


def opened(source, **options):
    return OwnScreen(source, replace(READING, **options))


def tasks_of(screen, candidates=None):
    """Name -> task, read block by block."""
    found = {}
    for block in screen.blocks():
        block.gather(range(len(block.comparisons)))
        for i, comparison in enumerate(block.comparisons):
            chosen = block.effects[i].candidates(candidates or len(screen.variables))
            found[comparison.name] = block.task(i, chosen)
    return found


def notes_of(screen):
    return " ".join(screen.notes)


def labelled(values, labels, columns=None, **more):
    columns = columns or [f"v{i}" for i in range(values.shape[1])]
    return pd.DataFrame(values, columns=columns).assign(**{LABEL: labels}, **more)


def continuous(seed=0, n=40):
    values = np.random.default_rng(seed).normal(size=(n, 6)) + np.arange(6)
    return labelled(values, [CONTROL] * (n // 2) + ["a", "b"] * (n // 4))


def saved(adata, path):
    adata.write_h5ad(path)
    return path
