"""The thresholds of preparation, each with its source, and the table of what they cost."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

from cdnbench.digest import digest
from cdnbench.errors import InvalidParameter

SEPARATOR = "+"  # between the targets of a perturbation that has several


@dataclass(frozen=True)
class Preparation:
    """How raw counts become tasks. "paper": Wu et al. 2025, Predicting perturbation targets with
    causal differential networks.

    What the cells say
        perturbation   column of obs with the perturbation of each cell; cells without one are
                       dropped
        control        its value in cells that nothing was done to
        target         column of obs with the targeted gene, several joined by +; "" if the
                       perturbation is named after them
        total          column of obs with a cell's total count, where the file holds some of the
                       genes only; "" for their sum
        where          condition on the columns of obs that a cell must fulfil, as pandas' `query`
                       reads it
        values         "counts", or "lognorm" for log(1 + counts per 10,000)
    Filters (published files have been filtered; the paper names none of its own)
        min_genes      expressed genes of a cell
        max_mito       share of a cell's counts in genes named MT-...
        min_cells      cells that express a gene, of all
        min_perturbed  cells of a perturbation: 20, below which a mean profile is mostly noise
                       (DESIGN)
    Tasks
        alpha          level of Benjamini-Hochberg adjusted p-values: .05 (paper)
        more_than      differential genes that a perturbation must exceed, its targets among them:
                       10 (paper)
        max_candidates the differential genes with the largest |log fold change| are candidates:
        1000 (paper)
        min_candidates if fewer, others drawn at random are added: 100 (paper)
        max_controls   control cells that are kept, drawn with `seed`; tests use all of them: 10,000
    Split
        clusters       of k-means on log fold changes, the largest to train, the others half and
                       half: 200 (paper)
        seed           of all draws
    """

    perturbation: str = "perturbation"
    control: str = "non-targeting"
    target: str = ""
    total: str = ""
    where: str = ""
    values: str = "counts"
    min_genes: int = 0
    max_mito: float = 1.0
    min_cells: int = 1
    min_perturbed: int = 20
    alpha: float = 0.05
    more_than: int = 10
    max_candidates: int = 1000
    min_candidates: int = 100
    max_controls: int = 10_000
    clusters: int = 200
    seed: int = 0

    def __post_init__(self) -> None:
        if self.values not in ("counts", "lognorm"):
            raise InvalidParameter(f"values is counts or lognorm; got {self.values!r}.")
        for name, low, high in (
            ("min_genes", 0, None),
            ("max_mito", 0, 1),
            ("min_cells", 0, None),
            ("min_perturbed", 1, None),
            ("alpha", 0, 1),
            ("more_than", 0, None),
            ("max_candidates", 2, None),
            ("min_candidates", 2, None),
            ("max_controls", 1, None),
            ("clusters", 1, None),
        ):
            value = getattr(self, name)
            if value < low or (high is not None and value > high):
                raise InvalidParameter(
                    f"{name} is at least {low}{f' and at most {high}' if high else ''}; got "
                    f"{value}."
                )
        if self.min_candidates > self.max_candidates:
            raise InvalidParameter(
                f"min_candidates ({self.min_candidates}) exceeds max_candidates "
                f"({self.max_candidates})."
            )

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def digest_of(self, *names: str) -> str:
        """Identity of some of the options, of all if none is named."""
        return digest(
            {f.name: getattr(self, f.name) for f in fields(self) if not names or f.name in names}
        )


@dataclass
class Attrition:
    """What each step of preparation left: rows of (step, cells, perturbations, genes)."""

    rows: list[tuple[str, int, int, int]]

    def add(self, step: str, cells: int, perturbations: int, genes: int) -> None:
        self.rows.append((step, int(cells), int(perturbations), int(genes)))

    def text(self) -> str:
        """One line a step."""
        width = max(len(step) for step, *_ in self.rows)
        lines = [f"{'':{width}}  {'cells':>10}  {'perturbations':>13}  {'genes':>7}"]
        lines += [f"{step:{width}}  {c:>10,}  {p:>13,}  {g:>7,}" for step, c, p, g in self.rows]
        return "\n".join(lines)
