"""The bit-plane searches have causal-learn's marks whatever the tests say, contradictions included.

causal-learn runs here on tables of made-up test outcomes, so that the rare rules are reached; each
of FCI's rules is also compared on its own, on random mixed graphs, where the data would never take
it.
"""

from contextlib import redirect_stdout
from io import StringIO
from itertools import combinations

import causallearn.search.ConstraintBased.FCI as reference_module
import numpy as np
import pytest
from causallearn.graph.GeneralGraph import GeneralGraph
from causallearn.graph.GraphNode import GraphNode
from causallearn.search.ConstraintBased.PC import pc as reference_pc
from causallearn.utils.cit import CIT_Base, register_ci_test

from cdnbench.digest import generator
from cdnbench.methods.cdn.paper import fci_rules as rules
from cdnbench.methods.cdn.paper.bit_planes import Mark, MixedGraphs, pack, unpack
from cdnbench.methods.cdn.paper.marginals import ALGORITHMS, _test_keys, _tests
from cdnbench.methods.cdn.paper.skeleton import SeparatingSets, node_set

VALUES = {-1: Mark.TAIL, 1: Mark.ARROW, 2: Mark.CIRCLE}  # causal-learn's marks


class OutcomeTable(CIT_Base):
    """A test whose answers stand in a table: {(x, y, set)} that are independent."""

    def __init__(self, data, independent, **_):
        super().__init__(data)
        self.method = "outcome-table"
        self.independent = independent

    def __call__(self, X, Y, condition_set=None):
        x, y = sorted((int(X), int(Y)))
        return float((x, y, node_set({int(z) for z in condition_set or ()})) in self.independent)


register_ci_test("outcome-table", OutcomeTable)


def random_outcomes(k: int, count: int, seed: int) -> np.ndarray:
    """(tests, count) bool: half are noise at several rates, half have a sparse or dense graph of
    dependent pairs and one or two separating sets for each of the others."""
    rng = generator("marginal-rules", k, seed)
    keys = _test_keys(k)
    size = np.array([given.bit_count() for *_, given in keys])
    noise = rng.random((len(keys), count)) < rng.choice([0, 0.02, 0.05, 0.1, 0.2, 0.3], size=count)
    outcomes = noise & (
        rng.random((len(keys), count)) < rng.choice([0.3, 1.0], size=(k, count))[size]
    )
    for b in range(0, count, 2):
        adjacent = rng.random((k, k)) < rng.uniform(0.3, 0.95)
        outcomes[:, b] = rng.random(len(keys)) < rng.choice([0, 0.01])
        for x, y in combinations(range(k), 2):
            if not adjacent[x, y]:
                rows = [row for row, key in enumerate(keys) if key[:2] == (x, y)]
                weights = np.array([1, 2, 3, 3, 3])[size[rows]]
                outcomes[
                    rng.choice(rows, size=rng.integers(1, 3), p=weights / weights.sum()), b
                ] = True
    return outcomes


def reference_marks(independent: set, k: int, algorithm: str) -> np.ndarray:
    rows = np.zeros((30, k))
    with redirect_stdout(StringIO()):
        if algorithm == "fci":
            graph, _ = reference_module.fci(
                rows, "outcome-table", show_progress=False, independent=independent
            )
        else:
            graph = reference_pc(
                rows, 0.05, "outcome-table", show_progress=False, independent=independent
            ).G
    return marks_of(graph)


def marks_of(graph: GeneralGraph) -> np.ndarray:
    marks = np.zeros(graph.graph.shape, np.int8)
    for value, mark in VALUES.items():
        marks[value == graph.graph.T] = mark
    return marks


def different(k: int, algorithm: str, count: int, seed: int) -> list[int]:
    outcomes = random_outcomes(k, count, seed)
    marks = ALGORITHMS[algorithm](_tests(outcomes, k)).marks(count)
    return [
        b
        for b in range(count)
        if (
            marks[b]
            != reference_marks(
                {key for key, on in zip(_test_keys(k), outcomes[:, b], strict=True) if on},
                k,
                algorithm,
            )
        ).any()
    ]


