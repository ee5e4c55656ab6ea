"""A method's time is its own: what it imports is declared, so that the fork server has it before
the clock starts."""

import json
import pickle
import subprocess
import sys

import numpy as np
import pytest

CODE = """
import json, pickle, sys
import numpy as np
from cdnbench import Task, load_method
with open({file!r}, "rb") as file:
    parameters, model = pickle.load(file)
method = load_method({name!r}, **parameters)
if model:
    method = method.fitted(model)
for module in method.info.preload:
    __import__(module)
rng = np.random.default_rng(0)
x = [rng.normal(size=(80, 4)) for _ in range(3)]
genes = ["v0", "v1", "v2", "v3"]
task = Task(name="t", variables=genes, symbols=genes, observational=x[0], regimes=x[1:])
before = set(sys.modules)
method.predict_outputs(task, seed=0)
known = {{*sys.stdlib_module_names, "cdnbench"}}
new = {{m for m in set(sys.modules) - before if m.split(".")[0] not in known}}
print(json.dumps(sorted({{".".join(m.split(".")[:2]) for m in new if m.count(".") < 2}})))
"""


def test_a_call_imports_nothing_that_was_not_declared(name, method, models, tmp_path):
    if method.info.packages:
        pytest.skip("a package that may be absent cannot be preloaded")
    model = {key: np.asarray(array) for key, array in models.get(name, {}).items()}
    file = tmp_path / "set-up.pickle"
    with file.open("wb") as stream:
        pickle.dump((method.parameters, model), stream)
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", CODE.format(name=name, file=str(file))],
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout.splitlines()[-1]) == [], "add these to MethodInfo.preload"
