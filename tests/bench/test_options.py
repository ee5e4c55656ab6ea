"""A suite's own options on the command line."""

from dataclasses import replace
from pathlib import Path

import pytest

from cdnbench.commands.options import suite_options
from cdnbench.errors import BenchError, InvalidParameter, UnknownName
from cdnbench.suite import SuiteInfo, SuiteOption

SUITE = SuiteInfo(
    name="s",
    summary="",
    options=(
        SuiteOption(name="protocol", default="clean", help="noise", choices=("clean", "dcdi")),
        SuiteOption(name="cell_lines", default="", help="names of cell lines"),
        SuiteOption(name="subsample", default=1.0, help="share"),
    ),
)


def parse(*arguments):
    return suite_options(arguments, SUITE, ["jobs", "memory-gb"])


def test_an_option_that_the_command_has_already_is_refused():
    with pytest.raises(BenchError, match="declares the option memory_gb, but `bench run` has"):
        suite_options(
            [],
            replace(SUITE, options=(SuiteOption(name="memory_gb", default=1, help=""),)),
            ["memory-gb"],
        )


def test_both_ways_to_write_a_value():
    assert parse("--protocol", "dcdi", "--cell-lines=a,b", "--subsample", "0.5") == {
        "protocol": "dcdi",
        "cell_lines": "a,b",
        "subsample": 0.5,
    }


@pytest.mark.parametrize(
    "arguments, error, words",
    [
        (["--protocl", "dcdi"], UnknownName, "Did you mean protocol"),
        (["--job", "2"], UnknownName, "Did you mean jobs"),
        (["--protocol"], InvalidParameter, "needs a value"),
        (["--protocol", "x"], InvalidParameter, "takes clean, dcdi; got 'x'"),
        (["--subsample", "many"], InvalidParameter, "takes a number"),
        (["stray"], InvalidParameter, "not an option"),
    ],
)
def test_what_cannot_be_used(arguments, error, words):
    with pytest.raises(error, match=words):
        parse(*arguments)


OPTIONS = {
    "yes": SuiteOption(name="yes", default=False, help=""),
    "count": SuiteOption(name="count", default=0, help=""),
    "share": SuiteOption(name="share", default=1.0, help=""),
    "rounds": SuiteOption(name="rounds", default=0, help="", choices=("0", "1", "2")),
    "error": SuiteOption(name="error", default="0.5", help="", choices=("0", "0.5")),
    "data": SuiteOption(name="data", default="", help=""),
}


@pytest.mark.parametrize(
    "name, given, typed",
    [
        ("yes", "yes", True),
        ("yes", False, False),
        ("count", "3", 3),
        ("count", 3, 3),
        ("share", "1e-1", 0.1),
        ("share", 1, 1.0),
        ("rounds", "2", 2),
        ("rounds", 2, 2),
        ("error", 0.5, "0.5"),
        ("data", Path("a") / "b", "a/b"),
    ],
)
def test_a_value_gets_the_type_of_the_default(name, given, typed):
    found = OPTIONS[name].typed(given)
    assert found == typed and type(found) is type(typed)


@pytest.mark.parametrize(
    "name, given, words",
    [
        ("yes", "perhaps", "yes takes true or false; got 'perhaps'"),
        ("count", "1.5", "count takes a whole number; got '1.5'"),
        ("count", 1.5, "count takes a whole number; got 1.5"),
        ("count", True, "count takes a whole number; got True"),
        ("share", "much", "share takes a number; got 'much'"),
        ("share", None, "share takes a number; got None"),
        ("rounds", "3", "rounds takes 0, 1, 2; got '3'"),
        ("data", ["a"], "data takes text"),
    ],
)
def test_a_value_of_another_type_is_refused(name, given, words):
    with pytest.raises(InvalidParameter, match=words):
        OPTIONS[name].typed(given)


def test_the_same_check_for_the_command_line_and_for_python():
    assert SUITE.checked({}) == {"protocol": "clean", "cell_lines": "", "subsample": 1.0}
    with pytest.raises(InvalidParameter) as in_python:
        SUITE.checked({"protocol": "x"})
    with pytest.raises(InvalidParameter) as on_the_command_line:
        parse("--protocol", "x")
    assert str(in_python.value) == str(on_the_command_line.value)
    with pytest.raises(UnknownName, match="option of the suite s named 'protocl'.*protocol"):
        SUITE.checked({"protocl": "x"})
