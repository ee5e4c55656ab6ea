"""What GEARS learns from: perturbed cells beside control cells of their line, over the genes of all
training tasks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from cdnbench.errors import CannotRun
from cdnbench.methods.clusters import cluster
from cdnbench.methods.gears.graphs import Block
from cdnbench.methods.gears.training import Condition
from cdnbench.truth import LabelledTask


@dataclass(eq=False)
class Line:
    """The cells of one cell line.

    controls (M0, K): control cells on the K genes that the line's tasks have.
    genes (K,): the columns of `controls`.
    perturbed: cells and genes of each perturbation.
    """

    controls: np.ndarray
    genes: list[str]
    perturbed: list[tuple[np.ndarray, list[str]]] = field(default_factory=list)

    def add_controls(self, cells: np.ndarray, symbols: list[str]) -> None:
        """Add the columns of genes that this line does not have yet.

        The control cells must be the same ones, which is checked by comparing the shared genes;
        other cells are left out.
        """
        at = {gene: i for i, gene in enumerate(self.genes)}
        shared = [(at[gene], j) for j, gene in enumerate(symbols) if gene in at]
        new = [j for j, gene in enumerate(symbols) if gene not in at]
        if not new or not shared or len(cells) != len(self.controls):
            return
        ours, theirs = np.array(shared).T
        if np.array_equal(self.controls[:, ours], cells[:, theirs]):
            self.controls = np.hstack([self.controls, cells[:, new]])
            self.genes += [symbols[j] for j in new]


@dataclass(frozen=True, eq=False)
class TrainingCells:
    """Everything that GEARS is trained on.

    genes (G,): sorted names.
    conditions: the perturbations, then the controls of each line.
    clusters: the name of the cluster of each perturbation.
    lines: blocks of cells per line, for the correlation of genes.
    dropped: number of perturbations left out because a target is not annotated.
    """

    genes: np.ndarray
    conditions: list[Condition]
    clusters: list[str]
    lines: list[list[Block]]
    dropped: int

    @staticmethod
    def of(
        tasks: Iterable[LabelledTask], nodes: np.ndarray, rng: np.random.Generator
    ) -> TrainingCells:
        """Collect the cells of all regimes. Each task is made and dropped in turn.

        nodes: sorted names of the annotated genes.

        Raises
        ------
        CannotRun: a task without gene symbols, or no perturbation of annotated genes.
        """
        number = {gene: i for i, gene in enumerate(nodes.tolist())}
        lines: dict[str, Line] = {}
        found: list[tuple[tuple[int, ...], list[str], np.ndarray]] = []
        clusters: list[str] = []
        dropped = 0
        for place, labelled in enumerate(tasks):
            task = labelled.task
            if task.symbols is None:
                raise CannotRun("a training task has no gene symbols")
            name, symbols, controls = (
                str(task.metadata.get("cell_line", "")),
                list(task.symbols),
                task.observational,
            )
            line = lines.get(name)
            if line is None:
                line = lines[name] = Line(np.array(controls), list(symbols))
            else:
                line.add_controls(controls, symbols)
            for r, cells in enumerate(task.regimes):
                targets = [symbols[i] for i in np.flatnonzero(labelled.targets[r])]
                if not targets or not all(gene in number for gene in targets):
                    dropped += 1
                    continue
                counted = np.flatnonzero(cells.any(axis=0))
                genes = [symbols[i] for i in counted]
                beside = controls[rng.integers(0, len(controls), len(cells))]
                found.append(
                    (
                        tuple(sorted(number[gene] for gene in targets)),
                        genes,
                        (cells - beside)[:, counted],
                    )
                )
                clusters.append(cluster(labelled, place))
                line.perturbed.append((cells, symbols))
        if not found:
            raise CannotRun(
                f"none of the {dropped} training perturbations has all its targets among the "
                f"{len(nodes)} annotated genes; "
                "give annotations under the same gene symbols"
            )
        genes = np.array(
            sorted(
                {g for line in lines.values() for g in line.genes}
                | {g for _, s, _ in found for g in s}
            )
        )
        places = {gene: i for i, gene in enumerate(genes.tolist())}

        def at(symbols: list[str]) -> np.ndarray:
            return np.array([places[gene] for gene in symbols], dtype=np.int64)

        conditions = [
            Condition(targets, at(s), wanted, len(wanted)) for targets, s, wanted in found
        ]
        conditions += [
            Condition((), at(line.genes), None, len(line.controls)) for line in lines.values()
        ]
        blocks = [
            [
                (cells, at(symbols))
                for cells, symbols in [(line.controls, line.genes), *line.perturbed]
            ]
            for line in lines.values()
        ]
        return TrainingCells(genes, conditions, clusters, blocks, dropped)
