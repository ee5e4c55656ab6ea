"""Fine-tuning: weights of `cdn`, trained on with labelled perturbations of a suite."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cdnbench.errors import InvalidParameter
from cdnbench.methods.cdn.cells import CDNCells, fine_tuned_tensors
from cdnbench.methods.cdn.weights import read_card
from cdnbench.suite import Suite, TaskSpec
from cdnbench.training.card import Origin, today
from cdnbench.truth import LabelledTask


def training_specs(suite: Suite) -> Sequence[TaskSpec]:
    """The training tasks that all tasks of the suite share.

    Raises
    ------
    InvalidParameter: the suite has no training tasks, different ones for different tasks, or none
    that `cdn-cells` can take.
    """
    found = {}
    for spec in suite.specs():
        specs = suite.training(spec)
        if specs is None:
            raise InvalidParameter(f"The suite {suite.info.name} has no training tasks.")
        found[tuple(s.hash for s in specs)] = specs
    if not found:
        raise InvalidParameter(f"The suite {suite.info.name} has no task with these options.")
    if len(found) != 1:
        raise InvalidParameter(
            f"{len(found)} training sets: with --split unseen-cl each cell line has its own. "
            "Choose one with --cell-lines NAME."
        )
    specs = next(iter(found.values()))
    reasons = [CDNCells.info.why_skip(spec) for spec in specs]
    if specs and all(reasons):
        raise InvalidParameter(
            f"Nothing can be fine-tuned on the training tasks of {suite.info.name}: {reasons[0]}."
        )
    return specs


def fine_tune(
    start: str,
    suite: Suite,
    options: Mapping[str, Any],
    specs: Sequence[TaskSpec],
    tasks: Sequence[LabelledTask],
    *,
    seed: int,
    device: str,
    learning_rate: float | None,
    epochs: int | None,
    origin: Origin,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Fine-tune weights as `cdn-cells` does, and return their tensors and card.

    start: weights of `cdn`, by shipped name or path. options: those of the suite, for the
    card. specs, tasks: the training tasks, in one order. learning_rate, epochs: those of
    `cdn-cells` if None.

    Raises
    ------
    InvalidParameter: weights that cannot be read, or a value that `cdn-cells` does not take.
    CannotRun: too few training tasks.
    """
    before = read_card(start, "cdn")
    chosen: dict[str, Any] = {
        name: value
        for name, value in (("learning_rate", learning_rate), ("epochs", epochs))
        if value is not None
    }
    method = CDNCells(weights=start, device=device, **chosen)
    print(f"{len(specs)} training perturbations")
    model = method.fit(tasks, seed=seed)
    known = before.get("fine_tuned", {})
    lines = {spec.metadata["cell_line"] for spec in specs if "cell_line" in spec.metadata}
    about = {
        "from": {"weights": start, "digest": before["digest"]},
        "suite": suite.info.name,
        "options": dict(options),
        "n_training": len(specs),
        "origins": sorted({spec.origin for spec in specs}.union(known.get("origins", ()))),
        "cell_lines": sorted(lines.union(known.get("cell_lines", ()))),
        "seed": seed,
        "epochs": method.epochs,
        "learning_rate": method.learning_rate,
        "sampled": method.sampled,
        "views": method.views,
        "batch": method.batch,
        "command": origin.command,
        "device": device,
        **origin.provenance,
        "date": today(),
    }
    kept = {name: value for name, value in before.items() if name not in ("digest", "format")}
    return fine_tuned_tensors(model), {**kept, "fine_tuned": about}
