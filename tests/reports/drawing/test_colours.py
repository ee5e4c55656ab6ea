"""Every method has one mark, the same everywhere."""

from __future__ import annotations

from importlib.metadata import entry_points

import pytest

from cdnbench.reports.drawing import colours
from cdnbench.reports.drawing.colours import HUES, mark

METHODS = sorted(e.name for e in entry_points(group="cdnbench.methods"))


def test_no_two_methods_of_this_package_look_alike():
    listed = [*METHODS, "ceiling"]
    assert {m for m in METHODS if m not in colours._LISTED} <= {"change-net", "variance-ratio"}
    looks = [(mark(m).colour, mark(m).shape) for m in listed if m in colours._LISTED]
    assert len(set(looks)) == len(looks)


def test_a_method_from_elsewhere_has_a_stable_mark_that_no_listed_one_has():
    own = mark("my-method")
    assert own == mark("my-method") and own != mark("another-method")
    assert own.colour in HUES.values()
    taken = {(mark(m).colour, mark(m).shape) for m in colours._LISTED}
    assert (own.colour, own.shape) not in taken


def test_other_readings_are_hollow_and_of_the_same_colour():
    usual, other = mark("dci"), mark("dci", is_default=False)
    assert usual.colour == other.colour and usual.shape == other.shape
    assert other.face == "white" and usual.face == usual.colour


@pytest.mark.parametrize("blind", ["red", "green"])
def test_hues_differ_for_colour_blind_readers(blind):
    """Viénot, Brettel and Mollon 1999: protanopia and deuteranopia, in linear RGB."""
    import itertools

    import numpy as np

    matrices = {
        "red": [[0.11238, 0.88762, 0], [0.11238, 0.88762, 0], [0.00401, -0.00401, 1]],
        "green": [[0.29275, 0.70725, 0], [0.29275, 0.70725, 0], [-0.02234, 0.02234, 1]],
    }
    rgb = np.array([[int(h[i : i + 2], 16) / 255 for i in (1, 3, 5)] for h in HUES.values()])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(linear @ np.array(matrices[blind]).T, 0, 1) ** (1 / 2.2)
    pairs = itertools.combinations(range(len(HUES)), 2)
    near = [(i, j) for i, j in pairs if np.abs(seen[i] - seen[j]).max() < 0.04]
    names = list(HUES)
    shapes = {
        hue: {look.split()[1] for look in colours._LISTED.values() if look.split()[0] == hue}
        for hue in names
    }
    for i, j in near:  # what looks alike has other shapes
        assert not shapes[names[i]] & shapes[names[j]], (names[i], names[j])


def test_faded_is_paler_of_the_same_hue():
    own = mark("cdn")
    light = own.faded()
    assert light.shape == own.shape
    assert sum(int(light.colour[i : i + 2], 16) for i in (1, 3, 5)) > sum(
        int(own.colour[i : i + 2], 16) for i in (1, 3, 5)
    )
