"""Where true targets stand in the stored scores: how many candidates are above, and how many tie.

Metrics say this in one number per regime. Curves need every target.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from cdnbench.reports.evaluate import Scores
from cdnbench.reports.frame import Results


def target_places(results: Results, readings: Sequence[int]) -> pd.DataFrame:
    """One row per target of the readings (rows of `results.readings` that are finished).

    Columns: `reading`, `regime`, `above` (candidates with a larger score), `tied` (those with the
    same score, the target among them), `n_targets` and `n_candidates` of the regime. A missing
    score counts as below all numbers, as in every metric.
    """
    scores = Scores()
    parts = []
    for number in readings:
        piece = results.pieces.get(int(number))
        if piece is None:
            continue
        truth, candidates = piece.task.truth, piece.task.candidates
        values = np.where(candidates, np.nan_to_num(scores.of(piece), nan=-np.inf), np.nan)
        regime, variable = np.nonzero(truth.targets)
        own, all_values = values[regime, variable][:, None], values[regime]
        parts.append(
            np.column_stack(
                [
                    np.full(len(regime), number),
                    regime,
                    (all_values > own).sum(axis=1),
                    (all_values == own).sum(axis=1),
                    truth.targets.sum(axis=1)[regime],
                    candidates.sum(axis=1)[regime],
                ]
            )
        )
    names = ["reading", "regime", "above", "tied", "n_targets", "n_candidates"]
    found = np.concatenate(parts) if parts else np.empty((0, len(names)))
    return pd.DataFrame(found.astype(np.int64), columns=names)


def in_top(places: pd.DataFrame, k: np.ndarray) -> np.ndarray:
    """(targets, len(k)): the chance that a target is among the first k, ties broken at random."""
    above, tied = (places[name].to_numpy(float)[:, None] for name in ("above", "tied"))
    return np.clip((k[None, :] - above) / tied, 0, 1)
