"""CDN with the authors' published weights: their pipeline and network, run by our own modules.

    bench weights import cdn_synthetic-all.ckpt
    bench run --suite synthetic --methods cdn-public:weights=cdn_synthetic-all.safetensors

Each data set gives T = 50 marginal estimates (FCI, Fisher z, alpha 0.05, on 5 variables and 500
rows drawn anew for each; half of the variable sets uniform, half guided by |correlation|). It also
gives the global statistic of one such draw of rows (correlation, or inverse covariance for networks
without node statistics; the card says which), and the mean and variance of each node on these rows.
`modules` says what the network computes, and `weights` how checkpoints are read.

Parameters
    weights    the file that `bench weights import` wrote
    statistic  "correlation" or "inverse-covariance"; by default what the card says
    n_batches  T, marginal estimates per data set (50)
    device     "cpu" or "cuda", where the network runs

Deviations from the public code
    - The guide is the correlation of one draw of rows per data set, not of one per batch.
    - The observational side is encoded once per task, not once per regime.
    - A batch on which causal-learn fails has an estimate here.
    - Edges with a tail and a circle, or with two tails, have no token in the public code and make
      it fail; here they count as directed or as circle-circle.
    - With fewer than 5 variables the batches are smaller.
    - Scores are logits, not probabilities.
    - A node whose encoding is exactly zero is scored, not dropped.

Wu, Padia, Murphy, Barzilay, Jaakkola 2025, Identifying biological perturbation targets through
causal differential networks, ICML (arXiv:2410.03380). Reference: github.com/rmwu/cdn at 14fa0aa.
Licence of this code: MIT, it is ours; the weights are the authors'.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from cdnbench.design import PAPER
from cdnbench.errors import CannotRun, InvalidParameter
from cdnbench.method import MethodInfo, Trial, added_later
from cdnbench.relabelling import in_canonical_order, task_generator
from cdnbench.task import Task

if TYPE_CHECKING:
    from torch import Tensor

    from cdnbench.methods.cdn.public.modules import Identities, PublicNetwork, Side

BATCH_VARIABLES = 5
BATCH_ROWS = 500
STATISTICS = ("correlation", "inverse-covariance")
SHRINKAGE_FROM = 100  # variables from which the public code inverts a Ledoit-Wolf estimate
PUBLIC_TOKENS = 8


def _tiny_weights(folder: Path) -> dict[str, str]:
    """Parameters that name a file with random weights, for tests."""
    from cdnbench.methods.cdn.public.weights import write_random

    path = folder / "public.safetensors"
    write_random(path)
    return {"weights": str(path)}


@dataclass(frozen=True)
class PublicCDN:
    """The authors' network with the authors' weights."""

    weights: str = ""
    n_batches: int = 50
    statistic: str = ""
    device: str = added_later("cpu")

    info: ClassVar[MethodInfo] = MethodInfo(
        name="cdn-public",
        summary="CDN with the authors' published weights, imported by `bench weights import`",
        citation="Wu et al. 2025, Identifying biological perturbation targets through causal "
        "differential networks, ICML",
        design=PAPER,
        licence="MIT (this code); the weights are the authors'",
        reference="github.com/rmwu/cdn at 14fa0aa",
        stochastic=True,
        supervised="pretrained",
        default=False,
        preload=("torch", "scipy.stats", "safetensors", "safetensors.torch"),
        timeout_s=lambda sizes: 120.0 + sizes.n_regimes * (2.0 + 3e-7 * sizes.n_variables**3),
        max_variables=1000,
        min_samples=10,
        depends_on_units=True,
        devices=("cpu", "cuda"),
        trial=Trial(parameters=_tiny_weights, finds_target=False),
    )

    def __post_init__(self) -> None:
        if self.statistic not in ("", *STATISTICS):
            raise InvalidParameter(
                f"cdn-public: statistic is {' or '.join(STATISTICS)}, or empty for what the card "
                f"says; got {self.statistic!r}."
            )
        if not 2 <= self.n_batches <= 500:
            raise InvalidParameter(
                f"cdn-public: n_batches is between 2 and 500; got {self.n_batches}."
            )

    def weights_digest(self) -> str:
        """Identity of the weights file, or "" where none is given."""
        from cdnbench.methods.cdn.public.weights import HOW
        from cdnbench.methods.cdn.weights import file_digest

        if not self.weights:
            return ""
        if not Path(self.weights).is_file():
            raise InvalidParameter(f"There are no weights at {self.weights}. {HOW}.")
        return file_digest(Path(self.weights).read_bytes())

    def trained_on(self) -> dict[str, Any]:
        """Nothing: the checkpoint does not say what it was trained on."""
        return {}

    def trained_origins(self) -> frozenset[str]:
        """None that is known."""
        return frozenset()

    def predict_targets(self, task: Task, *, seed: int = 0) -> np.ndarray:
        """(R, N) logits of being a target.

        Raises
        ------
        CannotRun: no weights are given, or the task is too large or too small for them.
        InvalidParameter: the file was not written by `bench weights import`, or is damaged.
        """
        from cdnbench.methods.cdn.public.weights import HOW, load_network
        from cdnbench.methods.device import check_device

        check_device(self.info.name, self.device)
        if not self.weights:
            raise CannotRun(
                f"cdn-public has no weights. {HOW}, then write cdn-public:weights=FILE.safetensors"
            )
        if task.n_variables < 2:
            raise CannotRun("cdn-public compares variables with each other and needs at least 2")
        network, statistic = load_network(Path(self.weights))
        if network.config.head == "none":
            raise CannotRun(
                f"{self.weights} holds an encoder without a target head; import a CDN checkpoint"
            )
        if task.n_variables > network.config.n_nodes or self.n_batches > network.config.n_trials:
            raise CannotRun(
                f"{self.weights} takes at most {network.config.n_nodes} variables and "
                f"{network.config.n_trials} batches"
            )
        rng = task_generator(task, "cdn-public", seed)

        def solve(ordered: Task) -> dict[str, np.ndarray]:
            chosen = self.statistic or statistic
            there = network.to(self.device)
            return {"": _logits(ordered, there, chosen, self.n_batches, rng, self.device)}

        return in_canonical_order(task, solve)[""]


def _logits(
    task: Task,
    network: PublicNetwork,
    statistic: str,
    n_batches: int,
    rng: np.random.Generator,
    device: str,
) -> np.ndarray:
    import torch

    found = sides([task.observational, *task.regimes], statistic, n_batches, rng)
    before, *after = [side.to(device) for side in found]
    identities = lambda: draw_identities(network.config.n_nodes, rng).to(device)  # noqa: E731
    with torch.inference_mode():
        reference = network.encode(before, identities())
        logits = []
        for side in after:
            encoded = network.encode(side, identities())
            logits.append(network.target_logits(reference, encoded).double().cpu().numpy())
    return np.stack(logits)


def draw_identities(n_nodes: int, rng: np.random.Generator) -> Identities:
    """Three independent random permutations of 0..n_nodes."""
    import torch

    from cdnbench.methods.cdn.public.modules import Identities

    return Identities(*(torch.from_numpy(rng.permutation(n_nodes + 1)) for _ in range(3)))


def sides(
    samples: list[np.ndarray], statistic: str, n_batches: int, rng: np.random.Generator
) -> list[Side]:
    """What the network sees of each data set (M, N), as the module's docstring says."""
    import torch

    from cdnbench.methods.cdn.paper.marginals import marginal_estimates
    from cdnbench.methods.cdn.public.modules import Side

    batches, correlations, n_rows, summaries = [], [], [], []
    for x in samples:
        x = np.asarray(x, dtype=np.float64)
        nodes, rows = draw_batches(x, n_batches, rng)
        batches.append(nodes)
        correlations.append(batch_correlations(x, nodes, rows))
        n_rows.append(np.full(n_batches, rows.shape[1]))
        seen = x[rows[0]]
        summaries.append(
            (global_statistic(seen, statistic), np.stack([seen.mean(0), seen.var(0)], axis=1))
        )
    marks = marginal_estimates(
        torch.from_numpy(np.concatenate(correlations)),
        torch.from_numpy(np.concatenate(n_rows)),
        algorithm="fci",
    )
    found = []
    for nodes, tokens, (grid, moments) in zip(
        batches, public_tokens(marks).split(n_batches), summaries, strict=True
    ):
        dense, pairs = dense_tokens(torch.from_numpy(nodes), tokens)
        found.append(
            Side(dense, pairs, torch.from_numpy(grid).float(), torch.from_numpy(moments).float())
        )
    return found


