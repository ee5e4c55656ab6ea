"""From embeddings of genes to shifts of expression: ridge, nearest neighbours, a neural network,
and the choice between them.

All predict deviations from the mean training shift, from embeddings (P, D) standardised over
training. What is learnt is kept as plain arrays; `predict` needs nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from cdnbench.methods.clusters import held_out
from cdnbench.methods.profiles.profiles import standardised, unit

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
    return {"x": unit(x), "y": y, "k": np.array(min(k, len(x)))}


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
    similar = unit(x) @ model["x"].T
    k = int(model["k"])
    nearest = np.argpartition(-similar, k - 1, axis=1)[:, :k]
    return model["y"][nearest].mean(axis=1)


def choose(
    x: np.ndarray, y: np.ndarray, groups: Sequence[str], rng: np.random.Generator
) -> tuple[str, Arrays, dict[str, float]]:
    """Choose the predictor whose predictions for held-out groups correlate best with what was seen.

    x (P, D), y (P, V): embeddings and deviations. groups (P,): what is held out together.
    Returns the name of the predictor, its arrays fitted on everything, and the mean correlation
    that each predictor reached on the held-out groups.
    """
    seed = int(rng.integers(2**31))
    makers: dict[str, Callable[[np.ndarray, np.ndarray], Arrays]] = {
        **{f"ridge {p:g}": lambda a, b, p=p: ridge(a, b, p) for p in RIDGE_PENALTIES},
        **{f"neighbours {k}": lambda a, b, k=k: neighbours(a, b, k) for k in NEIGHBOURS},
        "network": lambda a, b: network(a, b, seed),
    }
    held = held_out(groups, lambda n: max(1, n // 5), rng)
    found = {
        name: _correlation(predict(make(x[~held], y[~held]), x[held]), y[held])
        for name, make in makers.items()
    }
    best = max(found, key=lambda name: found[name])
    return best, makers[best](x, y), found


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Mean over rows."""
    return float(np.mean((standardised(a) * standardised(b)).sum(axis=1)))
