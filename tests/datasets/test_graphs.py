"""Random graphs: acyclic, as many edges as asked for, labels without meaning."""

import numpy as np
import pytest

from cdnbench.datasets.synthetic.graphs import GRAPHS, topological_order
from cdnbench.digest import generator
from cdnbench.errors import InvalidParameter

N_GRAPHS = 300


def sample(kind, n, e, count=N_GRAPHS):
    return np.array([GRAPHS[kind](generator("graphs", kind, n, e, k), n, e) for k in range(count)])


@pytest.mark.parametrize("kind", ["er", "sf"])
@pytest.mark.parametrize("n, e", [(5, 5), (10, 10), (10, 20), (20, 40)])
def test_hundreds_of_graphs_are_acyclic(kind, n, e):
    for adjacency in sample(kind, n, e, 100):
        order = topological_order(adjacency)
        position = np.argsort(order)
        parents, children = np.nonzero(adjacency)
        assert sorted(order) == list(range(n))
        assert (position[parents] < position[children]).all()


@pytest.mark.parametrize(
    "n, e, root_share", [(10, 10, 0.41), (10, 20, 0.23), (20, 20, 0.42), (20, 40, 0.24)]
)
def test_erdos_renyi_has_the_expected_edges_and_the_published_share_of_roots(n, e, root_share):
    graphs = sample("er", n, e)
    n_edges = graphs.sum((1, 2))
    assert abs(n_edges.mean() - e) < 4 * n_edges.std() / np.sqrt(N_GRAPHS)
    assert abs((~graphs.any(1)).mean() - root_share) < 0.02


def test_erdos_renyi_edges_are_uniform_over_ordered_pairs():
    graphs = sample("er", 5, 4, 2000)
    frequency = graphs.mean(0)[~np.eye(5, dtype=bool)]
    expected = 4 / 20
    assert np.abs(frequency - expected).max() < 4 * np.sqrt(expected * (1 - expected) / 2000)


@pytest.mark.parametrize("n, m", [(20, 1), (20, 2), (50, 2)])
def test_scale_free_graphs_have_few_parents_and_hubs_of_children(n, m):
    graphs = sample("sf", n, m * n, 100)
    assert (graphs.sum((1, 2)) == m * n - m * (m + 1) // 2).all()
    assert graphs.sum(1).max() == m
    random_graphs = sample("er", n, m * n, 100)
    assert graphs.sum(2).max(1).mean() > 1.3 * random_graphs.sum(2).max(1).mean()


@pytest.mark.parametrize("kind", ["er", "sf"])
def test_labels_carry_no_order(kind):
    graphs = sample(kind, 8, 16)
    parents, children = np.nonzero(graphs.sum(0))
    weight = graphs.sum(0)[parents, children]
    forward = weight[parents < children].sum() / weight.sum()
    assert abs(forward - 0.5) < 0.03


def test_impossible_graphs_are_refused():
    with pytest.raises(InvalidParameter, match="do not fit"):
        GRAPHS["er"](generator(0), 4, 7)
    with pytest.raises(InvalidParameter, match="multiple of 10"):
        GRAPHS["sf"](generator(0), 10, 15)


def test_a_cycle_has_no_topological_order():
    with pytest.raises(ValueError, match="cycle"):
        topological_order(np.array([[0, 1], [1, 0]], bool))
