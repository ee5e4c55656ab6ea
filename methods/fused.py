"""Several methods in one row: the sum of the reciprocal ranks that they give a variable.

    score_i = sum over the members of 1 / (offset + rank of i),    rank 1 for a member's first,

ties share the mean of their ranks, and a variable of which a member cannot say anything (NaN) gets
nothing from it; NaN if no member can. It needs no common scale of the members' scores, and one
member that puts a variable first outweighs several that put it in the middle. G. V. Cormack, C. L.
A. Clarke, S. Buettcher 2009, Reciprocal rank fusion outperforms Condorcet and individual rank
learning methods, SIGIR:758, which has offset 60.

Parameters
    members    names of methods: moderated-t, rcd, target-shift. Chosen by
               benchmarks/fused_members.py among all sets of up to four untrained methods (baro,
               effect-size, ks-shift, moderated-t, precision-shift, rcd, target-shift) on the
               development sets alone (papalexi, hill, sachs, sahin, pasilla, petshop), by the mean
               share of targets found first, then by their mean rank: .379 and .800. The best of 98
               sets looks better than it is, and figures on these data sets are no test of it. On
               the command line: --methods 'fused:members=["effect-size","baro"]'
    offset     0: reciprocal ranks as they are. With 60, for lists of thousands of documents, the
               sum is close to that of the ranks where there are 20 variables

A member that declines a task (too few rows, too many variables) is left out of the sum, and the
note of the result says which and why; if all decline, so does `fused`. Members run with their
default parameters, stochastic ones with seed 0; a member that has to be trained on a split is
refused, and so is one that is named twice. A member's new version or weights count as new weights
of `fused`, so that results are computed anew.

Our own; there is no reference code. Licence: MIT, with this package.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, cast

import numpy as np

from cdnbench.digest import digest
from cdnbench.errors import CannotRun, InvalidParameter
from cdnbench.loaded import LoadedMethod
from cdnbench.method import MethodInfo, Prediction, Pretrained
from cdnbench.ranges import TEXT, at_least, each
from cdnbench.task import Task


@dataclass(frozen=True)
class Fused:
    """Sum of reciprocal ranks over member methods."""

    members: tuple[str, ...] = ("moderated-t", "rcd", "target-shift")
    offset: float = 0.0

    info: ClassVar[MethodInfo] = MethodInfo(
        name="fused",
        version="2",
        summary="Sum of the reciprocal ranks of moderated-t, rcd and target-shift, or of other "
        "methods",
        citation="Cormack, Clarke, Buettcher 2009, Reciprocal rank fusion outperforms Condorcet "
        "and individual rank learning methods, SIGIR",
        licence="MIT",
        supervised="pretrained",  # as far as a member is
        batch_size=1,  # for the note on members that are left out
        preload=("scipy.special", "scipy.stats"),
        timeout_s=lambda sizes: 300.0 + 0.1 * sizes.n_variables * sizes.n_regimes,
        min_samples=1,
        depends_on_units=True,  # as far as a member does: moderated-t pools variances
        takes={
            "members": each(TEXT),
            "offset": at_least(0),
        },
    )

    def predict_targets(self, task: Task, *, seed: int = 0) -> np.ndarray:
        """(R, N) scores > 0; NaN where no member can say.

        Raises
        ------
        CannotRun: every member declines.
        """
        return self._fuse(task).outputs[""]

    def predict_targets_batch(
        self, tasks: Sequence[Task], *, seeds: Sequence[int]
    ) -> Iterator[tuple[int, Prediction | Exception]]:
        """Each task's scores, with a note on the members that were left out."""
        for i, task in enumerate(tasks):
            try:
                yield i, self._fuse(task)
            except Exception as error:
                yield i, error

    def weights_digest(self) -> str:
        """Identity of the members: their versions and weights."""
        return digest(
            *(
                part
                for member in self._load()
                for part in (member.label, member.info.version, member.weights_digest())
            )
        )

    def trained_on(self) -> dict[str, Any]:
        """What the members with weights agree on."""
        told = [member.trained_on() for member in self._load() if member.info.has_weights]
        if not told:
            return {}
        return {k: v for k, v in told[0].items() if all(other.get(k) == v for other in told)}

    def trained_origins(self) -> frozenset[str]:
        """Every task that the weights of a member were trained on."""
        seen = (
            cast(Pretrained, member.method).trained_origins()
            for member in self._load()
            if member.info.has_weights
        )
        return frozenset().union(*seen)

    def _load(self) -> list[LoadedMethod]:
        from cdnbench.registry import load_method

        if not self.members or isinstance(self.members, str) or self.info.name in self.members:
            raise InvalidParameter(
                f"fused: members={self.members!r}; expected a list of names of other methods."
            )
        members = [load_method(name) for name in self.members]
        for member in members:
            if member.needs_fit:
                raise InvalidParameter(
                    f"fused: {member.label} has to be trained on a split and cannot be a member."
                )
        labels = [member.label for member in members]
        if twice := [label for label in dict.fromkeys(labels) if labels.count(label) > 1]:
            raise InvalidParameter(
                f"fused: members={self.members!r} names {twice[0]} twice; name each method once."
            )
        return members

    def _fuse(self, task: Task) -> Prediction:
        total = np.zeros((task.n_regimes, task.n_variables))
        said = np.zeros(total.shape, bool)
        declined = {}
        for member in self._load():
            try:
                scores = member.predict_targets(task)
            except CannotRun as reason:
                declined[member.label] = str(reason)
                continue
            known = ~np.isnan(scores)
            ranks = ranks_from_the_top(scores)
            total[known] += 1 / (self.offset + ranks[known])
            said |= known
        left_out = "; ".join(f"{name}: {why}" for name, why in declined.items())
        if len(declined) == len(self.members):
            raise CannotRun(f"no member can run ({left_out})")
        note = f"without {left_out}" if declined else ""
        return Prediction({"": np.where(said, total, np.nan)}, note, {"left_out": list(declined)})


def ranks_from_the_top(scores: np.ndarray) -> np.ndarray:
    """(R, N) ranks of each row's scores, 1 for the largest; ties share their mean, NaN stays."""
    from scipy.stats import rankdata

    return rankdata(-scores, axis=1, nan_policy="omit")
