"""Which tasks of a suite a run takes: all, those of a stratum, or some spread over its settings."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

from cdnbench.digest import digest
from cdnbench.errors import BenchError, InvalidParameter
from cdnbench.suite import Suite, TaskSpec

ALL = "all"


def specs_of(suite: Suite) -> list[TaskSpec]:
    """All tasks of a suite.

    Raises
    ------
    BenchError: the suite returns no list of them.
    """
    specs = suite.specs()
    if isinstance(specs, str) or not isinstance(specs, Iterable):
        raise BenchError(
            f"The specs of the suite {suite.info.name} are a {type(specs).__name__}; return a list."
        )
    return list(specs)


def in_subset(specs: Iterable[TaskSpec], subset: str, suite: Suite) -> list[TaskSpec]:
    """The tasks of a stratum: those whose metadata of that name is true, or false for "non...".

    Raises
    ------
    InvalidParameter: the suite has no such stratum.
    """
    if subset == ALL:
        return list(specs)
    strata = suite.info.strata
    name, wanted = (subset, True) if subset in strata else (subset.removeprefix("non"), False)
    if name not in strata or (not wanted and name == subset):
        known = [ALL, *strata, *(f"non{stratum}" for stratum in strata)]
        raise InvalidParameter(
            f"--subset of {suite.info.name} takes {', '.join(known)}; got {subset!r}."
        )
    return [spec for spec in specs if bool(spec.metadata[name]) == wanted]


def spread(specs: Sequence[TaskSpec], limit: int, suite: Suite) -> list[TaskSpec]:
    """`limit` tasks, spread evenly over the combinations of factors and settings.

    The choice is the same each time, and a smaller one is a part of every larger one.
    """
    names = [*suite.info.factors, *suite.info.setting]
    groups: dict[str, list[int]] = {}
    for i, spec in enumerate(specs):
        kind = digest([spec.metadata.get(name) for name in names])
        groups.setdefault(kind, []).append(i)
    members = list(groups.values())
    order = [members[i] for i in _halving(len(members))]
    rounds = itertools.zip_longest(*order)
    turns = [i for each in rounds for i in each if i is not None]
    return [specs[i] for i in sorted(turns[:limit])]


def _halving(n: int) -> list[int]:
    """0 to n - 1 in an order whose beginnings are spread over the whole: 0, n / 2, n / 4, ..."""
    bits = max(n - 1, 0).bit_length()
    reversed_ = (int(f"{i:0{bits}b}"[::-1], 2) if bits else 0 for i in range(2**bits))
    return [i for i in reversed_ if i < n]
