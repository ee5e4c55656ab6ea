"""What `bench predict` writes beside the ranking: the page, the annotated .h5ad and figures; and
how certain it says it is."""

import json
import os
import re
import shutil
import xml.etree.ElementTree as ElementTree

import anndata
import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import cdnbench
from cdnbench import load_method
from cdnbench.cli import app
from cdnbench.errors import BenchError
from cdnbench.methods.cdn.weights import path_of

ASKED = ("--perturbation", "gene", "--control", "mock")
CONTRACT = [
    *("perturbation", "rank", "variable", "score", "probability", "log_fold_change"),
    *("n_control", "n_perturbed", "p", "q", "verdict"),
]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """`screen.h5ad`: three genes knocked down, a label that does nothing, a row without a label."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CDNBENCH_CACHE", str(tmp_path / "cache"))
    rng = np.random.default_rng(0)
    genes = [f"G<{i}>" for i in range(30)]
    labels = np.array(
        ["mock"] * 60 + [g for g in [*genes[:3], "nothing & more"] for _ in range(25)]
    )
    rate = np.full((len(labels), len(genes)), 20.0)
    rate[labels[:, None] == np.array(genes)] = 2
    obs = pd.DataFrame({"gene": labels}, index=[f"cell{i}" for i in range(len(labels))])
    obs.loc["cell5", "gene"] = np.nan
    data = anndata.AnnData(rng.poisson(rate).astype(np.float32), obs=obs)
    data.var_names, data.uns["kept"] = genes, np.arange(3)
    data.write_h5ad("screen.h5ad")
    return tmp_path


def predict(*arguments):
    result = CliRunner().invoke(app, ["predict", *arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


def test_all_outputs_of_one_file(folder):
    before = (folder / "screen.h5ad").read_bytes()
    out = predict(
        *("screen.h5ad", *ASKED, "--csv", "out.csv", "--html", "page.html", "--out", "out.h5ad")
    )
    assert (folder / "screen.h5ad").read_bytes() == before
    assert "Note: Chosen: " in out and "Something moved under 3 of 4" in out
    frame = pd.read_csv("out.csv")
    assert list(frame)[: len(CONTRACT)] == CONTRACT
    best = frame[frame["rank"] == 1].set_index("perturbation")
    real = [f"G<{i}>" for i in range(3)]
    assert set(best.loc[real, "variable"]) == set(real)
    assert (best.loc[real, "q"] < 0.01).all() and best.loc["nothing & more", "q"].min() > 0.1
    assert set(best.loc["nothing & more", "verdict"]) == {"nothing moved"}
    check_page((folder / "page.html").read_text("utf-8"), 4)
    check_annotated(anndata.read_h5ad("screen.h5ad"), anndata.read_h5ad("out.h5ad"))


def check_page(text, n):
    """It is well-formed, asks for nothing from elsewhere, and every link leads somewhere."""
    root = ElementTree.fromstring(text)
    tags = [element.tag for element in root.iter()]
    assert tags.count("svg") >= 1 + 2 * n and tags.count("details") == n
    assert not re.search(r"""(src|href)=["'](?!#)|@import|url\(""", text)
    ids = {element.get("id") for element in root.iter() if element.get("id")}
    links = {element.get("href") for element in root.iter("a")}
    assert links == {f"#{name}" for name in ids} and len(links) == n
    assert "nothing &amp; more" in text and "G&lt;0&gt;" in text


def check_annotated(before, after):
    np.testing.assert_array_equal(before.X, after.X)
    np.testing.assert_array_equal(after.uns["kept"], [0, 1, 2])
    assert list(after.obs)[:1] == ["gene"] and (after.obs_names == before.obs_names).all()
    found = after.obs.groupby("gene", observed=True)[["cdnbench_first", "cdnbench_q"]].first()
    assert found.loc["G<1>", "cdnbench_first"] == "G<1>" and found.loc["G<1>", "cdnbench_q"] < 0.01
    without = after.obs["gene"].isna() | (after.obs["gene"] == "mock")
    for name in ("cdnbench_first", "cdnbench_q", "cdnbench_verdict"):
        assert (after.obs[name].isna() == without).all()
    held = after.uns["cdnbench"]
    assert held["settings"]["control"] == "mock" and held["settings"]["fdr"] == 0.1
    assert held["versions"]["cdnbench"] == cdnbench.__version__
    assert any(note.startswith("Chosen: ") for note in held["notes"])
    table = pd.DataFrame(dict(held["table"]))
    assert set(table["perturbation"]) == {"G<0>", "G<1>", "G<2>", "nothing & more"}
    assert table["q"].dtype.kind == "f" and table["best"].notna().all()


def test_a_copy_replaces_an_earlier_one(folder):
    arguments = ("--method", "target-shift", "--out", "out.h5ad")
    predict("screen.h5ad", *ASKED, *arguments)
    predict("screen.h5ad", *ASKED, *arguments, "--fdr", "0.2")
    again = anndata.read_h5ad("out.h5ad")
    assert again.uns["cdnbench"]["settings"]["fdr"] == 0.2
    shutil.move("out.h5ad", "screen.h5ad")  # an annotated file can be read and annotated again
    predict("screen.h5ad", *ASKED, *arguments)
    twice = anndata.read_h5ad("out.h5ad")
    assert list(twice.obs) == list(again.obs) and twice.uns["cdnbench"]["settings"]["fdr"] == 0.1


