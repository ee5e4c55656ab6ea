"""Golden values of GEARS: what the reference computes on a small random problem.

    pip install torch==2.13.0 torch_geometric==2.8.1 "numpy<2.3" scipy==1.14.1 cell-gears==0.1.2
    python tests/methods/gears/golden/make_gears.py tests/methods/gears/golden/gears.npz

The package runs as it is, in float64: `GEARS_Model` in training and evaluation mode, `loss_fct`,
gradient clipping, Adam and StepLR as in `GEARS.train`, `get_similarity_network` and
`GeneSimNetwork` for the graphs. There is no download: the annotations are random.
One thing is put right from outside: the package numbers the edges of the co-expression graph for
one cell, so that in a batch they reach its first cell only. The model is given the edges of all
cells of the batch. `one_cell/predicted` is what it gives without.

What is stored
    terms, coexpression/cells   inputs of the graphs; go/..., coexpression/...: edges (source,
                                target, weight) that the reference found
    start/...                   the state dict before training (random running statistics, too)
    cells/x, cells/y            pairs of control and perturbed cells; cells/pert: the perturbation
                                of each (numbers of its targets, -1)
    batches                     cells of each batch; non_zero: genes that count in the loss, a
                                perturbation
    loss, gradient/...          of the first batch; deltas: output minus x of the first batch, in
                                training mode
    losses, end/...             of all steps, and the state dict after them; predicted: deltas of
                                every gene, in evaluation mode
"""

from __future__ import annotations

import pickle
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import torch
from gears.model import GEARS_Model
from gears.utils import GeneSimNetwork, get_coexpression_network_from_train, loss_fct, make_GO
from scipy import sparse

G, P, TERMS, HIDDEN, CELLS, BATCH, STEPS, EPOCH = 12, 10, 12, 4, 40, 8, 6, 2
NEIGHBOURS, THRESHOLD = 3, 0.25


