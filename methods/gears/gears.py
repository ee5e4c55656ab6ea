"""GEARS: which gene's perturbation is predicted to shift all genes the way they were seen to shift?

Roohani, Huang, Leskovec 2023, Predicting transcriptional outcomes of novel multigene perturbations
with GEARS, Nature Biotechnology (doi 10.1038/s41587-023-01905-6). A network predicts from the
perturbed gene how the expression of all genes changes; genes that were never perturbed get their
embedding from similar genes of the gene ontology (`network`, `graphs`). As a predictor of targets
(Wu et al.
2025): each candidate scores the Pearson correlation of its predicted shift with the observed mean
shift, over the genes that both the task and training have. Genes without annotation cannot be
predicted and get no score. The paper leaves them out, as candidates and as targets: its rows stand
beside the metrics `rank_covered`, `recall_at_20_covered` and `top1_pearson_covered`, which do the
same for any stored scores, and `coverage` says how many targets these are about.

Parameters (names and defaults of the reference in brackets)
    hidden                   width of embeddings and layers (hidden_size, 64)
    ontology_neighbours      similar genes that a gene gathers from, besides itself, by the Jaccard
                             index of their terms, if above .1 (num_similar_genes_go_graph, 20)
    coexpression_neighbours, coexpression_threshold
                             the same by |correlation| in training cells
                             (num_similar_genes_co_express_graph, 20; 0.4)
    learning_rate            of Adam in the first epoch; half of it in each that follows (lr, 1e-3)
    weight_decay             (5e-4)
    batch                    cells of a batch (batch_size, 32)
    group                    cells of the same perturbation that go into a batch together: 4. 1 is
                             the reference's plain shuffle
    epochs                   6 (20)
    device                   "cpu" or "cuda", where it trains

Training as published: each perturbed cell is compared with the prediction for a random control cell
of its line, drawn once; each control cell with itself. The loss is the mean over the perturbations
of a batch of the mean of error^4 over their cells and the genes that are not zero in all cells of
the perturbation; gradients are cut to [-1, 1]. A tenth of the clusters of perturbations is held
out, and the epoch that predicts their 20 most changed genes best is kept.

Given the same batches, outputs, gradients, running statistics and weights over a training run equal
the reference's to rounding (golden tests, in float64). Deviations
    - Several cell lines: one network learns all of them. It does not know the line: a perturbation
      has the same shift in each, and only differences to controls of the same line are compared. A
      condition of the loss is a perturbation of one line. Genes are those of all training tasks;
      what a task does not measure is left out of its loss, and of the normalisation by genes there.
      Co-expression is about each line's own mean, over the cells that have both genes.
    - The code of the reference numbers the edges of the co-expression graph for one cell, so in a
      batch they reach the first cell only. Here all cells get them, as the paper says;
      `coexpression_neighbours=0` is what the reference does to all but the first.
    - Groups of 4 cells share what depends on the perturbation only, so a batch has about 8
      perturbations instead of 27, and an epoch takes a third of the time. Statistics of a batch
      rest on these 8.
    - 6 epochs instead of 20: as the learning rate halves, the other fourteen together have 1/64 of
      the steps' lengths of the first six.
    - The term of the loss for the direction of change has no gradient, so it is not computed. There
      is no uncertainty mode (off by default in the reference), and one convolution a graph (its
      default).
    - Rows of the ontology's table that no training perturbation gathers from are 0: nothing but
      weight decay acts on them in the reference, which takes them to 0 within some hundred steps.
      Annotated genes all of whose neighbours are such get the same prediction.
    - The 20 most changed genes are ranked by the t of paired differences, not by a t-test of two
      samples.

Licence of the reference: MIT (https://github.com/snap-stanford/GEARS, cell-gears 0.1.2). Our own
code. Licence: MIT, with this package.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from cdnbench.checkpoint import NO_CHECKPOINT, Checkpoint
from cdnbench.digest import generator
from cdnbench.errors import CannotRun, InvalidParameter
from cdnbench.method import MethodInfo, Trial, added_later
from cdnbench.methods.clusters import held_out
from cdnbench.methods.profiles.profiles import places, shift, standardised
from cdnbench.methods.trained import Trained
from cdnbench.task import Task
from cdnbench.truth import LabelledTask

JACCARD = 0.1  # genes below are not similar
HELD_OUT = 10  # one in so many clusters is held out, none of fewer


@dataclass(frozen=True, eq=False)
class Gears(Trained):
    """Correlation of predicted with observed shifts."""

    hidden: int = 64
    ontology_neighbours: int = 20
    coexpression_neighbours: int = 20
    coexpression_threshold: float = 0.4
    learning_rate: float = 1e-3
    weight_decay: float = 5e-4
    batch: int = 32
    group: int = 4
    epochs: int = 6
    device: str = added_later("cpu")

    info: ClassVar[MethodInfo] = MethodInfo(
        name="gears",
        summary="Candidates by how well the shift that GEARS predicts for them correlates with "
        "the observed one",
        citation="Roohani et al. 2023, Predicting transcriptional outcomes of novel multigene "
        "perturbations with GEARS",
        licence="MIT",
        reference="https://github.com/snap-stanford/GEARS",
        supervised="required",
        resumable=True,
        stochastic=True,
        fit_timeout_s=6 * 3600.0,
        min_samples=1,
        needs_symbols=True,
        needs=("annotations",),
        depends_on_units=True,
        devices=("cpu", "cuda"),
        gpu_memory_mb=lambda sizes: 0.0,  # it predicts with numpy
        trial=Trial(parameters={"hidden": 8, "epochs": 2, "batch": 16}, finds_target=False),
    )

    def __post_init__(self) -> None:
        for name, least in (
            ("hidden", 1),
            ("ontology_neighbours", 1),
            ("coexpression_neighbours", 0),
            ("batch", 2),
            ("group", 1),
            ("epochs", 1),
            ("weight_decay", 0),
            ("coexpression_threshold", 0),
        ):
            if getattr(self, name) < least:
                raise InvalidParameter(
                    f"gears: {name} is at least {least}; got {getattr(self, name)}."
                )
        if self.learning_rate <= 0:
            raise InvalidParameter(f"gears: learning_rate is positive; got {self.learning_rate}.")

    def fit(
        self,
        tasks: Sequence[LabelledTask],
        *,
        seed: int = 0,
        resources: Mapping[str, Path],
        checkpoint: Checkpoint = NO_CHECKPOINT,
    ) -> dict[str, np.ndarray]:
        """Train the network.

        Returns it folded for prediction (`prediction.decode`), with genes (G,), which it predicts;
        nodes (P,) and effects (P, hidden), the annotated genes; and history (epochs, 2), loss and
        validation error.

        Raises
        ------
        CannotRun: no training perturbation of annotated genes, or fewer cells than a batch
        beside those that are held out.
        """
        from cdnbench.knowledge import read_annotations, renaming
        from cdnbench.methods.device import check_device
        from cdnbench.methods.gears import graphs
        from cdnbench.methods.gears.cells import TrainingCells
        from cdnbench.methods.gears.network import Network
        from cdnbench.methods.gears.training import Condition, Schedule, train

        check_device(self.info.name, self.device)
        names = None
        if "identifiers" in resources:
            symbols = {gene for labelled in tasks for gene in labelled.task.symbols or ()}
            names = renaming(resources["identifiers"], symbols)
        annotations = read_annotations(resources["annotations"], names)
        annotated = np.diff(annotations.matrix.indptr) > 0
        nodes, terms = np.asarray(annotations.genes)[annotated], annotations.matrix[annotated]
        rng = generator("method", "gears", seed)
        cells = TrainingCells.of(tasks, nodes, rng)
        held = held_out(cells.clusters, lambda n: n // HELD_OUT, rng)
        controls = cells.conditions[len(cells.clusters) :]
        training: list[Condition] = [
            c for c, out in zip(cells.conditions, held, strict=False) if not out
        ]
        validation = [c for c, out in zip(cells.conditions, held, strict=False) if out]
        n = sum(c.n_cells for c in [*training, *controls])
        if n < self.batch:
            raise CannotRun(
                f"{n} training cells do not fill a batch of {self.batch} "
                f"({sum(c.n_cells for c in validation)} more are held out to validate on); set the "
                "parameter batch lower"
            )
        correlation = graphs.correlation(cells.lines, len(cells.genes))
        cells.lines.clear()
        coexpression = graphs.normalised(
            graphs.coexpression(
                correlation, self.coexpression_neighbours, self.coexpression_threshold
            )
        )
        ontology = graphs.normalised(graphs.ontology(terms, self.ontology_neighbours, JACCARD))
        targets = sorted({node for c in cells.conditions for node in c.targets})
        ontology = ontology[
            :, np.unique(ontology[targets].indices)
        ]  # from the rows that training can reach

        network = Network(coexpression, ontology.shape[1], self.hidden, rng, device=self.device)
        schedule = Schedule(
            self.epochs, self.batch, self.group, self.learning_rate, self.weight_decay
        )
        history = train(
            network, [*training, *controls], validation, ontology, schedule, rng, checkpoint
        )
        effects = network.effects(ontology, np.ones(len(nodes)))
        return {
            "genes": cells.genes,
            "nodes": nodes,
            "effects": effects,
            "history": history,
            **network.folded(),
        }

    def predict_targets(self, task: Task, *, seed: int = 0) -> np.ndarray:
        """(R, N) correlations, NaN for genes without annotation.

        Raises
        ------
        CannotRun: not fitted, no annotated candidate, or fewer than two genes that training had.
        """
        from cdnbench.methods.gears.prediction import decode

        symbols = task.symbols or ()
        node, annotated = places(self.model["nodes"], symbols)
        gene, known = places(self.model["genes"], symbols)
        annotated &= task.candidates.any(axis=0)  # type: ignore[union-attr]
        if not annotated.any() or known.sum() < 2:
            raise CannotRun(
                f"gears: {annotated.sum()} of the candidates are annotated, and training had "
                f"{known.sum()} of the genes; "
                "it needs one and two. Give annotations under the same gene symbols"
            )
        order = np.argsort(gene[known])  # the same sums however the task orders its genes
        seen, of = np.flatnonzero(known)[order], gene[known][order]
        predicted = decode(self.model, self.model["effects"][node[annotated]])[:, of].astype(
            np.float64
        )
        scores = np.full((task.n_regimes, task.n_variables), np.nan)
        scores[:, annotated] = standardised(shift(task)[:, seen]) @ standardised(predicted).T
        return scores
