import json

import numpy as np
import pytest

from cdnbench import load_method
from cdnbench.errors import InvalidData
from cdnbench.prediction.calibration import (
    UNCALIBRATED,
    Calibration,
    expected_error,
    fit,
    reliability,
)

DIGEST = "0123"


def drawn(slope, offset, n=40_000, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(-2, 2, size=n)
    return x, rng.random(n) < 1 / (1 + np.exp(-(slope * x + offset)))


def test_the_map_behind_the_data_is_found():
    np.testing.assert_allclose(fit([drawn(0.6, -0.5)]), (0.6, -0.5), atol=0.06)


def test_sources_count_alike():
    small, large = drawn(1.0, 1.0, n=4_000), drawn(1.0, -1.0, n=200_000)
    both, twice = fit([small, large]), fit([small, small, large, large])
    np.testing.assert_allclose(both, twice, rtol=1e-3)
    assert abs(both[1]) < 0.5


def test_calibration_lowers_the_expected_error():
    x, y = drawn(0.5, -1.0)
    own, better = Calibration(DIGEST), Calibration(DIGEST, *fit([drawn(0.5, -1.0, seed=1)]))
    assert expected_error(own.probabilities(x), y) > 0.08
    assert expected_error(better.probabilities(x), y) < 0.015


def test_bins_count_all_and_observe_what_was_predicted():
    p = np.random.default_rng(0).random(50_000)
    y = np.random.default_rng(1).random(50_000) < p
    rows = reliability(p, y)
    assert sum(row.variables for row in rows) == 50_000
    assert all(row.least <= row.observed <= row.most for row in rows)
    assert all(abs(row.predicted - row.observed) < 0.03 for row in rows)
    assert reliability(np.array([0.0, 1.0]), np.array([False, True]))[-1].variables == 1


def test_it_is_read_for_its_own_weights(tmp_path):
    path = tmp_path / "calibration.json"
    Calibration(DIGEST, 0.5, -1.0, provenance={"seeds": {"fit": 1}}).write(path)
    read = Calibration.read(path, DIGEST)
    assert (read.slope, read.offset, read.note) == (0.5, -1.0, "")
    assert read.provenance["seeds"] == {"fit": 1}
    assert read.probabilities(np.array([2.0, np.nan]))[0] == 0.5
    assert np.isnan(read.probabilities(np.array([np.nan]))).all()


def test_it_is_left_aside_for_other_weights_and_says_so(tmp_path):
    path = tmp_path / "calibration.json"
    Calibration(DIGEST, 0.5, -1.0).write(path)
    for found in (Calibration.read(path, "other"), Calibration.read(tmp_path / "none", DIGEST)):
        assert (found.slope, found.offset, found.note) == (1.0, 0.0, UNCALIBRATED)


@pytest.mark.parametrize(
    "content",
    ["no json", "[]", "{}", json.dumps(dict(format=1, weights=DIGEST, slope=-1, offset=0))],
)
def test_broken_files_are_refused(tmp_path, content):
    path = tmp_path / "calibration.json"
    path.write_text(content)
    with pytest.raises(InvalidData, match="calibration"):
        Calibration.read(path, DIGEST)


def test_cdn_has_one_and_target_shift_has_none():
    found = load_method("cdn").calibration()
    assert found.weights == load_method("cdn").weights_digest()
    assert load_method("target-shift").calibration() is None
