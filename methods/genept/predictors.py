"""From embeddings of genes to shifts of expression: ridge, nearest neighbours, a neural network,
and the choice between them.

All predict deviations from the mean training shift, from embeddings (P, D) standardised over
training. What is learnt is kept as plain arrays; `predict` needs nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

Arrays = dict[str, np.ndarray]

RIDGE_PENALTIES = (0.1, 1.0, 10.0)
NEIGHBOURS = (5, 20)
HIDDEN = 128
MOST_EPOCHS = 1000


def ridge(x: np.ndarray, y: np.ndarray, penalty: float) -> Arrays:
    """Weights (D, V). penalty: in units of the number of dimensions, so that it means the same for
    any embedding."""
    dual = np.linalg.solve(x @ x.T + penalty * x.shape[1] * np.eye(len(x)), y)
    return {"weights": x.T @ dual}


def neighbours(x: np.ndarray, y: np.ndarray, k: int) -> Arrays:
    """The training set itself, and how many of it to average."""
    return {"x": _unit(x), "y": y, "k": np.array(min(k, len(x)))}


def network(x: np.ndarray, y: np.ndarray, seed: int) -> Arrays:
    """One hidden layer, by scikit-learn's MLPRegressor with early stopping."""
    from sklearn.neural_network import MLPRegressor

    scale = max(float(y.std()), 1e-12)
    net = MLPRegressor(
        hidden_layer_sizes=(HIDDEN,),
        early_stopping=len(x) >= 20,
        max_iter=MOST_EPOCHS,
        random_state=seed,
    )
    net.fit(x, y / scale)
    (w1, w2), (b1, b2) = net.coefs_, net.intercepts_
    return {"w1": w1, "b1": b1, "w2": w2 * scale, "b2": b2 * scale}


def predict(model: Mapping[str, np.ndarray], x: np.ndarray) -> np.ndarray:
    """(C, V) deviations for standardised embeddings (C, D)."""
    if "weights" in model:
        return x @ model["weights"]
    if "w1" in model:
        return np.maximum(x @ model["w1"] + model["b1"], 0) @ model["w2"] + model["b2"]
    similar = _unit(x) @ model["x"].T
    k = int(model["k"])
    nearest = np.argpartition(-similar, k - 1, axis=1)[:, :k]
    return model["y"][nearest].mean(axis=1)


def choose(
    x: np.ndarray, y: np.ndarray, groups: Sequence[str], rng: np.random.Generator
) -> tuple[str, Arrays, dict[str, float]]:
    """Name and arrays of the predictor whose predictions for held-out groups correlate best with
    what was observed, fitted on everything; and each one's mean correlation there. x (P, D), y (P,
    V), groups (P,): what is held out together.
    """
    seed = int(rng.integers(2**31))
    makers: dict[str, Callable[[np.ndarray, np.ndarray], Arrays]] = {
        **{f"ridge {p:g}": lambda a, b, p=p: ridge(a, b, p) for p in RIDGE_PENALTIES},
        **{f"neighbours {k}": lambda a, b, k=k: neighbours(a, b, k) for k in NEIGHBOURS},
        "network": lambda a, b: network(a, b, seed),
    }
    names = np.unique(np.array(groups))
    held = np.isin(np.array(groups), rng.permutation(names)[: max(1, len(names) // 5)])
    if held.all():
        held[: len(held) // 2] = False
    found = {
        name: _correlation(predict(make(x[~held], y[~held]), x[held]), y[held])
        for name, make in makers.items()
    }
    best = max(found, key=lambda name: found[name])
    return best, makers[best](x, y), found


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Mean over rows."""
    return float(
        np.mean(
            (
                _unit(a - a.mean(axis=1, keepdims=True)) * _unit(b - b.mean(axis=1, keepdims=True))
            ).sum(axis=1)
        )
    )


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
