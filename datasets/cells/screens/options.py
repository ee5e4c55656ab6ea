"""The thresholds of preparation with their sources, and the table of what each step costs."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

from cdnbench.digest import digest
from cdnbench.errors import InvalidParameter

SEPARATOR = "+"  # between the targets of a perturbation that has several


@dataclass(frozen=True)
class Preparation:
    """How raw counts become tasks. "paper" is Wu et al. 2025, Predicting perturbation targets with
    causal differential networks.

    What the file says about its cells
        perturbation    column of obs with the perturbation of each cell; cells without one are
                        dropped
        control         value of this column in control cells; several values or patterns with *
                        and ? separated by commas. In labels of several parts joined by +, a control
                        is no target, and the order of the parts means nothing
        target          column of obs with the targeted genes, joined by +; "" if perturbations are
                        named after them
        total           column of obs with the total count of each cell, for files that hold only
                        some of the genes; "" for the sum over the genes of the file
        where           condition on the columns of obs that a cell must fulfil, in the syntax of
                        pandas' `eval`
        values          "counts", or "lognorm" for log(1 + counts per 10,000)
    Filters (published files are filtered already, and the paper names no filters of its own)
        min_genes       least number of genes that a cell expresses
        max_mito        largest share of a cell's counts in genes named MT-...
        min_cells       least number of cells that express a gene
        min_perturbed   least number of cells per perturbation: 20, below which a mean profile is
                        mostly noise
    Tasks
        alpha           level of Benjamini-Hochberg adjusted p-values: .05 (paper)
        more_than       a perturbation must have more differential genes than this, with its targets
                        among them: 10 (paper)
        max_candidates  at most so many differential genes are candidates, those with the largest
                        |log fold change|: 1000 (paper)
        min_candidates  if there are fewer, random genes are added: 100 (paper)
        max_controls    at most so many control cells are kept, drawn with `seed`; tests use all of
                        them: 10,000
    Split
        clusters        number of k-means clusters of log fold changes. The largest is for training;
                        of the others, half: 200 (paper)
        seed            seed of all random draws
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
            if not (value >= low and (high is None or value <= high)):  # NaN is neither
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
        """Digest of the named options, or of all options if none is named."""
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
        """A table with one line per step."""
        width = max(len(step) for step, *_ in self.rows)
        lines = [f"{'':{width}}  {'cells':>10}  {'perturbations':>13}  {'genes':>7}"]
        lines += [f"{step:{width}}  {c:>10,}  {p:>13,}  {g:>7,}" for step, c, p, g in self.rows]
        return "\n".join(lines)
