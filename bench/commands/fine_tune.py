"""`bench train cdn --from ... --suite ...`: weights of `cdn`, fine-tuned on the training side of a
suite's split."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from cdnbench.errors import InvalidParameter
from cdnbench.registry import load_suite
from cdnbench.suite import Suite, TaskSpec


def training_specs(suite: Suite) -> Sequence[TaskSpec]:
    """What may be used for every task of the suite.

    Raises
    ------
    InvalidParameter: the suite has no training tasks, or other ones for other tasks.
    """
    sets = [suite.training(spec) for spec in suite.specs()]
    if not sets:
        raise InvalidParameter(f"The suite {suite.info.name} has no task with these options.")
    found = {tuple(s.hash for s in specs): specs for specs in sets if specs is not None}
    if not found:
        raise InvalidParameter(f"The suite {suite.info.name} has no training tasks.")
    if len(found) != 1:
        raise InvalidParameter(
            f"{len(found)} training sets: with --split unseen-cl each cell line has its own. "
            "Choose one with --cell-lines NAME."
        )
    return next(iter(found.values()))


def fine_tune(
    start: str,
    suite_name: str,
    options: Mapping[str, Any],
    *,
    seed: int,
    device: str,
    lr: float | None,
    epochs: int | None,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Tensors and card.

    Raises
    ------
    BenchError: an option that does not exist, no training tasks, or weights that cannot be read.
    CannotRun: too few training tasks.
    """
    from cdnbench.methods.cdn.cells import CDNCells, fine_tuned_tensors
    from cdnbench.methods.cdn.weights import read_card
    from cdnbench.runners.child import TrainingTasks
    from cdnbench.runners.provenance import provenance

    card = read_card(start, "cdn")
    suite = load_suite(suite_name, **options)
    specs = training_specs(suite)
    chosen: dict[str, Any] = {
        n: v for n, v in (("learning_rate", lr), ("epochs", epochs)) if v is not None
    }
    method = CDNCells(weights=start, device=device, **chosen)
    print(f"{len(specs)} training perturbations")
    model = method.fit(TrainingTasks(suite, specs), seed=seed)
    before = card.get("fine_tuned", {})
    lines = {spec.metadata["cell_line"] for spec in specs if "cell_line" in spec.metadata}
    about = {
        "from": {"weights": start, "digest": card["digest"]},
        "suite": suite_name,
        "options": dict(options),
        "n_training": len(specs),
        "origins": sorted({spec.origin for spec in specs}.union(before.get("origins", ()))),
        "cell_lines": sorted(lines.union(before.get("cell_lines", ()))),
        "seed": seed,
        "epochs": method.epochs,
        "learning_rate": method.learning_rate,
        "sampled": method.sampled,
        "views": method.views,
        "batch": method.batch,
        "command": " ".join(["bench", *sys.argv[1:]]),
        "device": device,
        **provenance(),
        "date": datetime.now(UTC).date().isoformat(),
    }
    kept = {name: value for name, value in card.items() if name not in ("digest", "format")}
    return fine_tuned_tensors(model), {**kept, "fine_tuned": about}
