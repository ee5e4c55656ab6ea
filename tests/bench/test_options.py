"""A suite's own options on the command line."""

import pytest

from cdnbench.commands.options import suite_options
from cdnbench.errors import InvalidParameter, UnknownName
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
