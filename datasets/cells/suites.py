"""The cell suites: one task per perturbation of a line, its cells against the line's controls.

perturbseq   test perturbations (knock-downs) of each line. Under the split `seen`, methods are
             trained on the training perturbations of all lines; under `unseen-cl`, on all
             perturbations of the other lines. Both splits score the same tasks.
sciplex      drugs with one target or more; test only.

Prepared lines are read from a folder (`--data`), which `bench data prepare` makes. Without one, the
embedded simulation is run and prepared once, in the user's cache, and every task says that it is
simulated.

A method sees the expression of the candidate genes, the name of the line and the symbols of the
genes. Tasks are named by numbers in an order without meaning.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np

from cdnbench.datasets.cells import masking
from cdnbench.datasets.cells.description import describe
from cdnbench.datasets.cells.prepared import SUFFIX, PreparedLine
from cdnbench.datasets.cells.simulated.embedded import (
    embedded_knowledge,
    embedded_lines,
    simulated_line,
)
from cdnbench.datasets.cells.simulated.knowledge import ERROR, ERRORS
from cdnbench.datasets.cells.simulated.simulate import (
    DRUGS,
    FULL,
    SMALL,
    SMALL_DRUGS,
    Simulation,
)
from cdnbench.datasets.cells.splits import SPLITS, training
from cdnbench.digest import digest, generator
from cdnbench.errors import BenchError, InvalidData, InvalidParameter, did_you_mean
from cdnbench.knowledge import find_knowledge
from cdnbench.suite import Suite, SuiteInfo, SuiteOption, TaskSpec
from cdnbench.task import Task
from cdnbench.truth import LabelledTask

DATA = SuiteOption(
    name="data",
    default="",
    help="folder of prepared cell lines (*.cells.h5); absent: the embedded simulation.",
)
CELL_LINES = SuiteOption(
    name="cell_lines", default="", help="a,b: only the tasks of these lines; absent: all lines."
)
MASKING = SuiteOption(
    name="masking",
    default="none",
    choices=("none", "marginal", "column", "null"),
    help="hides the target's own change. marginal: every gene of the perturbed cells takes the "
    "controls' values, by rank. column: the columns of the target and of 99 other genes are those "
    "of control cells, and these 100 genes are the candidates. null: all perturbed cells are "
    "control cells, so that nothing can be known.",
)
SUBSAMPLE = SuiteOption(
    name="subsample",
    default=0,
    choices=tuple(map(str, range(21))),
    help="number of rounds; in each, every perturbation keeps 80 % of its cells, at least 50 "
    "(Table 10). 0: all cells, once.",
)
KNOWLEDGE = SuiteOption(
    name="knowledge",
    default="",
    help="kind=FILE,kind=FILE or a folder: what is known of the genes, for methods that need it. "
    "Absent: for simulated lines, what the simulator says of its own network, with errors.",
)
KNOWLEDGE_ERROR = SuiteOption(
    name="knowledge_error",
    default=ERROR,
    choices=ERRORS,
    help="share of the simulator's statements about its network that are wrong.",
)
SIZE = SuiteOption(
    name="size",
    default="small",
    choices=("small", "full"),
    help="of the simulated lines. full: two lines of 5,000 genes; half of their tasks have 831 "
    "to 1,000 candidates. The first use makes them, which takes minutes and 2 GB.",
)
SPLIT = SuiteOption(
    name="split",
    default="seen",
    choices=SPLITS,
    help="what methods are trained on: the training perturbations of all lines (seen), or all "
    "perturbations of the other lines (unseen-cl). -strict: without perturbations of the genes "
    "that are tested.",
)
PART = SuiteOption(
    name="part",
    default="test",
    choices=("test", "all"),
    help="all: also score the training perturbations, for methods that were not trained on them.",
)

STRATA = {"trivial": "the differential gene with the largest |log fold change| is a target"}


class Recipe(NamedTuple):
    """Which task to make: the prepared line, the number of the perturbation in it, the round of
    subsampling (None: all cells), and whether the task is scored or only trained on."""

    line: str
    perturbation: int
    subsample: int | None
    scored: bool


class CellSuite(Suite):
    """What the two suites share.

    simulation: what stands in where no data are given. small_simulation: the same for tests.
    """

    simulation: ClassVar[Simulation]
    small_simulation: ClassVar[Simulation]

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        if self.options["data"]:  # valid wherever the process goes afterwards
            self.options["data"] = str(Path(self.options["data"]).expanduser().resolve())
        self._genes_in_training: dict[str, set[str]] = {}
        self._descriptions: dict[str, dict[str, Any]] = {}
        self._training: dict[str, list[TaskSpec]] = {}

    @classmethod
    def small(cls, folder: Path) -> dict[str, Any]:
        for name in cls.small_simulation.lines:
            simulated_line(cls.small_simulation, name, folder)
        return {"data": str(folder)}

    @property
    def part(self) -> str:
        """The side of the split whose perturbations are scored; "" for both."""
        return ""

    @property
    def stand_in(self) -> Simulation:
        """What stands in where no data are given."""
        return self.simulation

    @cached_property
    def all_lines(self) -> dict[str, PreparedLine]:
        """The prepared cell lines by name, in alphabetical order.

        Raises
        ------
        BenchError: the folder holds none, or two files of one line.
        """
        folder = self.options["data"]
        if folder:
            paths = sorted(Path(folder).glob(f"*{SUFFIX}"))
            if not paths:
                raise BenchError(
                    f"{folder} holds no prepared cell line (*{SUFFIX}). `bench data prepare` "
                    "makes them."
                )
            found = [PreparedLine.open(path) for path in paths]
        else:
            found = embedded_lines(self.stand_in)
        lines: dict[str, PreparedLine] = {}
        for line in found:
            if other := lines.get(line.name):
                raise InvalidData(
                    f"{other.path} and {line.path} are both of the cell line {line.name!r}. Move "
                    "one of them elsewhere, or prepare it under another name: --line NAME."
                )
            lines[line.name] = line
        return lines

    @cached_property
    def lines(self) -> dict[str, PreparedLine]:
        """The lines whose perturbations are scored.

        Raises
        ------
        UnknownName: a line that was asked for is not there.
        """
        lines = self.all_lines
        wanted = [name for name in self.options["cell_lines"].split(",") if name]
        for name in wanted:
            if name not in lines:
                raise did_you_mean("prepared cell line", name, lines)
        return {name: lines[name] for name in wanted or lines}

    def genes_in_training(self, line: str) -> set[str]:
        """Targets of the perturbations that a method scored on this line is trained on."""
        if line not in self._genes_in_training:
            trained = training(self.all_lines, self.options["split"], line)
            self._genes_in_training[line] = {
                gene for name, p in trained for gene in self.all_lines[name].targets[p]
            }
        return self._genes_in_training[line]

    def _description(self, line: str) -> dict[str, Any]:
        if line not in self._descriptions:
            self._descriptions[line] = describe(self.all_lines[line])
        return self._descriptions[line]

    def why_no_task(self) -> str:
        if not self.part:
            return ""
        n = sum(line.n_perturbations for line in self.lines.values())
        return f"All {n} perturbations are on the training side; --part all scores them as well."

    def specs(self) -> Sequence[TaskSpec]:
        return [spec for name in self.lines for spec in self._specs(self.lines[name])]

    def _specs(self, line: PreparedLine) -> list[TaskSpec]:
        tasks = [
            p for p in range(line.n_perturbations) if not self.part or line.split[p] == self.part
        ]
        tasks.sort(key=lambda p: digest(line.hash, "order", p))
        rounds = self.options["subsample"]
        return [
            self._spec(line, p, number, r)
            for number, p in enumerate(tasks)
            for r in (range(rounds) if rounds else [None])
        ]

    def _spec(
        self, line: PreparedLine, p: int, number: int, subsample: int | None, scored: bool = True
    ) -> TaskSpec:
        n_cells = int(np.diff(line.arrays["first"])[p])
        n_controls = len(line.arrays["controls/indptr"]) - 1
        if self.options["masking"] in ("column", "null"):
            n_controls //= 2
        masked = self.options["masking"]
        split = str(self.options.get("split", "test")) + (
            " (all)" if self.options.get("part") == "all" else ""
        )
        name = f"{line.name}/{number:04d}" + ("" if subsample is None else f"/s{subsample}")
        return TaskSpec(
            name=name if masked == "none" else f"{name}/{masked}",
            hash=digest("cells", line.hash, int(p), masked, subsample, split),
            n_variables=len(line.candidates(p)),
            n_regimes=1,
            has_symbols=True,
            n_samples=min(_kept(n_cells, subsample), n_controls),
            metadata={
                "dataset": f"{line.name}/{number:04d}",
                "cell_line": line.name,
                "split": split,
                "masking": masked,
                "subsample": -1 if subsample is None else subsample,
                "trivial": bool(line.arrays["trivial"][p]),
                "simulated": bool(line.attributes["simulated"]),
                **self._size(),
            },
            recipe=Recipe(line.name, int(p), subsample, scored),
            origin=digest("cells", line.hash, int(p)),
        )

    def _size(self) -> dict[str, str]:
        """The factor `size`, of suites that have it: "full", or "" which goes without saying."""
        size = self.options.get("size")
        return {} if size is None else {"size": "" if size == SIZE.default else size}

    def load(self, spec: TaskSpec) -> LabelledTask:
        name, p, subsample, scored = spec.recipe
        line = self.all_lines[name]
        genes = line.candidates(p)
        rng = generator("cells", "task", spec.hash)
        controls = line.controls()[:, genes].toarray()
        cells = line.cells(p)[:, genes].toarray()
        cells = cells[rng.permutation(len(cells))[: _kept(len(cells), subsample)]]
        symbols = [str(line.genes[g]) for g in genes]
        targets = np.isin(symbols, line.targets[p])
        candidates = np.ones_like(targets)
        mode = self.options["masking"]
        if mode == "marginal":
            cells = masking.marginal(cells, controls, rng)
        elif mode != "none":
            controls, held_out = masking.halves(controls, rng)
            if mode == "column":
                cells, candidates = masking.column(cells, held_out, targets, rng)
            else:
                cells = masking.null(len(cells), held_out, rng)
        task = Task(
            name=spec.name,
            variables=symbols,
            symbols=symbols,
            observational=controls,
            regimes=[cells],
            candidates=candidates[None],
            metadata={"cell_line": name, "simulated": bool(line.attributes["simulated"])},
        )
        facts = {
            "perturbation": str(line.names[p]),
            "targets": list(line.targets[p]),
            "n_differential": int(line.arrays["n_differential"][p]),
            "cluster": int(line.arrays["cluster"][p]),
            "reliability": float(line.arrays["reliability"][p]),
            "retrieval": float(line.arrays["retrieval"][p]),
            "line": self._description(name),
        }
        if "split" in self.options:
            facts["target_in_training"] = bool(self.genes_in_training(name) & set(line.targets[p]))
        profiles = profile_correlations(line, p)[genes][None] if scored else None
        return LabelledTask(task=task, targets=targets[None], profiles=profiles, facts=facts)


def profile_correlations(line: PreparedLine, p: int) -> np.ndarray:
    """How alike the profiles of perturbation p and of each gene's own perturbation are.

    (G,) Pearson correlations of mean shifts over all genes of the line: 1 for the targets of p, NaN
    for genes without a profile. Where a gene has several perturbations, the nearest one counts.
    """
    names = [name.decode() for name in line.arrays["profile_names"]]
    shifts, (mean, norm) = line.arrays["profiles"], line.profile_moments
    own = names.index(line.names[p])
    centred = np.asarray(shifts[own], dtype=np.float64) - mean[own]
    r = (shifts @ centred.astype(np.float32)) / np.maximum(norm * norm[own], 1e-12)
    found = np.full(len(line.genes), np.nan)
    number = {gene: i for i, gene in enumerate(line.genes)}
    for q, genes in enumerate(line.profile_targets):
        if len(genes) == 1 and q != own:
            found[number[genes[0]]] = np.fmax(found[number[genes[0]]], r[q])
    found[[number[gene] for gene in line.targets[p]]] = 1.0
    return found


def _kept(n_cells: int, subsample: int | None) -> int:
    """How many of M cells a round of subsampling keeps: min(M, max(50, .8 M)) (Table 10)."""
    return n_cells if subsample is None else min(n_cells, max(50, int(0.8 * n_cells)))


class PerturbSeq(CellSuite):
    info: ClassVar[SuiteInfo] = SuiteInfo(
        name="perturbseq",
        summary="knock-downs in single cells, prepared screens or simulated lines: one task "
        "per test perturbation",
        options=(
            SPLIT,
            PART,
            CELL_LINES,
            MASKING,
            SUBSAMPLE,
            DATA,
            KNOWLEDGE,
            KNOWLEDGE_ERROR,
            SIZE,
        ),
        setting=("cell_line", "split", "masking"),
        factors={"split": "", "masking": "none", "subsample": "-1", "size": ""},
        strata=STRATA,
        citation="Wu et al. 2025; Replogle et al. 2022; Nadig et al. 2024",
    )
    simulation: ClassVar[Simulation] = Simulation()
    small_simulation: ClassVar[Simulation] = SMALL

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        if self.options["data"] and self.options["size"] != SIZE.default:
            raise InvalidParameter("--size is of simulated lines; leave it out with --data.")

    @property
    def part(self) -> str:
        return "" if self.options["part"] == "all" else "test"

    @property
    def stand_in(self) -> Simulation:
        return FULL if self.options["size"] == "full" else self.simulation

    @property
    def knowledge(self) -> str:
        error = self.options["knowledge_error"]
        return self.options["knowledge"] or (f"error {error}" if error != ERROR else "")

    @property
    def resources(self) -> dict[str, Path]:
        """Kind of knowledge -> file.

        Raises
        ------
        InvalidData: a path that does not exist, or a folder without knowledge.
        InvalidParameter: an error rate for knowledge that is not simulated.
        """
        return self._resources

    @cached_property
    def _resources(self) -> dict[str, Path]:
        if not (self.options["knowledge"] or self.options["data"]):
            return embedded_knowledge(self.stand_in, self.options["knowledge_error"])
        if self.options["knowledge_error"] != ERROR:
            raise InvalidParameter("knowledge-error is for simulated lines without --knowledge.")
        found = find_knowledge(self.options["knowledge"])
        return {kind: path.resolve() for kind, path in found.items()}

    def training(self, spec: TaskSpec) -> list[TaskSpec]:
        """Perturbations of the training side of the split, masked as the task is."""
        line = spec.metadata["cell_line"]
        if not self.part and self.options["split"].startswith("seen"):
            return self._training.setdefault(line, [])  # all that there is to learn from is scored
        if line not in self._training:
            found = training(self.all_lines, self.options["split"], line)
            self._training[line] = [
                self._spec(self.all_lines[name], p, p, None, scored=False) for name, p in found
            ]
        return self._training[line]


class SciPlex(CellSuite):
    info: ClassVar[SuiteInfo] = SuiteInfo(
        name="sciplex",
        summary="drugs in single cells, prepared screens or simulated lines: one task per "
        "drug, test only",
        options=(CELL_LINES, MASKING, SUBSAMPLE, DATA),
        setting=("cell_line", "masking"),
        factors={"split": "", "masking": "none", "subsample": "-1"},
        strata=STRATA,
        citation="Wu et al. 2025; McFaline-Figueroa et al. 2024",
    )
    simulation: ClassVar[Simulation] = DRUGS
    small_simulation: ClassVar[Simulation] = SMALL_DRUGS
