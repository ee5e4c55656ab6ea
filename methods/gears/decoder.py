"""The decoder shared by all genes, which is where the time of training goes: its output and
gradients, for D perturbations at once.

    h = relu(a_g + c_d)         (H,)    a: of the gene, c: of the perturbation
    r = relu(norm1(W1 h))       (2H,)
    y = norm2(W2 r)             (H,)
    out[d, g] = v_g . y

norm1 and norm2 are batch normalisations over all (d, g), where perturbation d counts with weight
w_d (the share of the cells of a batch that had it). What the reference computes once per cell is
computed once per perturbation, with the same statistics.

Gradients are written out: statistics of W1 h come from the second moments of h, the centring and
scaling of norm1 are folded into W1 on the way forth and into one (H, H) product on the way back,
and arrays of one perturbation stay in the cache. Biases before a normalisation cancel and are left
out.
"""

from __future__ import annotations

import math
from typing import Any

import torch

EPS = 1e-5  # of every batch normalisation
_ROWS_AT_ONCE = 1024


class Workspace:
    """Memory that every step uses again.

    It belongs to one step at a time, from forward to backward.
    """

    def __init__(self, dtype: torch.dtype, device: str = "cpu") -> None:
        self.dtype, self.device = dtype, device
        self._held: dict[str, torch.Tensor] = {}

    def take(self, name: str, *shape: int) -> torch.Tensor:
        """Uninitialised."""
        size = math.prod(shape)
        if name not in self._held or self._held[name].numel() < size:
            self._held[name] = torch.empty(size, dtype=self.dtype, device=self.device)
        return self._held[name][:size].view(shape)


