"""How far two rankings of the same variables agree."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cdnbench.prediction.result import Finding

TOP = 10
PERSISTENCE = 0.9
"""Of rank-biased overlap: the first ten places then have 86 % of the weight (Webber et al. 2010,
equation 21)."""


@dataclass(frozen=True)
class Agreement:
    """first: the first variable of each ranking; several where they tie.
    shared: how many of the `top` first variables of both are the same.
    top: 10, or half of the variables where there are fewer than 20, or fewer where a method ranks
        fewer.
    overlap: rank-biased overlap, from 0 (nothing in common) to 1 (the same order).
    """

    first: tuple[tuple[str, ...], tuple[str, ...]]
    shared: int
    top: int
    overlap: float

    @property
    def same_first(self) -> bool:
        """Whether a variable is first in both."""
        return not set(self.first[0]).isdisjoint(self.first[1])

    def sentence(self, names: tuple[str, str]) -> str:
        """What a reader of the two rankings should know. names: of the two methods."""
        one, two = names
        both = [v for v in self.first[0] if v in self.first[1]]
        start = (
            f"{one} and {two} both put {both[0]} first"
            if both
            else f"{one} puts {self.first[0][0]} first and {two} {self.first[1][0]}"
        )
        return (
            f"{start}; {self.shared} of their first {self.top} are the same (rank-biased overlap "
            f"{self.overlap:.2f})."
        )


def agreement(one_finding: Finding, other: Finding) -> Agreement:
    """Compare what two methods found of one perturbation.

    Variables without a score (NaN) have no place and are left out of the ranking that lacks them.
    Rank-biased overlap weighs the share that the first d places have in common by 0.9^(d - 1), and
    takes the share at the end of the shorter ranking for all deeper places (Webber, Moffat, Zobel
    2010, A similarity measure for indefinite rankings, ACM Trans. Inf. Syst. 28:20, equation 30).
    Ties stand in the order in which the findings have them.

    Raises
    ------
    ValueError: the findings are of different variables, or one of them ranks none.
    """
    names = [list(map(str, found.variables)) for found in (one_finding, other)]
    if set(names[0]) != set(names[1]):
        raise ValueError("The two findings are not of the same variables.")
    scored = [
        [
            (float(rank), str(name))
            for rank, name, score in zip(found.rank, found.variables, found.scores, strict=True)
            if score == score
        ]
        for found in (one_finding, other)
    ]
    if not all(scored):
        raise ValueError("A ranking without a single score has nothing to compare.")
    one, two = ([name for _, name in ranking] for ranking in scored)
    depth = min(len(one), len(two))
    top = max(1, min(TOP, len(names[0]) // 2, depth))
    first = tuple(
        tuple(name for rank, name in ranking if rank == ranking[0][0]) for ranking in scored
    )
    return Agreement(
        first=(first[0], first[1]),
        shared=len(set(one[:top]) & set(two[:top])),
        top=top,
        overlap=_rank_biased_overlap(one[:depth], two[:depth]),
    )


def _rank_biased_overlap(one: list[str], two: list[str]) -> float:
    """Extrapolated rank-biased overlap of two rankings of the same length."""
    seen: set[str] = set()
    common, weighted, share = 0, 0.0, 0.0
    for depth, (a, b) in enumerate(zip(one, two, strict=True), start=1):
        for name in (a, b):
            common += name in seen
            seen.add(name)
        share = common / depth
        weighted += share * PERSISTENCE ** (depth - 1)
    return (1 - PERSISTENCE) * weighted + share * PERSISTENCE ** len(one)
