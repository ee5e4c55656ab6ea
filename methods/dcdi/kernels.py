"""Training iterations of DCDI for one data set on a CPU, compiled: the networks of `networks`
without an array of its own for each operation. Everything is float64.

T nodes, J candidate parents (T = J = N), E interventional regimes (numbered 1..E; 0 is
observational), B rows, H hidden units, P outputs of a node's network. One node is worked on at a
time, so that its activations (B, H) stay in the processor's first cache.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from cdnbench.methods.dcdi.flow import flow_log_density
from cdnbench.methods.dcdi.masks import mask, mask_hard, odds_of, uniform
from cdnbench.methods.dcdi.shapes import LEAK, RMS_DECAY, RMS_EPSILON
from cdnbench.methods.statistics.elementary import LOG_SQRT_2PI, add, compiled, inner


class Network(NamedTuple):
    """Parameters as `shapes.Shapes` names them, or their gradients."""

    w1: np.ndarray
    b1: np.ndarray
    w2: np.ndarray
    b2: np.ndarray
    w3: np.ndarray
    b3: np.ndarray
    edges: np.ndarray
    keep: np.ndarray
    log_scale: np.ndarray


class Intervened(NamedTuple):
    """Networks of the (node, regime) pairs at t * E + e. first (T * E, J, H) is not trained.

    square: the mean squares of RMSprop, as they were at iteration `last` (T * E,).
    """

    rows: np.ndarray
    first: np.ndarray
    square: np.ndarray
    last: np.ndarray


class Work(NamedTuple):
    """What one node needs for at most B rows, and for the S <= B regimes that are met among
    them."""

    soft: np.ndarray  # (B, J)
    inputs: np.ndarray  # (B, J)
    of_inputs: np.ndarray  # (B, J)
    h1: np.ndarray  # (B, H)
    h2: np.ndarray
    g1: np.ndarray
    g2: np.ndarray
    outputs: np.ndarray  # (P * B,), used as (P, rows)
    g3: np.ndarray
    soft_keep: np.ndarray  # (B,)
    slot: np.ndarray  # (B,) int64: place among the regimes met, -1: the observational mechanism
    slot_of: np.ndarray  # (E,) int64, -1 between nodes
    met: np.ndarray  # (S,) int64: regimes
    c1: np.ndarray  # (S, H): activations of their networks
    c2: np.ndarray
    c3: np.ndarray  # (S, P)
    d1: np.ndarray  # (S, H): gradients
    d2: np.ndarray
    d3: np.ndarray  # (S, P)
    of_hidden: np.ndarray  # (H (H + 2),): gradients of b1, w2 and b2 of one such network
    column: np.ndarray  # (B,): one variable
    flow: np.ndarray  # (layers, 5, width, B); no layers: a Gaussian
    between: np.ndarray  # (layers + 1, 4, B)


def work(
    n: int, n_regimes: int, hidden: int, n_outputs: int, flow: tuple[int, int], n_rows: int
) -> Work:
    """Arrays for at most n_rows rows. flow: layers and width, (0, 0) for a Gaussian."""
    s = min(n_rows, n_regimes)
    layers, width = flow
    by_row = {name: np.zeros((n_rows, n)) for name in ("soft", "inputs", "of_inputs")}
    by_row |= {name: np.zeros((n_rows, hidden)) for name in ("h1", "h2", "g1", "g2")}
    by_regime = {name: np.zeros((s, hidden)) for name in ("c1", "c2", "d1", "d2")}
    by_regime |= {name: np.zeros((s, n_outputs)) for name in ("c3", "d3")}
    return Work(
        **by_row,
        **by_regime,
        outputs=np.zeros(n_outputs * n_rows),
        g3=np.zeros(n_outputs * n_rows),
        soft_keep=np.zeros(n_rows),
        slot=np.full(n_rows, -1, dtype=np.int64),
        slot_of=np.full(n_regimes, -1, dtype=np.int64),
        met=np.full(s, -1, dtype=np.int64),
        of_hidden=np.zeros(hidden * (hidden + 2)),
        column=np.zeros(n_rows),
        flow=np.zeros((layers, 5, width, n_rows)),
        between=np.zeros((layers + 1, 4, n_rows)),
    )


@compiled
def _leaky(z, bias):
    for b in range(z.shape[0]):
        for k in range(z.shape[1]):
            v = z[b, k] + bias[k]
            z[b, k] = max(v, LEAK * v)


@compiled
def _through_leaky(g, h):
    for b in range(g.shape[0]):
        for k in range(g.shape[1]):
            g[b, k] *= 1.0 if h[b, k] > 0.0 else LEAK


@compiled
def _layers(flat, h, n_outputs):
    """b1, w2, b2, w3, b3 of one flat network (`shapes.Shapes.rows`)."""
    w2, b2 = h, h + h * h
    w3 = b2 + h
    b3 = w3 + h * n_outputs
    return (
        flat[:h],
        flat[w2:b2].reshape(h, h),
        flat[b2:w3],
        flat[w3:b3].reshape(h, n_outputs),
        flat[b3:],
    )


@compiled
def _constant(flat, c1, c2, c3):
    """Activations and outputs of a network at input zero."""
    b1, w2, b2, w3, b3 = _layers(flat, len(c1), len(c3))
    for k in range(len(c1)):
        c1[k] = max(b1[k], LEAK * b1[k])
    _affine(c1, w2, b2, c2)
    for k in range(len(c2)):
        c2[k] = max(c2[k], LEAK * c2[k])
    _affine(c2, w3, b3, c3)


@compiled
def _affine(x, weights, bias, out):
    for k in range(len(out)):
        out[k] = bias[k]
    for j in range(len(x)):
        for k in range(len(out)):
            out[k] += x[j] * weights[j, k]


@compiled
def _back(g, weights, h, out):
    """Gradient before the leaky units h that feed `weights`."""
    for j in range(len(h)):
        total = 0.0
        for k in range(len(g)):
            total += g[k] * weights[j, k]
        out[j] = total * (1.0 if h[j] > 0.0 else LEAK)


@compiled
def _forward(t, net, intervened, x, regime, edge_noise, target_noise, odds, keep_odds, w, soft):
    """Outputs of node t for rows x (B, J), into w.outputs; the number of regimes met, whose slots
    are in w. soft: whether w.soft is needed."""
    n_rows, n = x.shape
    n_regimes = keep_odds.shape[1]
    n_outputs = w.c3.shape[1]
    if soft:
        mask(x, edge_noise, odds[t], w.soft, w.inputs)
    else:
        mask_hard(x, edge_noise, odds[t], w.inputs)
    h1, h2 = w.h1[:n_rows], w.h2[:n_rows]
    outputs = w.outputs[: n_outputs * n_rows].reshape(n_outputs, n_rows)
    np.dot(w.inputs[:n_rows], net.w1[t], h1)
    _leaky(h1, net.b1[t])
    np.dot(h1, net.w2[t], h2)
    _leaky(h2, net.b2[t])
    np.dot(net.w3[t].T, h2.T, outputs)
    for k in range(n_outputs):
        outputs[k] += net.b3[t, k]
    n_met = 0
    for b in range(n_rows):
        r = regime[b] - 1
        s = -1
        if r >= 0:
            u = uniform(target_noise[b])
            scaled = keep_odds[t, r] * u
            w.soft_keep[b] = scaled / (1.0 - u + scaled)
            if w.soft_keep[b] <= 0.5:
                s = w.slot_of[r]
                if s < 0:
                    s = n_met
                    w.slot_of[r], w.met[s] = s, r
                    _constant(intervened.rows[t * n_regimes + r], w.c1[s], w.c2[s], w.c3[s])
                    n_met += 1
        w.slot[b] = s
        if s >= 0:
            for k in range(n_outputs):
                outputs[k, b] = w.c3[s, k]
    for s in range(n_met):
        w.slot_of[w.met[s]] = -1
    return n_met


@compiled
def _density(t, net, x, gradient, w, of_scale):
    """Sum of the log-densities of x[:, t] given w.outputs; derivatives, times `gradient`, into w.g3
    and of_scale[t]."""
    n_rows, n_outputs = x.shape[0], w.c3.shape[1]
    outputs = w.outputs[: n_outputs * n_rows].reshape(n_outputs, n_rows)
    g3 = w.g3[: n_outputs * n_rows].reshape(n_outputs, n_rows)
    column = w.column[:n_rows]
    column[:] = x[:, t]
    if w.flow.shape[0] > 0:
        return flow_log_density(column, outputs, gradient, g3, w)
    log_scale = net.log_scale[t]
    precision = math.exp(-2.0 * log_scale)
    squares = 0.0
    for b in range(n_rows):
        residual = column[b] - outputs[0, b]
        squares += residual * residual * precision
        g3[0, b] = gradient * residual * precision
    of_scale[t] += gradient * (squares - n_rows)
    return -0.5 * squares - n_rows * (log_scale + LOG_SQRT_2PI)


@compiled
def _backward(t, net, intervened, x, regime, n_met, w, g):
    """Gradients of the observational network and masks of node t into g, of the regimes met into
    w.d1, d2, d3."""
    n_rows, n = x.shape
    n_regimes, h, n_outputs = net.keep.shape[1], w.h1.shape[1], w.c3.shape[1]
    g1, g2, h1, h2 = w.g1[:n_rows], w.g2[:n_rows], w.h1[:n_rows], w.h2[:n_rows]
    g3 = w.g3[: n_outputs * n_rows].reshape(n_outputs, n_rows)
    w.d1[:n_met], w.d2[:n_met], w.d3[:n_met] = 0.0, 0.0, 0.0
    for b in range(n_rows):  # g2 and g1 of intervened rows belong to the networks of their regimes
        s = w.slot[b]
        if s >= 0:
            i = t * n_regimes + regime[b] - 1
            _, w2, _, w3, _ = _layers(intervened.rows[i], h, n_outputs)
            of_output = g3[:, b].copy()
            g3[:, b] = 0.0
            _back(of_output, w3, w.c2[s], g2[b])
            _back(g2[b], w2, w.c1[s], g1[b])
            add(g1[b], w.d1[s])
            add(g2[b], w.d2[s])
            add(of_output, w.d3[s])
            dot = 0.0
            for j in range(n):
                if w.inputs[b, j] != 0.0:
                    dot += w.inputs[b, j] * inner(intervened.first[i, j], g1[b])
            g.keep[t, regime[b] - 1] += dot * w.soft_keep[b] * (1.0 - w.soft_keep[b])
    np.dot(h2.T, g3.T, g.w3[t])
    np.dot(g3.T, net.w3[t].T, g2)
    _through_leaky(g2, h2)
    np.dot(h1.T, g2, g.w2[t])
    np.dot(g2, net.w2[t].T, g1)
    _through_leaky(g1, h1)
    np.dot(w.inputs[:n_rows].T, g1, g.w1[t])
    np.dot(g1, net.w1[t].T, w.of_inputs[:n_rows])
    for k in range(n_outputs):
        g.b3[t, k] = g3[k].sum()
    of_edges = g.edges[t]
    for b in range(n_rows):
        add(g1[b], g.b1[t])
        add(g2[b], g.b2[t])
        for j in range(n):
            of_edges[j] += w.of_inputs[b, j] * x[b, j] * w.soft[b, j] * (1.0 - w.soft[b, j])
        if regime[b] > 0 and w.slot[b] < 0:
            dot = inner(w.of_inputs[b], w.inputs[b])
            g.keep[t, regime[b] - 1] += dot * w.soft_keep[b] * (1.0 - w.soft_keep[b])


@compiled
def _update_intervened(t, intervened, n_met, n_regimes, w, learning_rate, iteration):
    """RMSprop of the networks that were met. Those that were not have gradient zero: their mean
    squares only decay, which is made up for when they are next met."""
    h, n_outputs = w.d1.shape[1], w.d3.shape[1]
    for s in range(n_met):
        i = t * n_regimes + w.met[s]
        decay = RMS_DECAY ** (iteration - intervened.last[i])
        intervened.last[i] = iteration
        row, square = intervened.rows[i], intervened.square[i]
        w.of_hidden[:h], w.of_hidden[h + h * h :] = w.d1[s], w.d2[s]
        for j in range(h):
            at = h + h * j
            for k in range(h):
                w.of_hidden[at + k] = w.c1[s, j] * w.d2[s, k]
        w3 = len(w.of_hidden)
        b3 = w3 + h * n_outputs
        _rmsprop(row[:w3], 1.0, w.of_hidden, square[:w3], decay, learning_rate)
        if n_outputs == 1:
            _rmsprop(row[w3:b3], w.d3[s, 0], w.c2[s], square[w3:b3], decay, learning_rate)
        else:
            for j in range(h):
                at = slice(w3 + j * n_outputs, w3 + (j + 1) * n_outputs)
                _rmsprop(row[at], w.c2[s, j], w.d3[s], square[at], decay, learning_rate)
        _rmsprop(row[b3:], 1.0, w.d3[s], square[b3:], decay, learning_rate)


@compiled
def _rmsprop(p, scale, g, square, decay, learning_rate):
    """A step of p along scale g."""
    for k in range(len(p)):
        gradient = scale * g[k]
        square[k] = decay * square[k] + (1.0 - RMS_DECAY) * gradient * gradient
        p[k] -= learning_rate * gradient / (math.sqrt(square[k]) + RMS_EPSILON)


@compiled
def _expm(a):
    """e^a of a small square matrix without negative entries: 16 terms of the series for a / 2^k,
    squared k times."""
    n, largest, squarings = len(a), 0.0, 0
    for i in range(n):
        largest = max(largest, a[i].sum())
    while largest > 0.5 and squarings < 60:
        largest, squarings = largest / 2, squarings + 1
    a = a * 0.5**squarings
    identity = np.eye(n)
    e = identity + a / 16
    for k in range(15, 0, -1):
        e = identity + np.dot(a, e) / k
    for _ in range(squarings):
        e = np.dot(e, e)
    return e


@compiled
def _probabilities(net, allowed):
    edges = np.empty_like(net.edges)
    for i in range(edges.shape[0]):
        for j in range(edges.shape[1]):
            edges[i, j] = allowed[i, j] / (1.0 + math.exp(-net.edges[i, j]))
    return edges


@compiled
def iterate(
    net,
    intervened,
    allowed,
    w,
    g,
    flat,
    flat_g,
    flat_square,
    data,
    regimes,
    index,
    edge_noise,
    target_noise,
    iteration,
    penalty,
    mu,
    gamma,
    full_constraint,
    is_free,
    target_penalty,
    learning_rate,
):
    """K iterations of training; of the last one, before its step: loss, constraint and edge
    probabilities (T, J).

    net, g: views into flat and flat_g (L,); flat_square: mean squares of RMSprop. allowed (T, J): 1
    where an edge may be. data (M, J), regimes (M,): all training rows; index (K, B) picks.
    edge_noise (K, T, B, J), target_noise (K, T, B): words, or uniform on [0, 1) (`uniform`).
    iteration: the first one's number. penalty: of one edge. full_constraint: tr e^A - T of the full
    graph. is_free: 0 once edges are thresholded.
    """
    n, n_rows = data.shape[1], index.shape[1]
    x, regime = np.empty((n_rows, n)), np.empty(n_rows, dtype=np.int64)
    loss = h = 0.0
    edges = allowed
    for i in range(len(index)):
        for b in range(n_rows):
            regime[b] = regimes[index[i, b]]
            for j in range(n):
                x[b, j] = data[index[i, b], j]
        flat_g[:] = 0.0
        odds, keep_odds = odds_of(net.edges) * allowed, odds_of(net.keep)
        edges = _probabilities(net, allowed)
        exponential = _expm(edges)
        h = (np.trace(exponential) - n) / full_constraint
        total = 0.0
        for t in range(n):
            n_met = _forward(
                t,
                net,
                intervened,
                x,
                regime,
                edge_noise[i, t],
                target_noise[i, t],
                odds,
                keep_odds,
                w,
                True,
            )
            total += _density(t, net, x, -1.0 / (n * n_rows), w, g.log_scale)
            _backward(t, net, intervened, x, regime, n_met, w, g)
            _update_intervened(
                t, intervened, n_met, net.keep.shape[1], w, learning_rate, iteration + i
            )
        loss = -total / (n * n_rows)
        for t in range(n):
            for j in range(n):
                pull = penalty + (gamma + mu * h) * exponential[j, t] / full_constraint
                g.edges[t, j] = is_free * (g.edges[t, j] + pull * edges[t, j] * (1.0 - edges[t, j]))
            for e in range(net.keep.shape[1]):
                keep = 1.0 / (1.0 + math.exp(-net.keep[t, e]))
                g.keep[t, e] -= target_penalty * keep * (1.0 - keep)
        _rmsprop(flat, 1.0, flat_g, flat_square, RMS_DECAY, learning_rate)
    return loss, h, edges


@compiled
def negative_log_likelihood(net, intervened, allowed, w, x, regime, edge_noise, target_noise):
    """Summed over rows x (M, J) and nodes. edge_noise (T, M, J), target_noise (T, M)."""
    odds, keep_odds = odds_of(net.edges) * allowed, odds_of(net.keep)
    total, nothing = 0.0, np.zeros(x.shape[1])
    step = w.inputs.shape[0]
    for low in range(0, len(x), step):
        some = slice(low, min(low + step, len(x)))
        for t in range(x.shape[1]):
            _forward(
                t,
                net,
                intervened,
                x[some],
                regime[some],
                edge_noise[t, some],
                target_noise[t, some],
                odds,
                keep_odds,
                w,
                False,
            )
            total += _density(t, net, x[some], 0.0, w, nothing)
    return -total
