"""GEARS beside its reference on the same data, on one core in the same run: an epoch of training,
and scoring 1,000 candidates.

    python -m venv ref && ref/bin/pip install torch==2.13.0 torch_geometric==2.8.1 "numpy<2.3"
    scipy==1.14.1 cell-gears==0.1.2 python benchmarks/gears.py --reference ref/bin/python

1,000 genes, 100 perturbations of 90 cells and 1,000 control cells, graphs of 20 neighbours a gene.
CPU seconds of one thread. An epoch is
the mean time of a batch of 32 cells times 312 batches: forward, loss, backward, step. The reference
runs `GEARS_Model`, `loss_fct` and Adam as `GEARS.train` does, without its evaluation after each
epoch and without its data loader; a candidate costs it a pass of 300 control cells, as
`GEARS.predict` does. Ours is `Optimiser.step` and `Gears.predict_targets`, group=1 on the very
batches of the reference.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np

N_GENES, PERTURBATIONS, CELLS, CONTROLS, NEIGHBOURS, BATCH = 1000, 100, 90, 1000, 20, 32
N_CELLS = PERTURBATIONS * CELLS + CONTROLS
BATCHES = N_CELLS // BATCH


def seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def edges(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """(2, E) sources and targets and (E,) weights: each gene itself and 20 others."""
    others = np.stack([rng.choice(N_GENES - 1, NEIGHBOURS, replace=False) for _ in range(N_GENES)])
    others += others >= np.arange(N_GENES)[:, None]
    sources = np.hstack([np.arange(N_GENES)[:, None], others])
    weights = np.hstack([np.ones((N_GENES, 1)), rng.uniform(0.1, 1, others.shape)]).astype(
        np.float32
    )
    return np.stack(
        [sources.ravel(), np.repeat(np.arange(N_GENES), NEIGHBOURS + 1)]
    ), weights.ravel()


def data() -> SimpleNamespace:
    """of (M,): perturbation of each cell, the last number for controls; x, y (M, G): control and
    perturbed cell."""
    rng = np.random.default_rng(0)
    of = np.repeat(np.arange(PERTURBATIONS + 1), [CELLS] * PERTURBATIONS + [CONTROLS])
    x = rng.exponential(size=(N_CELLS, N_GENES)).astype(np.float32)
    y = np.where(of[:, None] == PERTURBATIONS, x, rng.exponential(size=x.shape).astype(np.float32))
    return SimpleNamespace(
        of=of,
        x=x,
        y=y,
        ontology=edges(rng),
        coexpression=edges(rng),
        order=rng.permutation(N_CELLS),
    )


def reference(n_batches: int, n_candidates: int) -> dict[str, float]:
    """Seconds a batch and a candidate, in the interpreter that has the reference."""
    import torch
    from gears.model import GEARS_Model  # type: ignore[import-not-found]
    from gears.utils import loss_fct  # type: ignore[import-not-found]

    torch.set_num_threads(1)
    torch.manual_seed(0)
    d = data()
    graphs = [
        [torch.from_numpy(array) for array in graph] for graph in (d.ontology, d.coexpression)
    ]
    model = GEARS_Model(
        {
            "num_genes": N_GENES,
            "num_perts": N_GENES,
            "hidden_size": 64,
            "uncertainty": False,
            "num_go_gnn_layers": 1,
            "num_gene_gnn_layers": 1,
            "decoder_hidden_size": 16,
            "no_perturb": False,
            "device": "cpu",
            "G_go": graphs[0][0],
            "G_go_weight": graphs[0][1],
            "G_coexpress": graphs[1][0],
            "G_coexpress_weight": graphs[1][1],
        }
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, weight_decay=5e-4)
    control, keep = (
        torch.from_numpy(d.x.mean(axis=0)),
        {str(p): np.arange(N_GENES) for p in range(PERTURBATIONS)},
    )

    def graph_batch(x: np.ndarray, targets: list[list[int]]) -> SimpleNamespace:
        of = torch.arange(len(x)).repeat_interleave(N_GENES)
        return SimpleNamespace(x=torch.from_numpy(x).reshape(-1, 1), pert_idx=targets, batch=of)

    def step(i: int) -> None:
        rows = d.order[i * BATCH : (i + 1) * BATCH]
        optimizer.zero_grad()
        found = model(
            graph_batch(d.x[rows], [[int(p)] if p < PERTURBATIONS else [-1] for p in d.of[rows]])
        )
        names = [str(p) if p < PERTURBATIONS else "ctrl" for p in d.of[rows]]
        loss_fct(
            found,
            torch.from_numpy(d.y[rows]),
            names,
            ctrl=control,
            direction_lambda=0.1,
            dict_filter=keep,
        ).backward()
        torch.nn.utils.clip_grad_value_(model.parameters(), clip_value=1.0)
        optimizer.step()

    step(0)
    batch = seconds(lambda: [step(i) for i in range(1, 1 + n_batches)]) / n_batches
    model.eval()
    controls = d.x[-CONTROLS:][:300]

    def candidate(p: int) -> None:
        with torch.no_grad():
            model(graph_batch(controls, [[p]] * len(controls))).mean(dim=0)

    candidate(0)
    return {
        "batch": batch,
        "candidate": seconds(lambda: [candidate(p) for p in range(n_candidates)]) / n_candidates,
    }


def ours(group: int, n_batches: int) -> tuple[float, float]:
    """Seconds a batch, and for 1,000 candidates."""
    import torch
    from scipy import sparse

    from cdnbench import Task
    from cdnbench.methods.gears import training
    from cdnbench.methods.gears.gears import Gears
    from cdnbench.methods.gears.graphs import normalised
    from cdnbench.methods.gears.network import Network

    torch.set_num_threads(1)
    d = data()
    ontology, coexpression = (
        normalised(sparse.csr_matrix((weights, (target, source)), shape=(N_GENES, N_GENES)))
        for (source, target), weights in (d.ontology, d.coexpression)
    )
    rng, genes = np.random.default_rng(0), np.arange(N_GENES)
    conditions = [
        training.Condition((p,), genes, (d.y - d.x)[d.of == p], CELLS) for p in range(PERTURBATIONS)
    ]
    conditions.append(training.Condition((), genes, None, CONTROLS))
    network = Network(coexpression, N_GENES, 64, rng)
    optimiser = training.Optimiser(network, 1e-3, 5e-4)
    if group == 1:
        place = np.concatenate([np.arange(n) for n in np.bincount(d.of)])
        cut = [d.order[i * BATCH : (i + 1) * BATCH] for i in range(1 + n_batches)]
        batches = [
            {int(p): place[rows][d.of[rows] == p] for p in np.unique(d.of[rows])} for rows in cut
        ]
    else:
        batches = list(training.batches([c.n_cells for c in conditions], BATCH, group, rng))[
            : 1 + n_batches
        ]
    optimiser.step(training.Step.of(conditions, batches[0], ontology))
    spent = seconds(
        lambda: [optimiser.step(training.Step.of(conditions, b, ontology)) for b in batches[1:]]
    )

    names = [f"G{g:04d}" for g in genes]
    model = {
        "genes": np.array(names),
        "nodes": np.array(names),
        "effects": network.effects(ontology, np.ones(N_GENES)),
    }
    method = Gears().fitted({**model, **network.folded()})
    task = Task(
        name="t",
        variables=names,
        symbols=names,
        observational=d.x[-CONTROLS:],
        regimes=[d.y[:CELLS]],
    )
    method.predict_targets(task)
    return spent / n_batches, seconds(lambda: method.predict_targets(task))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--reference", type=Path, help="Python interpreter of an environment with cell-gears"
    )
    parser.add_argument(
        "--only-reference",
        action="store_true",
        help="print the times of the reference as JSON and end",
    )
    arguments = parser.parse_args()
    if arguments.only_reference:
        print(json.dumps(reference(10, 3)))
        return
    theirs = None
    if arguments.reference:
        command = [
            str(arguments.reference),
            "-P",
            str(Path(__file__).resolve()),
            "--only-reference",
        ]
        out = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        theirs = json.loads(out.splitlines()[-1])
        print(
            f"reference  epoch {theirs['batch'] * BATCHES:7.1f} s   1,000 candidates "
            f"{1000 * theirs['candidate']:8.1f} s"
        )
    for group in (1, 4):
        batch, scoring = ours(group, 60)
        line = (
            f"group={group}    epoch {batch * BATCHES:7.1f} s   1,000 candidates {scoring:8.2f} s"
        )
        if theirs:
            line += (
                f"   {theirs['batch'] / batch:.0f} and "
                f"{1000 * theirs['candidate'] / scoring:.0f} times faster"
            )
        print(line)


if __name__ == "__main__":
    main()