class Decoder(torch.autograd.Function):
    """apply(workspace, a (G, H), c (D, H), w (D,), W1 (2H, H), scale1, shift1 (2H,), W2 (H, 2H),
    scale2, shift2 (H,), v (G, H)) gives out (D, G) and, without gradients, mean and variance of W1
    h and of W2 r."""

    @staticmethod
    def forward(ctx: Any, memory: Workspace, a, c, w, w1, scale1, shift1, w2, scale2, shift2, v):  # type: ignore[override]
        (n, n_genes), hidden = (len(c), len(a)), a.shape[1]
        step = min(n, max(1, _ROWS_AT_ONCE // n_genes))
        h, y = memory.take("h", n, n_genes, hidden), memory.take("y", n, n_genes, hidden)
        r = memory.take("r", n, n_genes, 2 * hidden)
        blocks = [x.split(step) for x in (h, r, y)]
        weights, each_gene = w.split(step), a.new_ones(1, n_genes)
        of_h, moment_h = a.new_empty(n, hidden), a.new_zeros(hidden, hidden)
        for h_k, c_k, w_k, of_k in zip(
            blocks[0], c[:, None].split(step), weights, of_h.split(step), strict=True
        ):
            torch.add(a, c_k, out=h_k).relu_()
            torch.matmul(each_gene, h_k, out=of_k[:, None])
            if step == 1:
                moment_h.addmm_(h_k[0].T, h_k[0], alpha=w_k.item())
            else:
                moment_h += torch.tensordot(w_k, torch.bmm(h_k.mT, h_k), 1)
        mean_h = w @ of_h / n_genes
        moment_h /= n_genes
        mean1 = w1 @ mean_h
        var1 = (w1 @ (moment_h - torch.outer(mean_h, mean_h)) * w1).sum(1).clamp_min(0)
        inv1 = torch.rsqrt(var1 + EPS)
        folded, bias = (
            ((scale1 * inv1)[:, None] * w1).T.contiguous(),
            shift1 - scale1 * inv1 * mean1,
        )
        of_y, of_square = a.new_empty(n, hidden), a.new_empty(n, hidden)
        scratch = memory.take("narrow", step, n_genes, hidden)
        for h_k, r_k, y_k, of_k, square_k in zip(
            *blocks, of_y.split(step), of_square.split(step), strict=True
        ):
            torch.addmm(bias, _rows(h_k), folded, out=_rows(r_k)).relu_()
            torch.mm(_rows(r_k), w2.T, out=_rows(y_k))
            torch.matmul(each_gene, y_k, out=of_k[:, None])
            torch.matmul(
                each_gene, torch.mul(y_k, y_k, out=scratch[: len(y_k)]), out=square_k[:, None]
            )
        mean2 = w @ of_y / n_genes
        var2 = (w @ of_square / n_genes - mean2 * mean2).clamp_min(0)
        inv2 = torch.rsqrt(var2 + EPS)
        scaled = v * (scale2 * inv2)
        out = a.new_empty(n, n_genes)
        for y_k, out_k in zip(blocks[2], out.split(step), strict=True):
            torch.sum(torch.mul(y_k, scaled, out=scratch[: len(y_k)]), 2, out=out_k)
        out += v @ shift2 - scaled @ mean2
        ctx.save_for_backward(
            w, w1, scale1, w2, scale2, shift2, v, mean_h, moment_h, mean1, inv1, mean2, inv2
        )
        ctx.memory, ctx.step, ctx.blocks = memory, step, blocks
        moments = mean1, var1, mean2, var2
        ctx.mark_non_differentiable(*moments)
        return out, *moments

    @staticmethod
    def backward(ctx: Any, g_out, *_):  # type: ignore[override]
        w, w1, scale1, w2, scale2, shift2, v, mean_h, moment_h, mean1, inv1, mean2, inv2 = (
            ctx.saved_tensors
        )
        step, (h, r, y) = ctx.step, ctx.blocks
        (n, n_genes), hidden = g_out.shape, w2.shape[0]
        scratch = ctx.memory.take("narrow", step, n_genes, hidden)
        g_wide = ctx.memory.take("wide", step, n_genes, 2 * hidden)
        g_outs = g_out[:, :, None].split(step)

        total = g_out.sum(0)[:, None]
        product = torch.zeros_like(v)
        for y_k, g_k in zip(y, g_outs, strict=True):
            if step == 1:
                product.addcmul_(y_k[0], g_k[0])
            else:
                product += torch.mul(y_k, g_k, out=scratch[: len(y_k)]).sum(0)
        product = (product - mean2 * total) * inv2  # sum over d of g_out times the normalised y
        g_v, g_scale2, g_shift2 = (
            scale2 * product + shift2 * total,
            (v * product).sum(0),
            (v * total).sum(0),
        )

        slope = scale2 * g_scale2 * inv2 * inv2
        level = scale2 * g_shift2 * inv2 - slope * mean2
        weight = (w / n_genes)[:, None, None]
        slopes, levels = (weight * slope).split(step), (weight * level).split(step)
        scaled, narrowed = v * (scale2 * inv2), (scale1 * inv1)[:, None] * w1
        g_w2, outer = torch.zeros_like(w2), torch.zeros_like(w1)
        g_shift1, each_row = v.new_zeros(1, 2 * hidden), v.new_ones(1, step * n_genes)
        for h_k, r_k, y_k, g_k, slope_k, level_k in zip(
            h, r, y, g_outs, slopes, levels, strict=True
        ):
            g_y, g_r = scratch[: len(y_k)], g_wide[: len(y_k)]
            torch.mul(scaled, g_k, out=g_y)
            g_y.addcmul_(y_k, slope_k, value=-1).sub_(level_k)
            g_w2.addmm_(_rows(g_y).T, _rows(r_k))
            torch.mm(_rows(g_y), w2, out=_rows(g_r))
            torch.ops.aten.threshold_backward.grad_input(g_r, r_k, 0, grad_input=g_r)
            g_shift1.addmm_(each_row[:, : len(y_k) * n_genes], _rows(g_r))
            outer.addmm_(_rows(g_r).T, _rows(h_k))
            torch.mm(
                _rows(g_r), narrowed, out=_rows(y_k)
            )  # y is no longer needed: it holds the gradient of h from here

        g_shift1 = g_shift1[0]
        g_scale1 = inv1 * ((w1 * outer).sum(1) - mean1 * g_shift1)
        normalised_h = inv1[:, None] * (w1 @ moment_h - torch.outer(mean1, mean_h))
        g_w1 = (scale1 * inv1)[:, None] * (
            outer - torch.outer(g_shift1, mean_h) - g_scale1[:, None] * normalised_h
        )  # fmt: skip
        back = w1.T @ ((scale1 * inv1 * inv1 * g_scale1)[:, None] * w1)
        level = (scale1 * inv1 * g_shift1 - mean1 * scale1 * inv1 * inv1 * g_scale1) @ w1
        backs, levels = (-weight * back).split(step), (weight * level).split(step)
        g_a, g_c, each_gene = torch.zeros_like(v), v.new_empty(n, hidden), v.new_ones(1, n_genes)
        for h_k, g_h, back_k, level_k, g_ck in zip(
            h, y, backs, levels, g_c.split(step), strict=True
        ):
            torch.baddbmm(g_h, h_k, back_k, out=g_h)
            g_h.sub_(level_k)
            torch.ops.aten.threshold_backward.grad_input(g_h, h_k, 0, grad_input=g_h)
            g_a += g_h[0] if step == 1 else g_h.sum(0)
            torch.matmul(each_gene, g_h, out=g_ck[:, None])
        return None, g_a, g_c, None, g_w1, g_scale1, g_shift1, g_w2, g_scale2, g_shift2, g_v


def _rows(x: torch.Tensor) -> torch.Tensor:
    return x.view(-1, x.shape[-1])
