"""How well targets are found as rows get few and effects small, with the ceiling: `python
benchmarks/quality_curves.py`.

N = 20, E = 40, scale interventions, clean protocol, 30 regimes of 1 to 3 targets, seeds of no
suite. Rows at factors of 1.1 to 1.5 (or their inverse); factors at 200 rows. Mean average precision
(ties in expectation) over 4 datasets a point: linear and sigmoid.
"""

from __future__ import annotations

import numpy as np

from cdnbench import load_method
from cdnbench.datasets.synthetic.recipe import Recipe
from cdnbench.datasets.synthetic.tasks import labelled_task
from cdnbench.metrics import evaluate

METHODS = ("cdn", "quantile-invariance", "ut-igsp", "target-shift")
ROWS = (50, 100, 200, 500, 1000)
FACTORS = (1.05, 1.1, 1.2, 1.35, 1.5, 2.0, 4.0)


def point(rows: int, factor: tuple[float, float]) -> dict[str, float]:
    """Method -> mean average precision."""
    found: dict[str, list[float]] = {}
    for mechanism in ("linear", "sigmoid"):
        for index in range(2):
            recipe = Recipe(
                seed=("curves",),
                n_variables=20,
                n_edges=40,
                mechanism=mechanism,
                intervention="soft-scale",
                rows=rows,
                regimes_per_count=10,
                factor=factor,
                index=index,
            )
            labelled = labelled_task(recipe)
            scores = {
                name: load_method(name).predict_targets(labelled.task, seed=0) for name in METHODS
            }
            for name, values in {"ceiling": labelled.ceiling_scores, **scores}.items():
                ap = evaluate(values, labelled.targets)["average_precision_tie"]
                found.setdefault(name, []).append(float(np.mean(ap)))
    return {name: float(np.mean(values)) for name, values in found.items()}


def show(title: str, axis: str, points: dict[str, dict[str, float]]) -> None:
    names = ("ceiling", *METHODS)
    print(f"\n{title}\n{axis:>8}" + "".join(f"{name:>21}" for name in names))
    for value, found in points.items():
        print(f"{value:>8}" + "".join(f"{found[name]:>21.3f}" for name in names), flush=True)


if __name__ == "__main__":
    show(
        "factors 1.1 to 1.5, by rows", "rows", {str(rows): point(rows, (1.1, 1.5)) for rows in ROWS}
    )
    by_factor = {
        f"{np.log(factor):.2f}": point(200, (factor / 1.02, factor * 1.02)) for factor in FACTORS
    }
    show("200 rows, by the size of the factor", "|log c|", by_factor)
