"""What BaCaDI assumes of the rows: a linear or a fully connected mean for every variable, Gaussian
noise.

Without intervention x_j ~ N(f_j(parents), OBSERVATION_VARIANCE); a target of regime e has x_j ~
N(m_ej, TARGET_VARIANCE) with a learned m_ej, whatever its parents.

Axes: D data sets, P particles, S samples, N variables, R regimes, F parameters. A (soft) graph has
G[i, j] = weight of the edge i -> j. Particles and samples come last where there are samples, which
keeps the innermost loops long. A likelihood answers two questions:

    deviations(theta, graphs, of)    half the squared residuals over the noise variance, summed over
                                     all rows (the observational ones among them) in place 0 and
                                     over those of regime r in place r: (D, R + 1, N, P, S)
    pull(theta, graphs, weights, d)  the gradients of the log likelihood of data set d with these
    sums weighted
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

OBSERVATION_VARIANCE = 0.1
TARGET_VARIANCE = 0.5
TARGET_MEAN_STD = 10.0  # of the prior of m_ej
HIDDEN = 5  # units of the fully connected likelihood
_TRUNCATED_STD = 0.8796256610342398  # of N(0, 1) within two standard deviations
_CHUNK = 1 << 21  # numbers in an intermediate array of the fully connected likelihood


def log_normal(x: Tensor, std: float) -> Tensor:
    """log N(x; 0, std^2), elementwise."""
    return -0.5 * (x / std) ** 2 - math.log(std * math.sqrt(2 * math.pi))


@dataclass(frozen=True)
class Regimes:
    """Sums over the rows of each regime, all that the model of a target needs.

    counts: (D, R). totals: (D,) rows with the observational ones. sums, squares: (D, R, N).
    """

    counts: Tensor
    totals: Tensor
    sums: Tensor
    squares: Tensor

    @staticmethod
    def of(samples: Sequence[Sequence[np.ndarray]], device: str) -> Regimes:
        """samples: for each data set, the observational rows and those of R regimes."""
        put = lambda values: torch.as_tensor(np.array(values), dtype=torch.float64, device=device)  # noqa: E731
        with np.errstate(over="ignore", invalid="ignore"):
            return Regimes(
                put([[len(x) for x in data[1:]] for data in samples]),
                put([sum(map(len, data)) for data in samples]),
                put(
                    [
                        np.stack([x.sum(axis=0, dtype=np.float64) for x in data[1:]])
                        for data in samples
                    ]
                ),
                put(
                    [
                        np.stack([(x.astype(np.float64) ** 2).sum(axis=0) for x in data[1:]])
                        for data in samples
                    ]
                ),
            )

    def constant(self, n_variables: int) -> Tensor:
        """(D,) normalisation of the log likelihood of all rows without intervention."""
        return -0.5 * n_variables * math.log(2 * math.pi * OBSERVATION_VARIANCE) * self.totals

    def advantage(self, means: Tensor) -> Tensor:
        """log p(rows, m_ej | target) minus the normalisation of the mechanism that it replaces.

        means: (D, P, R, N), the learned m_ej. The log joint density is `constant` - all deviations
        + sum of I (advantage + deviations) over regimes and variables.
        """
        counts = self.counts[:, None, :, None]
        squares = self.squares[:, None] - 2 * means * self.sums[:, None] + counts * means**2
        ratio = 0.5 * math.log(OBSERVATION_VARIANCE / TARGET_VARIANCE)
        return (
            -squares / (2 * TARGET_VARIANCE) + counts * ratio + log_normal(means, TARGET_MEAN_STD)
        )

    def advantage_slope(self, means: Tensor) -> Tensor:
        """(D, P, R, N) derivative of `advantage` with respect to the means."""
        pull = (self.sums[:, None] - self.counts[:, None, :, None] * means) / TARGET_VARIANCE
        return pull - means / TARGET_MEAN_STD**2


class Linear:
    """Mean of x_j = sum over i of G[i, j] theta[i, j] x_i; prior theta ~ N(0, 1) where there is an
    edge.

    A regime's residual sum is a quadratic form in its Gram matrix, so the cost does not grow with
    the number of rows.
    """

    def __init__(self, samples: Sequence[Sequence[np.ndarray]], device: str = "cpu") -> None:
        n = samples[0][0].shape[1]
        grams = []
        for data in samples:
            with np.errstate(over="ignore", invalid="ignore"):
                each = np.stack([x.T.astype(np.float64) @ x.astype(np.float64) for x in data])
                grams.append(np.concatenate([each.sum(axis=0, keepdims=True), each[1:]]))
        self.n_variables = n
        self.n_parameters = n * n
        gram = torch.as_tensor(np.stack(grams), device=device) / (
            2 * OBSERVATION_VARIANCE
        )  # (D, R + 1, N, N)
        self._gram = gram.flatten(2)
        rows, columns = np.triu_indices(n)
        double = torch.as_tensor(np.where(rows == columns, 1.0, 2.0), device=device)
        packed = gram[:, :, rows, columns] * double  # (D, R + 1, N (N + 1) / 2)
        self._packed = {torch.float64: packed, torch.float32: packed.float()}
        self._size = gram[:, 0].diagonal(dim1=-2, dim2=-1).sqrt()  # (D, N)
        self._identity = torch.eye(n, dtype=torch.float64, device=device)[..., None, None]

    def initial(self, generator: np.random.Generator, n_particles: int) -> np.ndarray:
        """(P, F) parameters at the start: N(0, .3^2)."""
        return 0.3 * generator.standard_normal((n_particles, self.n_parameters))

    def log_prior(self, theta: Tensor, graphs: Tensor) -> Tensor:
        """(D, P, S) log density of the parameters given the graphs."""
        density = log_normal(theta, 1.0).mT[..., None].to(graphs.dtype)
        return (graphs.flatten(1, 2) * density).sum(1)

    def deviations(self, theta: Tensor, graphs: Tensor, of: slice = slice(None)) -> Tensor:
        """(D, R + 1, N, P, S) for theta (D, P, F) and graphs (D, N, N, P, S) of the data sets `of`,
        in the graphs' dtype."""
        n = self.n_variables
        residual = self._residual(theta, graphs)
        products = graphs.new_empty((len(graphs), n * (n + 1) // 2, *residual.shape[2:]))
        start = 0
        for i in range(n):
            torch.mul(residual[:, i:], residual[:, i, None], out=products[:, start : start + n - i])
            start += n - i
        forms = torch.bmm(self._packed[graphs.dtype][of], products.flatten(2))
        return forms.view(len(graphs), -1, *residual.shape[2:])

    def size(self, theta: Tensor) -> Tensor:
        """(D, P) bound of the terms that `deviations` adds up: what its rounding errors are
        relative to."""
        bound = self._size[:, None] + (
            self._size[:, None, :, None] * theta.abs().unflatten(2, (self.n_variables, -1))
        ).sum(2)
        return bound.square().sum(-1)

    def pull(self, theta: Tensor, graphs: Tensor, weights: Tensor, d: int) -> tuple[Tensor, Tensor]:
        """Gradients of prior - weighted deviations of data set d: (M, N, N) by the graph and (M, F)
        by theta.

        theta: (M, F). graphs: (N, N, M). weights: (R + 1, N, M), of each place of `deviations`.
        """
        m, n = len(theta), self.n_variables
        gram = (weights.permute(2, 1, 0).reshape(m * n, -1) @ self._gram[d]).view(
            m, n, n, n
        )  # [:, j]: as child j sees it
        residual = self._residual(theta[None], graphs[None, ..., None])[0, ..., 0].permute(
            2, 1, 0
        )  # [:, j]: of child j
        slope = 2 * (gram @ residual[..., None]).squeeze(-1).mT  # by the product of graph and theta
        matrix, graphs = theta.view(m, n, n), graphs.permute(2, 0, 1)
        return slope * matrix + log_normal(matrix, 1.0), (graphs * (slope - matrix)).flatten(1)

    def _residual(self, theta: Tensor, graphs: Tensor) -> Tensor:
        """(D, N, N, P, S): column j holds the coefficients of x_j minus its mean."""
        matrix = theta.mT.to(graphs.dtype).reshape(
            len(theta), self.n_variables, self.n_variables, -1, 1
        )
        return self._identity.to(graphs.dtype) - graphs * matrix


class FullyConnected:
    """Mean of x_j = b2_j + sum over h of w2_jh sigmoid(b1_jh + sum over i of G[i, j] w1_ijh x_i),
    HIDDEN units per variable.

    All parameters have N(0, 1) priors, the first layer's weights only where there is an edge. The
    cost grows with the rows.
    """

    def __init__(self, samples: Sequence[Sequence[np.ndarray]], device: str = "cpu") -> None:
        n = samples[0][0].shape[1]
        self.n_variables = n
        self._sizes = [n * n * HIDDEN, n * HIDDEN, n * HIDDEN, n]
        self.n_parameters = sum(self._sizes)
        self._rows, self._members, self._codes, self._ends = [], [], [], []
        for data in samples:
            rows = torch.as_tensor(np.concatenate(data).astype(np.float64), device=device)
            code = torch.as_tensor(
                np.repeat(np.arange(len(data)), [len(x) for x in data]), device=device
            )
            member = (code == torch.arange(len(data), device=device)[:, None]).double()
            member[0] = 1.0
            member /= 2 * OBSERVATION_VARIANCE
            self._rows.append({t: rows.to(t) for t in (torch.float64, torch.float32)})
            self._members.append({t: member.to(t) for t in (torch.float64, torch.float32)})
            self._codes.append(code)
            self._ends.append(np.cumsum([len(x) for x in data]))

    def initial(self, generator: np.random.Generator, n_particles: int) -> np.ndarray:
        """(P, F) parameters at the start: Xavier's truncated normal for weights, N(0, .1^2) for
        biases."""

        def xavier(size: int, fan_in: int, fan_out: int) -> np.ndarray:
            draws = generator.standard_normal((n_particles, size))
            while (beyond := np.abs(draws) > 2).any():
                draws[beyond] = generator.standard_normal(int(beyond.sum()))
            return draws * math.sqrt(2 / (fan_in + fan_out)) / _TRUNCATED_STD

        w1, w2 = xavier(self._sizes[0], self.n_variables, HIDDEN), xavier(self._sizes[2], HIDDEN, 1)
        b1, b2 = (0.1 * generator.standard_normal((n_particles, self._sizes[k])) for k in (1, 3))
        return np.concatenate([w1, b1, w2, b2], axis=1)

    def unpack(self, theta: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Views of (..., F): w1 (..., H, N, N) as [unit, parent, child], b1 (..., H, N), w2 (...,
        H, N), b2 (..., N)."""
        n, lead = self.n_variables, theta.shape[:-1]
        w1, b1, w2, b2 = theta.split(self._sizes, dim=-1)
        return (
            w1.view(*lead, HIDDEN, n, n),
            b1.view(*lead, HIDDEN, n),
            w2.view(*lead, HIDDEN, n),
            b2,
        )

    def log_prior(self, theta: Tensor, graphs: Tensor) -> Tensor:
        """(D, P, S) log density of the parameters given the graphs."""
        density = (
            log_normal(self.unpack(theta)[0], 1.0).sum(2).flatten(2).mT[..., None].to(graphs.dtype)
        )
        free = log_normal(theta[..., self._sizes[0] :], 1.0).sum(-1, keepdim=True)
        return (graphs.flatten(1, 2) * density).sum(1) + free.to(graphs.dtype)

    def deviations(self, theta: Tensor, graphs: Tensor, of: slice = slice(None)) -> Tensor:
        """(D, R + 1, N, P, S) for theta (D, P, F) and graphs (D, N, N, P, S) of the data sets `of`,
        in the graphs' dtype."""
        found = graphs.new_empty((len(graphs), len(self._ends[0]), *graphs.shape[2:]))
        deviations = self._compiled_deviations if graphs.device.type == "cpu" else self._deviations
        for k, d in enumerate(range(len(self._rows))[of]):
            deviations(theta[k], graphs[k], d, found[k])
        return found

    def _deviations(self, theta: Tensor, graphs: Tensor, d: int, out: Tensor) -> None:
        """`deviations` of data set d into out (R + 1, N, P, S), for theta (P, F) and graphs (N, N,
        P, S)."""
        n = self.n_variables
        rows, member = self._rows[d][graphs.dtype], self._members[d][graphs.dtype]
        n_together = max(1, _CHUNK // (len(rows) * n * HIDDEN))
        scratch = rows.new_empty(
            (HIDDEN + 1) * len(rows) * n * n_together
        )  # new arrays would cost page faults
        for p in range(len(theta)):
            own = theta[p].to(graphs.dtype)
            for s in range(0, graphs.shape[3], n_together):
                part = graphs[:, :, p, s : s + n_together]
                residual = self._means(own, part, rows, scratch)[0].sub_(rows[..., None])
                sums = member @ residual.square_().flatten(1)
                out[:, :, p, s : s + n_together] = sums.view(len(member), n, -1)

    def _compiled_deviations(self, theta: Tensor, graphs: Tensor, d: int, out: Tensor) -> None:
        """`_deviations` on the CPU."""
        from cdnbench.methods.bacadi.compiled import deviations

        w1, b1, w2, b2 = (x.contiguous().numpy() for x in self.unpack(theta.to(graphs.dtype)))
        rows, precision = (
            self._rows[d][graphs.dtype].mT.contiguous().numpy(),
            1 / OBSERVATION_VARIANCE,
        )
        deviations(
            w1, b1, w2, b2, graphs.contiguous().numpy(), rows, self._ends[d], precision, out.numpy()
        )

    def size(self, theta: Tensor) -> Tensor:
        """(D, P) bound of the terms that `deviations` adds up: squares of the rows and of the
        largest possible means."""
        _, _, w2, b2 = self.unpack(theta)
        largest = ((w2.abs().sum(2) + b2.abs()) ** 2).sum(-1)  # (D, P)
        squares = torch.stack([x[torch.float64].square().sum() for x in self._rows])
        counts = torch.as_tensor([len(x[torch.float64]) for x in self._rows], device=theta.device)
        return (squares[:, None] + counts[:, None] * largest) / OBSERVATION_VARIANCE

    def pull(self, theta: Tensor, graphs: Tensor, weights: Tensor, d: int) -> tuple[Tensor, Tensor]:
        """Gradients of prior - weighted deviations of data set d: see `Linear.pull`."""
        weights = weights.movedim(-1, 0)  # (M, R + 1, N)
        weights = torch.cat(
            [weights[:, :1], weights[:, :1] + weights[:, 1:]], dim=1
        )  # of the rows of each data set
        weights, graphs = weights / OBSERVATION_VARIANCE, graphs.movedim(-1, 0)
        slopes = self._compiled_slopes if theta.device.type == "cpu" else self._slopes
        by_product, *by_others = slopes(theta, graphs, weights, d)
        w1 = self.unpack(theta)[0]
        d_graphs = (by_product * w1 + log_normal(w1, 1.0)).sum(1)
        by_w1 = graphs[:, None] * (by_product - w1)
        by_others = torch.cat([x.flatten(1) for x in by_others], dim=1) - theta[:, self._sizes[0] :]
        return d_graphs, torch.cat([by_w1.flatten(1), by_others], dim=1)

    def _slopes(self, theta: Tensor, graphs: Tensor, weights: Tensor, d: int) -> list[Tensor]:
        """Derivatives of minus half the weighted squared residuals of data set d.

        They are by the products of graphs and w1 (M, H, N, N), by b1, by w2 and by b2.

        theta: (M, F). graphs: (M, N, N). weights: (M, R + 1, N), for the rows of each data set.
        """
        rows = self._rows[d][torch.float64]
        found = []
        for one, graph, weight in zip(theta, graphs, weights, strict=True):
            w2 = self.unpack(one)[2]
            means, units = self._means(one, graph[..., None], rows)
            units = units[..., 0]  # (H, rows, N)
            force = (rows - means[..., 0]) * weight[self._codes[d]]  # (rows, N)
            inner = force * w2[:, None] * units * (1 - units)
            found.append(
                (
                    rows.mT @ inner,
                    inner.sum(1),
                    torch.einsum("hrj,rj->hj", units, force),
                    force.sum(0),
                )
            )
        return [torch.stack(x) for x in zip(*found, strict=True)]

    def _compiled_slopes(
        self, theta: Tensor, graphs: Tensor, weights: Tensor, d: int
    ) -> list[Tensor]:
        """`_slopes` on the CPU."""
        from cdnbench.methods.bacadi.compiled import slopes

        w1, b1, w2, b2 = (x.contiguous().numpy() for x in self.unpack(theta))
        by_product, by_b1, by_w2, by_b2 = found = [np.empty_like(x) for x in (w1, b1, w2, b2)]
        of_draws = graphs.movedim(0, -1).contiguous().numpy()
        rows = self._rows[d][torch.float64].mT.contiguous().numpy()
        weight = weights.contiguous().numpy()
        slopes(
            w1, b1, w2, b2, of_draws, rows, self._ends[d], weight, by_product, by_b1, by_w2, by_b2
        )
        return [torch.from_numpy(x) for x in found]

    def _means(
        self, theta: Tensor, graphs: Tensor, rows: Tensor, scratch: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Means (rows, N, S) and hidden units (H, rows, N, S) of one particle.

        Its parameters are (F,), the graphs (N, N, S). scratch: memory for both, to be reused by the
        next call.
        """
        w1, b1, w2, b2 = self.unpack(theta)
        n, size = self.n_variables, len(rows) * self.n_variables * graphs.shape[2]
        scratch = rows.new_empty((HIDDEN + 1) * size) if scratch is None else scratch
        units = scratch[: HIDDEN * size].view(HIDDEN, len(rows), -1)
        means = scratch[HIDDEN * size : (HIDDEN + 1) * size].view(len(rows), n, -1)
        torch.matmul(rows, (graphs * w1[..., None]).view(HIDDEN, n, -1), out=units)
        units = units.view(HIDDEN, *means.shape).add_(b1[:, None, :, None]).sigmoid_()
        torch.mul(units[0], w2[0, :, None], out=means)
        for h in range(1, HIDDEN):
            means.addcmul_(units[h], w2[h, :, None])
        return means.add_(b2[:, None]), units


Likelihood = Linear | FullyConnected
