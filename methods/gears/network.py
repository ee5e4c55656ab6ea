"""The network of GEARS: for a perturbation p, the shift delta(p) (G,) that it adds to any cell.

    base_g    = mlp(relu(norm(E_g)) + 0.2 conv(coexpression, P)_g)       the same for all
              perturbations
    effect_p  = mlp(conv(ontology, T)_p)                                 summed over the targets of
              p before the mlp; 0 for controls
    out_pg    = v_g . mlp(relu(norm(base_g + effect_p))) + b_g           `decoder`
    delta_pg  = (out_pg, mlp(out_p.)) . u_g + b'_g

conv is one step of simplified graph convolution (`graphs.normalised`) and a linear map; mlp is
linear, norm, relu, linear, norm. E, P (G, H) and T (nodes, H) are tables whose rows are cut to norm
1 before every step. In the published form the cell is an input; it is only added to the output, so
that nothing here looks at cells.

Batch statistics. Where the reference normalises over the cells of a batch (times the genes), each
distinct perturbation counts here as often as it has cells, so outputs, gradients and running
statistics (with their n / (n - 1)) are those of the reference to rounding.
Its sole special case is kept: the mlp of effects sees a single perturbed cell twice, and stays as
it is in a batch of controls only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy import sparse

from cdnbench.methods.gears.decoder import EPS, Decoder, Workspace
from cdnbench.methods.gears.prediction import FoldedMLP

MOMENTUM = 0.1
POSITION = 0.2
_EFFECT = [
    "table",
    "ontology",
    "effect",
]  # first words of the parameters that only perturbations need


@dataclass(frozen=True, eq=False)
class Batch:
    """S distinct perturbations. rows (S, nodes): sums of the rows of their targets in the
    normalised ontology graph. n_targets,
    n_cells (S,). n_controls: cells without perturbation, which stand last in the output if there
    are any."""

    rows: sparse.csr_matrix
    n_targets: np.ndarray
    n_cells: np.ndarray
    n_controls: int


class Gather(torch.autograd.Function):
    """matrix @ x for a constant sparse matrix, by scipy: on a CPU, wherever x is."""

    @staticmethod
    def forward(ctx: Any, matrix: sparse.csr_matrix, x: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        ctx.matrix = matrix
        return torch.from_numpy(matrix @ x.detach().cpu().numpy()).to(x.device)

    @staticmethod
    def backward(ctx: Any, g: torch.Tensor):  # type: ignore[override]
        return None, torch.from_numpy(ctx.matrix.T @ g.cpu().numpy()).to(g.device)


class Normalise(torch.autograd.Function):
    """Centre and scale rows x (n, H) by their weighted mean and variance, then scale and shift.

    weights: (n,). Returns mean and variance too, without gradients.
    """

    @staticmethod
    def forward(ctx: Any, x, weights, scale, shift):  # type: ignore[override]
        mean = weights @ x
        centred = x - mean
        var = weights @ (centred * centred)
        inverse = torch.rsqrt(var + EPS)
        ctx.save_for_backward(centred, weights, scale, inverse)
        ctx.mark_non_differentiable(mean, var)
        return torch.addcmul(shift, centred, inverse * scale), mean, var

    @staticmethod
    def backward(ctx: Any, g, *_):  # type: ignore[override]
        centred, weights, scale, inverse = ctx.saved_tensors
        g_shift = g.sum(0)
        g_scale = (g * centred).sum(0) * inverse
        factor = scale * inverse
        g_x = torch.addcmul(g * factor, weights[:, None], g_shift * factor, value=-1)
        g_x.addcmul_(centred * weights[:, None], g_scale * factor * inverse, value=-1)
        return g_x, None, g_scale, g_shift


class Network:
    """Parameters by name, their running statistics, and what is computed from them.

    values, gradients: the same parameters, flat: those that every batch trains, and those that only
        perturbations train.
    """

    def __init__(
        self,
        coexpression: sparse.csr_matrix,
        n_nodes: int,
        hidden: int,
        rng: np.random.Generator,
        dtype: torch.dtype = torch.float32,
        device: str = "cpu",
    ) -> None:
        self.dtype, self.device = dtype, device
        self.coexpression = self._matrix(coexpression)
        self.memory = Workspace(dtype, device)
        start = initial(coexpression.shape[0], n_nodes, hidden, rng)
        self.parameters: dict[str, torch.Tensor] = {}
        self.values: list[torch.Tensor] = []
        self.gradients: list[torch.Tensor] = []
        for with_effect in (False, True):
            names = [name for name in start if (name.split(".")[0] in _EFFECT) == with_effect]
            flat = torch.from_numpy(np.concatenate([start[name].ravel() for name in names])).to(
                device, dtype
            )
            gradient = flat.grad = torch.zeros_like(flat)
            self.values.append(flat)
            self.gradients.append(gradient)
            low = 0
            for name in names:
                some = slice(low, low := low + start[name].size)
                view = flat[some].view(start[name].shape).requires_grad_()
                view.grad = gradient[some].view(start[name].shape)
                self.parameters[name] = view
        widths = {name: p.shape[0] for name, p in self.parameters.items() if name.endswith("scale")}
        self.running = {
            name.removesuffix(".scale"): (
                torch.zeros(width, dtype=dtype, device=device),
                torch.ones(width, dtype=dtype, device=device),
            )
            for name, width in widths.items()
        }

    def _matrix(self, x: sparse.csr_matrix) -> sparse.csr_matrix:
        return x.astype(np.float64 if self.dtype == torch.float64 else np.float32)

    def _vector(self, x: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.asarray(x)).to(self.device, self.dtype)

    def state(self) -> dict[str, np.ndarray]:
        """A copy of all that training changes."""
        found = {name: p.detach().cpu().numpy().copy() for name, p in self.parameters.items()}
        for name, (mean, var) in self.running.items():
            found[f"{name}.mean"] = mean.cpu().numpy().copy()
            found[f"{name}.var"] = var.cpu().numpy().copy()
        return found

    def restore(self, state: dict[str, np.ndarray]) -> None:
        with torch.no_grad():
            for name, p in self.parameters.items():
                p.copy_(torch.from_numpy(state[name]))
            for name, (mean, var) in self.running.items():
                mean.copy_(torch.from_numpy(state[f"{name}.mean"]))
                var.copy_(torch.from_numpy(state[f"{name}.var"]))

    def cut_tables(self) -> None:
        """Shorten rows of the tables that are longer than 1."""
        with torch.no_grad():
            for name in ("gene.table", "position.table", "table"):
                norm = torch.linalg.vector_norm(self.parameters[name], dim=1, keepdim=True)
                self.parameters[name].mul_(torch.where(norm > 1, 1 / (norm + 1e-7), 1.0))

    def deltas(self, batch: Batch) -> torch.Tensor:
        """(S, G), or (S + 1, G) with controls: shifts under the statistics of this batch, which
        enter the running ones."""
        p = self.parameters
        self.cut_tables()
        n_genes = len(p["gene.table"])
        n_perturbed = int(batch.n_cells.sum())
        n = n_perturbed + batch.n_controls
        like = {"dtype": self.dtype, "device": self.device}
        each_gene = torch.full((n_genes,), 1 / n_genes, **like)
        gene = self._norm("gene", p["gene.table"], each_gene, n * n_genes).relu()
        position = (
            Gather.apply(self.coexpression, p["position.table"]) @ p["position.w"].T
            + p["position.b"]
        )
        base = self._mlp("base", gene + POSITION * position, each_gene, n * n_genes)
        counts = self._vector(batch.n_cells)
        effects = []
        if n_perturbed:
            summed = self._convolved(batch.rows, batch.n_targets)
            effects.append(self._mlp("effect", summed, counts / n_perturbed, max(2, n_perturbed)))
        if batch.n_controls:
            effects.append(torch.zeros(1, base.shape[1], **like))
            counts = torch.cat([counts, torch.tensor([batch.n_controls], **like)])
        weights = counts / n
        a, c = self._joint(base, torch.cat(effects), weights, n * n_genes)
        out, mean1, var1, mean2, var2 = Decoder.apply(
            self.memory, a, c, weights,
            p["shared.w1"], p["shared.norm1.scale"], p["shared.norm1.shift"],
            p["shared.w2"], p["shared.norm2.scale"], p["shared.norm2.shift"], p["own.w1"],
        )  # fmt: skip
        self._track("shared.norm1", mean1 + p["shared.b1"], var1, n * n_genes)
        self._track("shared.norm2", mean2 + p["shared.b2"], var2, n * n_genes)
        out = out + p["own.b1"]
        cross = self._mlp("cross", out, weights, n)
        return out * p["own.w2"][:, 0] + cross @ p["own.w2"][:, 1:].T + p["own.b2"]

    def _convolved(self, rows: sparse.csr_matrix, n_targets: np.ndarray) -> torch.Tensor:
        p = self.parameters
        bias = self._vector(n_targets)[:, None] * p["ontology.b"]
        return Gather.apply(self._matrix(rows), p["table"]) @ p["ontology.w"].T + bias

    def _mlp(self, name: str, x: torch.Tensor, weights: torch.Tensor, n: int) -> torch.Tensor:
        p = self.parameters
        x = self._norm(
            f"{name}.norm1", torch.addmm(p[f"{name}.b1"], x, p[f"{name}.w1"].T), weights, n
        ).relu()
        return self._norm(
            f"{name}.norm2", torch.addmm(p[f"{name}.b2"], x, p[f"{name}.w2"].T), weights, n
        )

    def _norm(self, name: str, x: torch.Tensor, weights: torch.Tensor, n: int) -> torch.Tensor:
        """Batch normalisation whose rows stand for n rows of the reference, in the shares
        `weights`."""
        scale, shift = self.parameters[f"{name}.scale"], self.parameters[f"{name}.shift"]
        out, mean, var = Normalise.apply(x, weights, scale, shift)
        self._track(name, mean, var, n)
        return out

    def _joint(self, base: torch.Tensor, effects: torch.Tensor, weights: torch.Tensor, n: int):
        """Batch normalisation of base_g + effect_d over all (d, g), whose variance is the sum of
        the two: as a (G, H) and c (D, H)."""
        of_base, of_effect = base.mean(0), weights @ effects
        base, effects = base - of_base, effects - of_effect
        var = (base * base).mean(0) + weights @ (effects * effects)
        self._track("joint", of_base + of_effect, var, n)
        factor = torch.rsqrt(var + EPS) * self.parameters["joint.scale"]
        return torch.addcmul(self.parameters["joint.shift"], base, factor), effects * factor

    def _track(self, name: str, mean: torch.Tensor, var: torch.Tensor, n: int) -> None:
        with torch.no_grad():
            kept_mean, kept_var = self.running[name]
            kept_mean.lerp_(mean.detach(), MOMENTUM)
            kept_var.lerp_(var.detach() * (n / (n - 1)), MOMENTUM)

    def folded(self) -> dict[str, np.ndarray]:
        """What `prediction.decode` needs: the network under its running statistics, normalisations
        folded into the maps beside them."""
        self.cut_tables()
        s = {name: value.astype(np.float64) for name, value in self.state().items()}
        gene = np.maximum(s["gene.table"] * _factor(s, "gene") + _offset(s, "gene"), 0)
        position = self.coexpression @ s["position.table"] @ s["position.w"].T + s["position.b"]
        base = _folded_mlp(s, "base")(gene + POSITION * position)
        v = s["own.w1"] * _factor(s, "shared.norm2")
        cross = _folded_mlp(s, "cross")
        arrays = {
            "a": base * _factor(s, "joint") + _offset(s, "joint"),
            "w": (s["shared.w1"] * _factor(s, "shared.norm1")[:, None]).T,
            "bias": s["shared.b1"] * _factor(s, "shared.norm1") + _offset(s, "shared.norm1"),
            "v": v @ s["shared.w2"],
            "b": v @ s["shared.b2"] + s["own.w1"] @ _offset(s, "shared.norm2") + s["own.b1"],
            "cross_w1": cross.w1, "cross_b1": cross.b1, "cross_w2": cross.w2, "cross_b2": cross.b2,
            "own_w": s["own.w2"], "own_b": s["own.b2"],
        }  # fmt: skip
        return {
            name: np.ascontiguousarray(value, dtype=np.float32) for name, value in arrays.items()
        }

    def effects(self, rows: sparse.csr_matrix, n_targets: np.ndarray) -> np.ndarray:
        """(S, H) c of `prediction.decode` for perturbations whose targets have these rows in the
        graph, under the running statistics."""
        self.cut_tables()
        s = {name: value.astype(np.float64) for name, value in self.state().items()}
        summed = rows @ s["table"] @ s["ontology.w"].T + n_targets[:, None] * s["ontology.b"]
        return (_folded_mlp(s, "effect")(summed) * _factor(s, "joint")).astype(np.float32)


def _folded_mlp(s: dict[str, np.ndarray], name: str) -> FoldedMLP:
    layers = []
    for i in "12":
        factor = _factor(s, f"{name}.norm{i}")
        layers += [
            s[f"{name}.w{i}"] * factor[:, None],
            s[f"{name}.b{i}"] * factor + _offset(s, f"{name}.norm{i}"),
        ]
    return FoldedMLP(*layers)


def _factor(s: dict[str, np.ndarray], name: str) -> np.ndarray:
    return s[f"{name}.scale"] / np.sqrt(s[f"{name}.var"] + EPS)


def _offset(s: dict[str, np.ndarray], name: str) -> np.ndarray:
    return s[f"{name}.shift"] - s[f"{name}.mean"] * _factor(s, name)


def initial(
    n_genes: int, n_nodes: int, hidden: int, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Parameters before training, by the laws of the reference: normal tables, uniform linear maps,
    Xavier-normal own maps."""
    start: dict[str, np.ndarray] = {}

    def linear(name: str, i: str, n_in: int, n_out: int) -> None:
        bound = n_in**-0.5
        start[f"{name}.w{i}"] = rng.uniform(-bound, bound, (n_out, n_in))
        start[f"{name}.b{i}"] = rng.uniform(-bound, bound, n_out)

    def norm(name: str, width: int) -> None:
        start[f"{name}.scale"], start[f"{name}.shift"] = np.ones(width), np.zeros(width)

    def mlp(name: str, *widths: int) -> None:
        for i, (n_in, n_out) in enumerate(zip(widths, widths[1:], strict=False), 1):
            linear(name, str(i), n_in, n_out)
            norm(f"{name}.norm{i}", n_out)

    def xavier(shape: tuple[int, ...], fans: int) -> np.ndarray:
        return rng.normal(0, np.sqrt(2 / fans), shape)

    start["gene.table"] = rng.normal(size=(n_genes, hidden))
    norm("gene", hidden)
    start["position.table"] = rng.normal(size=(n_genes, hidden))
    linear("position", "", hidden, hidden)
    mlp("base", hidden, hidden, hidden)
    start["table"] = rng.normal(size=(n_nodes, hidden))
    linear("ontology", "", hidden, hidden)
    mlp("effect", hidden, hidden, hidden)
    norm("joint", hidden)
    mlp("shared", hidden, 2 * hidden, hidden)
    start["own.w1"] = xavier((n_genes, hidden), hidden + n_genes)
    start["own.b1"] = xavier((n_genes,), 1 + n_genes)
    mlp("cross", n_genes, hidden, hidden)
    start["own.w2"] = xavier((n_genes, hidden + 1), (n_genes + 1) * (hidden + 1))
    start["own.b2"] = xavier((n_genes,), n_genes + 1)
    return start
