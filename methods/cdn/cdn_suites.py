"""CDN, the best weights that ship: a causal differential network that tests the mechanisms of the
graph it believes in.

The idea is that of Wu, Padia, Murphy, Barzilay, Jaakkola 2025, Identifying biological perturbation
targets through causal differential networks, ICML (arXiv:2410.03380): featurise the data before and
after with a network that knows causal discovery, and classify the nodes whose mechanism changed.
`cdn-axial` and `cdn-mlp` are that paper's networks. This one goes further:

- Input (`summary`, `features`): moments of a cubic basis and quantiles in place of FCI estimates on
  small subsets; effects and standard errors of what moved, so that it knows how many rows stand
  behind a difference.
- The regimes of a task are read together, because they share one graph and each of them says
  something about it.
- Between its stages the network fits each mechanism given the edges and targets it believes in, and
  sees where the fit fails (`mechanism`).
- Discovery and classification are trained together, as in the paper's final version: a loss on the
  graph, and one on the targets. The card (`weights/cdn-suites.json`) names the training data.

Scores are logits: sigmoid(score) is the probability the network gives to "is a target" under its
training laws.

Parameters
    weights     name of shipped weights or path of a .safetensors file with its card beside it:
                "cdn-suites"
    device      "cpu" or "cuda"

Trained on the suites' own generator family, never on mechanisms `polynomial` and `sigmoid`, never
on a test suite's seeds, nor on a law of `synthetic-ood`. It needs 30 rows per data set. A variable
that never varies scores like any other without evidence. At N = 1000 one regime takes about 3 GB;
regimes are read in groups where their number times N^2 exceeds 1.2 million.

Our own code. Licence: MIT, with this package.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from cdnbench.design import OWN, OWN_NETWORK
from cdnbench.method import MethodInfo
from cdnbench.relabelling import in_canonical_order
from cdnbench.task import Task

if TYPE_CHECKING:
    from cdnbench.methods.cdn.network import CausalDifferentialNetwork

_CELLS_AT_ONCE = 1_200_000


@dataclass(frozen=True)
class CDNSuites:
    """Causal differential network with mechanism tests, pretrained on synthetic data."""

    weights: str = "cdn-suites"
    device: str = "cpu"

    info: ClassVar[MethodInfo] = MethodInfo(
        name="cdn-suites",
        summary="Pretrained causal differential network that tests the mechanisms of the graph it "
        "infers",
        citation=OWN_NETWORK,
        design=OWN,
        licence="MIT",
        reference="our own code; the network of the paper is cdn-axial or cdn-mlp here",
        supervised="pretrained",
        preload=("torch", "safetensors", "safetensors.torch"),
        min_samples=30,
        max_variables=1500,
        timeout_s=lambda sizes: (
            120.0 + 2e-5 * sizes.n_regimes * sizes.n_variables**2 + 3e-7 * sizes.n_variables**3
        ),
        devices=("cpu", "cuda"),
        depends_on_units=True,  # the network was trained on data that were not standardised
    )

    def weights_digest(self) -> str:
        """Identity of the weights: part of the key of every stored result."""
        from cdnbench.methods.cdn.weights import read_card

        return read_card(self.weights, self.info.name)["digest"]

    def trained_on(self) -> dict[str, Any]:
        """The values of each factor of the suites that training covered."""
        from cdnbench.methods.cdn.weights import read_card, trained_on

        return trained_on(read_card(self.weights, self.info.name))

    def trained_origins(self) -> frozenset[str]:
        """Tasks of suites that the weights were fine-tuned on."""
        from cdnbench.methods.cdn.weights import trained_origins

        return trained_origins(self.weights, self.info.name)

    def predict_targets(self, task: Task, *, seed: int = 0) -> np.ndarray:
        """(R, N) logits.

        Raises
        ------
        InvalidParameter: the weights are missing or of another version; the message names the
        command that makes them.
        """
        from cdnbench.methods.cdn.weights import load_weights
        from cdnbench.methods.device import check_device

        check_device(self.info.name, self.device)
        network = _network(
            load_weights(self.weights, self.info.name).card["digest"], self.weights
        ).to(self.device)
        return in_canonical_order(
            task, lambda ordered: {"": target_scores(network, ordered, self.device)}
        )[""]


def target_scores(
    network: CausalDifferentialNetwork, task: Task, device: str = "cpu"
) -> np.ndarray:
    """(R, N) logits of a network in evaluation mode, in the order of the task's variables."""
    import torch

    from cdnbench.methods.cdn.summary import summarise

    n_together = max(1, _CELLS_AT_ONCE // task.n_variables**2)
    scores = []
    with torch.inference_mode():
        for first in range(0, task.n_regimes, n_together):
            summary = summarise(
                [task.observational, *task.regimes[first : first + n_together]], device
            )
            scores.append(network(summary)[-1].targets[0].double().cpu().numpy())
    return np.concatenate(scores)


@lru_cache(maxsize=2)
def _network(digest: str, weights: str) -> CausalDifferentialNetwork:
    from cdnbench.methods.cdn.network import build
    from cdnbench.methods.cdn.weights import load_weights, network_of

    return network_of(build, load_weights(weights, "cdn-suites"), weights).eval()
