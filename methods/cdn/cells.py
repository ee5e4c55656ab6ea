"""CDN on cells: `cdn` fine-tuned on perturbations whose targets are known, and its stack with
target-shift.

Wu et al. 2025 (see `cdn`) start from synthetic weights and go on with the training perturbations of
a screen (batches of 2, learning rate 1e-5, patience 10 on validation AUROC). This method does the
same with the network behind `cdn`, and changes their recipe as follows:

- For each perturbation `views` sets of `sampled` candidates are drawn, its targets among them, so
  that a step costs little.
- The loss is the cross-entropy of the targets among the candidates (over all stages, of which the
  last counts most), which is what a ranking needs.
- The learning rate is larger, with warm-up and cosine decay, and the epoch with the lowest loss on
  held-out clusters of perturbations is kept.

The network knows no gene by name. It learns what a knock-down looks like, which carries over to
other cell lines.

Readings
    network    its logits
    stack      a conditional logit model (softmax over the candidates) of three features: the
               network's logit, and asinh of the scores of target-shift-down and of target-shift;
               fitted on the clusters that were held out

Parameters
    weights        weights to start from, see `cdn`
    sampled        candidates per view, or all where there are fewer (64; the paper: all)
    views          sets of candidates per perturbation (1)
    epochs         passes over all views (2)
    batch          views per step (4; the paper: 2)
    learning_rate  learning rate at its highest (1e-4; the paper: 1e-5)
    patience       epochs without a better validation loss after which training ends (2)
    device         "cpu" or "cuda"

Our own code. Licence: MIT, with this package.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from cdnbench.checkpoint import NO_CHECKPOINT, Checkpoint
from cdnbench.design import OWN, OWN_NETWORK
from cdnbench.digest import generator
from cdnbench.errors import CannotRun, InvalidParameter
from cdnbench.method import MethodInfo, Trial
from cdnbench.methods.cdn.cdn import forms_timeout_s
from cdnbench.methods.clusters import cluster
from cdnbench.methods.target_shift import TargetShift, shifts
from cdnbench.methods.trained import Trained
from cdnbench.relabelling import in_canonical_order
from cdnbench.task import Task
from cdnbench.truth import LabelledTask

if TYPE_CHECKING:
    from cdnbench.methods.cdn.fine_tuning import View
    from cdnbench.methods.cdn.forms_network import FormsNetwork

_NETWORK = "network/"


@dataclass(frozen=True, eq=False)
class CDNCells(Trained):
    """The network behind `cdn`, fine-tuned on labelled perturbations of cells."""

    weights: str = "cdn"
    sampled: int = 64
    views: int = 1
    epochs: int = 2
    batch: int = 4
    learning_rate: float = 1e-4
    patience: int = 2
    device: str = "cpu"

    info: ClassVar[MethodInfo] = MethodInfo(
        name="cdn-cells",
        version="3",
        summary="cdn fine-tuned on training perturbations; -stack adds target-shift",
        citation=OWN_NETWORK,
        design=OWN,
        licence="MIT",
        reference="our own code; the network of the paper is cdn-axial or cdn-mlp here",
        variants=("network", "stack"),
        stochastic=True,
        supervised="required",
        preload=("torch", "safetensors", "safetensors.torch", "scipy.stats", "scipy.optimize"),
        needs_symbols=True,
        min_samples=20,
        max_variables=30_000,
        timeout_s=forms_timeout_s,
        fit_timeout_s=4 * 3600.0,
        starts_from_weights=True,
        resumable=True,
        devices=("cpu", "cuda"),
        trial=Trial(parameters={"sampled": 8, "epochs": 1}, finds_target=False),
    )

    def __post_init__(self) -> None:
        for name in ("views", "epochs", "batch", "learning_rate", "patience"):
            if getattr(self, name) <= 0:
                raise InvalidParameter(f"cdn-cells: {name} is positive; got {getattr(self, name)}.")
        if self.sampled < 2:
            raise InvalidParameter(f"cdn-cells: sampled is at least 2; got {self.sampled}.")

    def weights_digest(self) -> str:
        """Identity of the weights that training starts from."""
        from cdnbench.methods.cdn.weights import read_card

        return read_card(self.weights, "cdn")["digest"]

    def trained_on(self) -> dict[str, Any]:
        """Nothing: what counts is the fit, whose training tasks the suite chooses."""
        return {}

    def trained_origins(self) -> frozenset[str]:
        """Tasks that the weights which training starts from have seen."""
        from cdnbench.methods.cdn.weights import trained_origins

        return trained_origins(self.weights, "cdn")

    def fit(
        self,
        tasks: Sequence[LabelledTask],
        *,
        seed: int = 0,
        checkpoint: Checkpoint = NO_CHECKPOINT,
    ) -> dict[str, np.ndarray]:
        """The tensors of the network as `network/<name>`, and the coefficients of the stack (3,).

        Raises
        ------
        CannotRun: fewer than two perturbations.
        """
        import torch

        from cdnbench.methods.cdn.conditional_logit import conditional_logit
        from cdnbench.methods.cdn.fine_tuning import evaluate, fine_tune, split_by_cluster
        from cdnbench.methods.cdn.forms_network import build
        from cdnbench.methods.cdn.weights import load_weights, network_of
        from cdnbench.methods.device import check_device

        check_device(self.info.name, self.device)
        rng = generator("method", self.info.name, seed)
        training, validation = split_by_cluster(*self._views(tasks, rng), rng)
        with torch.random.fork_rng():  # building draws weights
            weights = load_weights(self.weights, "cdn")
            network = network_of(build, weights, self.weights).to(self.device)
        fine_tune(self, network, training, validation, rng, checkpoint)
        logits = evaluate(network, validation, self.batch, self.device)[1]
        coefficients = conditional_logit(
            [np.column_stack([z, view.shifts]) for z, view in zip(logits, validation, strict=True)],
            [view.targets for view in validation],
        )
        state = {
            _NETWORK + name: tensor.cpu().numpy() for name, tensor in network.state_dict().items()
        }
        return {**state, "stack": coefficients}

    def _views(
        self, tasks: Sequence[LabelledTask], rng: np.random.Generator
    ) -> tuple[list[View], list[str]]:
        """The views of all perturbations, and the cluster of each view."""
        from cdnbench.methods.cdn.fine_tuning import View, in_single_precision
        from cdnbench.methods.cdn.forms_network import read

        views, clusters = [], []
        for number, labelled in enumerate(tasks):
            task = labelled.task
            for r, regime in enumerate(task.regimes):
                targets = np.flatnonzero(labelled.targets[r])
                others = np.flatnonzero(~labelled.targets[r] & task.candidates[r])  # type: ignore[index]
                n_others = min(self.sampled - len(targets), len(others))
                if n_others < 1:
                    raise CannotRun(
                        f"a perturbation has {len(targets)} targets and {len(others)} other "
                        f"candidates; sampled={self.sampled} leaves no other candidate beside the "
                        "targets"
                    )
                for _ in range(self.views):
                    chosen = rng.permutation(
                        np.concatenate([targets, rng.choice(others, n_others, replace=False)])
                    )
                    before, after = task.observational[:, chosen], regime[:, chosen]
                    scores = shift_scores(before, [after])[0]
                    views.append(
                        View(
                            in_single_precision(read([before, after])),
                            labelled.targets[r][chosen],
                            scores,
                        )
                    )
                    clusters.append(cluster(labelled, number))
        return views, clusters

    def predict_targets(self, task: Task, *, seed: int = 0) -> np.ndarray:
        """(R, N) logits of the network."""
        return self.predict_outputs(task, seed=seed)["network"]

    def predict_outputs(self, task: Task, *, seed: int = 0) -> dict[str, np.ndarray]:
        """Readings `network` and `stack`, each (R, N).

        Raises
        ------
        CannotRun: not fitted.
        """
        from cdnbench.methods.cdn.screening import scores
        from cdnbench.methods.device import check_device

        check_device(self.info.name, self.device)
        network = self._fitted_network()
        logits = in_canonical_order(
            task, lambda ordered: {"": scores(network, ordered, self.device)}
        )[""]
        parts = np.concatenate(
            [logits[..., None], shift_scores(task.observational, task.regimes)], axis=-1
        )
        return {"network": logits, "stack": parts @ self.model["stack"]}

    def _fitted_network(self) -> FormsNetwork:
        import torch

        from cdnbench.methods.cdn.forms_network import build
        from cdnbench.methods.cdn.weights import read_card

        with torch.random.fork_rng():  # building draws weights
            network = build(read_card(self.weights, "cdn")["config"])
        network.load_state_dict(fine_tuned_tensors(self.model))
        return network.to(self.device).eval()


def shift_scores(observational: np.ndarray, regimes: Sequence[np.ndarray]) -> np.ndarray:
    """asinh of two scores of every gene, (R, N, 2): how far its own mean fell, in standard errors,
    and the score of target-shift."""
    found = shifts(observational, regimes, TargetShift().winsorised)
    return np.arcsinh(np.stack([-found.z_mean, np.hypot(found.z_mean, found.z_variance)], axis=-1))


def fine_tuned_tensors(model: Mapping[str, Any]) -> dict[str, Any]:
    """The tensors of a fitted network under the names that weights files use."""
    import torch

    return {
        name.removeprefix(_NETWORK): torch.from_numpy(np.array(a))
        for name, a in model.items()
        if name.startswith(_NETWORK)
    }
