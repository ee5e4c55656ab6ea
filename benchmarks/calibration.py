"""How near the simulated cell lines are to real screens, and how much of real and simulated
networks shows in differential genes.

    CDNBENCH_DATA=FOLDER python benchmarks/calibration.py

Real: Papalexi 2021 (THP-1, 299 genes; zeros, cells), the genes of Replogle 2022 that 585
knock-downs raise most in K562 and RPE1 (differential genes, similarity across and within lines),
HuRI, STRING and BioGRID. Prints what there is.
"""

from __future__ import annotations

import os
import time
from itertools import combinations
from pathlib import Path

import numpy as np

from cdnbench.datasets.cells.prepared import PreparedLine
from cdnbench.datasets.cells.simulated.embedded import embedded_knowledge, embedded_lines
from cdnbench.datasets.cells.simulated.knowledge import ERRORS
from cdnbench.datasets.cells.simulated.simulate import Simulation
from cdnbench.knowledge import Interactions, read_interactions

RAISED = 0.14  # 1000 of 7225 genes
NEAR = 10 / 585  # "top 10 of 585", as a share


def quantiles(values, digits: int = 2) -> str:
    return " ".join(f"{q:.{digits}f}" for q in np.quantile(values, [0.1, 0.25, 0.5, 0.75, 0.9]))


def weighted(ranked: np.ndarray, n_genes: int) -> np.ndarray:
    """(P, G) centred unit vectors of linearly falling weights on ranked genes (P, K)."""
    vectors = np.zeros((len(ranked), n_genes), np.float32)
    weights = np.broadcast_to(
        1 - np.arange(ranked.shape[1], dtype=np.float32) / ranked.shape[1], ranked.shape
    )
    np.put_along_axis(vectors, ranked, weights, axis=1)
    vectors -= vectors.mean(axis=0)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)


def similarity(a: np.ndarray, b: np.ndarray, label: str) -> None:
    """The profiles of the same perturbations in two lines, one per row."""
    across, within = a @ b.T, a @ a.T
    np.fill_diagonal(within, -1)
    behind = (across > np.diag(across)[:, None]).sum(axis=1)
    print(
        f"{label:28} first {np.mean(behind < 1):.2f}, in the nearest 1.7 % "
        f"{np.mean(behind < NEAR * len(a)):.2f} of {len(a)}; "
        f"cosine with itself {quantiles(np.diag(across))}, with the nearest other "
        f"{quantiles(within.max(axis=1))}"
    )


def enrichment(known: Interactions, raised: dict[str, list[str]], genes: set[str]) -> float:
    """Edges between a target and its differential genes, in units of what any genes would have."""
    neighbours: dict[str, set[str]] = {}
    for i, j in known.edges:
        a, b = str(known.genes[i]), str(known.genes[j])
        neighbours.setdefault(a, set()).add(b)
        neighbours.setdefault(b, set()).add(a)
    hits = expected = 0.0
    for target, found in raised.items():
        near = (neighbours.get(target, set()) & genes) - {target}
        hits += len(near & set(found))
        expected += len(near) * len(set(found) - {target}) / (len(genes) - 1)
    return hits / max(expected, 1e-9)


def simulated() -> None:
    simulation, began = Simulation(), time.perf_counter()
    lines = embedded_lines(simulation)
    print(f"simulated lines (opened or made in {time.perf_counter() - began:.0f} s)")
    raised: dict[str, dict[str, list[str]]] = {}
    for line in lines:
        arrays, controls = line.arrays, line.controls()
        zeros = 1 - np.asarray((controls > 0).mean(axis=0)).ravel()
        differential = arrays["n_differential"] / len(line.genes)
        print(
            f"{line.name}: {line.n_perturbations} tasks; zeros {zeros.mean():.2f}, a gene "
            f"{quantiles(zeros)}; "
            f"cells a perturbation {quantiles(np.diff(arrays['first']), 0)}; differential genes, "
            f"share {quantiles(differential, 3)}; "
            f"own column first {arrays['trivial'].mean():.2f}"
        )
        significant = np.asarray(arrays["adjusted"]) < 0.05
        raised[line.name] = {
            line.targets[p][0]: [str(g) for g in line.genes[significant[p]]]
            for p in range(line.n_perturbations)
        }
    for a, b in list(combinations(lines, 2))[:3]:
        vectors = [
            of_tasks(line, sorted(set(raised[a.name]) & set(raised[b.name]))) for line in (a, b)
        ]
        similarity(*vectors, f"{a.name}, {b.name}")
    for error in ERRORS:
        known = read_interactions(embedded_knowledge(simulation, error)["interactions"])
        found = [enrichment(known, raised[line.name], set(map(str, line.genes))) for line in lines]
        print(
            f"network at error {error}: {len(known.edges)} edges, enriched {np.mean(found):.2f} "
            "times"
        )


def of_tasks(line: PreparedLine, targets: list[str]) -> np.ndarray:
    """Vectors of the genes that each target's knock-down raises most."""
    place = {names[0]: i for i, names in enumerate(line.profile_targets) if len(names) == 1}
    shifts = np.asarray(line.arrays["profiles"])[[place[target] for target in targets]]
    top = int(RAISED * shifts.shape[1])
    return weighted(np.argsort(-shifts, axis=1)[:, :top], shifts.shape[1])


def real(folder: Path) -> None:
    print("\nreal screens")
    screen = folder / "expression" / "papalexi2021_thp1_eccite_299genes_counts.h5ad"
    if screen.exists():
        import anndata
        from scipy import sparse

        data = anndata.read_h5ad(screen)
        zeros = 1 - np.asarray((sparse.csr_matrix(data.X) > 0).mean(axis=0)).ravel()
        cells = data.obs["perturbation"].value_counts().to_numpy()[1:]
        print(
            f"Papalexi: zeros {zeros.mean():.2f}, a gene {quantiles(zeros)}; cells a perturbation "
            f"{quantiles(cells, 0)}"
        )
    ranks = folder / "expression" / "replogle2022_k562_rpe1_upranks.npz"
    if not ranks.exists():
        return
    file = np.load(ranks, allow_pickle=True)
    targets, genes = [str(t) for t in file["perts"]], [str(g) for g in file["genes"]]
    for line in ("k562", "rpe1"):
        print(
            f"Replogle {line}: genes raised significantly, share "
            f"{quantiles(file[f'nsig_{line}'] / len(genes), 4)}"
        )
    similarity(
        *(weighted(file[f"rank_{line}"].astype(int), len(genes)) for line in ("k562", "rpe1")),
        "K562, RPE1",
    )
    for name in ("HuRI", "STRINGv12-ntm700", "BioGRID-MV-4.3.195-hr40"):
        path = folder / "knowledge" / f"{name}.tsv.gz"
        for line in ("k562", "rpe1") if path.exists() else ():
            ranked, n = file[f"rank_{line}"], file[f"nsig_{line}"]
            raised = {t: [genes[g] for g in ranked[i, : n[i]]] for i, t in enumerate(targets)}
            print(
                f"{name} in {line}: enriched "
                f"{enrichment(read_interactions(path), raised, set(genes)):.2f} times"
            )


if __name__ == "__main__":
    simulated()
    if folder := os.environ.get("CDNBENCH_DATA"):
        real(Path(folder))