def draw_batches(
    samples: np.ndarray, n_batches: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """The variables (T, k) and row numbers (T, rows), drawn without replacement, of the marginal
    estimates of samples (M, N)."""
    from cdnbench.methods.cdn.samplers import sample_batches

    n = min(len(samples), BATCH_ROWS)
    guide = np.abs(_correlation(samples[rng.choice(len(samples), n, replace=False)]))
    np.fill_diagonal(guide, 0)
    k = min(BATCH_VARIABLES, samples.shape[1])
    nodes = np.asarray(sample_batches(guide, n_batches, k, rng), dtype=np.int64)
    return nodes, np.stack([rng.choice(len(samples), n, replace=False) for _ in range(n_batches)])


def batch_correlations(samples: np.ndarray, nodes: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Correlations (T, k, k) of the variables `nodes` (T, k) over the rows `rows` (T, n). Those
    with constant columns are 0."""
    x = samples[rows[:, :, None], nodes[:, None, :]]
    x = x - x.mean(axis=1, keepdims=True)
    length = np.sqrt((x**2).sum(axis=1, keepdims=True))
    x = np.divide(x, length, out=np.zeros_like(x), where=length > 0)
    found = x.transpose(0, 2, 1) @ x
    diagonal = np.arange(nodes.shape[1])
    found[:, diagonal, diagonal] = 1.0
    return found


def global_statistic(samples: np.ndarray, kind: str) -> np.ndarray:
    """The statistic (N, N) float64 of samples (M, N) as the public code takes it. Undefined entries
    are 0."""
    if kind == "correlation":
        return _correlation(samples)
    n = samples.shape[1]
    if n < SHRINKAGE_FROM:
        return np.linalg.pinv(np.cov(samples, rowvar=False), rcond=1e-10)
    from sklearn.covariance import LedoitWolf

    return LedoitWolf().fit(samples).get_precision()


def _correlation(samples: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.nan_to_num(np.corrcoef(samples, rowvar=False), nan=0.0)


def public_tokens(marks: Tensor) -> Tensor:
    """The public tokens (B, k, k) int64 of the ordered pairs, from end marks (B, k, k), with 0 on
    the diagonal.

    Every public token with a tail has an arrow at its other end, so tail-circle counts as
    tail-arrow and tail-tail as circle-circle.
    """
    import torch

    from cdnbench.methods.cdn.paper.marginals import ARROW, CIRCLE, TAIL, tokens

    other = marks.transpose(1, 2)
    arrow, circle = torch.full_like(marks, ARROW), torch.full_like(marks, CIRCLE)
    known = torch.where((marks == CIRCLE) & (other == TAIL), arrow, marks)
    known = torch.where((marks == TAIL) & (other == TAIL), circle, known)
    found = tokens(known)
    assert int(found.max()) < PUBLIC_TOKENS
    return found


def dense_tokens(nodes: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
    """Tokens (T, K) over all sampled pairs, with 0 where a trial did not sample the pair, and the
    sorted pairs (K, 2).

    nodes: (T, k), the variables of each trial. tokens: (T, k, k), the tokens of their pairs.
    """
    import torch

    trials, k = nodes.shape
    first, second = (~torch.eye(k, dtype=torch.bool)).nonzero(as_tuple=True)
    ordered = torch.stack([nodes[:, first], nodes[:, second]], dim=-1)
    pairs, position = torch.unique(ordered.flatten(0, 1), dim=0, return_inverse=True)
    dense = torch.zeros(trials, len(pairs), dtype=torch.int64)
    return dense.scatter_(1, position.view(trials, -1), tokens[:, first, second].long()), pairs
