import numpy as np
import pytest

from cdnbench.errors import InvalidParameter
from cdnbench.prediction.verdict import at_rate, listed, verdict

NAMES = ("A", "B", "C", "D")
SCORES = np.array([3.0, 2.0, 1.0, 0.0])


def with_probabilities(p, q=0.001, **more):
    return verdict(NAMES, q, scores=SCORES, method="cdn", probabilities=np.array(p), **more)


def test_targets_are_the_largest_set_at_the_rate():
    found = with_probabilities([0.97, 0.01, 0.88, 0.4])
    assert (found.kind, found.targets) == ("targets", ("A", "C"))
    assert "A and C" in found.sentence and "7.5 %" in found.sentence
    assert with_probabilities([0.97, 0.01, 0.88, 0.4], fdr=0.05).targets == ("A",)
    assert with_probabilities([0.97, 0.01, 0.88, 0.4], fdr=0.3).targets == ("A", "C", "D")


def test_nothing_moved_whatever_the_probabilities():
    found = with_probabilities([1.0, 0.0, 0.0, 0.0], q=0.3)
    assert (found.kind, found.targets) == ("nothing moved", ())
    assert "q = 0.3" in found.sentence


def test_something_moved_that_no_variable_explains():
    found = with_probabilities([0.2, 0.5, 0.1, np.nan])
    assert (found.kind, found.targets) == ("unexplained", ())
    assert "B, has a probability of 0.5" in found.sentence


def test_undetermined():
    assert with_probabilities([0.9] * 4, q=np.nan).kind == "undetermined"


def test_a_note_on_the_calibration_is_passed_on():
    found = with_probabilities([1.0, 0, 0, 0], note="not calibrated for these weights")
    assert "(not calibrated for these weights)" in found.sentence


def test_without_probabilities_what_moved_is_named_in_the_methods_order():
    p = np.array([0.001, 0.5, 1e-6, np.nan])
    found = verdict(NAMES, 0.01, scores=SCORES, method="target-shift", variable_p=p)
    assert (found.kind, found.targets) == ("moved", ("A", "C"))
    assert "cannot say whether" in found.sentence
    none = verdict(NAMES, 0.01, scores=SCORES, method="target-shift", variable_p=np.ones(4))
    assert (none.kind, none.targets) == ("unexplained", ())
    quiet = verdict(NAMES, 0.5, scores=SCORES, method="target-shift", variable_p=p)
    assert quiet.kind == "nothing moved"


def test_the_expected_share_of_wrong_names_is_at_most_the_rate():
    rng = np.random.default_rng(0)
    p = rng.beta(0.3, 0.6, size=(3000, 8))
    hit = rng.random(p.shape) < p
    chosen = [at_rate(row, 0.1) for row in p]
    wrong = [np.mean(~h[c]) for h, c in zip(hit, chosen, strict=True) if len(c)]
    assert 0.03 < np.mean(wrong) < 0.11


def test_bad_arguments_are_refused():
    with pytest.raises(InvalidParameter, match="false discovery rate is 1.5"):
        with_probabilities([0.5] * 4, fdr=1.5)
    with pytest.raises(ValueError, match="one for each variable"):
        with_probabilities([0.5] * 3)
    with pytest.raises(ValueError, match="probabilities or variable_p"):
        verdict(NAMES, 0.01, scores=SCORES, method="x")


def test_lists():
    assert [listed("a"), listed("ab"), listed("abc")] == ["a", "a and b", "a, b and c"]
    assert listed("abcdefgh") == "a, b, c, d, e and 3 more"


def test_too_few_rows_for_so_many_variables_are_undetermined():
    def found(q, p, **more):
        return verdict(NAMES, q, scores=SCORES, method="m", variable_p=np.array(p), **more)

    quiet = found(0.3, [0.2] * 4, lone_q=0.25)
    assert quiet.kind == "undetermined" and "q would be 0.25" in quiet.sentence
    assert found(0.3, [0.2] * 4, lone_q=0.05).kind == "nothing moved"
    which = found(0.03, [0.04, 0.5, 0.5, np.nan], least_variable_p=0.04)
    assert which.kind == "undetermined" and "which of 3 variables" in which.sentence
    assert found(0.03, [0.04] * 4, least_variable_p=0.03).targets == tuple("ABCD")
    assert found(0.03, [0.5] * 4, least_variable_p=0.02).kind == "unexplained"
    sure = with_probabilities([0.97, 0, 0, 0], lone_q=0.5, least_variable_p=0.5)
    assert sure.kind == "targets"