def test_a_copy_is_written_through_a_link_and_into_no_pipe(folder):
    result = cdnbench.predict("screen.h5ad", "gene", "mock", method="target-shift")
    (folder / "link.h5ad").symlink_to("there.h5ad")
    result.write_h5ad("screen.h5ad", "link.h5ad")
    assert (folder / "link.h5ad").is_symlink()
    assert "cdnbench" in anndata.read_h5ad("there.h5ad").uns
    os.mkfifo(folder / "pipe.h5ad")
    with pytest.raises(BenchError, match="pipe.h5ad is a pipe"):
        result.write_h5ad("screen.h5ad", "pipe.h5ad")


def test_inputs_are_never_written_over(folder):
    (folder / "link.h5ad").symlink_to("screen.h5ad")
    for option in ("--out", "--html"):
        for target in ("screen.h5ad", "link.h5ad"):
            with pytest.raises(BenchError, match=f"{option} names the input"):
                predict("screen.h5ad", *ASKED, option, target)
    pd.DataFrame({"a": [1.0, 2, 3, 4], "gene": ["mock"] * 2 + ["x"] * 2}).to_csv("t.csv")
    with pytest.raises(BenchError, match="--out writes a copy of an .h5ad"):
        predict("t.csv", *ASKED, "--out", "out.h5ad")
    with pytest.raises(BenchError, match="--csv and --html name the same file"):
        predict("screen.h5ad", *ASKED, "--csv", "a", "--html", "./a")
    with pytest.raises(BenchError, match="--fdr is a number between 0 and 1"):
        predict("screen.h5ad", *ASKED, "--fdr", "1")
    result = cdnbench.predict("screen.h5ad", "gene", "mock", method="target-shift")
    with pytest.raises(BenchError, match="is the input"):
        result.write_h5ad("screen.h5ad", "link.h5ad")


def test_results_show_themselves(folder):
    data = anndata.read_h5ad("screen.h5ad")
    result = cdnbench.predict(data, "gene", "mock", method="target-shift,effect-size")
    shown = result._repr_html_()
    ElementTree.fromstring(shown)
    assert "nothing &amp; more" in shown and "likeliest target" in shown
    assert result.plot("G<1>")._repr_png_().startswith(b"\x89PNG")
    titles = [axes.get_title() for axes in result.plot("G<1>", method="effect-size").axes]
    assert titles == ["G<1>", "G<1>"]
    with pytest.raises(BenchError, match="Did you mean G<1>"):
        result.plot("G<1")
    assert result.agreements["G<1>", ""].startswith("target-shift and effect-size both put G<1>")


def test_a_page_of_two_files(folder):
    rng = np.random.default_rng(0)
    for name, shift in (("one", 0), ("two", 3)):
        pd.DataFrame(rng.normal(size=(40, 4)) + [0, shift, 0, 0], columns=list("abcd")).to_csv(
            f"{name}.csv", index=False
        )
    out = predict("one.csv", "two.csv", "--html", "page.html")
    assert "Note: Chosen: " in out and "Note: Whether anything moved" in out
    root = ElementTree.parse("page.html").getroot()
    assert {f.tag for f in root.iter()} >= {"svg", "table", "details"}
    with pytest.raises(BenchError, match="--out only applies to one file"):
        predict("one.csv", "two.csv", "--out", "out.h5ad")


@pytest.mark.parametrize("digest", ["own", "another"])
def test_probabilities_say_whether_they_were_calibrated(digest, folder):
    """Weights with the calibration made for them, and with that of others."""
    for suffix in (".safetensors", ".json"):
        shutil.copy(path_of("cdn").with_suffix(suffix), folder / f"mine{suffix}")
    method = "cdn:weights=mine.safetensors"
    own = load_method("cdn", weights=str(folder / "mine.safetensors")).weights_digest()
    content = {"format": 1, "weights": own if digest == "own" else "0" * 32}
    content |= {"slope": 2.0, "offset": -1.0}
    (folder / "calibration.json").write_text(json.dumps(content))
    arguments = ("--method", method.replace("mine", str(folder / "mine")), "--csv", "out.csv")
    out = predict("screen.h5ad", *ASKED, *arguments)
    assert ("not calibrated for these weights" in out) == (digest == "another")
    frame = pd.read_csv("out.csv")
    slope, offset = (2, -1) if digest == "own" else (1, 0)
    expected = 1 / (1 + np.exp(-(slope * frame["score"] + offset)))
    np.testing.assert_allclose(frame["probability"], expected, rtol=1e-6)


def test_auto_chooses_for_each_perturbation_by_its_rows(folder):
    """Triplicates beside large perturbations get another method, and the notes say so."""
    rng = np.random.default_rng(0)
    labels = ["mock"] * 40 + ["large"] * 40 + ["small"] * 3
    frame = pd.DataFrame(rng.normal(size=(83, 5)), columns=list("abcde")).assign(gene=labels)
    result = cdnbench.predict(frame, "gene", "mock")
    methods = {f.perturbation: set() for f in result.findings}
    for f in result.findings:
        methods[f.perturbation].add(f.method)
    assert methods["large"] != methods["small"]
    chosen = [note for note in result.notes if note.startswith("Chosen for 1 of 2")]
    assert len(chosen) == 2
    with pytest.raises(BenchError, match="auto chooses by itself"):
        cdnbench.predict(frame, "gene", "mock", method="auto,cdn")
