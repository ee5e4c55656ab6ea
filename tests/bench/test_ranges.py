"""The values of `cdnbench.ranges`, at their ends."""

import math

import pytest

from cdnbench import ranges
from cdnbench.ranges import at_least, each, one_of, or_none


@pytest.mark.parametrize(
    "values, taken, refused",
    [
        (at_least(2), [2, 2.0, 1e9], [1.999, -2]),
        (ranges.POSITIVE, [1e-300, 5], [0, -1]),
        (ranges.BETWEEN_0_AND_1, [1e-9, 0.999], [0, 1]),
        (ranges.FROM_0_TO_1, [0, 1], [-1e-9, 1.001]),
        (ranges.ABOVE_0_TO_1, [1e-9, 1], [0, 1.001]),
        (ranges.BELOW_A_HALF, [0, 0.499], [0.5, -1e-9]),
        (each(at_least(1)), [(1,), (1, 2)], [(), (1, 0), 1, [1], ("1",)]),
        (or_none(at_least(1)), [1], [0]),
        (one_of("a", "b"), ["a", "b"], ["", "ab", ("a",)]),
        (ranges.TEXT, ["a"], ["", 1]),
    ],
)
def test_ends_belong_to_the_values_or_not(values, taken, refused):
    assert all(map(values.holds, taken))
    assert not any(map(values.holds, refused))


@pytest.mark.parametrize(
    "value", [None, "1", True, 10**400, math.inf, -math.inf, math.nan, [1], (1,), {}]
)
def test_what_is_no_finite_number_is_not_taken_for_one(value):
    numbers = [
        at_least(0),
        ranges.POSITIVE,
        ranges.BETWEEN_0_AND_1,
        ranges.FROM_0_TO_1,
        ranges.ABOVE_0_TO_1,
        ranges.BELOW_A_HALF,
    ]
    assert not any(values.holds(value) for values in numbers)


def test_words_say_what_is_taken():
    assert at_least(0).words == "a number of 0 or more"
    assert or_none(at_least(1)).words == "a number of 1 or more, or None"
    assert each(ranges.FROM_0_TO_1).words == "one or more values, each of them a number from 0 to 1"
    assert one_of("pc", "boss").words == "pc or boss"
