"""Marginal estimates: PC and FCI with Fisher's z test on all batches of k variables at once.

SEA (Wu et al. 2024) runs a classical search on many small subsets of the variables and lets a
network put the answers together. `marginal_estimates` gives the edge marks of causal-learn 0.1.4.8
(`fci` and `pc` with default arguments), `reference_estimate` is causal-learn itself on one batch,
`tokens` is the network's reading of the marks.

The tests (every partial correlation of every pair, once) run in torch on the device of the
correlations. Their outcomes, one bit per test and batch, then go through the search on the host as
bit planes (`bit_planes`): the rules of a thousand batches cost as many steps as those of one.

There is an answer also where causal-learn fails. A constant column (correlations that are not
finite) is independent of everything. A variable that the conditioning set determines is independent
of all others given that set, and conditioning on it adds nothing; duplicated columns count as
copies of each other. A test with no degree of freedom (n - |S| <= 3) finds independence.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import combinations

import numpy as np
import torch
from scipy.stats import norm
from torch import Tensor

from cdnbench.methods.cdn.paper.bit_planes import Mark, MixedGraphs, pack
from cdnbench.methods.cdn.paper.fci_rules import fci
from cdnbench.methods.cdn.paper.pc_rules import pc
from cdnbench.methods.cdn.paper.skeleton import Tests, node_set

NONE, TAIL, ARROW, CIRCLE = Mark.NONE, Mark.TAIL, Mark.ARROW, Mark.CIRCLE

ALGORITHMS: dict[str, Callable[[Tests], MixedGraphs]] = {"fci": fci, "pc": pc}
MIN_VARIABLES, MAX_VARIABLES = 2, 6

# From (mark at i, mark at j) of the ordered pair (i, j) to its token. Tokens 0 to 7 are numbered as
# in the public code; 8 to 10 are new.
PADDING = 0
TOKENS = {
    (NONE, NONE): 1,
    (TAIL, ARROW): 2,
    (ARROW, TAIL): 3,
    (ARROW, ARROW): 4,
    (ARROW, CIRCLE): 5,
    (CIRCLE, ARROW): 6,
    (CIRCLE, CIRCLE): 7,
    (TAIL, CIRCLE): 8,
    (CIRCLE, TAIL): 9,
    (TAIL, TAIL): 10,
}
N_TOKENS = 11

_CHUNK = 4096  # batches; the tests of so many fit in the cache
# The residual variance below which a conditioning set determines a variable.
_DETERMINED = {torch.float64: 1e-10, torch.float32: 1e-6}


def marginal_estimates(
    correlations: Tensor, n_samples: int | Tensor, *, alpha: float = 0.05, algorithm: str = "fci"
) -> Tensor:
    """Edge marks (B, k, k) int8: `[b, i, j]` is the `Mark` at j of the edge i *-* j, and i -> j has
    TAIL at [j, i] and ARROW at [i, j].

    correlations: (B, k, k), those of the rows of each batch, with k from 2 to 6; computed on in
    float64. n_samples: the number of rows behind each, one number or (B,). alpha: level of the
    tests. algorithm: "fci" or "pc". The result of one batch does not depend on the others.

    Raises
    ------
    ValueError: other shapes, levels or names.
    """
    if algorithm not in ALGORITHMS:
        raise ValueError(f"no marginal algorithm {algorithm!r}; there are {', '.join(ALGORITHMS)}")
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must lie between 0 and 1, not {alpha}")
    if correlations.ndim != 3 or correlations.shape[1] != correlations.shape[2]:
        raise ValueError(
            f"correlations must have the shape (batches, k, k), not {tuple(correlations.shape)}"
        )
    n_batches, k, _ = correlations.shape
    if not MIN_VARIABLES <= k <= MAX_VARIABLES:
        raise ValueError(f"a batch must have {MIN_VARIABLES} to {MAX_VARIABLES} variables, not {k}")
    device = correlations.device
    rows = torch.as_tensor(n_samples, device=device, dtype=torch.float64)
    if rows.shape not in ((), (n_batches,)):
        raise ValueError(
            f"n_samples must be one number or ({n_batches},), not of shape {tuple(rows.shape)}"
        )
    rows = rows.expand(n_batches)
    determined = _DETERMINED.get(correlations.dtype, max(_DETERMINED.values()))
    marks = np.zeros((n_batches, k, k), np.int8)
    for begin in range(0, n_batches, _CHUNK):
        part = slice(begin, min(begin + _CHUNK, n_batches))
        outcomes = _independent(correlations[part], rows[part], alpha, determined)
        graphs = ALGORITHMS[algorithm](_tests(outcomes.cpu().numpy(), k))
        marks[part] = graphs.marks(outcomes.shape[1])
    return torch.from_numpy(marks).to(device)


def tokens(marks: Tensor) -> Tensor:
    """Tokens (B, k, k) int64 of the ordered pairs (i, j), see `TOKENS`, with 0 on the diagonal.

    marks: (B, k, k), see `marginal_estimates`.
    """
    return _token_table(marks.device)[marks.mT.long(), marks.long()].masked_fill(
        torch.eye(marks.shape[-1], dtype=torch.bool, device=marks.device), PADDING
    )


def reference_estimate(
    samples: np.ndarray, *, alpha: float = 0.05, algorithm: str = "fci"
) -> np.ndarray:
    """The marks (k, k) int8 that causal-learn gives for one batch of rows (n, k), laid out as in
    `marginal_estimates`.

    Raises
    ------
    ValueError: singular correlations; and whatever else causal-learn raises.
    """
    from contextlib import redirect_stdout
    from io import StringIO

    from causallearn.search.ConstraintBased.FCI import fci as reference_fci
    from causallearn.search.ConstraintBased.PC import pc as reference_pc

    with redirect_stdout(StringIO()):  # fci prints the visible edges whatever `verbose` says
        if algorithm == "fci":
            graph, _ = reference_fci(samples, alpha=alpha, show_progress=False)
        elif algorithm == "pc":
            graph = reference_pc(samples, alpha=alpha, show_progress=False).G
        else:
            raise ValueError(
                f"no marginal algorithm {algorithm!r}; there are {', '.join(ALGORITHMS)}"
            )
    marks = np.zeros(graph.graph.shape, np.int8)
    for value, mark in ((-1, TAIL), (1, ARROW), (2, CIRCLE)):
        marks[value == graph.graph.T] = mark  # causal-learn: [i, j] is the mark at i
    return marks


@cache
def _token_table(device: torch.device) -> Tensor:
    table = torch.zeros((len(Mark), len(Mark)), dtype=torch.int64, device=device)
    for (at_i, at_j), token in TOKENS.items():
        table[at_i, at_j] = token
    return table


# The tests


@dataclass(frozen=True)
class _Level:
    """The conditioning sets of one size. Residual covariances are a table of rows (set, x <= y).

    same, with_first, with_second, pivot: for each elimination, the rows of the pairs (x, y),
    (x, z), (y, z) and (z, z) in the table of the size below, given the set without its last member
    z. covariance, variance_x, variance_y: for each test, its rows in this table.
    """

    same: tuple[int, ...]
    with_first: tuple[int, ...]
    with_second: tuple[int, ...]
    pivot: tuple[int, ...]
    covariance: tuple[int, ...]
    variance_x: tuple[int, ...]
    variance_y: tuple[int, ...]


@cache
def _test_keys(k: int) -> tuple[tuple[int, int, int], ...]:
    """(x, y, set) of every test, in the order of `_independent`'s rows."""
    return tuple(
        (x, y, node_set(given))
        for size in range(k - 1)
        for given in combinations(range(k), size)
        for x, y in combinations([node for node in range(k) if node not in given], 2)
    )


