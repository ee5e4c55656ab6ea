"""Sachs et al. 2005: which rows are which, which target belongs to which, and what methods cannot
see."""

import os
from pathlib import Path

import numpy as np
import pytest

from cdnbench import load_suite
from cdnbench.datasets.real import sachs
from cdnbench.datasets.real.sachs import CONDITIONS, PROTEINS, read_cdt, read_conditions
from cdnbench.errors import BenchError, InvalidParameter, UnknownName

EXPECTED = {
    "primary": {"AKT inhibitor": "AKT", "G0076": "PKC", "psitectorigenin": "PIP2", "U0126": "MEK"},
    "secondary": {"LY294002": "AKT", "PMA": "PKC", "b2cAMP": "PKA"},
}


@pytest.fixture
def tasks():
    suite = load_suite("sachs")
    return {spec.metadata["group"]: suite.load(spec) for spec in suite.specs()}


def test_two_groups_that_no_average_mixes(tasks):
    assert list(tasks) == ["primary", "secondary"]
    for group, labelled in tasks.items():
        assert labelled.task.variables == PROTEINS
        assert len(labelled.task.observational) == 853
        found = {}
        for name, row in zip(labelled.facts["regimes"], labelled.targets, strict=True):
            assert row.sum() == 1
            found[name.rpartition(" + ")[2]] = PROTEINS[row.argmax()]
        assert found == EXPECTED[group]


def test_regimes_have_the_published_numbers_of_cells(tasks):
    cells = {c.name: c.cells for c in CONDITIONS}
    for labelled in tasks.values():
        for name, x in zip(labelled.facts["regimes"], labelled.task.regimes, strict=True):
            assert len(x) == cells[name]


def test_neither_names_nor_order_nor_metadata_tell_the_target(tasks):
    for group, labelled in tasks.items():
        assert labelled.task.name == f"sachs/{group}" and not labelled.task.metadata
        assert labelled.facts["regimes"] != [
            c.name for c in CONDITIONS if c.name in labelled.facts["regimes"]
        ]
    for spec in load_suite("sachs", track="single").specs():
        text = f"{spec.name} {dict(spec.metadata)}"
        assert not any(c.name in text for c in CONDITIONS) and not any(p in text for p in PROTEINS)


def test_logarithms_by_default_and_raw_on_request(tasks):
    suite = load_suite("sachs", transform="none")
    raw = {spec.metadata["group"]: suite.load(spec) for spec in suite.specs()}
    for group, labelled in tasks.items():
        assert raw[group].task.observational.min() >= 1
        assert np.allclose(
            np.log(raw[group].task.observational), labelled.task.observational, atol=1e-6
        )
        assert (raw[group].targets == labelled.targets).all()
    assert not {s.hash for s in suite.specs()} & {s.hash for s in load_suite("sachs").specs()}


def test_inhibiting_mek_raises_its_phosphorylation_and_psitectorigenin_empties_pip2(tasks):
    """What is known of the reagents: a check that rows and labels belong together."""
    primary = tasks["primary"]
    mean = primary.task.observational.mean(0)
    shift = {
        n.rpartition(" + ")[2]: x.mean(0) - mean
        for n, x in zip(primary.facts["regimes"], primary.task.regimes, strict=True)
    }
    assert shift["U0126"][PROTEINS.index("MEK")] > 0.5
    assert shift["psitectorigenin"][PROTEINS.index("PIP2")] < -0.5


def test_the_single_track_has_one_task_a_condition(tasks):
    suite = load_suite("sachs", track="single")
    specs = suite.specs()
    assert [s.name for s in specs][:2] == ["sachs/primary/r000", "sachs/primary/r001"] and len(
        specs
    ) == 7
    assert len({s.hash for s in specs}) == 7
    for r, spec in enumerate(specs[:4]):
        one = suite.load(spec)
        assert one.task.name == spec.name and spec.metadata["dataset"] == "sachs/primary"
        assert (one.task.regimes[0] == tasks["primary"].task.regimes[r]).all()
        assert one.facts["regimes"] == [tasks["primary"].facts["regimes"][r]]


def test_a_missing_package_says_what_to_install(monkeypatch):
    monkeypatch.setattr(sachs.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(BenchError, match="pip install cdt"):
        read_cdt()


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(BenchError, match="nowhere.csv"):
        load_suite("sachs", data=str(tmp_path / "nowhere.csv")).specs()


def write(path, cells, value="2.0", columns=PROTEINS):
    rows = [
        f"{c.number},x,," + ",".join([value] * len(columns))
        for c in CONDITIONS
        for _ in range(cells(c))
    ]
    path.write_text("\n".join(["file,condition,target," + ",".join(columns), *rows]) + "\n")
    return path


def test_files_that_are_something_else_are_refused(tmp_path):
    assert set(read_conditions(write(tmp_path / "good.csv", lambda c: c.cells))) == set(
        range(1, 15)
    )
    with pytest.raises(BenchError, match="condition 3 .* has 910 cells; Sachs et al. have 911"):
        read_conditions(write(tmp_path / "short.csv", lambda c: c.cells - (c.number == 3)))
    with pytest.raises(BenchError, match="column JNK is missing"):
        read_conditions(write(tmp_path / "narrow.csv", lambda c: c.cells, columns=PROTEINS[:-1]))
    with pytest.raises(BenchError, match="must be positive"):
        read_conditions(write(tmp_path / "zero.csv", lambda c: c.cells, value="0"))
    with pytest.raises(BenchError, match="not a table of numbers"):
        read_conditions(write(tmp_path / "text.csv", lambda c: c.cells, value="NA?"))


def test_unknown_options_are_refused():
    with pytest.raises(UnknownName, match="transform"):
        load_suite("sachs", transfrom="log")
    with pytest.raises(InvalidParameter, match="log, none"):
        load_suite("sachs", transform="asinh")


# With the file of all 14 conditions


@pytest.fixture
def fourteen():
    path = (
        Path(os.environ.get("CDNBENCH_DATA", "")) / "expression" / "sachs2005_14conditions.csv.gz"
    )
    if "CDNBENCH_DATA" not in os.environ or not path.is_file():
        pytest.skip(
            "CDNBENCH_DATA does not name a folder with expression/sachs2005_14conditions.csv.gz"
        )
    return path


def test_a_file_that_was_replaced_is_read_again(tmp_path):
    path = write(tmp_path / "cells.csv", lambda c: c.cells)
    suite = load_suite("sachs", data=str(path))
    before = {s.hash for s in suite.specs()}
    assert {s.hash for s in suite.specs()} == before
    write(path, lambda c: c.cells, value="20")
    assert not {s.hash for s in suite.specs()} & before


@pytest.mark.data
def test_both_files_agree_on_the_nine_conditions(fourteen):
    nine, all_ = read_cdt(), read_conditions(fourteen)
    assert len(all_) == 14
    for number, samples in nine.items():
        assert (samples == all_[number]).all()


@pytest.mark.data
def test_the_same_groups_and_hashes_from_either_file_and_icam_besides(fourteen):
    small, large = load_suite("sachs"), load_suite("sachs", data=str(fourteen))
    assert [s.hash for s in small.specs()] == [s.hash for s in large.specs()][:2]
    icam = large.load(large.specs()[2])
    assert icam.task.name == "sachs/icam" and len(icam.task.observational) == 902
    targets = sorted(PROTEINS[i] for i in icam.targets.argmax(1))
    assert targets == ["AKT", "AKT", "MEK", "PIP2", "PKC"]