@pytest.mark.parametrize("algorithm", ["fci", "pc"])
@pytest.mark.parametrize(("k", "count"), [(2, 4), (3, 20), (4, 60), (5, 200)])
def test_any_outcomes_give_the_marks_of_causal_learn(k, count, algorithm):
    assert different(k, algorithm, count, 0) == []


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ["fci", "pc"])
def test_any_outcomes_give_the_marks_of_causal_learn_at_length(algorithm):
    assert different(5, algorithm, 6000, 1) == []


@pytest.fixture
def ordered_children(monkeypatch):
    """Sets that causal-learn walks through in hash order: fixed to the order of the variables, or
    the reverse."""
    original = reference_module.find_possible_children

    def choose(reverse: bool):
        def children(graph, parent_node, en_nodes=None):
            return sorted(original(graph, parent_node, en_nodes), reverse=reverse)

        monkeypatch.setattr(reference_module, "find_possible_children", children)

    choose(False)
    return choose


@pytest.mark.slow
def test_six_variables_differ_from_causal_learn_only_where_its_own_hash_order_decides(
    ordered_children,
):
    # possible-d-sep walks a set of neighbours: at k = 6 two level-one nodes may come in either
    # order
    assert len(different(6, "fci", 600, 0)) <= 0.015 * 600
    assert different(6, "pc", 300, 0) == []


def random_graphs(k: int, count: int, seed: str) -> np.ndarray:
    """(count, k, k) marks with every combination of ends, some graphs rich in circles, some in
    tails."""
    rng = generator("random-mixed-graphs", seed, k)
    adjacent = np.triu(rng.random((count, k, k)) < rng.uniform(0.4, 1.0, size=(count, 1, 1)), 1)
    adjacent |= adjacent.transpose(0, 2, 1)
    shares = rng.dirichlet([0.7, 0.7, 0.7], size=count)
    pick = (rng.random((count, k, k, 1)) > shares.cumsum(axis=1)[:, None, None, :2]).sum(
        axis=-1
    ) + 1
    marks = (pick * adjacent).astype(np.int8)
    for i, j, at_i, at_j in PREMISES.get(
        seed, ()
    ):  # in every third graph, or the rule would hardly ever fire
        marks[::3, j, i], marks[::3, i, j] = at_i, at_j
    return marks


T, A, C, N = Mark.TAIL, Mark.ARROW, Mark.CIRCLE, Mark.NONE
PREMISES = {
    # 0 *-> 1 <-* 2, 0 *-o 3 o-* 2, 0 and 2 apart, 3 *-o 1
    "rule_3": [(0, 1, C, A), (2, 1, C, A), (0, 3, C, C), (2, 3, C, C), (0, 2, N, N), (3, 1, C, C)],
    # the path 0 *-> 1 <-* 2 o-* 3 discriminates for 2: 1 -> 3, 0 and 3 apart
    "rule_4": [(0, 1, C, A), (2, 1, C, A), (1, 3, T, A), (2, 3, C, A), (0, 3, N, N)],
    # 0 o-> 2, 1 -> 2 <- 3, and 0 may cause 1 and 3, which are apart
    "rule_10": [(0, 2, C, A), (1, 2, T, A), (3, 2, T, A), (0, 1, C, C), (0, 3, C, C), (1, 3, N, N)],
}
"""(i, j, mark at i, mark at j) of edges that make a rare rule fire."""


def as_planes(marks: np.ndarray) -> MixedGraphs:
    count, k, _ = marks.shape
    rows = marks.reshape(count, k * k).T

    def planes(where):
        flat = pack(where)
        return [flat[i * k : (i + 1) * k] for i in range(k)]

    graphs = MixedGraphs(planes(rows > 0), Mark.CIRCLE)
    graphs.tail, graphs.arrow, graphs.circle = (
        planes(rows == m) for m in (Mark.TAIL, Mark.ARROW, Mark.CIRCLE)
    )
    return graphs


