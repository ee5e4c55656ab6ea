"""CDN that reads each variable in several forms, trained on worlds of many kinds.

The design is that of `cdn-suites` (mechanism tests between grid layers, `network`), with changes
(`forms_network`):

- It sees each variable in two forms: as a level in robust units of the controls, and as a normal
  score, which says where a value stands among the controls (`forms`). Beside each form it sees how
  strong the evidence is (`evidence`), and it learns which form to trust. Scaling or shifting a
  column changes no score.
- Besides the laws of the suites it was trained on worlds, which are far from the suites' own
  generator (`cdnbench.datasets.worlds`). They have counts, zeros, ties, saturation, dependent and
  drifting rows, few rows, noise-free relations whose effects grow downstream, and regimes in which
  nothing moved or only hidden variables did.
- It may say that nothing moved: the largest score of such a regime is small.

Scores are logits. sigmoid(score) is the probability, under the training laws, that the variable is
a target. `calibration` turns scores into probabilities that were checked on other laws.

`cdn-hard` is the same network with other weights: trained as the paper trains, on hard
interventions under the suites' laws (`bench train cdn --laws paper`). Beside `cdn` and `cdn-axial`
it shows what is due to the architecture and what to the training data.

Parameters
    weights     name of shipped weights or path of a .safetensors file with its card beside it:
                "cdn"
    device      "cpu" or "cuda"

It needs 2 rows per data set; training had 3 and more. Beyond 200 variables each regime is read
alone, and only the likeliest 200 variables enter the grid layers (`screening`).

The idea is that of Wu, Padia, Murphy, Barzilay, Jaakkola 2025, Identifying biological perturbation
targets through causal differential networks, ICML (arXiv:2410.03380). Our own code. Licence: MIT,
with this package.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from cdnbench.design import OWN, OWN_NETWORK
from cdnbench.method import MethodInfo, Sizes
from cdnbench.relabelling import in_canonical_order
from cdnbench.task import Task

if TYPE_CHECKING:
    from cdnbench.methods.cdn.forms_network import FormsNetwork
    from cdnbench.prediction.calibration import Calibration

MODEL = "cdn"
"""The value of "model" in the cards of these networks. Methods of several names run them."""


def forms_timeout_s(sizes: Sizes) -> float:
    """Seconds within which a network that reads forms is done on one slow core."""
    grid = 2e-4 * min(sizes.n_variables, 200) ** 2
    return 120.0 + sizes.n_regimes * (grid + 1e-2 * sizes.n_variables)


@dataclass(frozen=True)
class CDN:
    """Causal differential network on several forms of every variable, pretrained on worlds."""

    weights: str = "cdn"
    device: str = "cpu"

    info: ClassVar[MethodInfo] = MethodInfo(
        name="cdn",
        version="2",
        summary="Pretrained causal differential network that reads every variable in several forms "
        "and may say that nothing moved",
        citation=OWN_NETWORK,
        design=OWN,
        licence="MIT",
        reference="our own code; the network of the paper is cdn-axial or cdn-mlp here",
        supervised="pretrained",
        preload=("torch", "safetensors", "safetensors.torch", "scipy.stats"),
        min_samples=2,
        max_variables=30_000,
        timeout_s=forms_timeout_s,
        devices=("cpu", "cuda"),
        probabilities=True,
    )

    def weights_digest(self) -> str:
        """Identity of the weights: part of the key of every stored result."""
        from cdnbench.methods.cdn.weights import read_card

        return read_card(self.weights, MODEL)["digest"]

    def trained_on(self) -> dict[str, Any]:
        """The values of each factor of the suites that training covered."""
        from cdnbench.methods.cdn.weights import read_card, trained_on

        return trained_on(read_card(self.weights, MODEL))

    def trained_origins(self) -> frozenset[str]:
        """Tasks of suites that the weights were fine-tuned on."""
        from cdnbench.methods.cdn.weights import trained_origins

        return trained_origins(self.weights, MODEL)

    def calibration(self) -> Calibration:
        """What turns the logits into probabilities: `calibration.json` beside the weights, if it
        was made for them (`benchmarks/reliability.py`)."""
        from cdnbench.methods.cdn.weights import path_of
        from cdnbench.prediction.calibration import Calibration

        path = path_of(self.weights).with_name("calibration.json")
        return Calibration.read(path, self.weights_digest())

    def predict_targets(self, task: Task, *, seed: int = 0) -> np.ndarray:
        """(n_regimes, n_variables) logits.

        Raises
        ------
        InvalidParameter: the weights are missing or of another version; the message names the
            command that makes them.
        """
        from cdnbench.methods.cdn.screening import scores
        from cdnbench.methods.cdn.weights import load_weights
        from cdnbench.methods.device import check_device

        check_device(self.info.name, self.device)
        digest = load_weights(self.weights, MODEL).card["digest"]
        network = _network(digest, self.weights).to(self.device)
        return in_canonical_order(
            task, lambda ordered: {"": scores(network, ordered, self.device)}
        )[""]


@dataclass(frozen=True)
class CDNHard(CDN):
    """The network of `cdn` trained as `cdn-axial` is: its architecture without its data."""

    weights: str = "cdn-hard"

    info: ClassVar[MethodInfo] = replace(
        CDN.info,
        name="cdn-hard",
        version="3",
        summary="the network of cdn, trained on hard interventions only, as cdn-axial",
        default=False,
    )


@lru_cache(maxsize=2)
def _network(digest: str, weights: str) -> FormsNetwork:
    from cdnbench.methods.cdn.forms_network import build
    from cdnbench.methods.cdn.weights import load_weights, network_of

    return network_of(build, load_weights(weights, MODEL), weights).eval()
