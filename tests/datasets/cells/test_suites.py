"""The cell suites: what a task holds, what it does not tell, and that masking hides what it
should."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cdnbench import load_method, load_suite
from cdnbench.datasets.cells import masking, suites
from cdnbench.datasets.cells.prepared import PreparedLine
from cdnbench.datasets.cells.screens.options import Preparation
from cdnbench.datasets.cells.screens.prepare import prepare
from cdnbench.datasets.cells.screens.raw import open_raw
from cdnbench.datasets.cells.simulated.simulate import SMALL, write_raw
from cdnbench.datasets.cells.splits import audit, scored, training
from cdnbench.datasets.cells.suites import PerturbSeq, SciPlex
from cdnbench.errors import BenchError, InvalidParameter
from cdnbench.metrics import evaluate


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Two prepared lines."""
    out = tmp_path_factory.mktemp("prepared")
    for name in SMALL.lines:
        write_raw(SMALL, name, out / f"{name}.h5ad")
        prepare(
            open_raw(out / f"{name}.h5ad"),
            name,
            out,
            Preparation(target="target", clusters=12),
            simulated=True,
        )
    return out


def mean_rank(folder, method="target-shift", **options) -> tuple[float, int]:
    """Mean rank of the targets over the tasks of both lines, and their number."""
    suite = load_suite("perturbseq", data=str(folder), **options)
    ranks = []
    for spec in suite.specs():
        labelled = suite.load(spec)
        scores = load_method(method).predict_targets(labelled.task, seed=0)
        ranks.append(evaluate(scores, labelled.targets, labelled.task.candidates)["rank"][0])
    return float(np.mean(ranks)), len(ranks)


def test_tasks_are_the_test_perturbations_of_all_lines(folder):
    suite = load_suite("perturbseq", data=str(folder))
    specs = suite.specs()
    expected = sum(int((line.split == "test").sum()) for line in suite.lines.values())
    assert len(specs) == expected > 10 and len({s.hash for s in specs}) == len(specs)
    for spec in specs[:5]:
        labelled = suite.load(spec)
        task = labelled.task
        assert (task.n_variables, task.n_regimes, task.n_samples) == (
            spec.n_variables,
            1,
            spec.n_samples,
        )
        assert labelled.targets.sum() == 1 and task.symbols == task.variables
        target = task.variables[int(np.argmax(labelled.targets))]
        assert labelled.facts["targets"] == [target]
        assert target not in str(dict(task.metadata)) + task.name + str(dict(spec.metadata))


def test_the_same_task_twice(folder):
    suite = load_suite("perturbseq", data=str(folder), masking="marginal")
    spec = suite.specs()[0]
    one, other = (
        suite.load(spec).task,
        load_suite("perturbseq", data=str(folder), masking="marginal").load(spec).task,
    )
    assert one.content_hash == other.content_hash


def test_both_splits_score_the_same_tasks(folder):
    seen, unseen = (
        load_suite("perturbseq", data=str(folder), split=s).specs() for s in ("seen", "unseen-cl")
    )
    assert [s.name for s in seen] == [s.name for s in unseen]
    assert not {s.hash for s in seen} & {
        s.hash for s in unseen
    }  # what is trained differs, and so do the results
    assert {s.metadata["split"] for s in unseen} == {"unseen-cl"}


def test_training_sets_hold_what_the_split_says(folder):
    lines = load_suite("perturbseq", data=str(folder)).all_lines

    def of(split):
        return {name: training(lines, split, name) for name in lines}

    def genes(found):
        return {gene for name, p in found for gene in lines[name].targets[p]}

    assert (
        all(lines[name].split[p] == "train" for name, p in of("seen")["one"])
        and of("seen")["one"] == of("seen")["two"]
    )
    unseen = of("unseen-cl")
    assert {name for name, _ in unseen["one"]} == {"two"} and len(unseen["one"]) == lines[
        "two"
    ].n_perturbations
    for split in ("seen-strict", "unseen-cl-strict"):
        for name, found in of(split).items():
            assert found and set(found) <= set(of(split.removesuffix("-strict"))[name])
            assert not genes(found) & genes(scored(lines, name))


def test_two_screens_of_a_cell_line_are_held_out_together(folder):
    lines = load_suite("perturbseq", data=str(folder)).all_lines
    renamed = {"k562_gw": lines["one"], "k562_es": lines["two"]}
    assert training(renamed, "unseen-cl", "k562_gw") == []