def as_reference(marks: np.ndarray) -> GeneralGraph:
    graph = GeneralGraph([GraphNode(f"X{i + 1}") for i in range(len(marks))])
    for value, mark in VALUES.items():
        graph.graph[mark == marks.T] = value
    return graph


REFERENCE_RULES = {
    "rules_1_2": lambda graph: reference_module.rulesR1R2cycle(graph, None, False),
    "rule_5": lambda graph: reference_module.ruleR5(graph, False),
    "rule_6": lambda graph: reference_module.ruleR6(graph, False),
    "rule_7": lambda graph: reference_module.ruleR7(graph, False),
    "rule_8": lambda graph: reference_module.rule8(graph, None, False),
    "rule_9": lambda graph: reference_module.rule9(graph, None, False),
    "rule_10": lambda graph: reference_module.rule10(graph, False),
}
COUNT = 1500


@pytest.mark.parametrize("k", [5, 6])
@pytest.mark.parametrize("name", REFERENCE_RULES)
def test_each_rule_alone_changes_what_causal_learn_changes(name, k, ordered_children):
    before = random_graphs(k, COUNT, name)
    graphs = as_planes(before)
    changed = getattr(rules, name)(graphs)
    after = graphs.marks(COUNT)
    flags = unpack([changed], COUNT)[0]
    fired = 0
    for b in range(COUNT):
        graph = as_reference(before[b])
        flag = REFERENCE_RULES[name](graph)
        expected = marks_of(graph)
        if name == "rule_10":
            ordered_children(True)
            graph = as_reference(before[b])
            REFERENCE_RULES[name](graph)
            ordered_children(False)
            if (marks_of(graph) != expected).any():
                continue  # the hash order would decide
        fired += flag
        assert flags[b] == flag
        np.testing.assert_array_equal(after[b], expected)
    assert fired >= 10


@pytest.mark.parametrize("name", ["rule_3", "rule_4"])
def test_rules_with_separating_sets_change_what_causal_learn_changes(name):
    k = 5
    before = random_graphs(k, COUNT, name)
    rng = generator("separating-sets", name)
    known = np.triu(rng.random((COUNT, k, k)) < 0.9, 1)
    known |= known.transpose(0, 2, 1)
    members = rng.random((COUNT, k, k, k)) < 0.5
    members = np.triu(members.transpose(0, 3, 1, 2)).transpose(0, 2, 3, 1)  # symmetric in the pair
    members |= members.transpose(0, 2, 1, 3)
    outcomes = rng.random((len(_test_keys(k)), COUNT)) < 0.3
    separators = SeparatingSets(
        [pack(known[:, i].T) for i in range(k)],
        [[pack(members[:, i, j].T) for j in range(k)] for i in range(k)],
    )
    graphs = as_planes(before)
    everywhere = (1 << COUNT) - 1
    if name == "rule_3":
        changed = rules.rule_3(graphs, separators)
    else:
        changed = rules.rule_4(graphs, separators, _tests(outcomes, k), everywhere)
    after = graphs.marks(COUNT)
    flags = unpack([changed], COUNT)[0]
    fired = 0
    for b in range(COUNT):
        graph = as_reference(before[b])
        sets = {
            (i, j): set(np.flatnonzero(members[b, i, j]).tolist())
            for i in range(k)
            for j in range(k)
            if known[b, i, j]
        }
        if name == "rule_3":
            flag = reference_module.ruleR3(graph, sets, None, False)
        else:
            test = OutcomeTable(
                np.zeros((30, k)),
                {key for key, on in zip(_test_keys(k), outcomes[:, b], strict=True) if on},
            )
            flag = reference_module.ruleR4B(graph, -1, None, test, 0.05, sets, False, None)
        fired += flag
        assert flags[b] == flag
        np.testing.assert_array_equal(after[b], marks_of(graph))
    assert fired >= 10


def test_planes_keep_every_bit():
    bits = generator("planes").random((7, 77)) < 0.5
    np.testing.assert_array_equal(unpack(pack(bits), 77), bits)
