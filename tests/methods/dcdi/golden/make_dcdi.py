"""Golden values of DCDI: what the reference computes on small problems, with its noise taken from a
known stream.

    git clone https://github.com/MateuszGajewski/dcdi2_copy && git -C dcdi2_copy checkout 90f5c10
    python tests/methods/dcdi/golden/make_dcdi.py dcdi2_copy tests/methods/dcdi/golden/dcdi.npz

That copy (MIT) is https://github.com/slachapelle/dcdi with scipy's matrix exponential replaced by
torch's. Its metrics and plots, which need R, are left out; everything that touches a parameter runs
as it is, in float64.

Noise: numpy's RandomState, rounded to float32, so that a test can draw it again in the order of the
reference. Stream 1 draws the masks of training, 2 those of validation, 3 the minibatches, 4 what is
added to the initial parameters (`start/<model>/...`) for `one/<model>/...`, a loss and its
gradients. `run/<model>/...` is what training logs every 100 iterations, with a large learning rate
and mu and little patience, so that it goes through the phases within the iterations given.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import types
from pathlib import Path

import numpy as np
import torch

N, E, ROWS, VALIDATION = 4, 3, 240, 90
PATIENCE = {"train_patience": 1, "train_patience_post": 1}
QUICK = {"lr": 1e-2, "lr_reinit": 1e-2, "mu_init": 1000.0, "h_threshold": 1e-3, **PATIENCE}
RUNS = {"g": (8000, QUICK), "dsf": (1000, QUICK)}
MODELS = {"g": "DCDI-G", "dsf": "DCDI-DSF"}


def problem() -> tuple[np.ndarray, np.ndarray]:
    """Rows (M, N) of a chain with one strong intervention a regime, and their regimes (M,)."""
    rng = np.random.RandomState(0)
    blocks, regimes = [], []
    for regime in range(E + 1):
        x = np.zeros(((ROWS + VALIDATION) // (E + 1) + 1, N))
        for i in range(N):
            parent = 1.5 * x[:, i - 1] if i else 0.0
            x[:, i] = np.tanh(parent) * 2 + 0.5 * rng.normal(size=len(x))
            if i == regime - 1 and regime:
                x[:, i] = rng.uniform(-2, 2, size=len(x)) + 3
        blocks.append(x)
        regimes.append(np.full(len(x), regime))
    order = rng.permutation(sum(map(len, blocks)))[: ROWS + VALIDATION]
    return np.concatenate(blocks)[order], np.concatenate(regimes)[order]


class Stream:
    """Stands in for `torch.distributions.Uniform(0, 1)`."""

    def __init__(self) -> None:
        self.training, self.validation = np.random.RandomState(1), np.random.RandomState(2)

    def sample(self, shape: tuple[int, ...]) -> torch.Tensor:
        source = self.validation if VALIDATION in tuple(shape) else self.training
        return torch.from_numpy(
            source.uniform(size=tuple(shape)).astype(np.float32).astype(np.float64)
        )


class Data:
    """Stands in for the reference's DataManagerFile."""

    def __init__(self, x: np.ndarray, regime: np.ndarray) -> None:
        self.x, self.regime, self.num_samples, self.rng = (
            torch.from_numpy(x),
            regime,
            len(x),
            np.random.RandomState(3),
        )
        self.adjacency, self.gt_interv, self.num_regimes = (
            torch.zeros(N, N),
            np.zeros((N, E + 1)),
            E + 1,
        )

    def sample(self, size: int):
        index = (
            np.arange(size)
            if size == self.num_samples
            else self.rng.choice(self.num_samples, size, replace=False)
        )
        return self.x[index], torch.ones(size, N), self.regime[index]


def stub(name: str, **contents) -> None:
    sys.modules[name] = types.ModuleType(name)
    vars(sys.modules[name]).update(contents)


def load_reference(checkout: Path) -> None:
    sys.path.insert(0, str(checkout))
    ignore = lambda *a, **k: None  # noqa: E731
    plots = [
        "adjacency",
        "interv_w",
        "learned_density",
        "learning_curves",
        "learning_curves_retrain",
        "weighted_adjacency",
    ]
    stub("dcdi.plot", **{f"plot_{name}": ignore for name in plots})
    stub("dcdi.utils.metrics", compute_structure_metrics=lambda *a, **k: {})
    stub("dcdi.utils.save", dump=ignore, load=ignore)
    torch.set_default_dtype(torch.float64)
    torch.set_default_tensor_type(torch.DoubleTensor)


