"""A suite of three variables and one target, which can fail on demand."""

import errno
import os
import signal
from pathlib import Path
from typing import ClassVar

from cdnbench.digest import digest, generator
from cdnbench.suite import Suite, SuiteInfo, SuiteOption, TaskSpec
from cdnbench.task import Task
from cdnbench.truth import LabelledTask


class Tiny(Suite):
    info: ClassVar[SuiteInfo] = SuiteInfo(
        name="tiny",
        summary="three variables, one target",
        options=(
            SuiteOption(name="n", default=4, help="number of tasks"),
            SuiteOption(name="fault", default="", help="raise|exit|full at task 1"),
            SuiteOption(
                name="dies", default="", help="file; task 1 kills its process once and makes it"
            ),
            SuiteOption(name="known", default="", help="file of interactions"),
            SuiteOption(name="kinds", default=1, help="number of settings"),
        ),
        setting=("kind",),
        strata={"even": "the number of the task is even"},
    )

    @property
    def resources(self):
        known = self.options["known"]
        return {"interactions": Path(known)} if known else {}

    def specs(self):
        return [
            TaskSpec(
                name=f"tiny/{i}",
                hash=digest("tiny", i),
                n_variables=3,
                n_regimes=1,
                n_samples=20,
                metadata={
                    "dataset": f"tiny/{i}",
                    "kind": "abcdefgh"[i * self.options["kinds"] // self.options["n"]],
                    "even": i % 2 == 0,
                },
                recipe=i,
            )
            for i in range(self.options["n"])
        ]

    def training(self, spec):
        # Tasks 10 and 11 for the even ones, 12 for the odd ones.
        numbers = (10, 11) if spec.recipe % 2 == 0 else (12,)
        return [
            TaskSpec(
                name=f"tiny/{i}",
                hash=digest("tiny", i),
                n_variables=3,
                n_regimes=1,
                n_samples=20,
                recipe=i,
            )
            for i in numbers
        ]

    def load(self, spec):
        if spec.recipe == 1 and self.options["fault"] == "raise":
            raise RuntimeError("the data are gone")
        if spec.recipe == 1 and self.options["fault"] == "exit":
            os._exit(7)
        if spec.recipe == 1 and self.options["fault"] == "full":
            raise OSError(errno.ENOSPC, "No space left on device")
        if spec.recipe == 1 and self.options["dies"] and not Path(self.options["dies"]).exists():
            Path(self.options["dies"]).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        rng = generator("tiny", spec.recipe)
        after = rng.random((20, 3))
        after[:, 0] += 5
        task = Task(
            name=spec.name,
            variables=["a", "b", "c"],
            observational=rng.random((20, 3)),
            regimes=[after],
        )
        return LabelledTask(task=task, targets=[[True, False, False]])
