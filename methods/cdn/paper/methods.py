"""`cdn-axial` and `cdn-mlp`: the paper's causal differential networks.

Each data set is featurised on its own, by T marginal estimates (FCI on 5 variables and 500 rows
each) and one global statistic. SEA's encoder, frozen after pretraining, turns these into a vector
for every ordered pair (`featuriser`, `aggregator`). A small network reads the encodings before and
after and classifies the nodes (`differential`): one axial layer, or a perceptron on every entry;
both average over the incoming edges of a node. The observational side is encoded once per task, the
regimes in batches.

Parameters
    weights    name of shipped weights or path of a .safetensors file with its card beside it
    n_batches  T, marginal estimates per data set: 50 (the paper's number at test time)
    device     "cpu" or "cuda"

`cdn-axial-wide` is `cdn-axial` with other weights: its head was trained on the mixture of `cdn` as
far as the network can read it, worlds and suites' laws in data sets of 10 rows and more (`bench
train cdn-axial --laws cdn`). Beside `cdn` and `cdn-axial` it tells what is due to the architecture
and what to the training data. The encoder under it is SEA as for `cdn-axial`.

Deviations from the public code (what the released networks compute is the method `cdn-public`)
    - Each batch's tokens stand alone instead of in a T x K table that is mostly empty; identities
      are slots within the batch instead of tables of node names, so that relabelling changes
      nothing (`aggregator`).
    - Feed-forward width 128 in the encoder (8 there); global statistics come from all rows and pass
      an arcsinh.
    - The mean runs over incoming edges, as the text says (the code averages the outgoing ones).
    - Training data is our generator's and the budget is in the card (`weights/<name>.json`); scores
      are logits.

Variants (difference instead of concatenation, node statistics, joint training, other statistics,
ablations) are options of `bench train cdn-axial` and `bench train cdn-mlp`. A card says which
variant its weights are.

Wu, Padia, Murphy, Barzilay, Jaakkola 2025, Identifying biological perturbation targets through
causal differential networks, ICML (arXiv:2410.03380). Reference: github.com/rmwu/cdn at 14fa0aa.
Our own code. Licence: MIT, with this package.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from cdnbench.design import PAPER
from cdnbench.errors import CannotRun, InvalidParameter
from cdnbench.method import MethodInfo, Sizes
from cdnbench.relabelling import in_canonical_order, task_generator
from cdnbench.task import Task

if TYPE_CHECKING:
    import torch

    from cdnbench.methods.cdn.paper.differential import DifferentialNetwork, Encoded

_CELLS_AT_ONCE = 40_000  # grid cells of the regimes that are encoded together


def _timeout_s(sizes: Sizes) -> float:
    # 50 ms per regime at N = 20; 40 s per data set at N = 1000
    return 120.0 + (sizes.n_regimes + 1) * (
        0.5 + 2e-4 * sizes.n_variables**2 + 1.5e-7 * sizes.n_variables**3
    )


def _info(name: str, summary: str, version: str = "1") -> MethodInfo:
    return MethodInfo(
        name=name,
        version=version,
        summary=summary,
        citation="Wu, Padia, Murphy, Barzilay, Jaakkola 2025, Identifying biological perturbation "
        "targets through causal "
        "differential networks, ICML",
        design=PAPER,
        licence="MIT",
        reference="https://github.com/rmwu/cdn",
        stochastic=True,
        supervised="pretrained",
        preload=("torch", "scipy.stats", "safetensors", "safetensors.torch"),
        min_samples=10,
        max_variables=1500,
        timeout_s=_timeout_s,
        devices=("cpu", "cuda"),
        depends_on_units=True,
    )


@dataclass(frozen=True)
class CDNAxial:
    """The paper's network with an axial layer."""

    weights: str = "cdn-axial"
    n_batches: int = 50
    device: str = "cpu"

    model: ClassVar[str] = "cdn-axial"

    info: ClassVar[MethodInfo] = _info(
        "cdn-axial", "Causal differential network of the paper: SEA, then an axial layer", "2"
    )

    def __post_init__(self) -> None:
        _check(self.n_batches, self.info.name)

    def weights_digest(self) -> str:
        """Identity of the weights: part of the key of every stored result."""
        return _digest(self.weights, self.model)

    def trained_on(self) -> dict[str, Any]:
        """The values of each factor of the synthetic suites that training covered."""
        return _trained_on(self.weights, self.model)

    def trained_origins(self) -> frozenset[str]:
        """Tasks of suites that the weights were fine-tuned on."""
        return _trained_origins(self.weights, self.model)

    def predict_targets(self, task: Task, *, seed: int = 0) -> np.ndarray:
        """(R, N) logits.

        Raises
        ------
        CannotRun: fewer than two variables. InvalidParameter: the weights are missing or of another
        version; the message names the command that makes them.
        """
        return _scores(self, task, seed)