def build(name: str):
    from dcdi.models.flows import DeepSigmoidalFlowModel
    from dcdi.models.learnables import LearnableModel_NonLinGaussANM

    unknown = {
        "intervention": True,
        "intervention_type": "perfect",
        "intervention_knowledge": "unknown",
    }
    torch.manual_seed(0)
    if name == "g":
        model = LearnableModel_NonLinGaussANM(N, 2, 16, num_regimes=E + 1, **unknown)
    else:
        model = DeepSigmoidalFlowModel(N, 2, 16, "leaky-relu", 2, 16, num_regimes=E + 1, **unknown)
    stream = Stream()
    model.gumbel_adjacency.uniform = model.gumbel_interv_w.uniform = stream
    return model


def options(iterations: int, changed: dict) -> types.SimpleNamespace:
    defaults = dict(
        train_patience=5,
        train_patience_post=5,
        exp_path=tempfile.mkdtemp(),
        num_train_iter=iterations,
        no_w_adjs_log=True,
        num_vars=N,
        mu_init=1e-8,
        gamma_init=0.0,
        optimizer="rmsprop",
        lr=1e-3,
        lr_reinit=1e-3,
        train_batch_size=64,
        intervention=True,
        intervention_type="perfect",
        intervention_knowledge="unknown",
        coeff_interv_sparsity=1e-8,
        reg_coeff=0.1,
        cpdag=False,
        unidir_coeff=0.0,
        dynamic_reg=False,
        stop_crit_win=100,
        plot_freq=10**9,
        plot_density=False,
        h_threshold=1e-8,
        omega_gamma=1e-4,
        omega_mu=0.9,
        mu_mult_factor=2,
        verbose=False,
        save_to_files=False,
    )
    return types.SimpleNamespace(**(defaults | changed))


def parameters(model) -> dict[str, np.ndarray]:
    return {name: p.detach().numpy().copy() for name, p in model.named_parameters()}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkout", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    load_reference(arguments.checkout)
    from dcdi import train as training

    training.monkey_patch_RMSprop = lambda optimiser: (
        None
    )  # it only made `step` return the learning rates
    x, regime = problem()
    golden: dict[str, np.ndarray] = {"x": x, "regime": regime}
    for name in MODELS:
        train, validation = Data(x[:ROWS], regime[:ROWS]), Data(x[ROWS:], regime[ROWS:])

        # One loss, at parameters away from where they start, so that all paths carry gradients.
        model = build(name)
        golden |= {f"start/{name}/{key}": v for key, v in parameters(model).items()}
        shake = np.random.RandomState(4)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.from_numpy(0.3 * shake.normal(size=tuple(parameter.shape))))
            model.gumbel_interv_w.log_alpha.sub_(3)
        rows, mask, regimes = train.sample(64)
        weights, biases, extra = model.get_parameters(mode="wbx")
        value = training.compute_loss(
            rows, mask, regimes, model, weights, biases, extra, True, "perfect", "unknown"
        )
        value.backward()
        golden[f"one/{name}/loss"] = np.array(value.item())
        for key, parameter in model.named_parameters():
            if parameter.grad is not None:
                golden[f"one/{name}/gradient/{key}"] = parameter.grad.numpy().copy()

        model = build(name)
        train.rng = np.random.RandomState(3)
        log: list[list[float]] = []

        def record(stage: str, step: int, metrics: dict, log=log) -> None:
            keys = ("mu", "gamma", "constraint_violation", "nll", "nll-val", "aug-lagrangian-val")
            if stage == "train":
                log.append([step, *(float(metrics[key]) for key in keys)])

        nothing = np.zeros((N, N)), np.zeros((N, E + 1))
        training.train(model, *nothing, train, validation, options(*RUNS[name]), record, None)
        golden[f"run/{name}/log"] = np.array(log)
        golden |= {
            f"run/{name}/end/{key}": v for key, v in parameters(model).items() if "gumbel" in key
        }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(arguments.out, **golden)


if __name__ == "__main__":
    main()
