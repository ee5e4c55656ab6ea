"""FCI on bit planes, step by step in the order of causal-learn 0.1.4.8 (`fci` with its default
arguments).

Zhang (2008), Artificial Intelligence 172, has the rules R1 to R10. causal-learn departs from them
in places, and so do we, because order and omissions decide the marks when the tests contradict each
other:

- the possible-d-sep phase has three of its own (`possible_dsep`);
- R4 runs only in rounds in which R1, R2 or R3 changed something, and retests independence;
- R8 is tried for A < C only; R5, R9 and R10 follow only the first path that a breadth-first search
  finds.

Where causal-learn's answer depends on the hash order of a Python set we take either order (R10: any
assignment of the two children) or the order of the variables (possible-d-sep with k = 6).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import combinations

from cdnbench.methods.fci.bit_planes import Mark, MixedGraphs
from cdnbench.methods.fci.possible_dsep import remove_by_possible_dsep
from cdnbench.methods.fci.skeleton import (
    Node,
    Path,
    SeparatingSets,
    Tests,
    node_set,
    others,
    skeleton,
)


def fci(tests: Tests) -> MixedGraphs:
    """The partial ancestral graph of every batch element."""
    adjacent, separators = skeleton(tests)
    graphs = MixedGraphs(adjacent, Mark.CIRCLE)
    orient_colliders(graphs, separators)
    remove_by_possible_dsep(graphs, separators, tests)
    graphs.reset(Mark.CIRCLE)
    orient_colliders(graphs, separators)
    changed = tests.everywhere
    while changed:
        changed = rules_1_2(graphs)
        changed |= rule_3(graphs, separators)
        changed |= rule_4(graphs, separators, tests, changed)
        for rule in (rule_5, rule_6, rule_7, rule_8, rule_9, rule_10):
            changed |= rule(graphs)
    return graphs


def orient_colliders(graphs: MixedGraphs, separators: SeparatingSets) -> None:
    """R0: a *-> b <-* c where a and c are not adjacent and b is not in their separating set."""
    for b in range(graphs.k):
        for a, c in combinations(others(graphs.k, b), 2):
            collider = (
                graphs.apart(a, c, graphs.adjacent[a][b] & graphs.adjacent[c][b])
                & separators.known[a][c]
            )
            collider ^= collider & separators.members[a][c][b]
            graphs.put_arrow(a, b, collider)
            graphs.put_arrow(c, b, collider)


# The orientation rules. Each returns the plane of the elements that it changed.


def rules_1_2(graphs: MixedGraphs) -> int:
    """R1: a *-> b o-* c, a and c apart: b -> c. R2: a -> b *-> c or a *-> b -> c, a *-o c: a *->
    c."""
    tail, arrow, circle, adjacent = graphs.tail, graphs.arrow, graphs.circle, graphs.adjacent
    changed = 0
    for b in range(graphs.k):
        for pair in combinations(others(graphs.k, b), 2):
            both = adjacent[pair[0]][b] & adjacent[pair[1]][b]
            if not both:
                continue
            for a, c in (pair, pair[::-1]):
                if away := both & arrow[a][b] & circle[c][b]:
                    away = graphs.apart(a, c, away)
                    away ^= away & tail[b][c]
                    graphs.direct(b, c, away)
                    changed |= away
            for a, c in (pair, pair[::-1]):
                if ancestor := both & circle[a][c] & arrow[a][b] & arrow[b][c]:
                    ancestor &= tail[b][a] | tail[c][b]
                    graphs.put_arrow(a, c, ancestor)
                    changed |= ancestor
    return changed


def rule_3(graphs: MixedGraphs, separators: SeparatingSets) -> int:
    """R3: a *-> b <-* c, a *-o d o-* c, a and c apart and separated by d, d *-o b: d *-> b."""
    changed = 0
    for b in range(graphs.k):
        into = [graphs.arrow[z][b] for z in range(graphs.k)]
        for d in others(graphs.k, b):
            if not (open_end := graphs.circle[d][b]):
                continue
            for a, c in combinations(others(graphs.k, b, d), 2):
                if (
                    double := open_end
                    & into[a]
                    & into[c]
                    & graphs.circle[a][d]
                    & graphs.circle[c][d]
                ):
                    double = (
                        graphs.apart(a, c, double)
                        & separators.known[a][c]
                        & separators.members[a][c][d]
                    )
                    graphs.put_arrow(d, b, double)
                    changed |= double
    return changed


def rule_4(graphs: MixedGraphs, separators: SeparatingSets, tests: Tests, where: int) -> int:
    """R4: b at the end of a discriminating path d, ..., a, b for b and c: b -> c, or a *-> b <-*
    c."""
    if not where:
        return 0
    changed = 0
    for b in range(graphs.k):
        open_end = [where & graphs.circle[c][b] for c in range(graphs.k)]
        for a in others(graphs.k, b):
            for c in others(graphs.k, a, b):
                if (
                    start := open_end[c]
                    & graphs.arrow[b][a]
                    & graphs.parent(a, c)
                    & graphs.arrow[b][c]
                ):
                    changed |= _orient_discriminated(graphs, separators, tests, a, b, c, start)
    return changed


def _orient_discriminated(
    graphs: MixedGraphs,
    separators: SeparatingSets,
    tests: Tests,
    a: Node,
    b: Node,
    c: Node,
    start: int,
) -> int:
    """Search backward from a, breadth first, until some path orients b; returns where one did."""
    k, arrow = graphs.k, graphs.arrow
    queue: list[tuple[Path, int]] = [((a, b), start)]
    visited = {node: 0 for node in others(k, a, b)}
    done = 0
    for path, alive in queue:  # grows while it is read
        t, towards = path[0], path[1]
        collider = alive & arrow[towards][t]
        for d in others(k, a, b):
            if d == t:
                continue
            reached = collider & arrow[d][t]
            reached ^= reached & (visited[d] | done)
            if not reached:
                continue
            if d != c and (end := graphs.apart(d, c, reached)):
                done |= _orient_end(graphs, separators, tests, path, a, b, c, d, end)
            onward = reached & graphs.parent(d, c)
            onward ^= onward & done
            if onward:
                visited[d] |= onward
                queue.append(((d, *path), onward))
    return done


def _orient_end(
    graphs: MixedGraphs,
    separators: SeparatingSets,
    tests: Tests,
    path: Path,
    a: Node,
    b: Node,
    c: Node,
    d: Node,
    where: int,
) -> int:
    """Set the marks of b, given the discriminating path d, *path for b and c; returns where they
    were set."""
    independent = tests.independent[d][c]
    with_b, without_b = independent[node_set(path)], independent[node_set(path) ^ (1 << b)]
    undecided = where ^ (where & (with_b | without_b))
    decided = where ^ undecided
    undecided &= separators.known[d][c]
    noncollider = (decided & with_b) | (undecided & separators.members[d][c][b])
    collider = (decided | undecided) ^ noncollider
    collider ^= collider & (graphs.tail[a][b] | graphs.tail[c][b])
    graphs.put_tail(c, b, noncollider)
    graphs.put_arrow(a, b, collider)
    graphs.put_arrow(c, b, collider)
    return noncollider | collider


def rule_5(graphs: MixedGraphs) -> int:
    """R5: an uncovered circle path a o-o c o-o ... o-o d o-o b beside a o-o b, a and d apart, b and
    c apart: all - ."""
    k = graphs.k
    changed = 0
    for b in range(k):
        for a in others(k, b):
            if not (cycle := graphs.circle[a][b] & graphs.circle[b][a]):
                continue
            ends = []
            for c, d in ((c, d) for c in others(k, a, b) for d in others(k, a, b) if c != d):
                both = (
                    cycle
                    & graphs.circle[a][c]
                    & graphs.circle[c][a]
                    & graphs.circle[b][d]
                    & graphs.circle[d][b]
                )
                if both := graphs.apart(a, d, graphs.apart(b, c, both)):
                    ends.append((c, d, both))
            for c, d, where in ends:
                paths = list(_first_paths(graphs, (c,), d, where, _circle_edge, excluded=(a, b)))
                for path, found in paths:
                    ring = (a, *path, b, a)
                    for u, v in zip(ring, ring[1:], strict=False):
                        graphs.put_tail(u, v, found)
                        graphs.put_tail(v, u, found)
                    changed |= found
    return changed


def rule_6(graphs: MixedGraphs) -> int:
    """R6: a - b o-* c: b -* c."""
    changed = 0
    for b in range(graphs.k):
        undirected = 0
        for a in others(graphs.k, b):
            undirected |= graphs.tail[a][b] & graphs.tail[b][a]
        if undirected:
            for c in others(graphs.k, b):
                oriented = undirected & graphs.circle[c][b]
                graphs.put_tail(c, b, oriented)
                changed |= oriented
    return changed


def rule_7(graphs: MixedGraphs) -> int:
    """R7: a -o b o-* c, a and c apart: b -* c."""
    changed = 0
    for b in range(graphs.k):
        open_end = [graphs.circle[z][b] for z in range(graphs.k)]
        tails = [open_end[a] & graphs.tail[b][a] for a in range(graphs.k)]
        if not any(tails):
            continue
        for c in others(graphs.k, b):
            oriented = 0
            for a in others(graphs.k, b, c):
                oriented |= graphs.apart(a, c, open_end[c] & tails[a])
            graphs.put_tail(c, b, oriented)
            changed |= oriented
    return changed


def rule_8(graphs: MixedGraphs) -> int:
    """R8: a -> b -> c or a -o b -> c, a o-> c: a -> c (for a < c only)."""
    changed = 0
    for b in range(graphs.k):
        for a, c in combinations(others(graphs.k, b), 2):
            if (
                oriented := graphs.circle[c][a]
                & graphs.arrow[a][c]
                & graphs.parent(b, c)
                & graphs.tail[b][a]
            ):
                oriented &= graphs.arrow[a][b] | graphs.circle[a][b]
                graphs.put_tail(c, a, oriented)
                changed |= oriented
    return changed


def rule_9(graphs: MixedGraphs) -> int:
    """R9: a o-> c and an uncovered potentially directed path a, b, ..., c with b and c apart: a ->
    c."""
    k = graphs.k
    changed = 0
    for c in range(k):
        for a in others(k, c):
            if not (open_end := graphs.arrow[a][c] & graphs.circle[c][a]):
                continue
            oriented = 0
            for b in others(k, a, c):
                leaving = open_end & (graphs.tail[b][a] | graphs.circle[b][a])
                if leaving := graphs.apart(b, c, leaving):
                    for _, found in _first_paths(
                        graphs, (a, b), c, leaving, _possibly_directed_edge
                    ):
                        oriented |= found
            graphs.put_tail(c, a, oriented)
            changed |= oriented
    return changed


def rule_10(graphs: MixedGraphs) -> int:
    """R10: a o-> c, b -> c <- d, semi-directed paths from two children of a, apart from each other,
    to b and d: a -> c."""
    k = graphs.k
    changed = 0
    for c in range(k):
        for a in others(k, c):
            if not (open_end := graphs.arrow[a][c] & graphs.circle[c][a]):
                continue
            parents = {
                b: plane for b in others(k, a, c) if (plane := open_end & graphs.parent(b, c))
            }
            candidates = [
                (b, d, both)
                for b, d in combinations(parents, 2)
                if (both := parents[b] & parents[d])
            ]
            if not candidates:
                continue
            reach = graphs.semidirected()
            child = {z: graphs.tail[z][a] | graphs.circle[z][a] for z in others(k, a, c)}
            oriented = 0
            for b, d, both in candidates:
                for one, two in combinations(child, 2):
                    apart = graphs.apart(one, two, both & child[one] & child[two])
                    oriented |= apart & (
                        (reach[one][b] & reach[two][d]) | (reach[two][b] & reach[one][d])
                    )
            graphs.put_tail(c, a, oriented)
            changed |= oriented
    return changed


# Paths


def _circle_edge(graphs: MixedGraphs, u: Node, v: Node) -> int:
    return graphs.circle[u][v] & graphs.circle[v][u]


def _possibly_directed_edge(graphs: MixedGraphs, u: Node, v: Node) -> int:
    return (graphs.tail[v][u] | graphs.circle[v][u]) & (graphs.arrow[u][v] | graphs.circle[u][v])


def _first_paths(
    graphs: MixedGraphs,
    start: Path,
    end: Node,
    where: int,
    edge: Callable[[MixedGraphs, Node, Node], int],
    excluded: Path = (),
) -> Iterator[tuple[Path, int]]:
    """The paths from the last node of `start` by which a breadth-first search first meets `end`, if
    uncovered.

    One queue serves all elements: a path in it carries the plane of the elements whose own queue
    holds it, and their own order is that of the common queue.
    """
    queue: list[tuple[Path, int]] = [(start, where)]
    visited = {node: 0 for node in others(graphs.k, *start, *excluded)}
    for path, alive in queue:  # grows while it is read
        for node in visited:
            if node == path[-1]:
                continue
            reached = alive & edge(graphs, path[-1], node)
            reached ^= reached & visited[node]
            if not reached:
                continue
            visited[node] |= reached
            longer = (*path, node)
            if node != end:
                queue.append((longer, reached))
                continue
            for u, w in zip(longer, longer[2:], strict=False):
                reached = graphs.apart(u, w, reached)
            if reached:
                yield longer, reached
