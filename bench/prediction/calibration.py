"""From the logits of a network to probabilities that hold on data it was not trained on.

A monotone map of two numbers, probability = sigmoid(slope * logit + offset) (Platt 1999), fitted
once per file of weights and kept beside it as JSON. It belongs to those weights alone: with any
others, `Calibration.read` leaves it aside and says so.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cdnbench.errors import InvalidData

FORMAT = 1
UNCALIBRATED = "not calibrated for these weights"


@dataclass(frozen=True)
class Calibration:
    """weights: digest of the weights that it is for. slope > 0, offset: of the logit; 1 and 0 leave
    the network's own probabilities. note: what a reader of the probabilities must know, or "".
    provenance: how it was made: command, seeds, counts."""

    weights: str
    slope: float = 1.0
    offset: float = 0.0
    note: str = ""
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        """Probability of being a target; NaN stays NaN."""
        from scipy.special import expit

        return expit(self.slope * np.asarray(logits, dtype=np.float64) + self.offset)

    def write(self, path: Path) -> None:
        content = {
            "format": FORMAT,
            "weights": self.weights,
            "slope": self.slope,
            "offset": self.offset,
            **self.provenance,
        }
        path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")

    @staticmethod
    def read(path: Path, weights: str) -> Calibration:
        """The calibration in a file, for weights with this digest.

        Where there is no file, or it is for other weights, the network's own probabilities, with a
        note.

        Raises
        ------
        InvalidData: the file is no calibration.
        """
        own = Calibration(weights, note=UNCALIBRATED)
        if not path.exists():
            return own
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            known, its = content.pop("format"), content.pop("weights")
            slope, offset = float(content.pop("slope")), float(content.pop("offset"))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InvalidData(
                f"{path} is not a calibration ({error!r}). Make it with "
                "`python benchmarks/reliability.py`, or remove it."
            ) from None
        if known != FORMAT or its != weights:
            return own
        if not (slope > 0 and np.isfinite([slope, offset]).all()):
            raise InvalidData(
                f"{path}: a slope of {slope:g} and an offset of {offset:g} are no calibration; the "
                "slope is above 0. Make it anew with `python benchmarks/reliability.py`."
            )
        return Calibration(weights, slope, offset, provenance=content)


IN_DOUBT = 0.01
"""Variables that a network gives less are clearly no targets: they say nothing of a calibration,
and would outvote all others."""


def fit(sources: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[float, float]:
    """Slope and offset by the smallest cross-entropy.

    sources: (n,) logits and (n,) targets of each. Only variables that the network gives `IN_DOUBT`
    or more count, and each source counts by its mean over them, so that one with more data sets or
    more variables does not decide.

    Raises
    ------
    ValueError: no variable of a source is in doubt.
    """
    from scipy.optimize import minimize
    from scipy.special import expit

    parts = []
    for logits, targets in sources:
        kept = expit(logits) >= IN_DOUBT
        if not kept.any():
            raise ValueError(f"no variable has a probability of {IN_DOUBT:g} or more")
        parts.append((logits[kept], targets[kept].astype(float)))

    def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        slope, offset = np.exp(parameters[0]), parameters[1]
        total, gradient = 0.0, np.zeros(2)
        for x, y in parts:
            z = slope * x + offset
            total += float(np.mean(np.logaddexp(0, z) - y * z))
            off = expit(z) - y
            gradient += np.array([slope * np.mean(off * x), np.mean(off)])
        return total, gradient

    found = minimize(loss, np.zeros(2), jac=True, method="L-BFGS-B")
    return float(np.exp(found.x[0])), float(found.x[1])


class Bin(NamedTuple):
    """Variables with a probability in [low, high): how many, their mean probability, the share of
    targets among them, and its 95 % interval (Wilson 1927)."""

    low: float
    high: float
    variables: int
    predicted: float
    observed: float
    least: float
    most: float


EDGES = (0.0, 0.01, 0.03, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.97, 1.0)


def reliability(
    probabilities: np.ndarray, targets: np.ndarray, edges: Sequence[float] = EDGES
) -> list[Bin]:
    """What was predicted and what was observed, bin by bin; bins without variables are left out."""
    from scipy.stats import binomtest  # takes half a second to import

    place = np.clip(np.searchsorted(edges, probabilities, side="right") - 1, 0, len(edges) - 2)
    rows = []
    for b in range(len(edges) - 1):
        inside = place == b
        n = int(inside.sum())
        if n:
            hits = int(targets[inside].sum())
            interval = binomtest(hits, n).proportion_ci(method="wilson")
            predicted = float(probabilities[inside].mean())
            rows.append(Bin(edges[b], edges[b + 1], n, predicted, hits / n, *interval))
    return rows


def expected_error(probabilities: np.ndarray, targets: np.ndarray) -> float:
    """Expected calibration error: the mean over variables of |predicted - observed| of their bin
    (Naeini et al. 2015), over variables that are given 1 % or more.

    Nearly all variables are no targets and known to be none; with them any map would look good.
    """
    rows = [row for row in reliability(probabilities, targets) if row.low >= IN_DOUBT]
    n = sum(row.variables for row in rows)
    return sum(row.variables * abs(row.predicted - row.observed) for row in rows) / n if n else 0.0