@cache
def _levels(k: int) -> tuple[_Level, ...]:
    levels, below = [], {}
    for size in range(k - 1):
        table, eliminations, pairs = {}, [], []
        for given in combinations(range(k), size):
            left = [node for node in range(k) if node not in given]
            for i, x in enumerate(left):
                for y in left[i:]:
                    table[given, x, y] = len(table)
                    if given:
                        *rest, z = given
                        keys = ((x, y), tuple(sorted((x, z))), tuple(sorted((y, z))), (z, z))
                        eliminations.append([below[(tuple(rest), *key)] for key in keys])
            pairs += [
                [table[given, *key] for key in ((x, y), (x, x), (y, y))]
                for x, y in combinations(left, 2)
            ]
        same, first, second, pivot = zip(*eliminations, strict=True) if eliminations else ((),) * 4
        levels.append(_Level(same, first, second, pivot, *zip(*pairs, strict=True)))
        below = table
    return tuple(levels)


@cache
def _indices(k: int, device: torch.device) -> tuple[dict[str, Tensor], ...]:
    return tuple(
        {name: torch.tensor(rows, device=device) for name, rows in vars(level).items()}
        for level in _levels(k)
    )


def _independent(
    correlations: Tensor, n_samples: Tensor, alpha: float, determined: float
) -> Tensor:
    """Whether p > alpha, (tests, B) bool, in each of the tests of `_test_keys`.

    p = 2 (1 - Phi(sqrt(n - |S| - 3) |atanh r|)) exceeds alpha where r^2 < tanh(z / sqrt(n - |S| -
    3))^2, z the normal quantile of 1 - alpha / 2; r^2 is compared without a division, by residual
    covariances and variances given S.
    """
    k = correlations.shape[1]
    upper = torch.triu_indices(k, k, device=correlations.device)
    table = (
        correlations.to(torch.float64)[:, upper[0], upper[1]]
        .T.contiguous()
        .nan_to_num(0.0, 0.0, 0.0)
    )
    table[upper[0] == upper[1]] = 1.0
    z = norm.isf(alpha / 2)
    outcomes = []
    for size, rows in enumerate(_indices(k, correlations.device)):
        if size:
            pivot = table[rows["pivot"]]
            inverse = torch.where(pivot > determined, 1.0 / pivot, 0.0)
            table = (
                table[rows["same"]]
                - table[rows["with_first"]] * table[rows["with_second"]] * inverse
            )
        freedom = n_samples - size - 3
        bound = torch.where(
            freedom > 0, torch.tanh(z * freedom.clamp(min=1).rsqrt()) ** 2, torch.inf
        )
        x, y = table[rows["variance_x"]], table[rows["variance_y"]]
        independent = table[rows["covariance"]] ** 2 < bound * x * y
        outcomes.append(independent | (x <= determined) | (y <= determined) | torch.isinf(bound))
    return torch.cat(outcomes)


def _tests(outcomes: np.ndarray, k: int) -> Tests:
    independent: list[list[dict[int, int]]] = [[{} for _ in range(k)] for _ in range(k)]
    for (x, y, given), plane in zip(_test_keys(k), pack(outcomes), strict=True):
        independent[x][y][given] = independent[y][x][given] = plane
    return Tests(k=k, everywhere=(1 << outcomes.shape[1]) - 1, independent=independent)
