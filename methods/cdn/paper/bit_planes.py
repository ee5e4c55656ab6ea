"""Many small mixed graphs at once, as bit planes.

A plane is a Python integer whose bit b belongs to batch element b: "element b has an arrow at j of
the edge i *-* j". A rule of the form "if P and Q then orient" is `orient(..., P & Q)` for all
elements together, so a program written for one graph runs on thousands with the same sequence of
steps, at about 0.1 us per step. `a & ~b` is written `a ^ (a & b)`, which avoids negative integers.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np

Planes = list[list[int]]


class Mark(IntEnum):
    """The mark at one end of an edge."""

    NONE = 0
    TAIL = 1
    ARROW = 2
    CIRCLE = 3


def pack(bits: np.ndarray) -> list[int]:
    """The planes of a (n_planes, B) bool array."""
    rows = np.packbits(bits, axis=1, bitorder="little")
    return [int.from_bytes(row.tobytes(), "little") for row in rows]


def unpack(planes: list[int], n_batches: int) -> np.ndarray:
    """The (n_planes, B) uint8 array of 0 and 1 behind `planes`."""
    n_bytes = (n_batches + 7) // 8
    raw = b"".join(plane.to_bytes(n_bytes, "little") for plane in planes)
    packed = np.frombuffer(raw, np.uint8).reshape(len(planes), n_bytes)
    return np.unpackbits(packed, axis=1, count=n_batches, bitorder="little")


class MixedGraphs:
    """B mixed graphs on k nodes: `adjacent[i][j]`, and the marks at j of i *-* j in `tail`,
    `arrow`, `circle`."""

    def __init__(self, adjacent: Planes, mark: Mark) -> None:
        self.k = len(adjacent)
        self.adjacent = [row[:] for row in adjacent]
        self.reset(mark)

    def reset(self, mark: Mark) -> None:
        """Put `mark` at every end of every edge."""
        planes: dict[Mark, Planes] = {m: [[0] * self.k for _ in range(self.k)] for m in Mark if m}
        planes[mark] = [row[:] for row in self.adjacent]
        self.tail, self.arrow, self.circle = (
            planes[Mark.TAIL],
            planes[Mark.ARROW],
            planes[Mark.CIRCLE],
        )

    def apart(self, i: int, j: int, where: int) -> int:
        """The elements of `where` in which i and j are not adjacent."""
        return where ^ (where & self.adjacent[i][j])

    def remove(self, i: int, j: int, where: int) -> None:
        """Remove the edge i *-* j."""
        for planes in (self.adjacent, self.tail, self.arrow, self.circle):
            planes[i][j] ^= planes[i][j] & where
            planes[j][i] ^= planes[j][i] & where

    def put_tail(self, i: int, j: int, where: int) -> None:
        """Put a tail at j of i *-* j."""
        self.tail[i][j] |= where
        self.arrow[i][j] ^= self.arrow[i][j] & where
        self.circle[i][j] ^= self.circle[i][j] & where

    def put_arrow(self, i: int, j: int, where: int) -> None:
        """Put an arrow at j of i *-* j."""
        self.arrow[i][j] |= where
        self.tail[i][j] ^= self.tail[i][j] & where
        self.circle[i][j] ^= self.circle[i][j] & where

    def direct(self, i: int, j: int, where: int) -> None:
        """Orient the edge as i -> j."""
        self.put_tail(j, i, where)
        self.put_arrow(i, j, where)

    def parent(self, i: int, j: int) -> int:
        """The elements in which i -> j."""
        return self.tail[j][i] & self.arrow[i][j]

    def semidirected(self) -> Planes:
        """Planes [i][j] of "a path of at least one step leads from i to j and leaves no node
        through an arrow"; i and j may be the same node."""
        k = self.k
        reach = [[self.tail[j][i] | self.circle[j][i] for j in range(k)] for i in range(k)]
        for via in range(k):
            for i in range(k):
                if first := reach[i][via]:
                    for j in range(k):
                        reach[i][j] |= first & reach[via][j]
        return reach

    def marks(self, n_batches: int) -> np.ndarray:
        """The marks (B, k, k) int8: [b, i, j] is the `Mark` at j of i *-* j."""
        k = self.k
        ends = [(i, j) for i in range(k) for j in range(k) if i != j]
        out = np.zeros((n_batches, k, k), np.int8)
        for mark, planes in (
            (Mark.TAIL, self.tail),
            (Mark.ARROW, self.arrow),
            (Mark.CIRCLE, self.circle),
        ):
            for (i, j), bits in zip(
                ends, unpack([planes[i][j] for i, j in ends], n_batches), strict=True
            ):
                out[:, i, j] += np.int8(mark) * bits.astype(np.int8)
        return out
