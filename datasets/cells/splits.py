"""What a method is trained on under each split, and how much of the test it has then seen already.

    seen       the training perturbations of all lines
    unseen-cl  all perturbations of the lines other than the one that is scored
    -strict    the same without perturbations of genes that are tested, on any line (seen-strict) or
               on the line that is scored (unseen-cl-strict)

Screens of one cell line (k562_gw and k562_es) count as one line.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from cdnbench.datasets.cells.prepared import PreparedLine

SPLITS = ("seen", "unseen-cl", "seen-strict", "unseen-cl-strict")
ALIKE = 0.9  # correlation from which on one profile all but gives away the other

Perturbation = tuple[str, int]  # name of a prepared line, number of one of its perturbations


def cell_line(name: str) -> str:
    """The cell line of a screen: k562 of k562_gw."""
    return name.split("_")[0]


def scored(lines: Mapping[str, PreparedLine], name: str) -> list[Perturbation]:
    """The test perturbations of one screen."""
    return [(name, p) for p in range(lines[name].n_perturbations) if lines[name].split[p] == "test"]


def training(lines: Mapping[str, PreparedLine], split: str, held_out: str) -> list[Perturbation]:
    """What a method that is scored on the screen `held_out` is trained on."""
    unseen = split.startswith("unseen-cl")
    found = [
        (name, p)
        for name, line in lines.items()
        if not (unseen and cell_line(name) == cell_line(held_out))
        for p in range(line.n_perturbations)
        if unseen or line.split[p] == "train"
    ]
    if not split.endswith("-strict"):
        return found
    held = [held_out] if unseen else list(lines)
    genes = {
        gene for name in held for _, p in scored(lines, name) for gene in lines[name].targets[p]
    }
    return [(name, p) for name, p in found if not genes & set(lines[name].targets[p])]


@dataclass(frozen=True)
class Leak:
    """How much of one screen's test is known from training under a split.

    same_gene: test perturbations that share a target with a training perturbation.
    straddling: clusters with both training and test perturbations.
    alike: test perturbations whose profile correlates with one of training by `ALIKE` or more.
    """

    line: str
    n_training: int
    n_test: int
    same_gene: int
    straddling: int
    alike: int


def audit(lines: Mapping[str, PreparedLine], split: str) -> list[Leak]:
    """Leakage from training to test, for each screen."""
    leaks = []
    for name, line in lines.items():
        test, train = scored(lines, name), training(lines, split, name)
        genes = {gene for other, p in train for gene in lines[other].targets[p]}
        own = {int(line.arrays["cluster"][p]) for other, p in train if other == name}
        mine = {int(line.arrays["cluster"][p]) for _, p in test}
        leaks.append(
            Leak(
                name,
                len(train),
                len(test),
                sum(bool(genes & set(line.targets[p])) for _, p in test),
                len(own & mine),
                int((_closest(lines, test, train) >= ALIKE).sum()),
            )
        )
    return leaks


def _closest(
    lines: Mapping[str, PreparedLine], test: list[Perturbation], train: list[Perturbation]
) -> np.ndarray:
    """(n_test,) largest correlation of each test profile with a training profile, over the genes
    that both screens have."""
    best = np.full(len(test), -1.0)
    if not test:
        return best
    line = lines[test[0][0]]
    for other in {name for name, _ in train}:
        shared, here, there = np.intersect1d(
            line.genes.astype(str), lines[other].genes.astype(str), return_indices=True
        )
        if len(shared) < 3:
            continue
        a = _standardised(_profiles(line, [p for _, p in test])[:, here])
        b = _standardised(
            _profiles(lines[other], [p for name, p in train if name == other])[:, there]
        )
        best = np.maximum(best, (a @ b.T).max(axis=1))
    return best


def _profiles(line: PreparedLine, perturbations: list[int]) -> np.ndarray:
    place = {name.decode(): i for i, name in enumerate(line.arrays["profile_names"])}
    return np.asarray(
        line.arrays["profiles"][[place[line.names[p]] for p in perturbations]], dtype=np.float64
    )


def _standardised(profiles: np.ndarray) -> np.ndarray:
    centred = profiles - profiles.mean(axis=1, keepdims=True)
    return centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-12)
