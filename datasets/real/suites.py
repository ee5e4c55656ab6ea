"""The suites: one per real data set, and `real`, which has them all.

In a suite of one data set the perturbation (an incident, a gene) is the unit of statistics; in
`real` it is the data set, so that averages and intervals are over data sets and a large one counts
no more than a small one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import numpy as np

from cdnbench.datasets.real.case import PERTURBED, Case, control_cases, detectable
from cdnbench.datasets.real.files import data_folder, written
from cdnbench.datasets.real.sachs import CONDITIONS, GROUPS, PROTEINS, Sachs, read_cdt
from cdnbench.digest import digest, generator
from cdnbench.errors import BenchError, InvalidParameter, did_you_mean
from cdnbench.suite import Suite, SuiteInfo, SuiteOption, TaskSpec
from cdnbench.task import Task
from cdnbench.truth import LabelledTask

DATA = SuiteOption(
    name="data",
    default="",
    help="folder with the files of the data sets, as cdnbench.datasets.real describes; absent: the "
    "environment variable CDNBENCH_DATA.",
)
SACHS = "sachs"
NAMES = ("papalexi", "hill", SACHS, "sahin", "pasilla", "petshop", "ecoli")
VERSION = 1
"""Of the readers: another one makes other tasks of the same files."""


def reader_of(name: str) -> ModuleType:
    """The module of a data set: its `FILES`, whether its variables are `GENES`, and `read`.

    Imported when it is used: listing suites need not load pandas.
    """
    return import_module(f"cdnbench.datasets.real.{name}")


def _find(name: str, folder: Path | None) -> tuple[Path, ...]:
    """Where a data set's files lie. Raises BenchError, which says how to place what is missing."""
    return tuple(file.find(folder, name) for file in reader_of(name).FILES)


def _read(name: str, paths: tuple[Path, ...]) -> tuple[str, tuple[Case, ...]]:
    """Digest of the files, and their cases in an order that means nothing. Files that were replaced
    are read again."""
    return _read_once(name, paths, tuple(written(path) for path in paths))


@cache
def _read_once(
    name: str, paths: tuple[Path, ...], when: tuple[tuple[int, int], ...]
) -> tuple[str, tuple[Case, ...]]:
    reader = reader_of(name)
    files = [np.frombuffer(p.read_bytes(), np.uint8) for p in paths or (reader.SHIPPED,)]
    cases = list(reader.read(*paths))
    order = generator("real", name, "order").permutation(len(cases))
    return digest(*files), tuple(cases[i] for i in order)


def _specs(name: str, folder: Path | None) -> list[TaskSpec]:
    source, cases = _read(name, _find(name, folder))
    genes = reader_of(name).GENES
    return [_spec(name, number, case, genes, source) for number, case in enumerate(cases)]


def _spec(name: str, number: int, case: Case, genes: bool, source: str) -> TaskSpec:
    return TaskSpec(
        name=f"{name}/{number:03d}",
        hash=digest("real", name, [source, VERSION], number),
        n_variables=len(case.variables),
        n_regimes=1,
        n_samples=min(len(case.observational), len(case.perturbed)),
        has_symbols=genes,
        metadata={
            "source": name,
            "kind": case.kind,
            "dataset": f"{name}/{_unit(name, case)}",
            "simulated": False,
        },
        recipe=(name, number),
    )


def _unit(name: str, case: Case) -> str:
    """A name of the case's unit that does not tell the target."""
    return digest("real", name, case.unit, size=4)


def _load(spec: TaskSpec, case: Case) -> LabelledTask:
    task = Task(
        name=spec.name,
        variables=case.variables,
        observational=case.observational,
        regimes=[case.perturbed],
        symbols=case.variables if spec.has_symbols else None,
    )
    targets = case.targets()
    return LabelledTask(
        task=task,
        targets=targets,
        detectable=detectable(task.observational, task.regimes, targets),
        n_unmeasured=case.n_unmeasured(),
    )


def _small(folder: Path, names: Sequence[str]) -> dict[str, Any]:
    """Made-up files of these data sets in the folder, and the option that names it."""
    from cdnbench.datasets.real import small  # imports pandas and anndata, for tests alone

    for name in names:
        small.write(folder, name)
    return {"data": str(folder)}


