"""Which cells are controls, and which perturbations their labels stand for."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from cdnbench.datasets.cells.screens.labels import read_labels
from cdnbench.datasets.cells.screens.options import Preparation
from cdnbench.datasets.cells.screens.prepare import prepare
from cdnbench.datasets.cells.screens.raw import RawCells, open_raw
from cdnbench.errors import InvalidData

GENES = [f"G{i}" for i in range(8)]


def labels(values, control, target=None, genes=GENES):
    obs = pd.DataFrame({"perturbation": pd.Series(values, dtype=object)})
    if target is not None:
        obs["target"] = target
    empty = sparse.csr_matrix((len(obs), len(genes)))
    raw = RawCells(Path("screen.h5ad"), genes, obs, lambda low, high: empty[low:high])
    options = Preparation(control=control, target="target" if target is not None else "")
    return read_labels(raw, options)


def test_the_control_is_no_target_and_order_means_nothing():
    """20 labels, 12 perturbations."""
    singles = [f"{g}+ctrl" for g in GENES] + [f"ctrl+{g}" for g in GENES[:4]]
    pairs = ["G0+G1", "G1+G0", "G2+G3", "G3+G2", "G4+G5", "G5+G4", "G7+G6"]
    found = labels(["ctrl", *singles, *pairs], "ctrl")
    assert found.distinct() == 12 and found.control.tolist() == [True] + [False] * 19
    assert found.targets == {
        **{g: [g] for g in GENES},
        **{f"G{i}+G{i + 1}": [f"G{i}", f"G{i + 1}"] for i in (0, 2, 4)},
        "G7+G6": ["G7", "G6"],  # spelt in one way only, which is kept
    }
    assert found.names.tolist()[:2] == [None, "G0"]
    assert found.names.tolist()[13:15] == ["G0+G1"] * 2


@pytest.mark.parametrize(
    "values, control, both",
    [
        (["DMSO", "dmso", "G1"], "DMSO", "DMSO,dmso"),
        (["NT_1", "nt_2", "G1"], "NT_*", "NT_\\*,nt_2"),
    ],
)
def test_a_control_in_other_letters_is_refused(values, control, both):
    with pytest.raises(InvalidData, match=f"in capital letters alone.*--control '{both}'"):
        labels(values, control)
    assert labels(values, both.replace("\\", "")).distinct() == len(values) - 2
    with pytest.raises(InvalidData, match="'Ctrl'.*of 'G1.Ctrl'.*Spell both alike"):
        labels(["ctrl", "G1+Ctrl", "G2+ctrl"], "ctrl")


def test_a_gene_in_the_letters_of_a_control_is_a_perturbation():
    assert labels(["ctrl", "CTRL"], "ctrl", genes=[*GENES, "CTRL"]).distinct() == 1


def test_a_pattern_in_other_letters_may_match_a_gene_that_was_not_measured():
    assert labels(["non-targeting", "NONO", "NEGR1"], "non*").distinct() == 2


def test_a_missing_label_is_none_unless_it_is_named():
    found = labels(["ctrl", "NA", "nan", "G1"], "ctrl")
    assert found.names.tolist() == [None, None, None, "G1"]
    assert found.control.tolist() == [True, False, False, False]
    assert labels(["NA", "G1"], "NA").control.tolist() == [True, False]


def test_perturbations_that_are_called_like_controls_are_found():
    found = labels(["DMSO", "vehicle", "vehicle", "NEGR1", "G1"], "DMSO", genes=["NEGR1"])
    assert found.like_controls == {"vehicle": 2} and found.distinct() == 3


def test_usual_names_of_controls_with_numbers_and_of_guides():
    usual = ["NT", "NT_10", "NT1", "NT-2", "NTC", "NTC1", "NTC_2", "WT", "WT_1", "sgNT", "sgNT-1"]
    usual += ["sg_NTC", "sgControl", "sgNon-targeting", "neg-ctrl-3", "Scramble1"]
    genes = ["NT5E", "NT5C2", "NTN1", "NTRK1", "WT1", "WTAP", "SGK1", "sgWT1", "sgNT5E", "WTIP"]
    found = labels(["DMSO", *usual, *genes], "DMSO")
    assert list(found.like_controls) == usual


def test_a_pair_of_controls_is_a_control():
    found = labels(["NT+NT", "NT", "G0+NT", None, ""], "NT")
    assert found.control.tolist() == [True, True, False, False, False]
    assert found.names.tolist() == [None, None, "G0", None, ""]
    assert found.labelled.tolist() == [True, True, True, False, True]


def test_targets_of_a_column_of_their_own():
    found = labels(
        ["a+b", "b+a", "c", "ctrl"], "ctrl", target=["G1+G2", "G2+G1", "ctrl+ G3", "ctrl"]
    )
    assert found.targets == {"a+b": ["G1", "G2"], "c": ["G3"]}
    with pytest.raises(InvalidData, match="cells of 'c' name G3 and G4 as targets"):
        labels(["c", "c", "ctrl"], "ctrl", target=["G3", "G4", ""])
    assert labels(["c", "ctrl"], "ctrl", target=["ctrl", ""]).targets == {"c": [""]}


@pytest.mark.parametrize(
    ("control", "n"),
    [
        ("non-targeting*", 50),
        ("non-targeting_000?0", 5),
        ("non-targeting_00001,non-targeting_00002", 2),
        ("safe harbour, non-targeting*", 51),
        ("non-targeting_00001", 1),
    ],
)
def test_many_control_labels(control, n):
    many = [f"non-targeting_{i:05d}" for i in range(50)]
    found = labels([*many, " safe harbour ", "G0 ", " G0"], control)
    assert found.control.sum() == n
    assert found.names.tolist()[-2:] == ["G0", "G0"]


def test_a_label_with_a_comma_or_a_star_is_meant_as_it_is_written():
    assert labels(["a,b", "a", "b"], "a,b").control.tolist() == [True, False, False]
    assert labels(["NT*", "NT1", "G0"], "NT*").control.tolist() == [True, False, False]


def test_none_can_be_the_control():
    assert labels(["None", "G0", None], "None").control.tolist() == [True, False, False]


@pytest.mark.parametrize(
    ("control", "message"),
    [
        ("ntc", "no row has perturbation = 'ntc'.*Did you mean NTC"),
        ("non-target", r"2 labels begin so: --control 'non-target\*' names them all"),
        ("NTC,xyz", r"perturbation = 'xyz'.*Frequent: NTC \(2 rows\)"),
        ("G*", "the control 'G\\*' also matches the perturbed genes G0, G1"),
        ("", "no row has perturbation = ''"),
    ],
)
def test_a_control_that_is_not_there_or_too_much(control, message):
    cells = ["NTC", "NTC", "non-targeting_1", "non-targeting_2", "G0", "G1+NTC"]
    with pytest.raises(InvalidData, match=message):
        labels(cells, control)


def test_a_screen_of_such_labels_gives_the_tasks_of_plain_ones(tmp_path, screen):
    """Halves of the cells in both spellings, and ten control labels."""
    plain = open_raw(screen.write(tmp_path / "screen.h5ad"))
    options = Preparation(min_candidates=40, max_candidates=50)
    spelt = plain.obs["perturbation"].astype(object).to_numpy().copy()
    for i, label in enumerate(spelt):
        if label == screen.CONTROL:
            spelt[i] = f"NT_{i % 10}"
        elif isinstance(label, str):
            spelt[i] = f"NT_1+{label}" if i % 2 else f"{label} + NT_2"
    raw = replace(plain, obs=plain.obs.assign(perturbation=spelt))
    made = prepare(raw, "demo", tmp_path / "a", replace(options, control="NT_*"))
    assert made.hash == prepare(plain, "demo", tmp_path / "b", options).hash
    assert made.controls().shape[0] == np.sum(plain.obs["perturbation"] == screen.CONTROL)


def test_features_that_are_left_out_are_counted(tmp_path, screen):
    plain = open_raw(screen.write(tmp_path / "screen.h5ad"))
    raw = replace(plain, left_out={"CRISPR Guide Capture": 3})
    made = prepare(raw, "demo", tmp_path, Preparation(min_candidates=40))
    steps = {step: genes for step, _, _, genes in made.attributes["attrition"]}
    assert steps["file"] == 64 and steps["without 3 CRISPR Guide Capture"] == 61
