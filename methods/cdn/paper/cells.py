"""`cdn-axial-cells` and `cdn-mlp-cells`: the paper's networks, fine-tuned on perturbations of cells
whose targets are known.

The recipe is the paper's: start from the weights that were trained on synthetic data, go on with
the training perturbations in batches of 2 at a learning rate of 1e-5, and keep the epoch with the
best AUROC on held-out perturbations, until 10 epochs in a row were no better. The encoder is
frozen: every data set is encoded once, and the head alone is trained, by the mean binary
cross-entropy over the candidates.

Parameters
    weights        weights of `cdn-axial` or `cdn-mlp` to start from, encoder and head: a shipped
                   name or the path of a .safetensors file with its card beside it. The card says
                   which global statistic the encoder reads.
    n_batches      T, marginal estimates per data set: 50 (the paper's number at test time)
    epochs         epochs at most (30; the paper names no number)
    batch          perturbations per step (2)
    learning_rate  learning rate, constant (1e-5)
    patience       epochs without a better validation AUROC after which training ends (10)
    device         "cpu" or "cuda"

Deviations
    - Those of `cdn-axial` and `cdn-mlp`, see `methods`.
    - The paper's encoder for cells reads correlations. The weights that this starts from by default
      read the inverse covariance.
    - What is validated on are whole clusters of perturbations, 15 % of the clusters.
    - Every data set is encoded with one draw of its T batches, the one that a prediction uses.

Wu, Padia, Murphy, Barzilay, Jaakkola 2025, Identifying biological perturbation targets through
causal differential networks, ICML (arXiv:2410.03380). Reference: github.com/rmwu/cdn at 14fa0aa.
Our own code. Licence: MIT, with this package.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from cdnbench.checkpoint import NO_CHECKPOINT, Checkpoint
from cdnbench.digest import generator
from cdnbench.errors import CannotRun, InvalidParameter
from cdnbench.method import MethodInfo, Trial
from cdnbench.methods.cdn.paper.methods import CDNMLP, CDNAxial, target_scores
from cdnbench.methods.trained import Trained
from cdnbench.relabelling import in_canonical_order, task_generator
from cdnbench.task import Task
from cdnbench.truth import LabelledTask

if TYPE_CHECKING:
    from cdnbench.methods.cdn.paper.differential import DifferentialNetwork

_HEAD = "head/"


def _info(name: str, of: MethodInfo) -> MethodInfo:
    return replace(
        of,
        name=name,
        summary=f"{of.name} fine-tuned on training perturbations by the paper's recipe",
        supervised="required",
        starts_from_weights=True,
        resumable=True,
        needs_symbols=True,
        default=False,
        fit_timeout_s=24 * 3600.0,
        trial=Trial(parameters={"epochs": 1, "n_batches": 5}, finds_target=False),
    )


@dataclass(frozen=True, eq=False)
class CDNAxialCells(Trained):
    """The paper's network with an axial layer, fine-tuned on labelled perturbations of cells."""

    weights: str = "cdn-axial"
    n_batches: int = 50
    epochs: int = 30
    batch: int = 2
    learning_rate: float = 1e-5
    patience: int = 10
    device: str = "cpu"

    model_of_weights: ClassVar[str] = "cdn-axial"

    info: ClassVar[MethodInfo] = _info("cdn-axial-cells", CDNAxial.info)

    def __post_init__(self) -> None:
        for name in ("n_batches", "epochs", "batch", "learning_rate", "patience"):
            if not getattr(self, name) > 0:
                raise InvalidParameter(
                    f"{self.info.name}: {name} is positive; got {getattr(self, name)}."
                )

    def weights_digest(self) -> str:
        """Identity of the weights that training starts from."""
        from cdnbench.methods.cdn.weights import read_card

        return read_card(self.weights, self.model_of_weights)["digest"]

    def trained_on(self) -> dict[str, Any]:
        """Nothing: what counts is the fit, whose training tasks the suite chooses."""
        return {}

    def trained_origins(self) -> frozenset[str]:
        """Tasks that the weights which training starts from have seen."""
        from cdnbench.methods.cdn.weights import trained_origins

        return trained_origins(self.weights, self.model_of_weights)

    def fit(
        self,
        tasks: Sequence[LabelledTask],
        *,
        seed: int = 0,
        checkpoint: Checkpoint = NO_CHECKPOINT,
    ) -> dict[str, np.ndarray]:
        """The tensors of the head as `head/<name>`, and `validation_auroc` (epochs + 1,): before
        training and after each epoch.

        Raises
        ------
        CannotRun: fewer than two perturbations, or one without a target or without another
        candidate. InvalidParameter: the weights are missing or of another model.
        """
        from cdnbench.methods.cdn.paper import fine_tuning
        from cdnbench.methods.device import check_device

        check_device(self.info.name, self.device)
        rng = generator("method", self.info.name, seed)
        network = self._network()
        kept, perturbations = fine_tuning.encode_all(self, network, tasks, seed)
        split = fine_tuning.split_by_cluster(perturbations, self.info.name, rng)
        course = fine_tuning.fine_tune(self, network, kept, *split, rng, checkpoint)
        head = {
            _HEAD + name: tensor.detach().cpu().numpy()
            for name, tensor in fine_tuning.head_parameters(network).items()
        }
        return {**head, "validation_auroc": course}

    def predict_targets(self, task: Task, *, seed: int = 0) -> np.ndarray:
        """(R, N) logits.

        Raises
        ------
        CannotRun: not fitted, or fewer than two variables. InvalidParameter: as `fit`.
        """
        import torch

        from cdnbench.methods.device import check_device

        model = self.model
        if task.n_variables < 2:
            raise CannotRun(
                f"{self.info.name} compares variables with each other and needs at least 2"
            )
        check_device(self.info.name, self.device)
        network = self._network()
        head = {
            name.removeprefix(_HEAD): torch.from_numpy(np.array(array))
            for name, array in model.items()
            if name.startswith(_HEAD)
        }
        network.load_state_dict({**network.state_dict(), **head})
        rng = task_generator(task, "cdn features", seed)
        solve = lambda ordered: {  # noqa: E731
            "": target_scores(network, ordered, self.n_batches, rng, self.device)
        }
        return in_canonical_order(task, solve)[""]

    def _network(self) -> DifferentialNetwork:
        """The network that training starts from, with its encoder frozen, in evaluation mode."""
        from cdnbench.methods.cdn.paper.differential import DifferentialConfig, DifferentialNetwork
        from cdnbench.methods.cdn.weights import load_weights, network_of

        def build(config: Any) -> DifferentialNetwork:
            frozen = replace(DifferentialConfig.from_plain(config), joint=False)
            return DifferentialNetwork(frozen)

        weights = load_weights(self.weights, self.model_of_weights)
        return network_of(build, weights, self.weights).to(self.device).eval()


@dataclass(frozen=True, eq=False)
class CDNMLPCells(CDNAxialCells):
    """The paper's network with a perceptron on every entry, fine-tuned on labelled perturbations of
    cells."""

    weights: str = "cdn-mlp"

    model_of_weights: ClassVar[str] = "cdn-mlp"

    info: ClassVar[MethodInfo] = _info("cdn-mlp-cells", CDNMLP.info)
