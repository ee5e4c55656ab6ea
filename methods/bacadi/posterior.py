"""The density that the particles of BaCaDI follow, and the Monte Carlo estimates of its gradients.

A particle is (Z, theta, means, gamma). With alpha_t = alpha_linear t and beta_t = beta_linear t at
step t,

    P(edge i -> j) = sigmoid(alpha_t u_i . v_j),  P(j is a target of regime e) = sigmoid(alpha_t
    gamma_je / 2),

    d/dx log E[p(D, theta, means | G, I)] = E[p(D, ... | G, I) d/dx log p(D, ... | G, I)] / E[p(D,
    ... | G, I)],

estimated from S draws of G and I, hence a mean of gradients weighted by softmax(log p) over the
draws. Draws are hard (0/1) except for the one whose parameter is differentiated, which is relaxed:
sigmoid(alpha_t u_i . v_j + logistic noise) for Z, and so for gamma.

The log p of the draws differ by thousands, so that few draws have any weight. All draws are
screened in single precision; those that may come within `exp(-_NEGLIGIBLE)` of the best, rounding
errors allowed for, are computed again in double precision together with their gradients. The result
is that of double precision throughout.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from cdnbench.methods.bacadi.likelihood import Likelihood, Regimes

GAMMA_VARIANCE = 0.1
_CHUNK = 1 << 17  # numbers in an intermediate array: on a CPU, it stays in the cache
_NEGLIGIBLE = 45.0  # nats below the best draw
_ROUNDING = 4e-6  # error of a screened log density, relative to the sum of the sizes of its terms
_SMALLEST_P = 1e-8  # P(target) is clipped to [this, 1 - this] in its beta prior


@dataclass(frozen=True)
class Particles:
    """z: (D, P, N, N, 2), the embeddings u (last index 0) and v (1) of N variables in N dimensions.
    theta: (D, P, F).
    means: (D, P, R, N) of targets. gamma: (D, P, R, N). All float64.
    """

    z: Tensor
    theta: Tensor
    means: Tensor
    gamma: Tensor

    def tensors(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        return self.z, self.theta, self.means, self.gamma


@dataclass(frozen=True)
class Noise:
    """int16 words w that stand for uniform draws (w + 32768.5) / 65536.

    graphs: (D, N, N, P, S). targets: (D, R, N, P, S). cycles: (D, P, S', N, N). sparsity: (D, R, N,
        P, S').
    """

    graphs: Tensor
    targets: Tensor
    cycles: Tensor
    sparsity: Tensor


@dataclass(frozen=True)
class Prior:
    """The annealing schedules and the strength of the priors; see `cdnbench.methods.bacadi.bacadi`
    for their meaning."""

    alpha_linear: float = 0.01
    beta_linear: float = 1.0
    lambda_regul: float = 1.0
    edges_per_node: float = 2.0


def edge_scores(z: Tensor) -> Tensor:
    """(D, P, N, N): u_i . v_j."""
    return z[..., 0] @ z[..., 1].mT


def relaxed(words: Tensor, odds: Tensor) -> Tensor:
    """sigmoid(logit(u) + log odds) in the odds' dtype, without a transcendental function. Half or
    more is a hard 1."""
    u = words.to(odds.dtype).add_(32768.5).mul_(2.0**-16)
    return u.div_((1 - u).div_(odds).add_(u))


class Posterior:
    """Log joint density and gradients for D data sets at once, each with its own particles and
    noise."""

    def __init__(self, likelihood: Likelihood, regimes: Regimes, prior: Prior) -> None:
        self.likelihood, self.regimes, self.prior = likelihood, regimes, prior
        n = likelihood.n_variables
        p = prior.edges_per_node * n / (n * (n - 1) / 2)
        p = p if p < 1 else (n - 1) / n
        self._edge_log_odds = math.log(p) - math.log1p(-p)
        self._constant = regimes.constant(n)

    def log_joint(self, theta: Tensor, means: Tensor, graphs: Tensor, targets: Tensor) -> Tensor:
        """(D, P, S) log p(rows, theta, means | G, I) for graphs (D, N, N, P, S) and targets (D, R,
        N, P, S), soft or hard."""
        targets = torch.cat([-torch.ones_like(targets[:, :1]), targets], dim=1)
        return self._log_joint(theta, graphs, targets, self._gain(means))[0]

    def gradients(self, particles: Particles, t: int, noise: Noise) -> Particles:
        """d/dx of the log density for each part x of a particle, priors included, at step t."""
        z, theta, means, gamma = particles.tensors()
        alpha = self.prior.alpha_linear * t
        n = z.shape[2]
        edge_odds = (alpha * edge_scores(z)).exp() * (
            1 - torch.eye(n, dtype=z.dtype, device=z.device)
        )
        target_odds = (alpha / 2 * gamma).exp()
        d_graphs, d_theta, d_means, d_targets = self._likelihood_gradients(
            theta, means, edge_odds, target_odds, noise
        )
        d_scores = alpha * (d_graphs + self._graph_prior(edge_odds, t, noise))
        d_gamma = (
            alpha / 2 * (d_targets + self._target_prior(target_odds, noise))
            - gamma / GAMMA_VARIANCE
        )
        d_z = (
            torch.stack([d_scores @ z[..., 1], d_scores.mT @ z[..., 0]], dim=-1) - z * n
        )  # prior variance 1 / N
        return Particles(d_z, d_theta, d_means, d_gamma)

    def _graph_prior(self, edge_odds: Tensor, t: int, noise: Noise) -> Tensor:
        """(D, P, N, N) d/d(alpha score): number of edges, and expected acyclicity tr (1 + G / N)^N
        - N of relaxed graphs."""
        n = edge_odds.shape[-1]
        graphs = relaxed(noise.cycles, edge_odds[:, :, None])
        step = torch.eye(n, dtype=graphs.dtype, device=graphs.device) + graphs / n
        cycles = (torch.linalg.matrix_power(step, n - 1).mT * graphs * (1 - graphs)).mean(2)
        return (
            self._edge_log_odds * edge_odds / (1 + edge_odds) ** 2
            - self.prior.beta_linear * t * cycles
        )

    def _target_prior(self, target_odds: Tensor, noise: Noise) -> Tensor:
        """(D, P, R, N) d/d(alpha gamma / 2): Beta(1 / N, 1 - 1 / N) for P(target), and the expected
        number of targets."""
        n = target_odds.shape[-1]
        p = 1 - 1 / (1 + target_odds)
        beta = torch.where((p > _SMALLEST_P) & (p < 1 - _SMALLEST_P), 1 / n - 1 + p, 0.0)
        targets = relaxed(noise.sparsity, target_odds.movedim(1, 3).float()[..., None])
        return beta - self.prior.lambda_regul * (targets * (1 - targets)).mean(-1).movedim(3, 1)

    def _likelihood_gradients(
        self, theta: Tensor, means: Tensor, edge_odds: Tensor, target_odds: Tensor, noise: Noise
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Estimates by alpha score (D, P, N, N), theta, means, and alpha gamma / 2 (D, P, R, N)."""
        gain = self._gain(means)
        heavy = self._heavy(theta, gain, edge_odds, target_odds, noise)
        d_graphs, d_theta = torch.zeros_like(edge_odds), torch.zeros_like(theta)
        d_means, d_targets = torch.zeros_like(means), torch.zeros_like(target_odds)
        slope = self.regimes.advantage_slope(means)
        for d in range(len(theta)):
            for kind, (p, s) in enumerate(heavy[d]):
                if len(p.unique()) < theta.shape[1]:  # a density that is not finite has no draw
                    d_theta[d] = torch.nan
                    break
                graphs = relaxed(noise.graphs[d, :, :, p, s], edge_odds[d, p].movedim(0, -1))
                inner = relaxed(noise.targets[d, :, :, p, s], target_odds[d, p].movedim(0, -1))
                hard_graphs, hard_targets = graphs.round(), inner.round()
                if kind == 0:  # theta and means
                    weight, by_theta, _, _ = self._pull(
                        theta, gain, hard_graphs, hard_targets, d, p
                    )
                    d_theta[d].index_add_(0, p, weight[:, None] * by_theta())
                    d_means[d].index_add_(
                        0, p, weight[:, None, None] * hard_targets.movedim(-1, 0) * slope[d, p]
                    )
                elif kind == 1:  # gamma
                    weight, _, _, by_targets = self._pull(theta, gain, hard_graphs, inner, d, p)
                    d_targets[d].index_add_(
                        0, p, (weight * by_targets * inner * (1 - inner)).movedim(-1, 0)
                    )
                else:  # Z
                    weight, _, by_graphs, _ = self._pull(theta, gain, graphs, hard_targets, d, p)
                    spread = (graphs * (1 - graphs)).movedim(-1, 0)
                    d_graphs[d].index_add_(0, p, weight[:, None, None] * by_graphs() * spread)
        return d_graphs, d_theta, d_means, d_targets

    def _gain(self, means: Tensor) -> Tensor:
        """(D, R + 1, N, P, 1) what a target adds to its deviations; 0 in place 0, that of all
        rows."""
        gain = self.regimes.advantage(means).movedim(1, 3)
        return torch.cat([torch.zeros_like(gain[:, :1]), gain], dim=1)[..., None]

    def _log_joint(
        self, theta: Tensor, graphs: Tensor, targets: Tensor, gain: Tensor, of: slice = slice(None)
    ) -> tuple[Tensor, Tensor]:
        """(D, P, S) log joint density and (D, R + 1, N, P, S) its slope by the targets, of the data
        sets `of`.

        targets: (D, R + 1, N, P, S), -1 in place 0: all deviations count against the density,
            except those of targets.
        """
        by_targets = self.likelihood.deviations(theta, graphs, of) + gain
        log_joint = (by_targets * targets).sum((1, 2)) + self.likelihood.log_prior(theta, graphs)
        return log_joint + self._constant[of, None, None], by_targets

    def _heavy(
        self, theta: Tensor, gain: Tensor, edge_odds: Tensor, target_odds: Tensor, noise: Noise
    ) -> list[list[tuple[Tensor, Tensor]]]:
        """The draws that may have weight, as (p, s).

        One pair of arrays per data set and per estimate (by theta, by gamma and by Z).
        """
        n_particles = theta.shape[1]
        size = self.likelihood.size(theta) + gain.abs().sum((1, 2, 4))
        margin = (_NEGLIGIBLE + _ROUNDING * size).float()[..., None]
        at_once = n_particles
        if theta.device.type == "cpu":
            at_once = max(1, _CHUNK // noise.targets[..., 0, :].numel())
        found: list[list[Tensor]] = [[], [], []]
        for first in range(0, n_particles, at_once):
            part = slice(first, first + at_once)
            draws = self._screened(
                theta[:, part], gain[..., part, :], edge_odds, target_odds, noise, part
            )
            for masks, log_joint in zip(found, draws, strict=True):
                masks.append(log_joint >= log_joint.amax(-1, keepdim=True) - margin[:, part])
        each = [torch.cat(masks, dim=1) for masks in found]
        return [[mask[d].nonzero().unbind(1) for mask in each] for d in range(len(theta))]  # type: ignore[misc]

    def _screened(
        self,
        theta: Tensor,
        gain: Tensor,
        edge_odds: Tensor,
        target_odds: Tensor,
        noise: Noise,
        part: slice,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """(D, P, S) log joint of the particles `part`, for theta, gamma and Z.

        It is in single precision and leaves out a constant.
        """
        gain = gain.float()
        graphs = relaxed(
            noise.graphs[..., part, :], edge_odds[:, part].movedim(1, 3).float()[..., None]
        )
        inner = relaxed(
            noise.targets[..., part, :], target_odds[:, part].movedim(1, 3).float()[..., None]
        )
        hard_graphs, hard_targets = graphs.round(), inner.round()
        by_targets = self.likelihood.deviations(theta, hard_graphs).add_(gain)
        prior = self.likelihood.log_prior(theta, hard_graphs) - by_targets[:, 0].sum(1)
        by_theta = prior + (by_targets[:, 1:] * hard_targets).sum((1, 2))
        by_gamma = prior + inner.mul_(by_targets[:, 1:]).sum((1, 2))
        by_targets = self.likelihood.deviations(theta, graphs).add_(gain)
        prior = self.likelihood.log_prior(theta, graphs) - by_targets[:, 0].sum(1)
        return by_theta, by_gamma, prior + hard_targets.mul_(by_targets[:, 1:]).sum((1, 2))

    def _pull(
        self, theta: Tensor, gain: Tensor, graphs: Tensor, targets: Tensor, d: int, p: Tensor
    ) -> tuple[Tensor, Callable[[], Tensor], Callable[[], Tensor], Tensor]:
        """What the draws M of data set d contribute to the gradients.

        Returns their softmax weights (M,) within their particles p, and the gradients of the log
        joint by theta (M, F), by the graph (M, N, N) and by the targets (R, N, M). The first two
        gradients are computed when they are called.
        """
        targets = torch.cat([-torch.ones_like(targets[:1]), targets])
        log_joint, by_targets = self._log_joint(
            theta[d, p][None],
            graphs[None, ..., None],
            targets[None, ..., None],
            gain[d, ..., p, :][None],
            slice(d, d + 1),
        )
        log_joint = log_joint[0, :, 0]
        best = log_joint.new_full((theta.shape[1],), -math.inf).scatter_reduce_(
            0, p, log_joint, "amax"
        )
        weight = (log_joint - best[p]).exp()
        total = torch.zeros_like(best).index_add_(0, p, weight)
        pull = lambda of: self.likelihood.pull(theta[d, p], graphs, -targets, d)[of]  # noqa: E731
        return weight / total[p], lambda: pull(1), lambda: pull(0), by_targets[0, 1:, :, :, 0]
