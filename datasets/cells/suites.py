"""The cell suites: one task a perturbation of a line, its cells against the line's controls.

perturbseq   test perturbations (knock-downs) of each line. Splits: `seen` trains on the training
             perturbations of all lines, `unseen-cl` on all perturbations of the other lines; both
             score the same tasks.
sciplex      drugs with one target or more; test only.

Prepared lines are read from a folder (`--data`, made by `bench data prepare`). Without one, the
embedded simulation is run and prepared once, in the user's cache, and every task says that it is
simulated.

A method sees expression of the candidate genes, the line's name and the genes' symbols. Names of
tasks are numbers in an order that means nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np

from cdnbench.datasets.cells import masking
from cdnbench.datasets.cells.embedded import embedded_knowledge, embedded_lines
from cdnbench.datasets.cells.knowledge import ERROR, ERRORS
from cdnbench.datasets.cells.prepared import SUFFIX, PreparedLine
from cdnbench.datasets.cells.simulate import DRUGS, Simulation
from cdnbench.datasets.cells.training import SPLITS, training
from cdnbench.digest import digest, generator
from cdnbench.errors import BenchError, InvalidParameter, did_you_mean
from cdnbench.knowledge import find_knowledge
from cdnbench.suite import SuiteInfo, SuiteOption, TaskSpec
from cdnbench.task import LabelledTask, Task

DATA = SuiteOption(
    name="data",
    default="",
    help="folder of prepared cell lines (*.cells.h5); absent: the embedded simulation.",
)
CELL_LINES = SuiteOption(name="cell_lines", default="", help="a,b: only these lines; absent: all.")
SUBSET = SuiteOption(
    name="subset",
    default="all",
    choices=("all", "trivial", "nontrivial"),
    help="trivial: the differential gene with the largest |log fold change| is a target. "
    "nontrivial: it is not.",
)
MASKING = SuiteOption(
    name="masking",
    default="none",
    choices=("none", "marginal", "column", "null"),
    help="marginal: every gene of the perturbed cells has the controls' values. column: the "
    "target's column and 99 others are "
    "control cells', and these are the candidates. null: all perturbed cells are control cells, "
    "so that nothing can be known.",
)
SUBSAMPLE = SuiteOption(
    name="subsample",
    default="0",
    choices=("0", *map(str, range(1, 21))),
    help="rounds in which each perturbation keeps 80 % of its cells, at least 50 (Table 10).",
)
KNOWLEDGE = SuiteOption(
    name="knowledge",
    default="",
    help="kind=FILE,kind=FILE or a folder: what is known of the genes, for methods that need it; "
    "absent: for simulated lines what the "
    "simulator says of its own network, with errors.",
)
KNOWLEDGE_ERROR = SuiteOption(
    name="knowledge_error",
    default=ERROR,
    choices=ERRORS,
    help="share of what the simulator says of its network that is wrong.",
)
SPLIT = SuiteOption(
    name="split",
    default="seen",
    choices=SPLITS,
    help="what methods that are trained see: training perturbations of all lines (seen), or all "
    "of the other lines (unseen-cl); "
    "-strict: without perturbations of the genes that are tested.",
)


PART = SuiteOption(
    name="part",
    default="test",
    choices=("test", "all"),
    help="all: the training side of the split is scored as well, for methods that are not "
    "trained, or not on the line (unseen-cl).",
)


class Recipe(NamedTuple):
    """Of a task: the prepared line, the perturbation's number in it, the round of subsampling, and
    whether it is scored."""

    line: str
    perturbation: int
    subsample: int | None
    scored: bool


class CellSuite:
    """What the suites share. simulation: the embedded default. part: the side of the split whose
    perturbations are scored, "" for both."""

    info: ClassVar[SuiteInfo]
    simulation: ClassVar[Simulation]
    part: str

    def __init__(self, **options: Any) -> None:
        known = {option.name: option for option in self.info.options}
        for name, value in options.items():
            if name not in known:
                raise did_you_mean(f"option of the suite {self.info.name}", name, known)
            if known[name].choices and str(value) not in known[name].choices:
                raise InvalidParameter(
                    f"{self.info.name}: {name} takes {', '.join(known[name].choices)}; got "
                    f"{value!r}."
                )
        self.options = {name: option.default for name, option in known.items()} | options
        if self.options["data"]:  # wherever the process goes afterwards
            self.options["data"] = str(Path(str(self.options["data"])).expanduser().resolve())
        self._genes_in_training: dict[str, set[str]] = {}
        self._training: dict[str, list[TaskSpec]] = {}

    @cached_property
    def all_lines(self) -> dict[str, PreparedLine]:
        """The prepared cell lines by name, in alphabetical order.

        Raises
        ------
        BenchError: the folder holds none.
        """
        folder = str(self.options["data"])
        if folder:
            paths = sorted(Path(folder).glob(f"*{SUFFIX}"))
            if not paths:
                raise BenchError(
                    f"{folder} holds no prepared cell line (*{SUFFIX}). `bench data prepare` "
                    "makes them."
                )
            found = [PreparedLine.open(path) for path in paths]
        else:
            found = embedded_lines(self.simulation)
        return {line.name: line for line in found}

    @cached_property
    def lines(self) -> dict[str, PreparedLine]:
        """Those that are scored.

        Raises
        ------
        BenchError: one that is asked for is not there.
        """
        lines = self.all_lines
        wanted = [name for name in str(self.options["cell_lines"]).split(",") if name]
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

    def why_no_task(self) -> str:
        """What to do where `specs` is empty."""
        n = sum(line.n_perturbations for line in self.lines.values())
        if self.part and self.options["subset"] == "all":
            return (
                f"All {n} perturbations are on the training side of the split: --part all "
                "scores them."
            )
        return f"None of {n} perturbations is in the subset." if n else ""

    def specs(self) -> Sequence[TaskSpec]:
        return [spec for name in self.lines for spec in self._specs(self.lines[name])]

    def _specs(self, line: PreparedLine) -> list[TaskSpec]:
        trivial = line.arrays["trivial"]
        subset = self.options["subset"]
        tasks = [
            p
            for p in range(line.n_perturbations)
            if (not self.part or line.split[p] == self.part)
            and (subset == "all" or bool(trivial[p]) == (subset == "trivial"))
        ]
        tasks.sort(key=lambda p: digest(line.hash, "order", p))
        rounds = int(self.options["subsample"])
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
                "subset": self.options["subset"],
                "masking": masked,
                "subsample": -1 if subsample is None else subsample,
                "simulated": bool(line.attributes["simulated"]),
            },
            recipe=Recipe(line.name, int(p), subsample, scored),
            origin=digest("cells", line.hash, int(p)),
        )

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
            "trivial": bool(line.arrays["trivial"][p]),
            "n_differential": int(line.arrays["n_differential"][p]),
            "cluster": int(line.arrays["cluster"][p]),
            "reliability": float(line.arrays["reliability"][p]),
            "retrieval": float(line.arrays["retrieval"][p]),
        }
        if "split" in self.options:
            facts["target_in_training"] = bool(self.genes_in_training(name) & set(line.targets[p]))
        profiles = profile_correlations(line, p)[genes][None] if scored else None
        return LabelledTask(task=task, targets=targets[None], profiles=profiles, facts=facts)


def profile_correlations(line: PreparedLine, p: int) -> np.ndarray:
    """(G,) Pearson correlation, over all genes of the line, of the mean shift of perturbation p
    with that of each single gene's perturbation; 1 for the targets of p, NaN for genes without a
    profile."""
    names = [name.decode() for name in line.arrays["profile_names"]]
    shifts, (mean, norm) = line.arrays["profiles"], line.profile_moments
    own = names.index(line.names[p])
    centred = np.asarray(shifts[own], dtype=np.float64) - mean[own]
    r = (shifts @ centred.astype(np.float32)) / np.maximum(norm * norm[own], 1e-12)
    found = np.full(len(line.genes), np.nan)
    number = {gene: i for i, gene in enumerate(line.genes)}
    for q, genes in enumerate(line.profile_targets):
        if len(genes) == 1 and q != own:
            found[number[genes[0]]] = np.fmax(
                found[number[genes[0]]], r[q]
            )  # of several perturbations of a gene the nearest
    found[[number[gene] for gene in line.targets[p]]] = 1.0
    return found


def _kept(n_cells: int, subsample: int | None) -> int:
    """Cells of a perturbation that a round keeps: min(M, max(50, .8 M)) (Table 10)."""
    return n_cells if subsample is None else min(n_cells, max(50, int(0.8 * n_cells)))


class PerturbSeq(CellSuite):
    info: ClassVar[SuiteInfo] = SuiteInfo(
        name="perturbseq",
        summary="knock-downs in single cells, prepared screens or simulated lines: one task a "
        "test perturbation",
        options=(
            SPLIT,
            PART,
            CELL_LINES,
            SUBSET,
            MASKING,
            SUBSAMPLE,
            DATA,
            KNOWLEDGE,
            KNOWLEDGE_ERROR,
        ),
        setting=("cell_line", "split", "subset", "masking"),
        citation="Wu et al. 2025; Replogle et al. 2022; Nadig et al. 2024",
    )
    simulation: ClassVar[Simulation] = Simulation()

    @property
    def part(self) -> str:  # type: ignore[override]
        return "" if self.options["part"] == "all" else "test"

    @property
    def knowledge(self) -> str:
        """What reports call the knowledge; "" is the default."""
        error = str(self.options["knowledge_error"])
        return str(self.options["knowledge"]) or (f"error {error}" if error != ERROR else "")

    @cached_property
    def resources(self) -> dict[str, Path]:
        """Kind of knowledge -> path.

        Raises
        ------
        BenchError: a path that does not exist, or holds none; an error rate for knowledge that is
        not simulated.
        """
        simulated = not (self.options["knowledge"] or self.options["data"])
        if not simulated and str(self.options["knowledge_error"]) != ERROR:
            raise InvalidParameter("knowledge-error is for simulated lines without --knowledge.")
        if not simulated:
            return {
                kind: path.resolve()
                for kind, path in find_knowledge(str(self.options["knowledge"])).items()
            }
        return embedded_knowledge(self.simulation, str(self.options["knowledge_error"]))

    def training(self, spec: TaskSpec) -> list[TaskSpec]:
        """What a method may be trained on for this task: perturbations of the training side, masked
        as the task is."""
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
        summary="drugs in single cells, prepared screens or simulated lines: one task a drug, "
        "test only",
        options=(CELL_LINES, SUBSET, MASKING, SUBSAMPLE, DATA),
        setting=("cell_line", "subset", "masking"),
        citation="Wu et al. 2025; McFaline-Figueroa et al. 2024",
    )
    simulation: ClassVar[Simulation] = DRUGS
    part = ""
