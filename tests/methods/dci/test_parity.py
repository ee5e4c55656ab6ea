"""DCI's engine has causaldag's edges: the same subsamples through both, phase by phase.

A problem is an observational and a perturbed data set, some subsamples of them, and the published
grid of levels. In all 200 and more (`-m slow`) no edge differed when this was written; a difference
would pass if it were that of a test whose p lies within 1e-6 of its level, in at most one edge of a
thousand.
"""

from itertools import product

import numpy as np
import pytest

from cdnbench.datasets.synthetic.generate import simulate
from cdnbench.datasets.synthetic.recipe import Recipe
from cdnbench.datasets.synthetic.tasks import task
from cdnbench.methods.causaldag import quarantine
from cdnbench.methods.dci.covariances import Covariances, covariances
from cdnbench.methods.dci.dci import changed_edges
from cdnbench.methods.dci.orientation import orient
from cdnbench.methods.dci.skeleton import difference_graphs, skeletons

GRID = ((0.001, 0.01), (0.1, 0.5), (0.001, 0.01))
LEVEL_TOLERANCE = 1e-6


def problem(n_variables, mechanism, intervention, rows, index) -> tuple[np.ndarray, np.ndarray]:
    recipe = Recipe(
        seed=("dci-parity",),
        n_variables=n_variables,
        n_edges=n_variables * (1 + index % 2),
        mechanism=mechanism,
        intervention=intervention,
        factor=(1.5, 6.0) if intervention == "soft-scale" else (1.0, 1.0),
        rows=rows,
        regimes_per_count=1,
        index=index,
    )
    data = task(simulate(recipe))
    scale = data.observational.std(axis=0)
    return np.array(data.observational / scale, float), np.array(
        data.regimes[index % 3] / scale, float
    )


def subsampled(samples: np.ndarray, count: int, seed: int) -> tuple[np.ndarray, Covariances]:
    n = len(samples)
    rows = np.random.default_rng(seed).permuted(np.tile(np.arange(n), (count, 1)), axis=1)[
        :, : int(0.7 * n)
    ]
    return rows, Covariances(covariances(samples, rows), rows.shape[1])


def reference(x0, x1, alpha_ug, alpha_skeleton, alpha_orient, max_set_size):
    """causaldag's skeleton (i < j) and edges of one subsample."""
    from graphical_model_learning.algorithms.difference.difference_dag import (
        dci_orient,
        dci_skeleton,
    )
    from graphical_model_learning.algorithms.difference.difference_ug import dci_undirected_graph

    with quarantine(0):
        pairs, nodes = dci_undirected_graph(x0, x1, alpha=alpha_ug)
        skeleton = dci_skeleton(
            x0, x1, pairs, nodes, alpha=alpha_skeleton, max_set_size=max_set_size
        )
        adjacency = dci_orient(
            x0, x1, skeleton, nodes, alpha=alpha_orient, max_set_size=max_set_size
        )
    return {(min(pair), max(pair)) for pair in skeleton}, set(
        map(tuple, np.argwhere(adjacency).tolist())
    )


def shifted(levels, by: float) -> list[np.ndarray]:
    return [np.array(level) + by for level in levels]


def engine(x0: Covariances, x1: Covariances, levels, max_set_size):
    """Skeletons and edges in the form of `reference`, for each cell of the grid."""
    n = x0.n_variables
    found = skeletons(
        x0, x1, difference_graphs(x0, x1, np.array(levels[0])), np.array(levels[1]), max_set_size
    )
    counts = orient(x0, x1, found, np.array(levels[2]), max_set_size, np.arange(n))
    np.testing.assert_array_equal(counts, changed_edges(x0, x1, *levels, max_set_size))
    cells = {}
    for cell in product(range(2), repeat=3):
        kept = found.kept[:, cell[0], cell[1]]
        skeleton = set(zip(found.first[kept].tolist(), found.second[kept].tolist(), strict=True))
        cells[cell] = skeleton, set(map(tuple, np.argwhere(counts[cell]).tolist()))
    return cells