@dataclass(frozen=True)
class CDNAxialWide(CDNAxial):
    """The paper's network with an axial layer, trained on what `cdn` is trained on."""

    weights: str = "cdn-axial-wide"

    info: ClassVar[MethodInfo] = replace(
        CDNAxial.info,
        name="cdn-axial-wide",
        summary="cdn-axial, trained on the worlds and the suites' laws of cdn",
        default=False,
    )


@dataclass(frozen=True)
class CDNMLP:
    """The paper's network with a perceptron on every entry."""

    weights: str = "cdn-mlp"
    n_batches: int = 50
    device: str = "cpu"

    model: ClassVar[str] = "cdn-mlp"

    info: ClassVar[MethodInfo] = _info(
        "cdn-mlp", "Causal differential network of the paper: SEA, then a perceptron", "2"
    )

    def __post_init__(self) -> None:
        _check(self.n_batches, self.info.name)

    def weights_digest(self) -> str:
        """Identity of the weights: part of the key of every stored result."""
        return _digest(self.weights, self.model)

    def trained_on(self) -> dict[str, Any]:
        """The values of each factor of the synthetic suites that training covered."""
        return _trained_on(self.weights, self.model)

    def trained_origins(self) -> frozenset[str]:
        """Tasks of suites that the weights were fine-tuned on."""
        return _trained_origins(self.weights, self.model)

    def predict_targets(self, task: Task, *, seed: int = 0) -> np.ndarray:
        """(R, N) logits; raises what `CDNAxial.predict_targets` raises."""
        return _scores(self, task, seed)


def _check(n_batches: int, name: str) -> None:
    if not 1 <= n_batches <= 10_000:
        raise InvalidParameter(f"{name}: n_batches is between 1 and 10000; got {n_batches}.")


def _digest(weights: str, model: str) -> str:
    from cdnbench.methods.cdn.weights import read_card

    return read_card(weights, model)["digest"]


def _trained_on(weights: str, model: str) -> dict[str, Any]:
    from cdnbench.methods.cdn.weights import read_card, trained_on

    return trained_on(read_card(weights, model))


def _trained_origins(weights: str, model: str) -> frozenset[str]:
    from cdnbench.methods.cdn.weights import trained_origins

    return trained_origins(weights, model)


def _scores(method: CDNAxial | CDNMLP, task: Task, seed: int) -> np.ndarray:
    from cdnbench.methods.device import check_device

    name, device = method.info.name, method.device
    if task.n_variables < 2:
        raise CannotRun(f"{name} compares variables with each other and needs at least 2")
    check_device(name, device)
    network = _network(method.weights_digest(), method.weights, method.model).to(device)
    rng = task_generator(task, "cdn features", seed)
    solve = lambda ordered: {"": target_scores(network, ordered, method.n_batches, rng, device)}  # noqa: E731
    return in_canonical_order(task, solve)[""]


@lru_cache(maxsize=2)
def _network(digest: str, weights: str, model: str) -> DifferentialNetwork:
    from cdnbench.methods.cdn.paper.differential import DifferentialConfig, DifferentialNetwork
    from cdnbench.methods.cdn.weights import load_weights, network_of

    def build(config: Any) -> DifferentialNetwork:
        return DifferentialNetwork(DifferentialConfig.from_plain(config))

    return network_of(build, load_weights(weights, model), weights).eval()


def target_scores(
    network: DifferentialNetwork,
    task: Task,
    n_batches: int,
    rng: np.random.Generator,
    device: torch.device | str = "cpu",
) -> np.ndarray:
    """(R, N) logits of a network in evaluation mode, in the order of the task's variables."""
    import torch

    n_together = max(1, _CELLS_AT_ONCE // task.n_variables**2)
    scores = []
    with torch.inference_mode():
        before = encode(network, [task.observational], n_batches, rng, device)
        for first in range(0, task.n_regimes, n_together):
            after = encode(
                network, task.regimes[first : first + n_together], n_batches, rng, device
            )
            scores.append(network(before.expand(len(after)), after).double().cpu().numpy())
    return np.concatenate(scores)


def encode(
    network: DifferentialNetwork,
    samples: Sequence[np.ndarray],
    n_batches: int,
    rng: np.random.Generator,
    device: torch.device | str = "cpu",
) -> Encoded:
    """The encodings of B data sets (M_b, N) from fresh features."""
    from cdnbench.methods.cdn.paper.featuriser import featurise

    config = network.config.encoder
    features = featurise(
        samples,
        n_batches,
        rng,
        statistic=config.statistic,
        marginals=config.marginals,
        device=device,
    )
    return network.encode(features)
