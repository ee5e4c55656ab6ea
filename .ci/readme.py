"""Run what the README shows: each `bench` line of its ```bash blocks (`bench run` with --limit 1)
and each ```python block."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import anndata
import numpy as np
import pandas as pd


def main(readme: Path, scratch: Path) -> None:
    scratch.mkdir(parents=True)
    write_samples(scratch)
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    }
    ran = 0
    for language, block in re.findall(
        r"^```(bash|python)\n(.*?)^```", readme.read_text(), re.M | re.S
    ):
        if language == "python":
            commands = [[sys.executable, "-c", block]]
        else:
            lines = block.replace("\\\n", " ").splitlines()
            commands = [
                shlex.split(line, comments=True) for line in lines if line.startswith("bench ")
            ]
        for command in commands:
            if command[:2] == ["bench", "run"]:
                command = [*command, "--limit", "1"]
            print("$", shlex.join(command)[:200], flush=True)
            subprocess.run(
                command, cwd=scratch, env=environment, check=True, stdin=subprocess.DEVNULL
            )
            ran += 1
    assert ran >= 5, f"only {ran} commands found in {readme}"


def write_samples(folder: Path) -> None:
    """The files of one's own that the README speaks of."""
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
    main(Path(sys.argv[1]), Path(sys.argv[2]))