def ontology(terms: np.ndarray, names: list[str]) -> pd.DataFrame:
    """As `get_similarity_network` does it, with annotations from a file instead of a download."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "gene2go_all.pkl"
        path.write_bytes(
            pickle.dumps(
                {
                    name: set(np.flatnonzero(row).tolist())
                    for name, row in zip(names, terms, strict=True)
                }
            )
        )
        table = make_GO(folder, names, "none", num_workers=1, save=False)
    return (
        table.groupby("target")
        .apply(lambda x: x.nlargest(NEIGHBOURS + 1, ["importance"]))
        .reset_index(drop=True)
    )


def coexpression(cells: np.ndarray, names: list[str]) -> pd.DataFrame:
    adata = SimpleNamespace(
        var=pd.DataFrame({"gene_name": names}),
        obs=pd.DataFrame({"condition": ["ctrl"] * len(cells)}),
        X=sparse.csr_matrix(cells),
    )
    with tempfile.TemporaryDirectory() as folder:
        return get_coexpression_network_from_train(
            adata, THRESHOLD, NEIGHBOURS, folder, ".", "s", 1, 0.75, {"train": ["ctrl"]}
        )


def edges(table: pd.DataFrame, names: list[str]):
    network = GeneSimNetwork(table, names, {name: i for i, name in enumerate(names)})
    return network.edge_index, network.edge_weight.double()


def of_cells(model: GEARS_Model, graph: tuple[torch.Tensor, torch.Tensor], n_cells: int) -> None:
    """Gives the model the co-expression graph of a batch of so many cells."""
    index, weight = graph
    model.G_coexpress = torch.cat([index + G * i for i in range(n_cells)], dim=1)
    model.G_coexpress_weight = weight.repeat(n_cells)


def main(path: str) -> None:
    rng = np.random.default_rng(0)
    stored: dict[str, np.ndarray] = {}
    genes, nodes = [f"G{i:02d}" for i in range(G)], [f"N{i:02d}" for i in range(P)]
    terms = rng.random((P, TERMS)) < 0.4
    terms[np.arange(P), rng.integers(0, TERMS, P)] = True
    cells = rng.normal(size=(60, 3)) @ rng.normal(size=(3, G)) + 1.5 * rng.normal(size=(60, G))
    cells[:, 4] = 0  # a gene that does not vary
    cells = cells.astype(np.float32)
    graph = {
        "go": edges(ontology(terms, nodes), nodes),
        "coexpression": edges(coexpression(cells, genes), genes),
    }
    stored |= {"terms": terms, "coexpression/cells": cells}
    for name, (index, weight) in graph.items():
        stored |= {f"{name}/edges": index.numpy(), f"{name}/weights": weight.numpy()}

    torch.manual_seed(0)
    model = GEARS_Model(
        {
            "num_genes": G,
            "num_perts": P,
            "hidden_size": HIDDEN,
            "uncertainty": False,
            "num_go_gnn_layers": 1,
            "num_gene_gnn_layers": 1,
            "decoder_hidden_size": 16,
            "no_perturb": False,
            "device": "cpu",
            "G_go": graph["go"][0],
            "G_go_weight": graph["go"][1],
            "G_coexpress": graph["coexpression"][0],
            "G_coexpress_weight": graph["coexpression"][1],
        }
    )
    model.double()
    with torch.no_grad():
        for name, value in model.state_dict().items():
            if value.is_floating_point():
                noise = torch.randn(value.shape, dtype=value.dtype)
                value.copy_(
                    value + 0.1 * noise if "running_var" not in name else 1 + 0.3 * noise.abs()
                )
    stored |= {f"start/{name}": value.numpy().copy() for name, value in model.state_dict().items()}

    perturbed = [[0], [3], [3, 5], [7], [-1]]
    of_cell = rng.choice(len(perturbed), CELLS, p=[0.25, 0.25, 0.15, 0.1, 0.25])
    x = np.abs(rng.normal(size=(CELLS, G)))
    y = np.where(of_cell[:, None] == 4, x, np.abs(rng.normal(1, 1, size=(CELLS, G))))
    non_zero = rng.random((len(perturbed), G)) < 0.8
    non_zero[-1] = True
    controls = np.flatnonzero(of_cell == 4)
    one = np.flatnonzero(of_cell == 0)[
        :1
    ]  # a batch of one perturbed cell, and one of controls only
    batches = [rng.permutation(CELLS)[:BATCH] for _ in range(STEPS)]
    batches[2], batches[4] = (
        np.concatenate([controls[: BATCH - 1], one]),
        np.resize(controls, BATCH),
    )
    stored |= {
        "cells/x": x,
        "cells/y": y,
        "cells/pert": of_cell,
        "batches": np.array(batches),
        "non_zero": non_zero,
        "targets": np.array([p + [-1] * (2 - len(p)) for p in perturbed]),
    }
    control = torch.from_numpy(x.mean(axis=0))
    named = ["ctrl" if p == [-1] else "+".join(map(str, p)) for p in perturbed]
    keep = {name: np.flatnonzero(row) for name, row in zip(named, non_zero, strict=True)}

    def batch(rows: np.ndarray, targets: list[list[int]]) -> SimpleNamespace:
        return SimpleNamespace(
            x=torch.from_numpy(x[rows].reshape(-1, 1)),
            pert_idx=targets,
            batch=torch.arange(len(rows)).repeat_interleave(G),
        )

    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, weight_decay=5e-4)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.5)
    losses = []
    model.train()
    of_cells(model, graph["coexpression"], BATCH)
    for step, rows in enumerate(batches):
        optimizer.zero_grad()
        found = model(batch(rows, [perturbed[p] for p in of_cell[rows]]))
        loss = loss_fct(
            found, torch.from_numpy(y[rows]), [named[p] for p in of_cell[rows]],
            ctrl=control, direction_lambda=1e-1, dict_filter=keep,
        )  # fmt: skip
        loss.backward()
        if step == 0:
            stored["deltas"] = found.detach().numpy() - x[rows]
            stored |= {
                f"gradient/{k}": p.grad.numpy().copy()
                for k, p in model.named_parameters()
                if p.grad is not None
            }
        torch.nn.utils.clip_grad_value_(model.parameters(), clip_value=1.0)
        optimizer.step()
        losses.append(loss.item())
        if step % EPOCH == EPOCH - 1:
            scheduler.step()
    model.eval()
    stored["losses"], stored["control"] = np.array(losses), control.numpy()
    for name, n_cells in (("predicted", P), ("one_cell/predicted", 1)):
        of_cells(model, graph["coexpression"], n_cells)
        with torch.no_grad():
            found = model(batch(np.zeros(P, dtype=int), [[p] for p in range(P)]))
        stored[name] = found.numpy() - x[0]
    stored |= {f"end/{name}": value.numpy().copy() for name, value in model.state_dict().items()}
    np.savez_compressed(path, **stored)


if __name__ == "__main__":
    main(sys.argv[1])
