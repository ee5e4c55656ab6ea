"""A method's time is its own: what it imports is declared, so that the fork server has it before
the clock starts."""

import json
import subprocess
import sys

import pytest

from cdnbench.registry import METHODS, entries

CODE = """
import json, sys
import numpy as np
from cdnbench import Task, load_method
method = load_method({name!r}, **{parameters!r})
for module in method.info.preload:
    __import__(module)
rng = np.random.default_rng(0)
x = [rng.normal(size=(80, 4)) for _ in range(3)]
before = set(sys.modules)
method.predict_outputs(Task(name="t", variables="abcd", observational=x[0], regimes=x[1:]), seed=0)
known = {{*sys.stdlib_module_names, "cdnbench"}}
new = {{m for m in set(sys.modules) - before if m.split(".")[0] not in known}}
print(json.dumps(sorted({{".".join(m.split(".")[:2]) for m in new if m.count(".") < 2}})))
"""
PARAMETERS = {
    "dci": {"bootstraps": 2},
    "dci-reference": {"bootstraps": 2, "max_set_size": 1},
    "bacadi": {"n_steps": 1},
    "dcdi-g": {"max_iterations": 1},
    "dcdi-dsf": {"max_iterations": 1},
    "dcdi-g-tuned": {"max_iterations": 1},
}
EXTRAS = {"gnies"}  # a package that may be absent cannot be preloaded


@pytest.mark.parametrize("name", sorted({*entries(METHODS)} - EXTRAS))
def test_a_call_imports_nothing_that_was_not_declared(name):
    code = CODE.format(name=name, parameters=PARAMETERS.get(name, {}))
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True
    )
    if "CannotRun" in run.stderr:
        pytest.skip(run.stderr.splitlines()[-1])
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout.splitlines()[-1]) == [], "add these to MethodInfo.preload"