def compare(cases, count, max_set_size=3) -> None:
    totals, differing, unexplained = np.zeros(2, int), np.zeros(2, int), 0
    for number, case in enumerate(cases):
        x0, x1 = problem(*case)
        (rows0, side0), (rows1, side1) = (
            subsampled(x0, count, number),
            subsampled(x1, count, number + 10_000),
        )
        for b in range(count):
            sides = [Covariances(side.matrices[b : b + 1], side.n_rows) for side in (side0, side1)]
            ours = engine(*sides, GRID, max_set_size)
            near = None
            for cell, mine in ours.items():
                levels = [GRID[phase][k] for phase, k in enumerate(cell)]
                theirs = reference(x0[rows0[b]], x1[rows1[b]], *levels, max_set_size)
                for phase in range(2):
                    totals[phase] += len(mine[phase] | theirs[phase])
                    wrong = len(mine[phase] ^ theirs[phase])
                    differing[phase] += wrong
                    if wrong:
                        # explained if the result hangs on whether some p lies above or below its
                        # level by a hair
                        near = near or [
                            engine(*sides, shifted(GRID, by), max_set_size) for by in (-1e-6, 1e-6)
                        ]
                        unexplained += near[0][cell] == near[1][cell]
    print(f"{len(list(cases))} problems x {count} subsamples x 8 cells: skeleton {totals[0]}, "
        f"edges {totals[1]}; "
          f"differing {differing}, unexplained {unexplained}")  # fmt: skip
    assert totals.min() > 0
    assert (differing <= 0.001 * totals).all() and unexplained == 0


def cases(n_variables, rows, per_setting):
    settings = product(("linear", "polynomial"), ("hard-uniform", "soft-scale"), rows)
    return [(n_variables, *setting, index) for setting in settings for index in range(per_setting)]


def test_parity_small():
    compare(cases(5, (150, 500), 2), count=1)
    compare(cases(10, (300,), 1), count=1)


@pytest.mark.slow
@pytest.mark.parametrize(
    "n_variables, rows, per_setting, count",
    [(5, (60, 150, 500, 967), 5, 3), (10, (60, 150, 500, 967), 5, 2), (20, (120, 300, 983), 5, 1)],
)
def test_parity(n_variables, rows, per_setting, count):
    compare(cases(n_variables, rows, per_setting), count)


@pytest.mark.slow
def test_parity_at_other_set_sizes():
    for max_set_size in (0, 1, 2, 4):
        compare(cases(8, (200, 600), 1), 1, max_set_size)


def stock_subsamples(
    n0: int, n1: int, count: int, random_state: int
) -> tuple[np.ndarray, np.ndarray]:
    """causaldag's: two lazy generators that draw in turn from one global stream, each seeding it as
    it starts."""
    from sklearn.utils.random import sample_without_replacement

    state, rows0, rows1 = np.random.RandomState(random_state), [], []
    for b in range(count):
        rows0.append(sample_without_replacement(n0, int(0.7 * n0), random_state=state))
        state = np.random.RandomState(random_state) if b == 0 else state
        rows1.append(sample_without_replacement(n1, int(0.7 * n1), random_state=state))
    return np.array(rows0), np.array(rows1)


def test_stability_selection_as_a_whole():
    from causaldag import dci_stability_selection

    x0, x1 = problem(10, "linear", "hard-uniform", 400, 2)
    x1 = x1[:370]
    with quarantine(0):
        graph, stability = dci_stability_selection(
            x0, x1, *map(list, GRID), edge_threshold=0, n_bootstrap_iterations=3, random_state=7
        )
    sides = [
        Covariances(covariances(x, rows), rows.shape[1])
        for x, rows in zip((x0, x1), stock_subsamples(len(x0), len(x1), 3, 7), strict=True)
    ]
    counts = changed_edges(*sides, *GRID, max_set_size=3)
    np.testing.assert_array_equal(counts.reshape(stability.shape), np.rint(3 * stability))
    np.testing.assert_array_equal(counts.max(axis=(0, 1, 2)) > 1.5, graph)
