"""Scores of a `FormsNetwork` for a task of any size.

Up to `MOST_IN_GRID` variables, all of them enter the grid. Beyond, each regime is read alone: the
evidence of all variables is screened, the likeliest enter the grid, and the others keep what the
evidence says of them, below the least likely of those that entered. Time and memory grow with N,
not with its square.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from cdnbench.errors import CannotRun
from cdnbench.methods.cdn.evidence import evidence
from cdnbench.methods.cdn.forms import Forms, forms
from cdnbench.methods.cdn.forms_network import Beliefs, FormsNetwork, summaries_of
from cdnbench.task import Task

MOST_IN_GRID = 200
_CELLS_AT_ONCE = 1_200_000
_VALUES_AT_ONCE = 8_000_000  # rows times variables that are turned into forms together


def scores(
    network: FormsNetwork, task: Task, device: str = "cpu", most: int = MOST_IN_GRID
) -> np.ndarray:
    """(R, N) logits of a network in evaluation mode, in the order of the task's variables.

    Raises
    ------
    CannotRun: the network does not see the evidence of single variables, so that it cannot screen,
        and there are too many variables for the grid.
    """
    n = task.n_variables
    if n > most and not network.shape.evidence:
        raise CannotRun(f"without evidence a network cannot screen {n} variables for its {most}")
    found = []
    with torch.inference_mode():
        for regimes in _groups(task, most):
            made = forms([task.observational, *regimes])
            seen = torch.from_numpy(evidence(made))[None].to(device)
            states, first = network.screen(seen)
            if n <= most:
                summaries = summaries_of(made, device, network.shape.forms)
                beliefs = network.reason(summaries, states, first)[-1]
                found.append(beliefs.targets[0])
                continue
            for r in range(len(regimes)):
                alone = Beliefs(first.moved[:, r : r + 1], first.among[:, r : r + 1], None)
                found.append(
                    _screened(network, _regime(made, r), states[:, r : r + 1], alone, most)
                )
    return torch.cat(found).double().cpu().numpy()


def _groups(task: Task, most: int) -> Iterator[list[np.ndarray]]:
    """Regimes that are read together."""
    n = task.n_variables
    group: list[np.ndarray] = []
    values = 0
    for regime in task.regimes:
        full = (len(group) + 1) * min(n, most) ** 2 > _CELLS_AT_ONCE
        if group and (full or values + regime.size > _VALUES_AT_ONCE):
            yield group
            group, values = [], 0
        group.append(regime)
        values += regime.size
    yield group


def _regime(made: Forms, r: int) -> Forms:
    """The forms of the observational data and one regime."""
    start = int(made.starts[1 + r])
    kept = np.r_[0 : made.rows[0], start : start + made.rows[1 + r]]
    return Forms(
        made.rows[[0, 1 + r]],
        made.level[kept],
        made.bent[kept],
        made.score[kept],
        made.typical_share[[0, 1 + r]],
    )


def _screened(
    network: FormsNetwork, made: Forms, states: torch.Tensor, first: Beliefs, most: int
) -> torch.Tensor:
    """(1, N) logits of one regime, the `most` likeliest variables of which enter the grid."""
    chosen = first.among[0, 0].topk(most).indices.sort().values
    columns = chosen.cpu().numpy()
    small = Forms(
        made.rows,
        made.level[:, columns],
        made.bent[:, columns],
        made.score[:, columns],
        made.typical_share[:, columns],
    )
    entering = Beliefs(first.moved, first.among[:, :, chosen], None)
    summaries = summaries_of(small, states.device, network.shape.forms)
    last = network.reason(summaries, states[:, :, chosen], entering)[-1]
    among = torch.minimum(first.among[0, 0], last.among.min())
    among[chosen] = last.among[0, 0]
    return Beliefs(last.moved, among[None, None], None).targets[0]