class _RealSuite(Suite):
    """What the suites share: the data folder."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        if self.options.get("data"):  # valid wherever the process goes afterwards
            self.options["data"] = str(Path(self.options["data"]).expanduser().resolve())

    @property
    def folder(self) -> Path | None:
        """The data folder, None where none is named. Raises BenchError: it is no folder."""
        return data_folder(self.options.get("data", ""))


class _One(_RealSuite):
    """A suite of one data set: that of its name."""

    @classmethod
    def small(cls, folder: Path) -> dict[str, Any]:
        return _small(folder, [cls.info.name]) if DATA in cls.info.options else {}

    def specs(self) -> list[TaskSpec]:
        """One per perturbation of a measured target, and controls against controls.

        Raises
        ------
        BenchError: a file is missing or broken; the message says which and what to do.
        """
        return _specs(self.info.name, self.folder)

    def load(self, spec: TaskSpec) -> LabelledTask:
        name, number = spec.recipe
        _, cases = _read(name, _find(name, self.folder))
        return _load(spec, cases[number])


def _info(
    name: str, summary: str, citation: str, options: tuple[SuiteOption, ...] = (DATA,)
) -> SuiteInfo:
    return SuiteInfo(name=name, summary=summary, citation=citation, options=options)


class Papalexi(_One):
    info = _info(
        "papalexi",
        "single cells: 9 knock-outs among 299 genes of THP-1 cells, and controls against controls",
        "Papalexi et al. 2021, Nature Genetics 53:322",
    )


class Hill(_One):
    info = _info(
        "hill",
        "single cells: 27 knock-outs among 28 genes of MCF10A cells, hardly visible",
        "Hill et al. 2018, Nature Methods 15:271",
    )


class Sahin(_One):
    info = _info(
        "sahin",
        "protein arrays: 8 knock-downs among 10 proteins, 24 rows each",
        "Sahin et al. 2009, BMC Systems Biology 3:1",
    )


class Pasilla(_One):
    info = _info(
        "pasilla",
        "bulk RNA: one knock-down among 9,921 genes, 4 against 3 samples",
        "Brooks et al. 2011, Genome Research 21:193",
    )


class PetShop(_One):
    info = _info(
        "petshop",
        "micro-services: 52 incidents, 589 normal rows against 5; ships with the package",
        "Hardt et al. 2024, The PetShop Dataset, CLeaR (CC BY 4.0)",
        options=(),
    )


class EColi(_One):
    info = _info(
        "ecoli",
        "bulk RNA: 22 deletions among 3,923 genes of E. coli, 2 against 2 samples",
        "Sastry et al. 2019, Nature Communications 10:5536",
    )


class Real(_RealSuite):
    """All data sets. Each is one unit of statistics, so that a mean is over data sets."""

    info: ClassVar[SuiteInfo] = SuiteInfo(
        name="real",
        summary="all real data sets with known targets; `bench report --table real` has a column "
        "for each",
        options=(
            DATA,
            SuiteOption(
                name="datasets",
                default="",
                help=f"a,b: only these of {', '.join(NAMES)}; absent: all.",
            ),
        ),
    )

    @classmethod
    def small(cls, folder: Path) -> dict[str, Any]:
        return _small(folder, NAMES)

    def specs(self) -> list[TaskSpec]:
        """The tasks of every data set, those of `sachs` as its own suite has them.

        Raises
        ------
        InvalidParameter: a data set that is not known. BenchError: a file is missing or broken; the
        message says which and what to do.
        """
        found: list[TaskSpec] = []
        missing: dict[str, BenchError] = {}
        names = self._names()
        for name in names:
            if name == SACHS:
                found += self._sachs_specs()
                continue
            try:
                found += _specs(name, self.folder)
            except BenchError as error:
                missing[name] = error
        if missing:
            have = [name for name in names if name not in missing]
            cure = f"\nWithout: --datasets {','.join(have)}." if have else ""
            raise BenchError("\n".join(map(str, missing.values())) + cure)
        return [
            replace(spec, metadata={**spec.metadata, "dataset": spec.metadata["source"]})
            for spec in found
        ]

    def load(self, spec: TaskSpec) -> LabelledTask:
        name, number = spec.recipe
        if name != SACHS:
            return _load(spec, _read(name, _find(name, self.folder))[1][number])
        if isinstance(number, int):
            return _load(spec, _sachs_controls()[number])
        whole = Sachs().load(replace(spec, recipe=number))
        task, truth = whole.task, whole.truth
        moved = detectable(task.observational, task.regimes, truth.targets)
        return LabelledTask(task=task, truth=replace(truth, detectable=moved))

    def _names(self) -> list[str]:
        chosen = [n.strip() for n in self.options["datasets"].split(",") if n.strip()]
        for name in chosen:
            if name not in NAMES:
                raise did_you_mean("real data set", name, NAMES)
        if len(set(chosen)) < len(chosen):
            raise InvalidParameter("real: --datasets names a data set twice.")
        return chosen or list(NAMES)

    def _sachs_specs(self) -> list[TaskSpec]:
        metadata = {"source": SACHS, "simulated": False}
        regimes = [
            replace(
                spec,
                metadata={**metadata, "kind": PERTURBED},
                recipe=(SACHS, spec.recipe),
            )
            for spec in Sachs().specs()
        ]
        # Of what the file holds: logarithms differ between processors.
        source = digest(read_cdt()[GROUPS["primary"][0]])
        controls = [
            _spec(SACHS, number, case, False, source)
            for number, case in enumerate(_sachs_controls())
        ]
        return regimes + controls


@cache
def _sachs_controls() -> tuple[Case, ...]:
    """Halves of the cells without a reagent, as logarithms."""
    base, numbers = GROUPS["primary"]
    samples = read_cdt()
    sizes = sorted(CONDITIONS[number - 1].cells for number in numbers)
    return tuple(control_cases(SACHS, PROTEINS, np.log(samples[base]), sizes))
