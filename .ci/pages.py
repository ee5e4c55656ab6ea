"""Run what pages show: each `bench` line of their ```bash blocks (`bench run` with --limit 1) and
each ```python block.

    python .ci/pages.py SCRATCH README.md docs/start.md ...

Each page has a folder of its own, so that none rests on what another one made. They have an
environment of their own as well, with the package of `examples/third_party`.
"""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
from extending import ROOT, environment, install


def main(scratch: Path, pages: list[Path]) -> None:
    python, ran = environment(scratch / "venv"), 0
    for package in (ROOT, ROOT / "examples" / "third_party"):
        install(python, package)
    for page in pages:
        folder = scratch / page.stem
        folder.mkdir(parents=True)
        write_samples(folder)
        for command in commands(page.read_text(encoding="utf-8"), python):
            print(f"{page} $", shlex.join(command)[:200], flush=True)
            run(command, folder, python)
            ran += 1
    assert ran >= 5 * len(pages) / 2, f"only {ran} commands found in {len(pages)} pages"


def commands(text: str, python: Path) -> Iterator[list[str]]:
    for language, block in re.findall(r"^```(bash|python)\n(.*?)^```", text, re.M | re.S):
        if language == "python":
            yield [str(python), "-c", block]
            continue
        for line in block.replace("\\\n", " ").splitlines():
            if line.startswith("bench "):
                words = shlex.split(line, comments=True)
                yield [*words, "--limit", "1"] if words[1] == "run" else words


def run(command: list[str], folder: Path, python: Path) -> None:
    path = f"{python.parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PATH": path}
    subprocess.run(command, cwd=folder, env=environment, check=True, stdin=subprocess.DEVNULL)


def write_samples(folder: Path) -> None:
    """The files of one's own that the pages speak of."""
    rng = np.random.default_rng(0)
    for name, shift in (("control", 0.0), ("treated", 2.0)):
        frame = pd.DataFrame(rng.normal(size=(200, 6)), columns=list("abcdef"))
        frame["c"] += shift
        frame.to_csv(folder / f"{name}.csv", index=False)
        anndata.AnnData(frame).write_h5ad(folder / f"{name}.h5ad")
    genes = [f"G{i}" for i in range(40)]
    labels = np.repeat(["non-targeting", *genes[:3]], [120, 30, 30, 30])
    rate = np.full((len(labels), len(genes)), 5.0)
    rate[labels[:, None] == np.array(genes)] = 0.5
    counts = pd.DataFrame(rng.poisson(rate).astype(np.float32), columns=genes)
    obs = pd.DataFrame({"gene": labels}, index=counts.index.astype(str))
    anndata.AnnData(counts.set_index(obs.index), obs=obs).write_h5ad(folder / "screen.h5ad")


if __name__ == "__main__":
    main(Path(sys.argv[1]), [Path(name) for name in sys.argv[2:]])
