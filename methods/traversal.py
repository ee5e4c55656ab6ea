"""Traversal of a known graph of causes: the anomalous variables that have no anomalous cause.

Where it is known which variable can act on which (the calls between services, the pipes of a
plant), a variable that is anomalous because a cause of it is so needs no explanation of its own.
What remains are the root causes. This is the baseline "traversal" of the PetShop comparison (Hardt
et al. 2024), after CauseInfer (Chen et al. 2014) and MicroHECL (Liu et al. 2021).

    z      = |mean after - mean before| / (standard deviation before), as in `effect-size`
    score  = z / (1 + z), + 1 where z > threshold, + 1 more where also no cause has z > threshold

Parameters
    graph      a table of cause and effect, one pair per row, by the names (or symbols) of the
               variables. A service acts on those that call it, so the callee is the cause.
               `bench data fetch petshop-calls` writes the call graph of PetShop
    threshold  the z above which a variable is anomalous (3)

Deviations from the reference
    - No variable is known in which the fault was noticed, so that paths to it play no part, and
      root causes are ordered by z. The reference adds up z along such a path.
    - The reference declines where anomalous variables form a cycle. Here variables on a common
      cycle are no causes of each other.
    - Variables that the task lacks are passed through: a cause of theirs is one of their effects'.
    - The reference's anomaly scores are distances from the median, with a threshold of 5; here it
      is the effect size, with a threshold of 3.

A variable without a place in the graph has no causes. The graph is part of the key of a stored
result. Degenerate data: as `effect-size`.

Reference: https://github.com/amazon-science/petshop-root-cause-analysis (Apache-2.0),
baseline_anomaly_traversal.py; ours is written anew. Licence of this file: MIT.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from cdnbench.errors import CannotRun, InvalidData, InvalidParameter
from cdnbench.knowledge.tables import read_pairs
from cdnbench.method import MethodInfo, Trial
from cdnbench.methods.effect_size import EffectSize
from cdnbench.task import Task


def _trial_graph(folder: Path) -> dict[str, str]:
    """Parameters that name a file with chains of variables, for tests."""
    path = folder / "causes.tsv"
    rows = [f"v{i}\tv{i + 1}" for i in range(20)] + ["a\tb", "b\tc", "c\td", "d\te"]
    path.write_text("\n".join(["source\ttarget", *rows]) + "\n", encoding="utf-8")
    return {"graph": str(path)}


@dataclass(frozen=True)
class Traversal:
    """Anomalous variables without an anomalous cause, by a given graph."""

    graph: str = ""
    threshold: float = 3.0

    info: ClassVar[MethodInfo] = MethodInfo(
        name="traversal",
        summary="Anomalous variables none of whose causes, by a given graph, is anomalous",
        citation="Hardt et al. 2024, The PetShop dataset: Finding causes of performance issues "
        "across microservices, CLeaR, PMLR 236",
        licence="MIT",
        reference="https://github.com/amazon-science/petshop-root-cause-analysis",
        supervised="pretrained",
        default=False,
        preload=("scipy.sparse.csgraph",),
        min_samples=1,
        timeout_s=lambda sizes: 60.0 + 0.02 * sizes.n_variables * sizes.n_regimes,
        trial=Trial(parameters=_trial_graph),
    )

    def __post_init__(self) -> None:
        if not self.threshold > 0:
            raise InvalidParameter(f"traversal: threshold is positive; got {self.threshold}.")

    def weights_digest(self) -> str:
        """Digest of the graph, or "" where none is given.

        Raises
        ------
        InvalidParameter: the file is missing, or holds no pairs.
        """
        if not self.graph:
            return ""
        text = "\n".join(f"{cause}\t{effect}" for cause, effect in self._pairs())
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()

    def trained_on(self) -> dict[str, Any]:
        """Nothing: a graph is known, not learnt."""
        return {}

    def trained_origins(self) -> frozenset[str]:
        """None."""
        return frozenset()

    def predict_targets(self, task: Task, *, seed: int = 0) -> np.ndarray:
        """(R, N) scores from 0 to 3; NaN for constant variables.

        Raises
        ------
        CannotRun: no graph is given, or it has none of the variables; or as `effect-size`.
        InvalidParameter: as `weights_digest`.
        """
        if not self.graph:
            raise CannotRun("traversal has no graph; write traversal:graph=FILE")
        names = list(task.symbols or task.variables)
        pairs = self._pairs()
        known = {name for pair in pairs for name in pair}
        if not known.intersection(names):
            raise CannotRun(
                f"{self.graph} names none of the {len(names)} variables of the task. Its first two "
                "columns are a cause and its effect, by the names of the variables"
            )
        causes = causes_among(names, pairs)
        scores = EffectSize().predict_targets(task, seed=seed)
        anomalous = np.nan_to_num(scores) > self.threshold
        explained = (anomalous.astype(np.int64) @ causes) > 0
        return scores / (1 + scores) + anomalous + (anomalous & ~explained)

    def _pairs(self) -> list[tuple[str, str]]:
        """(cause, effect), sorted, each once."""
        path = Path(self.graph)
        if not path.is_file():
            raise InvalidParameter(
                f"traversal: there is no file {self.graph}. Write traversal:graph=FILE, a table "
                "whose first two columns are a cause and its effect."
            )
        try:
            found = {(a, b) for a, b in read_pairs(path) if a != b}
        except InvalidData as error:
            raise InvalidParameter(f"traversal: {error}") from error
        if not found:
            raise InvalidParameter(f"traversal: {self.graph} holds no pair of a cause and effect.")
        return sorted(found)


def causes_among(names: Sequence[str], pairs: Sequence[tuple[str, str]]) -> np.ndarray:
    """(N, N) int64, 1 at [i, j] where i is a cause of j: by a pair, or by a chain of pairs through
    variables that are not among the names. Variables on a common cycle are not causes of each
    other."""
    from scipy.sparse.csgraph import connected_components

    every = sorted({*names, *(name for pair in pairs for name in pair)})
    place = {name: i for i, name in enumerate(every)}
    effects: list[list[int]] = [[] for _ in every]
    for cause, effect in pairs:
        effects[place[cause]].append(place[effect])
    number = {place[name]: i for i, name in enumerate(names)}
    found = np.zeros((len(names), len(names)), np.int64)
    for start, i in number.items():
        seen, ahead = {start}, list(effects[start])
        while ahead:
            node = ahead.pop()
            if node in seen:
                continue
            seen.add(node)
            if node in number:
                found[i, number[node]] = 1
            else:
                ahead += effects[node]
    _, component = connected_components(found, directed=True, connection="strong")
    found[component[:, None] == component] = 0
    return found
