"""The adjacency search that PC and FCI share: stable, by growing conditioning sets, on bit
planes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations

from cdnbench.methods.cdn.paper.bit_planes import Planes

Node = int
NodeSet = int  # bit z is set where node z is a member
Path = tuple[Node, ...]


@dataclass(frozen=True)
class Tests:
    """Every test of k variables: `independent[x][y][s]` is the plane of "x and y are independent
    given the set s"."""

    __test__ = False  # tells pytest that this is no test class

    k: int
    everywhere: int
    independent: list[list[dict[NodeSet, int]]]


@dataclass(frozen=True)
class SeparatingSets:
    """`known[x][y]`: a separating set is on record under the ordered pair; `members[x][y][z]`: it
    contains z."""

    known: Planes
    members: list[Planes]


def node_set(nodes: Iterable[Node]) -> NodeSet:
    """The set of some nodes as bits."""
    return sum(1 << node for node in nodes)


def others(k: int, *nodes: Node) -> list[Node]:
    """All k nodes without the given ones."""
    return [node for node in range(k) if node not in nodes]


def skeleton(tests: Tests) -> tuple[Planes, SeparatingSets]:
    """Adjacency and separating sets.

    At each size, all tests see the graph that the smaller sizes have left, so that the order of the
    variables does not matter. The separating set of a pair is the union of all sets that separate
    it.
    """
    k = tests.k
    adjacent = [[tests.everywhere if i != j else 0 for j in range(k)] for i in range(k)]
    members = [[[0] * k for _ in range(k)] for _ in range(k)]
    for size in range(k - 1):
        removed = []
        for x, y in combinations(range(k), 2):
            gone = 0
            for given in combinations([z for z in range(k) if z not in (x, y)], size):
                separated = adjacent[x][y] & tests.independent[x][y][node_set(given)]
                if separated and given:
                    around_x = around_y = separated
                    for z in given:
                        around_x &= adjacent[x][z]
                        around_y &= adjacent[y][z]
                    separated = around_x | around_y
                    for z in given:
                        members[x][y][z] |= separated
                gone |= separated
            removed.append((x, y, gone))
        for x, y, gone in removed:
            adjacent[x][y] ^= gone
            adjacent[y][x] ^= gone
    for x, y in combinations(range(k), 2):
        members[y][x] = members[x][y][:]
    known = [
        [tests.everywhere ^ adjacent[x][y] if x != y else 0 for y in range(k)] for x in range(k)
    ]
    return adjacent, SeparatingSets(known, members)
