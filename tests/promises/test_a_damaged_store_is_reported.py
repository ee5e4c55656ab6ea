"""Whatever happened to the files of a store: what is wrong is named, and the others are reported.

`python benchmarks/trust.py stores` makes a thousand of these, with the next run for some.
"""

SEED = 1


def pytest_generate_tests(metafunc):
    metafunc.parametrize("number", range(31))


def test_a_damaged_store_is_reported(trials, sound, number):
    made = trials.stores.trial(number, SEED, sound, heal=False)
    assert made.faults == []
    assert made.kind == list(trials.damage.KINDS)[number % len(trials.damage.KINDS)]


def test_every_kind_of_damage_is_tried(trials, number):
    assert number < len(trials.damage.KINDS) == 31