def test_the_audit_counts_leaks(folder):
    lines = load_suite("perturbseq", data=str(folder)).all_lines
    plain, strict = audit(lines, "unseen-cl"), audit(lines, "unseen-cl-strict")
    for leak, clean in zip(plain, strict, strict=True):
        (other,) = set(lines) - {leak.line}
        genes = {gene for targets in lines[other].targets for gene in targets}
        assert (
            leak.same_gene
            == sum(
                bool(genes & set(lines[leak.line].targets[p])) for _, p in scored(lines, leak.line)
            )
            > 0
        )
        assert (
            clean.same_gene == 0
            and clean.n_test == leak.n_test
            and clean.n_training < leak.n_training
        )
    assert all(leak.straddling == 0 for leak in audit(lines, "seen"))  # clusters are split whole
    twins = {"one": lines["one"], "copy": lines["one"]}
    assert all(leak.alike == leak.n_test for leak in audit(twins, "unseen-cl"))


def test_a_task_knows_whether_training_has_its_target(folder):
    for split, some in (("unseen-cl", True), ("unseen-cl-strict", False)):
        suite = load_suite("perturbseq", data=str(folder), split=split)
        assert any(suite.load(s).facts["target_in_training"] for s in suite.specs()) == some


def test_profiles_are_correlations_of_shifts_over_all_genes(folder):
    suite = load_suite("perturbseq", data=str(folder))
    line = suite.lines["one"]
    names = [n.decode() for n in line.arrays["profile_names"]]
    p = int(np.flatnonzero(line.split == "test")[0])
    spec = next(s for s in suite.specs() if s.recipe[:2] == ("one", p))
    labelled = suite.load(spec)
    own = line.arrays["profiles"][names.index(line.names[p])]
    for i, gene in enumerate(labelled.task.variables):
        value = labelled.truth.profiles[0, i]
        if labelled.targets[0, i]:
            assert value == 1
        elif gene in names:  # knock-downs are named after their gene
            assert value == pytest.approx(
                np.corrcoef(own, line.arrays["profiles"][names.index(gene)])[0, 1], abs=1e-5
            )
        else:
            assert np.isnan(value)
    assert np.isfinite(labelled.truth.profiles).sum() > 3


def test_lines_can_be_picked(folder):
    one = load_suite("perturbseq", data=str(folder), cell_lines="two")
    assert {s.metadata["cell_line"] for s in one.specs()} == {"two"}


@pytest.mark.parametrize("name", ["perturbseq", "sciplex"])
def test_whether_a_task_is_trivial_is_told_to_reports_alone(folder, name):
    suite = load_suite(name, data=str(folder))
    assert set(suite.info.strata) == {"trivial"}
    found = {spec.metadata["trivial"] for spec in suite.specs()}
    assert found == {True, False}
    for spec in suite.specs()[:10]:
        line, p = suite.lines[spec.recipe.line], spec.recipe.perturbation
        largest = np.argmax(
            np.where(line.arrays["adjusted"][p] < 0.05, abs(line.arrays["change"][p]), -1)
        )
        assert spec.metadata["trivial"] == (line.genes[largest] in line.targets[p])
        assert "trivial" not in suite.load(spec).task.metadata


def made_up_line(name: str) -> PreparedLine:
    """What specs are made of, without cells and with a hash that is the same on every machine."""
    n = 6
    arrays = {
        "first": np.arange(0, n * 80 + 1, 80),
        "controls/indptr": np.zeros(501, int),
        "trivial": np.arange(n) % 2 == 0,
        "candidates": np.tile(np.arange(5), n),
        "candidates_first": np.arange(0, 5 * n + 1, 5),
        "split": np.array([b"train", b"test"] * 3),
    }
    attributes = {"name": name, "hash": f"hash of {name}", "simulated": True}
    return PreparedLine(Path("nowhere"), arrays, attributes)


