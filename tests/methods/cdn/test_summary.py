"""The summary against its definition, row by row: moments of the basis, winsorising, quantiles,
units."""

import numpy as np
import pytest
import torch

from cdnbench.methods.cdn import summary as module
from cdnbench.methods.cdn.summary import LEVELS, Summary, stack, summarise


def data_sets(n_variables=3, rows=(40, 25, 31), seed=0) -> list[np.ndarray]:
    """D data sets in raw units; the regimes are shifted and wider."""
    rng = np.random.default_rng(seed)
    units, centre = rng.uniform(0.5, 5, n_variables), rng.normal(size=n_variables) * 10
    return [
        (rng.normal(size=(m, n_variables)) * (1 + 0.3 * d) + 0.5 * d) * units + centre
        for d, m in enumerate(rows)
    ]


def slow_moments(z: np.ndarray) -> np.ndarray:
    """E[psi psi^T], one row at a time."""
    total = 0.0
    for row in z:
        far, near = np.clip(row, -40, 40), np.clip(row, -3, 3)
        psi = [
            1.0,
            *far,
            *[(v**2 - 1) / np.sqrt(2) for v in near],
            *[(v**3 - 3 * v) / np.sqrt(6) for v in near],
        ]
        total = total + np.outer(psi, psi)
    return total / len(z)


def in_observational_units(sets: list[np.ndarray]) -> list[np.ndarray]:
    return [(x - sets[0].mean(0)) / sets[0].std(0) for x in sets]


def equal(a: Summary, b: Summary, **tolerance) -> None:
    for name in Summary.__dataclass_fields__:
        torch.testing.assert_close(getattr(a, name), getattr(b, name), msg=name, **tolerance)


# --- moments


@pytest.mark.parametrize("at_once", [7, 4096])
def test_moments_are_the_mean_products_of_the_basis(monkeypatch, at_once):
    monkeypatch.setattr(module, "_ROWS_AT_ONCE", at_once)
    sets = data_sets()
    found = summarise(sets).moments
    assert found.shape == (1, 3, 10, 10) and found.dtype == torch.float64
    for d, z in enumerate(in_observational_units(sets)):
        np.testing.assert_allclose(found[0, d], slow_moments(z), rtol=1e-10, atol=1e-12)


def test_the_basis_is_orthonormal_under_a_standard_normal():
    """What the square roots are for."""
    z = np.random.default_rng(0).normal(size=(200_000, 2))
    moments = summarise([z, z]).moments[0, 0]
    first = [0, 1, 3, 5]  # constant and the three functions of the first variable
    np.testing.assert_allclose(
        moments[first][:, first], np.eye(4), atol=0.25
    )  # the tails beyond 3 are cut
    np.testing.assert_allclose(moments[[1, 3, 5]][:, [2, 4, 6]], np.zeros((3, 3)), atol=0.02)


def test_no_single_row_decides_a_moment():
    """A value far out counts as 40 standard deviations, and as 3 in the square and the cube."""
    sets = data_sets()
    sets[1][4, 2] = sets[0][:, 2].mean() - 1e9 * sets[0][:, 2].std()
    found = summarise(sets)
    z = in_observational_units(sets)[1]
    assert z[4, 2] < -1e8
    np.testing.assert_allclose(found.moments[0, 1], slow_moments(z), rtol=1e-10, atol=1e-12)
    assert found.moments[0, 1].abs().max() < 40**2
    assert found.quantiles[0, 1, 2, 0] == -40 and found.quantiles.abs().max() == 40
    np.testing.assert_allclose(
        found.mean[0, 1], sets[1].mean(0), rtol=1e-6
    )  # raw values are what they are
    np.testing.assert_allclose(found.scale[0, 1], sets[1].std(0), rtol=1e-6)


# --- quantiles, raw moments, rows


@pytest.mark.parametrize("rows", [1, 2, 30, 41, 967])
def test_quantiles_are_numpys(rows):
    sets = data_sets(rows=(60, rows))
    found = summarise(sets).quantiles
    assert found.shape == (1, 2, 3, len(LEVELS)) and found.dtype == torch.float32
    for d, z in enumerate(in_observational_units(sets)):
        np.testing.assert_allclose(found[0, d].T, np.quantile(z, LEVELS, axis=0), atol=2e-5)


