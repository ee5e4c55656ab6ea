"""`bench train fine-tune`: weights that `cdn` takes."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
import torch

from cdnbench import cli, load_method, load_suite
from cdnbench.datasets.cells.screens.options import Preparation
from cdnbench.datasets.cells.screens.prepare import prepare
from cdnbench.datasets.cells.screens.raw import open_raw
from cdnbench.datasets.cells.simulated.simulate import Simulation, write_raw
from cdnbench.errors import InvalidParameter
from cdnbench.runners.plan import make_plan

SMALL = Simulation(
    lines=("one", "two"),
    n_genes=150,
    n_regulators=30,
    n_perturbed=12,
    n_controls=200,
    cells=(60.0, 0.2),
    mean_degree=25.0,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two prepared lines."""
    out = tmp_path_factory.mktemp("prepared")
    for name in SMALL.lines:
        write_raw(SMALL, name, out / f"{name}.h5ad")
        prepare(
            open_raw(out / f"{name}.h5ad"),
            name,
            out,
            Preparation(target="target", clusters=6),
            simulated=True,
        )
    return out


def run(*arguments) -> int:
    """Exit code of `bench train ...`."""
    threads = torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as end:
        patch.setattr(sys, "argv", ["bench", "train", *map(str, arguments)])
        cli.main()
    torch.set_num_threads(threads)
    return int(end.value.code or 0)


def test_cdn_takes_the_weights(folder, tmp_path):
    out = tmp_path / "tuned.safetensors"
    options = {"data": str(folder), "split": "unseen-cl", "cell_lines": "one"}
    line = ["--data", folder, "--split", "unseen-cl", "--cell-lines", "one"]
    assert (
        run(
            "fine-tune",
            "--from",
            "cdn",
            "--suite",
            "perturbseq",
            *line,
            "--epochs",
            1,
            "--threads",
            1,
            "--out",
            out,
        )
        == 0
    )
    card = json.loads(out.with_suffix(".json").read_text())
    assert card["fine_tuned"]["suite"] == "perturbseq" and card["fine_tuned"]["options"] == options
    suite = load_suite("perturbseq", **options)
    task = suite.load(suite.specs()[0]).task
    tuned, before = (
        load_method("cdn", **p).predict_targets(task) for p in ({"weights": str(out)}, {})
    )
    assert not np.allclose(tuned, before)
    specs = suite.training(suite.specs()[0])  # type: ignore[attr-defined]
    assert card["fine_tuned"]["n_training"] == len(specs) and card["fine_tuned"]["cell_lines"] == [
        "two"
    ]
    # The same weights are not scored on what they were trained on, masked or not.
    for method in (f"cdn:weights={out}", f"cdn-cells:weights={out}"):
        for masking in ("none", "marginal"):
            plan = make_plan(
                "perturbseq",
                options | {"cell_lines": "", "part": "all", "masking": masking},
                method,
            )
            seen = {
                job.spec.metadata["cell_line"]
                for job in plan.jobs
                if "were trained on this task" in (job.skip or "")
            }
            assert seen == {"two"} and {
                job.spec.metadata["cell_line"] for job in plan.jobs if not job.skip
            } == {"one"}
    # Nor are weights that were trained on from these.
    more = [
        "cdn",  # the old spelling
        "--from",
        out,
        "--suite",
        "perturbseq",
        "--data",
        folder,
        "--split",
        "unseen-cl",
        "--cell-lines",
        "two",
    ]
    assert run(*more, "--epochs", 1, "--threads", 1, "--out", tmp_path / "more.safetensors") == 0
    plan = make_plan(
        "perturbseq",
        options | {"cell_lines": "", "part": "all"},
        f"cdn:weights={tmp_path / 'more.safetensors'}",
    )
    assert all(job.skip for job in plan.jobs)
    # A card that does not say which tasks they were is no card.
    del card["fine_tuned"]["origins"]
    out.with_suffix(".json").write_text(json.dumps(card))
    with pytest.raises(InvalidParameter, match="which tasks"):
        load_method("cdn", weights=str(out)).weights_digest()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ["cdn", "--from", "cdn", "--suite", "perturbseq", "--model", "mlp"],
            "excludes --model mlp",
        ),
        (["cdn", "--epochs", "3"], "`bench train cdn` has no option --epochs"),
        (["cdn", "--fron", "cdn"], "no option of `bench train cdn` named '--fron'"),
        (
            ["--suite", "perturbseq", "--minutes", "3"],
            "no option of `bench train fine-tune --suite perturbseq` named 'minutes'",
        ),
        (["--fron", "cdn", "--suite", "perturbseq"], "Did you mean from?"),
        (["--suite", "sachs"], "has no training tasks"),
        (["--suite", "synthetic-mini"], "of synthetic-mini: cdn-cells needs genes"),
        (["--suite", "perturbseq", "--split", "unseen-cl"], "2 training sets"),
        (["--suite", "perturbseq", "--lr", "0", "--epochs", "1"], "learning_rate is positive"),
        (["--from", "nowhere.safetensors", "--suite", "perturbseq"], "nowhere.safetensors"),
        (["--suite", "perturbseq", "--out", "w.pt"], "ends in .safetensors; got w.pt"),
    ],
)
def test_what_cannot_be_done_is_told_before_any_work(
    folder, tmp_path, monkeypatch, capsys, arguments, words
):
    monkeypatch.chdir(tmp_path)
    more = ["--data", folder] if "perturbseq" in arguments else []
    command = [] if arguments[0] == "cdn" else ["fine-tune"]
    assert run(*command, *arguments, *more) == 2
    assert words in capsys.readouterr().err
