"""Which variables did an intervention target? The nouns of the benchmark: task, method, suite,
metrics.

>>> from cdnbench import Task, load_method
>>> import numpy as np
>>> rng = np.random.default_rng(0)
>>> control, perturbed = rng.normal(size=(200, 3)), rng.normal(size=(200, 3)) + [0, 0, 3]
>>> task = Task(name="mine", variables=["a", "b", "c"], observational=control, regimes=[perturbed])
>>> load_method("target-shift").predict_targets(task, seed=0).argmax()
np.int64(2)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cdnbench.commands.screen import predict
    from cdnbench.errors import BenchError, CannotRun
    from cdnbench.method import MethodInfo, Prediction
    from cdnbench.registry import load_method, load_suite
    from cdnbench.reports.report import report
    from cdnbench.runners.api import run
    from cdnbench.suite import Suite, SuiteInfo, SuiteOption, TaskSpec
    from cdnbench.task import Task
    from cdnbench.truth import LabelledTask, Truth

__version__ = "0.1.0"
__all__ = [
    "BenchError",
    "CannotRun",
    "LabelledTask",
    "MethodInfo",
    "Prediction",
    "Suite",
    "SuiteInfo",
    "SuiteOption",
    "Task",
    "TaskSpec",
    "Truth",
    "load_method",
    "load_suite",
    "predict",
    "run",
    "report",
]

_HOME = {
    "BenchError": "errors",
    "CannotRun": "errors",
    "LabelledTask": "truth",
    "MethodInfo": "method",
    "Prediction": "method",
    "Suite": "suite",
    "SuiteInfo": "suite",
    "SuiteOption": "suite",
    "Task": "task",
    "TaskSpec": "suite",
    "Truth": "truth",
    "load_method": "registry",
    "load_suite": "registry",
    "predict": "commands.screen",
    "run": "runners.api",
    "report": "reports.report",
}


def __getattr__(name: str):
    if name not in _HOME:
        raise AttributeError(f"module 'cdnbench' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"cdnbench.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