def test_raw_means_standard_deviations_and_row_counts():
    sets = data_sets()
    found = summarise(sets)
    for d, x in enumerate(sets):
        np.testing.assert_allclose(found.mean[0, d], x.mean(0), rtol=1e-6)
        np.testing.assert_allclose(found.scale[0, d], x.std(0), rtol=1e-6)
    assert found.rows.tolist() == [[40, 25, 31]] and found.n_variables == 3


# --- units


def test_other_units_change_raw_means_and_scales_only():
    sets = data_sets()
    factor, offset = np.array([1e-3, 1.0, 1e4]), np.array([0.0, 50.0, -1e5])
    before, after = summarise(sets), summarise([x * factor + offset for x in sets])
    torch.testing.assert_close(after.moments, before.moments, rtol=1e-7, atol=1e-9)
    torch.testing.assert_close(after.quantiles, before.quantiles, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(after.mean, before.mean * factor + offset, rtol=1e-4)
    np.testing.assert_allclose(after.scale, before.scale * factor, rtol=1e-4)


def test_constant_in_the_observational_data_means_units_of_all_data_sets():
    sets = data_sets()
    sets[0][:, 1] = 0.1  # not a binary fraction
    found = summarise(sets)
    unit = np.concatenate(sets)[:, 1].std()
    np.testing.assert_allclose(found.moments[0, 0, 0, 2], 0, atol=1e-12)
    np.testing.assert_allclose(
        found.moments[0, 1, 0, 2], ((sets[1][:, 1] - 0.1) / unit).mean(), rtol=1e-8
    )
    # the others keep their own
    rest = summarise([x[:, [0, 2]] for x in sets])
    torch.testing.assert_close(found.quantiles[:, :, [0, 2]], rest.quantiles)


def test_a_variable_that_never_varies_is_zero_in_raw_units():
    sets = data_sets()
    for x in sets:
        x[:, 1] = np.float32(123.4)
    found = summarise(sets)
    assert torch.isfinite(found.moments).all()
    np.testing.assert_allclose(found.moments[0, :, 0, 2], 0, atol=1e-9)
    np.testing.assert_allclose(found.quantiles[0, :, 1], 0, atol=1e-6)
    np.testing.assert_allclose(found.scale[0, :, 1], 0, atol=1e-9)


def test_constants_that_differ_between_data_sets_are_told_apart():
    """On and off: no variance anywhere, but a change."""
    sets = data_sets()
    for d, x in enumerate(sets):
        x[:, 1] = float(d == 1)
    found = summarise(sets).moments[0, :, 0, 2]
    assert found[0] == found[2] == 0 and found[1] > 1


# --- several tasks, some data sets


def test_tasks_side_by_side():
    tasks = [summarise(data_sets(seed=s)) for s in range(3)]
    both = stack(tasks)
    assert both.moments.shape == (3, 3, 10, 10) and both.rows.shape == (3, 3)
    for b, single in enumerate(tasks):
        equal(
            Summary(*(getattr(both, name)[b : b + 1] for name in Summary.__dataclass_fields__)),
            single,
        )


def test_some_data_sets_are_the_summary_of_those():
    sets = data_sets()
    whole = summarise(sets)
    equal(whole.sets([0, 2]), summarise([sets[0], sets[2]]))
    equal(whole.sets(slice(0, 2)), summarise(sets[:2]))
    equal(whole.to("cpu"), whole)


# --- what goes in stays as it is


def test_read_only_arrays_memory_maps_and_integers(tmp_path):
    sets = [x.astype(np.float32) for x in data_sets()]
    expected = summarise(sets)
    copies = [x.copy() for x in sets]
    for x in sets:
        x.setflags(write=False)
    equal(summarise(sets), expected, rtol=0, atol=0)
    np.save(tmp_path / "x.npy", sets[1])
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    equal(summarise([sets[0], mapped, sets[2]]), expected, rtol=0, atol=0)
    for x, copy in zip(sets, copies, strict=True):
        np.testing.assert_array_equal(x, copy)
    counts = [np.random.default_rng(d).poisson(4, size=(30, 2)) for d in range(2)]
    equal(summarise(counts), summarise([x.astype(float) for x in counts]), rtol=0, atol=0)
