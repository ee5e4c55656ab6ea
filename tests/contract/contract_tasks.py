"""Small tasks that the contract tests put every method through, and what they check of its scores.

The tasks name their variables v0, v1, ..., which are genes as well, so that a method which was
trained on `screen` knows them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from cdnbench.checkpoint import NO_CHECKPOINT, Checkpoint
from cdnbench.errors import CannotRun
from cdnbench.loaded import LoadedMethod
from cdnbench.registry import load_method
from cdnbench.task import Task
from cdnbench.truth import LabelledTask

N_GENES = 12
N_TARGETED = 9
LINES = ("A", "B")


def names(n_variables: int) -> list[str]:
    return [f"v{i}" for i in range(n_variables)]


def chain_task(n_variables=4, n_regimes=3, n_rows=120, seed=0, **changes) -> Task:
    """x0 -> x1 -> ...; regime r replaces variable r mod N by N(2, .5)."""
    rng = np.random.default_rng([n_variables, n_regimes, n_rows, seed])

    def sample(target=None):
        x = rng.normal(size=(n_rows, n_variables))
        for i in range(n_variables):
            if i == target:
                x[:, i] = 2 + 0.5 * x[:, i]
            elif i:
                x[:, i] += 0.9 * x[:, i - 1]
        return x

    fields = {
        "name": "chain",
        "variables": names(n_variables),
        "symbols": names(n_variables),
        "observational": sample(),
        "regimes": [sample(r % n_variables) for r in range(n_regimes)],
    }
    return Task(**{**fields, **changes})


def as_counts(task: Task) -> Task:
    """The task for methods that take counts only: about 20 e^(x / 2), which keeps the order."""
    arrays = (task.observational, *task.regimes)
    before, *after = (np.floor(20 * np.exp(np.clip(x, -20, 20) / 2)) for x in arrays)
    return replace(task, observational=before, regimes=after)


# --- a labelled screen, for methods that have to be trained


def perturbation(gene: int, line: str = "A", seed: int = 0, genes=None) -> LabelledTask:
    """A knock-down of one gene in a cell line: its own expression falls, its successor's rises."""
    rng = np.random.default_rng([gene, LINES.index(line), seed])
    usual = 2 + np.random.default_rng(LINES.index(line)).random(N_GENES)

    def cells(n: int, target: int | None) -> np.ndarray:
        x = usual + 0.4 * rng.normal(size=(n, N_GENES))
        x[:, 1:] += 0.3 * (x[:, :-1] - usual[:-1])
        if target is not None:
            x[:, target] -= 1.5
            x[:, (target + 1) % N_GENES] += 0.7
        return np.maximum(x, 0.0)

    labels = names(N_GENES) if genes is None else list(genes)
    task = Task(
        name=f"{line}/{gene}/{seed}",
        variables=labels,
        symbols=labels,
        observational=cells(60, None),
        regimes=[cells(40, gene)],
        metadata={"cell_line": line},
    )
    targets = np.arange(N_GENES)[None] == gene
    return LabelledTask(task=task, targets=targets, facts={"cluster": gene // 2})


def screen() -> list[LabelledTask]:
    """Knock-downs of the first nine genes in two cell lines."""
    return [perturbation(gene, line) for line in LINES for gene in range(N_TARGETED)]


def write_knowledge(folder: Path) -> dict[str, Path]:
    """Kind of knowledge -> a tiny file of that kind about the genes of `screen`."""
    genes = names(N_GENES)
    rng = np.random.default_rng(0)
    terms = {gene: [f"GO:{i // 2}", f"GO:{100 + i % 3}"] for i, gene in enumerate(genes)}
    words = ["kinase", "membrane", "nucleus", "transport", "repair", "ribosome"]
    texts = {g: " ".join(rng.choice(words, 8)) for g in genes}
    rows = [f"{a}\t{b}" for a, b in zip(genes, genes[1:], strict=False)]
    paths = {
        "annotations": folder / "annotations.json",
        "gene_text": folder / "texts.json",
        "interactions": folder / "interactions.tsv",
        "embeddings": folder / "embeddings.npz",
    }
    paths["annotations"].write_text(json.dumps(terms))
    paths["gene_text"].write_text(json.dumps(texts))
    paths["interactions"].write_text("\n".join(["gene\tgene", *rows]) + "\n")
    np.savez(paths["embeddings"], genes=np.array(genes), vectors=rng.normal(size=(len(genes), 6)))
    return paths


@dataclass(frozen=True)
class Trials:
    """Registered methods, set up as they declare it (`MethodInfo.trial`)."""

    folder: Path
    knowledge: dict[str, Path]

    def load(self, name: str, **more: object) -> LoadedMethod:
        """With the parameters of its trial, and these, not yet trained."""
        parameters = load_method(name).info.trial.parameters
        if callable(parameters):
            own = self.folder / name
            own.mkdir(exist_ok=True)
            parameters = parameters(own)
        return load_method(name, **{**parameters, **more})

    def fit(
        self, method: LoadedMethod, tasks, seed: int = 0, checkpoint: Checkpoint = NO_CHECKPOINT
    ) -> dict[str, np.ndarray]:
        return method.fit(tasks, seed=seed, resources=self.knowledge, checkpoint=checkpoint)


# --- what is checked of scores


def outputs_or_reason(
    method: LoadedMethod, task: Task, seed: int = 0
) -> dict[str, np.ndarray] | None:
    """Every reading's scores, checked to say something about each regime; None where the method
    declines with a reason."""
    if method.info.trial.counts:
        task = as_counts(task)
    try:
        outputs = method.predict_outputs(task, seed=seed)
    except CannotRun as reason:
        assert len(str(reason)) > 10, "a skip needs a reason"
        return None
    for variant, scores in outputs.items():
        assert scores.shape == (task.n_regimes, task.n_variables) and scores.dtype == np.float64
        assert not np.isinf(scores).any()
        assert not np.isnan(scores).all(axis=1).any(), f"{variant}: a regime without a single score"
    return outputs


def assert_equal(first, second, rtol: float = 0.0) -> None:
    """The same readings with the same scores."""
    if first is None or second is None:
        assert first is second is None, "one of the two has no scores"
        return
    assert list(first) == list(second)
    for variant in first:
        np.testing.assert_allclose(
            first[variant], second[variant], rtol=rtol, atol=rtol, err_msg=variant
        )