@pytest.mark.parametrize(
    ("suite", "options", "names", "hashes", "n_samples"),
    [
        (
            PerturbSeq,
            {},
            ["one/0000", "one/0001"],
            ["ab224988374694900f2428dec6a57a5c", "9747155e05b93da602ffee01b5e1610b"],
            80,
        ),
        (
            PerturbSeq,
            {"split": "unseen-cl", "masking": "column"},
            ["one/0000/column", "one/0001/column"],
            ["f75bb964e26fbb227efbe1e3be72b6a9", "5d6dff8bb51eea5d7f39e395c03b07b9"],
            80,
        ),
        (
            PerturbSeq,
            {"part": "all", "subsample": "1"},
            ["one/0000/s0", "one/0001/s0"],
            ["3f9441350df61804dc046f8bb63a3c92", "b810059c486140d0baef2c61b751ac48"],
            64,
        ),
        (
            SciPlex,
            {"masking": "null"},
            ["one/0000/null", "one/0001/null"],
            ["87f549008ef603e502068ba02c2e4d90", "094eb1c59cae58b125c941e461410064"],
            80,
        ),
    ],
)
def test_names_and_hashes_are_frozen(suite, options, names, hashes, n_samples):
    made = suite(**options)
    made.__dict__["all_lines"] = {"one": made_up_line("one")}
    specs = made.specs()[:2]
    assert [spec.name for spec in specs] == names
    assert [spec.hash for spec in specs] == hashes
    assert {spec.n_samples for spec in specs} == {n_samples}


def test_subsampling_keeps_four_fifths_or_fifty(folder):
    whole, rounds = (load_suite("perturbseq", data=str(folder), subsample=r) for r in ("0", "2"))
    first = whole.specs()[0]
    here = [s for s in rounds.specs() if s.metadata["dataset"] == first.metadata["dataset"]]
    n_cells = len(whole.load(first).task.regimes[0])
    loaded = [rounds.load(s).task.regimes[0] for s in here]
    assert [len(x) for x in loaded] == [min(n_cells, max(50, int(0.8 * n_cells)))] * 2
    assert not np.array_equal(*loaded)
    assert {s.metadata["subsample"] for s in here} == {0, 1}
    assert first.metadata["subsample"] == int(whole.info.factors["subsample"])


def test_target_shift_finds_knock_downs_and_falls_to_chance_where_it_should(folder):
    plain, n = mean_rank(folder)
    assert plain > 0.9 and n > 10
    for mode in ("marginal", "column", "null"):
        rank, n = mean_rank(folder, masking=mode)
        # The rank of one task is nearly uniform under chance: standard deviation .29.
        assert abs(rank - 0.5) < 3.3 * 0.29 / np.sqrt(n), mode


def test_marginal_masking_keeps_how_genes_depend_on_each_other():
    rng = np.random.default_rng(0)
    base = rng.normal(size=(2000, 1))
    cells = (
        np.concatenate([base, base + 0.1 * rng.normal(size=(2000, 1))], axis=1) * 5 + 3
    ).astype(np.float32)
    controls = rng.normal(size=(3000, 2)).astype(np.float32)
    masked = masking.marginal(cells, controls, rng)
    assert np.corrcoef(masked.T)[0, 1] > 0.97
    np.testing.assert_allclose(
        np.quantile(masked, [0.1, 0.5, 0.9], axis=0),
        np.quantile(controls, [0.1, 0.5, 0.9], axis=0),
        atol=0.01,
    )


def test_the_column_mask_takes_the_target_and_others_from_control_cells(folder):
    suite = load_suite("perturbseq", data=str(folder), masking="column")
    labelled = suite.load(suite.specs()[0])
    candidates = labelled.task.candidates[0]
    assert (
        candidates.sum() == min(100, labelled.task.n_variables)
        and (labelled.targets[0] <= candidates).all()
    )


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"masking": "rows"}, InvalidParameter, "masking takes none, marginal, column, null"),
        ({"cell_lines": "thre"}, BenchError, "prepared cell line named 'thre'"),
        (
            {"data": "nowhere"},
            BenchError,
            "nowhere holds no prepared cell line.*bench data prepare",
        ),
    ],
)
def test_what_is_not_there_is_named(folder, options, error, message):
    with pytest.raises(error, match=message):
        load_suite("perturbseq", **{"data": str(folder), **options}).specs()


def test_an_empty_suite_says_what_to_do():
    line = made_up_line("one")
    line.arrays["split"] = np.array([b"train"] * 6)
    suite = PerturbSeq()
    suite.__dict__["all_lines"] = {"one": line}
    assert suite.specs() == []
    assert suite.why_no_task() == (
        "All 6 perturbations are on the training side; --part all scores them as well."
    )


