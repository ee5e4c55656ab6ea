"""PDGrapher: which genes were perturbed, from expression before and after, over a network of gene
interactions.

Gonzalez et al. 2025, Combinatorial prediction of therapeutic perturbations using causally inspired
neural networks (Nature Biomedical Engineering); reference implementation
https://github.com/mims-harvard/PDGrapher (MIT). `network.py` has the two networks, `training.py`
their losses and schedule. A score is the output of the discovery network, the log-odds of being a
target.

What the data are
    The reference pairs expression of diseased cells with that of cells treated by a knock-out or a
    drug, and, where there are any, of healthy with diseased cells, whose mutations are known. Here
    the control cells of a line are "diseased" and the perturbed ones "treated", as where the
    reference has no healthy cells: no mutation is known, and the response learns from perturbations
    alone.
    A sample is a pseudobulk: the mean over cells, before and after. With `pseudobulks` > 1 each
    perturbation gives as many, each of a random half of the perturbed and of the control cells.
    Predictions are made of the means of all cells. Expression is scaled to [0, 1] over the training
    samples, gene by gene, as the reference's preparation does over all samples.
Genes
    Nodes are the genes of the training tasks that the interactions name, with the interactions
    between them and a loop each (the reference's preparation adds the loops that its layers then do
    not). Other genes are not seen, and score NaN. A sample that lacks a node has, before and after,
    the mean of the control samples that have it; there, it counts in no loss. So it does when
    predicting. Training perturbations without a target among the nodes are left out.
Validation
    A fifth of the clusters of perturbations of each line.

Parameters, with the reference's values
    n_layers_gnn (1; it tunes 1 to 3), n_layers_nn (1, in its experiments), dim (16), bins (500),
    epochs (50), patience (15), batch (64), learning_rate (.01) of Adam, supervision (.01),
    validation (.2).
    pseudobulks (4): ours, chosen among 1, 2, 4 and 8 on simulated lines of another seed than the
    suite's. device ("cpu" or "cuda"): where both networks run.

A (gene, bin) pair that training has not met has the row of a table that it began with, as in the
reference, which gives them random rows.

Licence: MIT, with this package.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np

from cdnbench.checkpoint import NO_CHECKPOINT, Checkpoint
from cdnbench.digest import generator
from cdnbench.errors import CannotRun, InvalidParameter
from cdnbench.knowledge import read_interactions, renaming
from cdnbench.method import MethodInfo, Trial, added_later
from cdnbench.methods.clusters import held_out
from cdnbench.methods.pdgrapher.pseudobulks import (
    Pseudobulks,
    Scaling,
    mean,
    validation_groups,
)
from cdnbench.methods.profiles.profiles import places
from cdnbench.methods.trained import Trained
from cdnbench.task import Task
from cdnbench.truth import LabelledTask


@dataclass(frozen=True, eq=False)
class PDGrapher(Trained):
    """Two graph neural networks, response and discovery, trained in turn."""

    n_layers_gnn: int = 1
    n_layers_nn: int = 1
    dim: int = 16
    bins: int = 500
    epochs: int = 50
    patience: int = 15
    batch: int = 64
    learning_rate: float = 0.01
    supervision: float = 0.01
    validation: float = 0.2
    pseudobulks: int = 4
    device: str = added_later("cpu")

    info: ClassVar[MethodInfo] = MethodInfo(
        name="pdgrapher",
        summary="Graph neural networks over gene interactions, from expression before and after "
        "to the targets",
        citation="Gonzalez et al. 2025, Combinatorial prediction of therapeutic perturbations "
        "using causally inspired neural networks",
        licence="MIT",
        reference="https://github.com/mims-harvard/PDGrapher",
        supervised="required",
        resumable=True,
        stochastic=True,
        needs_symbols=True,
        needs=("interactions",),
        min_samples=1,
        preload=("torch", "scipy.sparse"),
        fit_timeout_s=4 * 3600.0,
        depends_on_units=True,
        devices=("cpu", "cuda"),
        trial=Trial(
            parameters={"dim": 4, "bins": 8, "epochs": 2, "pseudobulks": 2}, finds_target=False
        ),
    )

    def __post_init__(self) -> None:
        for name in (
            "n_layers_gnn",
            "n_layers_nn",
            "epochs",
            "patience",
            "batch",
            "learning_rate",
            "pseudobulks",
        ):
            if getattr(self, name) <= 0:
                raise InvalidParameter(f"pdgrapher: {name} is positive; got {getattr(self, name)}.")
        if self.dim < 2 or self.bins < 2:
            raise InvalidParameter(
                f"pdgrapher: dim and bins are at least 2; got {self.dim} and {self.bins}."
            )
        if self.supervision < 0 or not 0 <= self.validation < 1:
            raise InvalidParameter(
                "pdgrapher: supervision is not negative and validation in [0, 1); got "
                f"{self.supervision} and {self.validation}."
            )

    def fit(
        self,
        tasks: Sequence[LabelledTask],
        *,
        seed: int = 0,
        resources: Mapping[str, Path],
        checkpoint: Checkpoint = NO_CHECKPOINT,
    ) -> dict[str, np.ndarray]:
        """The discovery network, its graph, bins and scaling.

        Raises
        ------
        CannotRun: no interactions are given, or none of the training targets is among their genes.
        """
        from cdnbench.methods.device import check_device
        from cdnbench.methods.pdgrapher.network import Graph
        from cdnbench.methods.pdgrapher.training import Samples, Schedule, train

        check_device(self.info.name, self.device)
        if reason := self.info.why_no_fit(resources):
            raise CannotRun(reason)
        rng = generator("method", "pdgrapher", seed)
        everything = Pseudobulks.of(tasks, self.pseudobulks, rng)
        names = renaming(resources.get("identifiers"), everything.genes)
        interactions = read_interactions(Path(resources["interactions"]), names)
        nodes = np.flatnonzero(np.isin(everything.genes, interactions.genes))
        usable = np.flatnonzero(everything.targets[:, nodes].any(axis=1))
        if not len(usable):
            raise CannotRun(
                f"pdgrapher: of {len(everything.genes)} genes of the training tasks, {len(nodes)} "
                f"are in {resources['interactions']}, and "
                "no target is among them. Give interactions of the same organism with gene "
                "symbols, or a table of identifiers beside them"
            )
        bulks = everything.select(usable, nodes)
        bulks = bulks.select(np.arange(len(usable)), np.flatnonzero(bulks.known.any(axis=0)))
        at, there = places(bulks.genes, interactions.genes)
        edges = at[interactions.edges[there[interactions.edges].all(axis=1)]]
        scaling = Scaling.of(bulks)
        samples = Samples(
            scaling(bulks.before, bulks.known),
            scaling(bulks.after, bulks.known),
            bulks.known,
            bulks.targets,
            held_out(bulks.group, partial(validation_groups, self.validation), rng),
        )
        result = train(
            samples,
            Graph.of(len(bulks.genes), edges),
            self._layers(),
            Schedule(self.epochs, self.patience, self.batch, self.learning_rate, self.supervision),
            n_bins=self.bins,
            initial=Rows(bulks.genes, self.dim, seed),
            rng=rng,
            device=self.device,
            checkpoint=checkpoint,
        )
        return {
            "genes": bulks.genes,
            "edges": edges,
            "low": scaling.low,
            "range": scaling.range,
            "fill": scaling.fill,
            "seed": np.array(seed),
            "losses": result.losses,
            "before.edges": result.before.edges,
            "before.codes": result.before.codes,
            "after.edges": result.after.edges,
            "after.codes": result.after.codes,
            **{
                f"discovery.{name}": value.cpu().numpy() for name, value in result.discovery.items()
            },
        }

    def predict_targets(self, task: Task, *, seed: int = 0) -> np.ndarray:
        """(R, N) log-odds; NaN for genes that are no nodes.

        Raises
        ------
        CannotRun: not fitted, or none of the genes is a node.
        """
        import torch

        from cdnbench.methods.pdgrapher.network import Discovery, Graph, Table
        from cdnbench.methods.pdgrapher.training import encode

        model = self.model
        symbols, column = np.unique(task.symbols or (), return_inverse=True)
        at, there = places(model["genes"], symbols)
        if not there.any():
            raise CannotRun(
                "pdgrapher: none of the genes is in its interactions and training tasks"
            )
        known = np.zeros(len(model["genes"]), dtype=bool)
        known[at[there]] = True
        scaling = Scaling(model["low"], model["range"], model["fill"])
        n_nodes, rows = len(known), Rows(model["genes"], self.dim, int(model["seed"]))

        def inputs(name: str, table: str, means: list[np.ndarray]) -> tuple[Table, torch.Tensor]:
            values = np.zeros((len(means), n_nodes), dtype=np.float32)
            values[:, at[there]] = np.stack(means)[:, there]
            edges, codes = model[f"{name}.edges"], model[f"{name}.codes"]
            needed, row = np.unique(encode(scaling(values, known), edges), return_inverse=True)
            place, met = places(codes, needed)
            weight = np.empty((len(needed), self.dim), dtype=np.float32)
            weight[met] = model[f"discovery.{table}.weight"][place[met]]
            weight[~met] = rows(f"discovery/{name}", needed[~met], len(edges) - 1)
            node = torch.from_numpy(needed // (len(edges) - 1))
            row = np.ascontiguousarray(row.reshape(len(means), n_nodes).T)
            return Table(torch.from_numpy(weight), node, n_nodes), torch.from_numpy(row)

        before = mean(task.observational, column)
        first, at_before = inputs("before", "first", [before] * task.n_regimes)
        second, at_after = inputs("after", "second", [mean(x, column) for x in task.regimes])
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            network = Discovery(first, second, self._layers())
            state = {
                name.removeprefix("discovery."): torch.from_numpy(np.asarray(value))
                for name, value in model.items()
                if name.startswith("discovery.")
                and not name.endswith((".first.weight", ".second.weight"))
            }
            network.load_state_dict(
                state | {"first.weight": first.weight, "second.weight": second.weight}
            )
            graph = Graph.of(n_nodes, model["edges"]).to(self.device)
            moved = network.eval().to(self.device)
            scores = moved(at_before.to(self.device), at_after.to(self.device), graph)
            scores = scores.cpu().numpy().T
        return np.where(there, scores[:, at], np.nan)[:, column]

    def _layers(self):
        from cdnbench.methods.pdgrapher.network import Layers

        return Layers(self.dim, self.n_layers_gnn, self.n_layers_nn)


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows of the tables before training: normal numbers with a standard deviation of 2 / sqrt(N),
    each (table, gene) with a stream of its own, so that any of them can be drawn again."""

    genes: np.ndarray
    dim: int
    seed: int

    def __call__(self, table: str, codes: np.ndarray, n_categories: int) -> np.ndarray:
        """(U, D) float32 of codes (U,) gene * n_categories + category, sorted."""
        rows = np.empty((len(codes), self.dim), dtype=np.float32)
        genes, category = np.divmod(codes, n_categories)
        for gene in np.unique(genes):
            stream = generator("method", "pdgrapher", self.seed, table, str(self.genes[gene]))
            every = stream.standard_normal((n_categories, self.dim), dtype=np.float32)
            some = slice(*np.searchsorted(genes, [gene, gene + 1]))
            rows[some] = every[category[some]]
        return rows * np.float32(2 / np.sqrt(len(self.genes)))
