"""CDN on cells: `cdn` fine-tuned on perturbations whose targets are known, and its stack with
target-shift.

Wu, Barzilay and Jaakkola 2025 start from synthetic weights and go on with the training
perturbations of a screen (batches of 2, learning rate 1e-5, patience 10 on validation AUROC). This
method does the same with the network behind `cdn`, and changes their recipe as follows:

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

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

from cdnbench.digest import generator
from cdnbench.errors import CannotRun, InvalidParameter
from cdnbench.method import MethodInfo, Trial
from cdnbench.methods.clusters import cluster, held_out
from cdnbench.methods.target_shift import TargetShift, shifts
from cdnbench.methods.trained import Trained
from cdnbench.relabelling import in_canonical_order
from cdnbench.task import Task
from cdnbench.truth import LabelledTask

if TYPE_CHECKING:
    from torch import Tensor

    from cdnbench.methods.cdn.network import Beliefs, CausalDifferentialNetwork
    from cdnbench.methods.cdn.summary import Summary

VALIDATION = 0.15
STAGE_WEIGHT = 0.4
PENALTY = 1.0
_NETWORK = "network/"


class View(NamedTuple):
    """One perturbation with some of its candidates. targets (S,) bool, shifts (S, 2): see
    `shift_scores`."""

    summary: Summary
    targets: np.ndarray
    shifts: np.ndarray


@dataclass(frozen=True, eq=False)
class CDNCells(Trained):
    """The network behind `cdn`, fine-tuned on labelled perturbations of cells."""

    weights: str = "cdn-suites"
    sampled: int = 64
    views: int = 1
    epochs: int = 2
    batch: int = 4
    learning_rate: float = 1e-4
    patience: int = 2
    device: str = "cpu"

    info: ClassVar[MethodInfo] = MethodInfo(
        name="cdn-cells",
        version="2",
        summary="cdn fine-tuned on training perturbations; -stack adds target-shift",
        citation="Wu, Barzilay, Jaakkola 2025, Predicting Perturbation Targets with Causal "
        "Differential Networks, ICML",
        licence="MIT",
        reference="https://github.com/rmwu/cdn",
        variants=("network", "stack"),
        stochastic=True,
        supervised="required",
        preload=("torch", "safetensors", "safetensors.torch", "scipy.special"),
        needs_symbols=True,
        min_samples=20,
        max_variables=1500,
        timeout_s=lambda sizes: (
            120.0 + 2e-5 * sizes.n_regimes * sizes.n_variables**2 + 3e-7 * sizes.n_variables**3
        ),
        fit_timeout_s=4 * 3600.0,
        starts_from_weights=True,
        devices=("cpu", "cuda"),
        depends_on_units=True,  # as `cdn`
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

        return read_card(self.weights, "cdn-suites")["digest"]

    def trained_on(self) -> dict[str, Any]:
        """Nothing: what counts is the fit, whose training tasks the suite chooses."""
        return {}

    def trained_origins(self) -> frozenset[str]:
        """Tasks that the weights which training starts from have seen."""
        from cdnbench.methods.cdn.weights import trained_origins

        return trained_origins(self.weights, "cdn-suites")

    def fit(self, tasks: Sequence[LabelledTask], *, seed: int = 0) -> dict[str, np.ndarray]:
        """The tensors of the network as `network/<name>`, and the coefficients of the stack (3,).

        Raises
        ------
        CannotRun: fewer than two perturbations.
        """
        import torch

        from cdnbench.methods.cdn.network import build
        from cdnbench.methods.cdn.weights import load_weights, network_of
        from cdnbench.methods.device import check_device

        check_device(self.info.name, self.device)
        rng = generator("method", self.info.name, seed)
        training, validation = split_by_cluster(*self._views(tasks, rng), rng)
        with torch.random.fork_rng():  # building draws weights
            weights = load_weights(self.weights, "cdn-suites")
            network = network_of(build, weights, self.weights).to(self.device)
        fine_tune(self, network, training, validation, rng)
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
        from cdnbench.methods.cdn.summary import summarise

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
                            _single(summarise([before, after])), labelled.targets[r][chosen], scores
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
        from cdnbench.methods.cdn.cdn import target_scores
        from cdnbench.methods.device import check_device

        check_device(self.info.name, self.device)
        network = self._fitted_network()
        logits = in_canonical_order(
            task, lambda ordered: {"": target_scores(network, ordered, self.device)}
        )[""]
        parts = np.concatenate(
            [logits[..., None], shift_scores(task.observational, task.regimes)], axis=-1
        )
        return {"network": logits, "stack": parts @ self.model["stack"]}

    def _fitted_network(self) -> CausalDifferentialNetwork:
        import torch

        from cdnbench.methods.cdn.network import build
        from cdnbench.methods.cdn.weights import read_card

        with torch.random.fork_rng():  # building draws weights
            network = build(read_card(self.weights, "cdn-suites")["config"])
        network.load_state_dict(fine_tuned_tensors(self.model))
        return network.to(self.device).eval()


def shift_scores(observational: np.ndarray, regimes: Sequence[np.ndarray]) -> np.ndarray:
    """asinh of two scores of every gene, (R, N, 2): how far its own mean fell, in standard errors,
    and the score of target-shift."""
    found = shifts(observational, regimes, TargetShift().winsorised)
    return np.arcsinh(np.stack([-found.z_mean, np.hypot(found.z_mean, found.z_variance)], axis=-1))


def _single(summary: Summary) -> Summary:
    """The summary with moments in single precision, because many are kept."""
    import torch

    return type(summary)(
        *(getattr(summary, n).to(torch.float32) for n in summary.__dataclass_fields__)
    )


def _together(views: Sequence[View], device: str) -> tuple[Summary, Tensor]:
    """The summary of a batch of B views, and its targets (B, S)."""
    import torch

    from cdnbench.methods.cdn.summary import Summary, stack

    joined = stack([view.summary for view in views]).to(device)
    values = {name: getattr(joined, name) for name in joined.__dataclass_fields__}
    values["moments"] = values["moments"].double()
    return Summary(**values), torch.from_numpy(np.stack([view.targets for view in views])).to(
        device
    )


def _batches(views: Sequence[View], order: Iterable[int], size: int) -> Iterator[list[int]]:
    """Batches of `size` views with equally many candidates, in the given order. Batches that do not
    fill up come last."""
    waiting: dict[int, list[int]] = {}
    for i in order:
        batch = waiting.setdefault(len(views[i].targets), [])
        batch.append(i)
        if len(batch) == size:
            yield waiting.pop(len(views[i].targets))
    yield from waiting.values()


def split_by_cluster(
    views: Sequence[View], clusters: Sequence[str], rng: np.random.Generator
) -> tuple[list[View], list[View]]:
    """Training and validation views. No cluster of perturbations is in both, unless there is only
    one, which is then cut in two.

    Raises
    ------
    CannotRun: fewer than two views.
    """
    if len(views) < 2:
        raise CannotRun("cdn-cells needs at least two training perturbations")
    out = held_out(clusters, lambda n: max(1, round(VALIDATION * n)), rng)
    return [v for v, o in zip(views, out, strict=True) if not o], [
        v for v, o in zip(views, out, strict=True) if o
    ]


def loss(beliefs: Sequence[Beliefs], targets: Tensor) -> Tensor:
    """Cross-entropy of the targets (B, S) among the candidates, over all stages. Several targets of
    one view share its mass."""
    from torch.nn.functional import cross_entropy

    wanted = targets.float() / targets.sum(1, keepdim=True)
    weights = [STAGE_WEIGHT] * (len(beliefs) - 1) + [1.0]
    return sum(
        w * cross_entropy(b.targets[:, 0], wanted) for w, b in zip(weights, beliefs, strict=True)
    )  # type: ignore[return-value]


def fine_tune(
    how: CDNCells,
    network: CausalDifferentialNetwork,
    training: Sequence[View],
    validation: Sequence[View],
    rng: np.random.Generator,
) -> None:
    """Train the network in place. It ends with the tensors of the best epoch, which may be those it
    came with."""
    import torch

    steps = how.epochs * sum(1 for _ in _batches(training, range(len(training)), how.batch))
    optimiser = torch.optim.AdamW(network.parameters(), lr=how.learning_rate, weight_decay=1e-4)
    warmup = max(1, steps // 20)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser,
        lambda step: min(1.0, (step + 1) / warmup) * 0.5 * (1 + np.cos(np.pi * step / steps)),
    )
    best, waited = evaluate(network, validation, how.batch, how.device)[0], 0
    kept = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    print(f"start: validation loss {best:.4f}")
    for epoch in range(how.epochs):
        network.train()
        total = 0.0
        for chosen in _batches(training, rng.permutation(len(training)), how.batch):
            summary, targets = _together([training[i] for i in chosen], how.device)
            value = loss(network(summary), targets)
            optimiser.zero_grad(set_to_none=True)
            value.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimiser.step()
            schedule.step()
            total += float(value.detach()) * len(chosen)
        found = evaluate(network, validation, how.batch, how.device)[0]
        print(
            f"epoch {epoch + 1}: training loss {total / len(training):.4f}, validation loss "
            f"{found:.4f}"
        )
        if found < best:
            best, waited = found, 0
            kept = {name: tensor.clone() for name, tensor in network.state_dict().items()}
        else:
            waited += 1
            if waited == how.patience:
                break
    network.load_state_dict(kept)
    network.eval()


def evaluate(
    network: CausalDifferentialNetwork, views: Sequence[View], batch: int, device: str
) -> tuple[float, list[np.ndarray]]:
    """Mean cross-entropy of the last stage, and the logits (S,) of each view."""
    import torch
    from torch.nn.functional import cross_entropy

    network.eval()
    losses, logits = [], {}
    with torch.inference_mode():
        for chosen in _batches(views, range(len(views)), batch):
            summary, targets = _together([views[i] for i in chosen], device)
            found = network(summary)[-1].targets[:, 0]
            wanted = targets.float() / targets.sum(1, keepdim=True)
            losses.append(cross_entropy(found, wanted, reduction="none").cpu().numpy())
            logits |= dict(zip(chosen, found.double().cpu().numpy(), strict=True))
    return float(np.concatenate(losses).mean()), [logits[i] for i in range(len(views))]


def conditional_logit(features: Sequence[np.ndarray], targets: Sequence[np.ndarray]) -> np.ndarray:
    """The coefficients (K,) of a softmax over candidates with features (S, K).

    By maximum likelihood under a penalty of `PENALTY` / 2 times their squares, in units of the
    features' spread.
    """
    from scipy.optimize import minimize

    scale = np.maximum(np.std(np.concatenate([f - f.mean(axis=0) for f in features]), axis=0), 1e-9)
    x = [f / scale for f in features]
    wanted = [t / t.sum() for t in targets]

    def negative(beta: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = 0.5 * PENALTY * beta @ beta, PENALTY * beta
        for f, share in zip(x, wanted, strict=True):
            z = f @ beta
            p = np.exp(z - z.max())
            p /= p.sum()
            value -= share @ (z - z.max() - np.log(np.exp(z - z.max()).sum()))
            gradient = gradient + f.T @ (p - share)
        return float(value), np.asarray(gradient)

    return minimize(negative, np.zeros(x[0].shape[1]), jac=True, method="L-BFGS-B").x / scale


def fine_tuned_tensors(model: Mapping[str, Any]) -> dict[str, Any]:
    """The tensors of a fitted network under the names that weights files use."""
    import torch

    return {
        name.removeprefix(_NETWORK): torch.from_numpy(np.array(a))
        for name, a in model.items()
        if name.startswith(_NETWORK)
    }