def test_a_trained_method_finds_data_and_knowledge_by_relative_paths(folder, tmp_path, monkeypatch):
    from cdnbench.runners.plan import Limits, make_plan
    from cdnbench.runners.run import Run
    from cdnbench.store import Store

    monkeypatch.chdir(folder.parent)
    (folder.parent / "text.tsv").write_text(
        "".join(f"SIM{g + 1:04d}\tgene {g % 7} of kind {g % 5}\n" for g in range(250))
    )
    options = {
        "data": folder.name,
        "split": "unseen-cl",
        "cell_lines": "one",
        "knowledge": "gene_text=text.tsv",
    }
    limits = Limits(timeout_s=120)
    plan = make_plan("perturbseq", options, "linear,genept-style", limit=1, limits=limits)
    store = Store(tmp_path / "results")
    Run(plan, store).execute()
    records = {r.method: r for r in store.jobs()}
    assert {(name, r.status, r.reason) for name, r in records.items()} == {
        ("linear", "ok", ""),
        ("genept-style", "ok", ""),
    }
    assert records["linear"].knowledge == {}
    assert records["genept-style"].knowledge.keys() == {"name", "gene_text"}


def test_knowledge_of_a_suite(folder):
    assert load_suite("perturbseq", data=str(folder)).resources == {}
    with pytest.raises(InvalidParameter, match="knowledge-error is for simulated lines"):
        _ = load_suite("perturbseq", data=str(folder), knowledge_error="0.9").resources
    assert load_suite("perturbseq").knowledge == ""
    assert load_suite("perturbseq", knowledge_error="0.9").knowledge == "error 0.9"


def test_lines_of_the_full_size_stand_apart(folder, tmp_path, monkeypatch):
    """They are other lines, and no table averages over both sizes."""
    monkeypatch.setenv("CDNBENCH_CACHE", str(tmp_path))
    monkeypatch.setattr(suites, "FULL", replace(SMALL, lines=("f",), seed=5))
    full, given = (load_suite("perturbseq", **o) for o in ({"size": "full"}, {"data": str(folder)}))
    assert "size" in full.info.factors
    assert {spec.metadata["size"] for spec in full.specs()} == {"full"}
    assert {spec.metadata["cell_line"] for spec in full.specs()} == {"f"}
    assert {spec.metadata["size"] for spec in given.specs()} == {""}
    assert full.resources["interactions"].parent.parent == full.all_lines["f"].path.parent
    with pytest.raises(InvalidParameter, match="--size is of simulated lines"):
        load_suite("perturbseq", data=str(folder), size="full")


def test_full_lines_have_as_many_genes_as_screens():
    assert suites.FULL.n_genes >= 5000 and len(suites.FULL.lines) > 1


def test_the_training_side_can_be_scored_too(folder):
    both, test = (load_suite("perturbseq", data=str(folder), part=part) for part in ("all", "test"))
    assert (
        len(both.specs())
        == sum(line.n_perturbations for line in both.lines.values())
        > len(test.specs())
    )
    assert {s.metadata["split"] for s in both.specs()} == {"seen (all)"}
    assert not {s.hash for s in both.specs()} & {s.hash for s in test.specs()}
    assert both.training(both.specs()[0]) == []
    unseen = load_suite("perturbseq", data=str(folder), part="all", split="unseen-cl")
    spec = unseen.specs()[0]
    lines = {s.recipe.line for s in unseen.training(spec)}
    assert lines == set(SMALL.lines) - {spec.recipe.line}


def test_tasks_tell_what_their_line_is(folder):
    """Counts are those of the prepared arrays; methods do not see them."""
    suite = load_suite("perturbseq", data=str(folder))
    labelled = suite.load(suite.specs()[0])
    told, line = labelled.facts["line"], suite.lines[labelled.task.metadata["cell_line"]]
    split = list(line.split)
    assert (told["training"], told["test"]) == (split.count("train"), split.count("test"))
    assert told["perturbations"] == len(line.names) == told["training"] + told["test"]
    assert told["cells"] == line.arrays["cells/indptr"].shape[0] - 1
    differential = (np.asarray(line.arrays["adjusted"]) < 0.05).sum(axis=1)
    assert told["median_differential"] == np.median(differential)
    assert differential.max() <= told["unique_differential"] <= told["genes"] == len(line.genes)
    assert told["raw_cells"] >= told["cells"] + told["controls"] and told["simulated"]
    assert 0 < told["trivial"] <= told["test"]
    assert "line" not in labelled.task.metadata
