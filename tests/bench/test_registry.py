"""Names: lazy, forgiving to read, strict to use."""

import subprocess
import sys

import pytest

from cdnbench import load_method, load_suite
from cdnbench.errors import InvalidParameter, UnknownName
from cdnbench.registry import parse_methods, resolve_method


def test_a_misspelt_name_gets_its_neighbours():
    with pytest.raises(UnknownName, match="no method named 'ut-igps'. Did you mean ut-igsp"):
        load_method("ut-igps")
    with pytest.raises(UnknownName, match="no suite named 'synthetik'. Did you mean synthetic"):
        load_suite("synthetik")
    with pytest.raises(
        UnknownName, match="no parameter of dci named 'max_setsize'. Did you mean max_set_size"
    ):
        load_method("dci", max_setsize=2)
    with pytest.raises(UnknownName, match="no option of the suite synthetic named 'protocoll'"):
        load_suite("synthetic", protocoll="clean")


def test_a_name_may_belong_to_a_package_that_is_not_installed():
    with pytest.raises(UnknownName, match="Did you mean deseq2.*another package.*this method"):
        load_method("DESeq")
    with pytest.raises(UnknownName, match="another package provides this suite, install it"):
        load_suite("my-lab")


def test_values_are_checked_when_they_are_given():
    with pytest.raises(InvalidParameter, match="max_set_size takes a value of type int"):
        load_method("dci", max_set_size="two")
    with pytest.raises(InvalidParameter, match="ut-igsp: alpha is NaN, which is not a number"):
        load_method("ut-igsp", alpha=float("nan"))
    with pytest.raises(InvalidParameter, match="target-shift: winsorised is NaN"):
        load_method(
            "target-shift", **dict(parse_methods("target-shift:winsorised=[NaN]"))["target-shift"]
        )
    with pytest.raises(InvalidParameter, match="target-shift: winsorised is infinite"):
        load_method("target-shift", winsorised=float("inf"))
    with pytest.raises(
        InvalidParameter, match=r"cd-nod: alpha takes a number between 0 and 1, .*; got -1\.$"
    ):
        load_method("cd-nod", alpha=-1)
    with pytest.raises(InvalidParameter, match="rcd: binning takes kmeans or quantile; got 'all'"):
        load_method("rcd", binning="all")
    with pytest.raises(InvalidParameter, match="dci: alpha_ug takes one or more values, each"):
        load_method("dci", alpha_ug=[0.01, 1.5])
    with pytest.raises(InvalidParameter, match="mlp: device takes cpu or cuda; got 'gpu'"):
        load_method("mlp", device="gpu")
    with pytest.raises(InvalidParameter, match="protocol takes clean, dcdi, both; got 'dirty'"):
        load_suite("synthetic", protocol="dirty")


@pytest.mark.parametrize("value", [2**63, -(10**30), [10**400]])
def test_numbers_that_no_record_could_hold_are_refused(value):
    with pytest.raises(InvalidParameter, match="ut-igsp: max_rows is far too large"):
        load_method("ut-igsp", max_rows=value)


def test_the_example_of_a_list_can_be_typed():
    with pytest.raises(InvalidParameter, match=r"such as \[0.001, 0.01\]; got '\(0.001, 0.01\)'"):
        load_method("dci", alpha_ug="(0.001, 0.01)")


def test_a_parameter_that_is_given_twice_is_refused():
    for text in ("dci:max_set_size=1,max_set_size=2", "dci:max_set_size=1:max_set_size=2"):
        with pytest.raises(InvalidParameter, match="max_set_size of dci is given twice"):
            parse_methods(text)


def test_none_is_a_value_where_the_method_says_so():
    assert load_method("cd-nod", max_set_size=None).parameters == {"max_set_size": None}
    with pytest.raises(InvalidParameter, match="ut-igsp: depth takes a number of 0 or more; got N"):
        load_method("ut-igsp", depth=None)


def test_a_variant_is_a_name_of_its_own():
    assert resolve_method("ut-igsp") == ("ut-igsp", "soft")
    assert resolve_method("ut-igsp-set") == ("ut-igsp", "set")
    assert (
        load_method("ut-igsp-set").label == "ut-igsp-set"
        and load_method("ut-igsp").label == "ut-igsp"
    )


def test_parameters_that_equal_the_default_are_not_counted_as_changed():
    default = load_method("dci").method.max_set_size
    assert load_method("dci", max_set_size=default).parameters == {}
    assert load_method("dci", max_set_size=default + 1).parameters == {"max_set_size": default + 1}


@pytest.mark.parametrize(
    "text, parsed",
    [
        ("a", [("a", {})]),
        ("a,b", [("a", {}), ("b", {})]),
        ("a:x=1,b", [("a", {"x": 1}), ("b", {})]),
        ("a:x=1,y=fc,b:z=[1,2]", [("a", {"x": 1, "y": "fc"}), ("b", {"z": [1, 2]})]),
        ("a:x=1:y=true", [("a", {"x": 1, "y": True})]),
        ("a:x=1e-3", [("a", {"x": 0.001})]),
        ('a:x="p,q:r=(.csv",b', [("a", {"x": "p,q:r=(.csv"}), ("b", {})]),
        ('a:x=["p,q","r:s"]:y=1', [("a", {"x": ["p,q", "r:s"], "y": 1})]),
        (r'a:x="\",",b', [("a", {"x": '",'}), ("b", {})]),
        ("a:x=1,y=2:z=3", [("a", {"x": 1, "y": 2, "z": 3})]),
        ("a:x=1),b", [("a", {"x": "1)"}), ("b", {})]),
        ('a:x=5",b', [("a", {"x": '5"'}), ("b", {})]),
    ],
)
def test_methods_on_the_command_line(text, parsed):
    assert parse_methods(text) == parsed


@pytest.mark.parametrize("text", ["x=1", "a,x=1", "a:x", ":x=1", "a:x=(1,b", 'a:x="1,b'])
def test_methods_that_make_no_sense(text):
    with pytest.raises(InvalidParameter):
        parse_methods(text)


def run(*arguments):
    code = (
        f"import sys; sys.argv[1:] = {list(arguments)!r}; from cdnbench.cli import main\ntry: "
        "main()\nexcept SystemExit: pass\n"
    )
    heavy = "torch causaldag causallearn cdt pandas sklearn scipy.stats jinja2 pyarrow anndata"
    code += f"print([m for m in {heavy.split()!r} if m in sys.modules], file=sys.stderr)"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["run", "--help"], ["list", "methods"], ["list", "suites"], ["list", "tables"]],
)
def test_help_and_lists_import_nothing_heavy(arguments):
    result = run(*arguments)
    assert result.stderr.strip() == "[]", result.stderr
    assert result.stdout
