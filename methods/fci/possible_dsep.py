"""The possible-d-sep phase of FCI on bit planes, as causal-learn 0.1.4.8 has it.

It looks two steps far, leaves out the first set of each size when there are several, and enters the
separating set under one order of the pair, by which later rules may not find it. With k = 6 the
answer of causal-learn depends on the hash order of a Python set, and ours on the order of the
variables.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

from cdnbench.methods.fci.bit_planes import MixedGraphs
from cdnbench.methods.fci.skeleton import Node, Path, SeparatingSets, Tests, node_set, others


def remove_by_possible_dsep(graphs: MixedGraphs, separators: SeparatingSets, tests: Tests) -> None:
    """Remove edges by separating sets of two and more nodes that no neighbourhood holds."""
    k = graphs.k
    for i, j in combinations(range(k), 2):
        candidates = _separable(graphs, tests, i, j)
        if not candidates:
            continue
        backward = (
            candidates & graphs.arrow[j][i] & graphs.circle[i][j]
        )  # i <-o j is kept as j o-> i
        for x, y, where in ((i, j, candidates ^ backward), (j, i, backward)):
            for source, sink in ((x, y), (y, x)):
                where ^= _remove_within(graphs, separators, tests, source, sink, (x, y), where)


def _separable(graphs: MixedGraphs, tests: Tests, x: Node, y: Node) -> int:
    """The elements in which some set of two and more nodes separates the adjacent x and y and lies
    in neither's neighbourhood."""
    found = 0
    for given in _sets_from_two(others(graphs.k, x, y)):
        found |= _separated_outside(graphs, tests, x, y, given, graphs.adjacent[x][y])
    return found


def _sets_from_two(nodes: list[Node]) -> Iterator[Path]:
    """Sets of two and more nodes: smaller first, those with the highest nodes first."""
    descending = sorted(nodes, reverse=True)
    for size in range(2, len(nodes) + 1):
        yield from combinations(descending, size)


def _separated_outside(
    graphs: MixedGraphs, tests: Tests, x: Node, y: Node, given: Path, where: int
) -> int:
    separated = where & tests.independent[x][y][node_set(given)]
    within_x = within_y = separated
    for z in given:
        within_x &= graphs.adjacent[x][z]
        within_y &= graphs.adjacent[y][z]
    return separated ^ (within_x | within_y)


def _remove_within(
    graphs: MixedGraphs,
    separators: SeparatingSets,
    tests: Tests,
    source: Node,
    sink: Node,
    key: tuple[Node, Node],
    where: int,
) -> int:
    """Remove source *-* sink by sets within the possible d-sep of `source`; returns where that
    happened."""
    if not where:
        return 0
    nodes = others(graphs.k, source, sink)
    dsep = _possible_dsep(graphs, source, sink, where)
    x, y = key
    removed = 0
    for given in _sets_from_two(nodes):
        inside = where ^ removed
        for z in given:
            inside &= dsep[z]
        if not inside:
            continue
        left_out, left_out_above = 0, 0
        for z in nodes:
            if z not in given:
                left_out |= dsep[z]
                left_out_above |= dsep[z] if z > min(given) else 0
        # causal-learn's generator overwrites the first of several sets of one size before it is
        # looked at
        tested = inside ^ (inside & (left_out ^ left_out_above))
        separated = _separated_outside(graphs, tests, source, sink, given, tested)
        removed |= separated
        separators.known[x][y] |= separated
        for z in given:
            separators.members[x][y][z] |= separated
    graphs.remove(source, sink, removed)
    return removed


def _possible_dsep(graphs: MixedGraphs, source: Node, sink: Node, where: int) -> dict[Node, int]:
    """Planes of "node is in the possible d-sep of `source`": its neighbours, and nodes two steps
    away over a collider."""
    nodes = others(graphs.k, source, sink)
    near = {b: where & graphs.adjacent[source][b] for b in nodes}
    reach = graphs.semidirected()
    dsep = dict(near)
    popped: dict[Node, int] = {}  # two steps away and already visited, in the order of visits
    queued = {c: 0 for c in nodes}
    for b in nodes:
        collider = near[b] & graphs.arrow[source][b]
        for c in others(graphs.k, source, sink, b):
            queue = graphs.apart(source, c, collider & graphs.arrow[c][b])
            queue ^= queue & queued[c]
            if not queue:
                continue
            queued[c] |= queue
            supported = 0
            for r in others(graphs.k, source, sink, c):
                before = (near[r] | popped.get(r, 0)) & graphs.adjacent[r][c]
                supported |= before & (reach[r][source] | reach[r][c])
            dsep[c] |= queue & supported
            popped[c] = popped.get(c, 0) | queue
    return dsep
