"""The authors' networks in our modules: their own outputs, their checkpoints, and the pipeline
around them."""

from pathlib import Path

import numpy as np
import pytest
import torch

from cdnbench import Task
from cdnbench.errors import CannotRun, InvalidParameter
from cdnbench.loaded import LoadedMethod
from cdnbench.methods.cdn.paper import marginals
from cdnbench.methods.cdn.paper.marginals import ARROW, CIRCLE, NONE, TAIL
from cdnbench.methods.cdn.public import method as public
from cdnbench.methods.cdn.public.method import PublicCDN
from cdnbench.methods.cdn.public.modules import Identities, PublicNetwork, Side, build
from cdnbench.methods.cdn.public.weights import from_public, import_weights

GOLDEN = Path(__file__).parent / "golden"
TARGET_NETWORKS = ["axial", "axial-statistics", "axial-difference", "mlp"]
EXACT = 1e-5


def built(state) -> PublicNetwork:
    config, ours = from_public(state, n_heads=2)
    network = build(config)
    network.load_state_dict(ours)
    return network


def side(cases, kind: str) -> Side:
    """The golden inputs, spread densely by an obvious loop."""
    pairs = torch.from_numpy(cases[f"unique_{kind}"]) - 1
    dense = torch.zeros(len(cases[f"input_{kind}"]), len(pairs), dtype=torch.int64)
    for t, (tokens, index) in enumerate(
        zip(cases[f"input_{kind}"], cases[f"index_{kind}"], strict=True)
    ):
        for token, pair in zip(tokens, index, strict=True):
            dense[t, pair] = int(token)
    return Side(
        dense,
        pairs,
        torch.from_numpy(cases[f"feats_2d_{kind}"]),
        torch.from_numpy(cases[f"feats_1d_{kind}"]),
    )


def identities(cases, name: str, kind: str = "obs") -> Identities:
    drawn = torch.from_numpy(cases[f"{name}.permutations"])
    return Identities(*(drawn[:3] if kind == "obs" else drawn[3:]))


def close(ours: torch.Tensor, golden: np.ndarray) -> None:
    assert ours.shape == golden.shape
    np.testing.assert_allclose(
        ours.numpy(), golden, rtol=EXACT, atol=EXACT
    )  # float32: logits reach 11


# -- the authors' own outputs


def test_the_golden_inputs_exercise_the_masks(cases):
    observational = side(cases, "obs")
    assert (observational.tokens[:, 0] == 0).any() and (observational.tokens[0] == 0).any()
    assert (observational.statistic[0] == 0).any() and (observational.statistic[1:, 1:] == 0).any()


def test_encoder_and_edge_head(cases, states):
    network = built(states["sea"])
    encoded = network.encoder(side(cases, "obs"), identities(cases, "sea"))
    close(encoded, cases["sea.encoded"])
    close(network.edge_logits(encoded), cases["sea.edges"])


def test_the_original_encoder_hides_zeros(cases, states):
    network = built(states["sea"])
    arguments = side(cases, "obs"), identities(cases, "sea-original")
    close(network.encoder(*arguments, zeros_are_empty=True), cases["sea-original.encoded"])
    assert np.abs(network.encoder(*arguments).numpy() - cases["sea-original.encoded"]).max() > 0.1


@pytest.mark.parametrize("name", TARGET_NETWORKS)
def test_target_logits(cases, states, name):
    network = built(states[name])
    before, after = (
        network.encode(side(cases, k), identities(cases, name, k)) for k in ("obs", "int")
    )
    close(network.target_logits(before, after), cases[f"{name}.logits"])
    assert (
        np.abs(network.target_logits(after, before).numpy() - cases[f"{name}.logits"]).max() > 0.1
    )


def test_exact_zeros_are_hidden_in_the_axial_head(cases, states):
    head = built(states["axial-statistics"]).targets
    shown = torch.from_numpy(cases["zeros.input"])
    close(head(shown), cases["zeros.logits"])
    assert (head(torch.where(shown == 0, 1e-9, shown)) - head(shown)).abs().max() > 1e-3


def test_permutations_matter(cases, states):
    network = built(states["sea"])
    golden = identities(cases, "sea")
    for swapped in (
        Identities(golden.rows, golden.rows, golden.columns),
        Identities(golden.pairs, golden.columns, golden.rows),
    ):
        assert (
            np.abs(
                network.encoder(side(cases, "obs"), swapped).numpy() - cases["sea.encoded"]
            ).max()
            > 0.01
        )


# -- the authors' featurisation


@pytest.mark.parametrize("name", ["a", "b", "c"])
def test_tokens_of_marginal_estimates(cases, name):
    samples, nodes = (cases[f"features.{name}.{part}"] for part in ("samples", "nodes"))
    rows = np.tile(np.arange(len(samples)), (len(nodes), 1))
    correlations = public.batch_correlations(samples.astype(np.float64), nodes, rows)
    marks = marginals.marginal_estimates(torch.from_numpy(correlations), len(samples))
    dense, pairs = public.dense_tokens(torch.from_numpy(nodes), public.public_tokens(marks))
    golden = {part: cases[f"features.{name}.{part}"] for part in ("input", "index", "unique")}
    assert np.array_equal(pairs.numpy() + 1, golden["unique"])
    expected = np.zeros(dense.shape, dtype=int)
    np.put_along_axis(expected, golden["index"], golden["input"], axis=1)
    assert np.array_equal(dense.numpy(), expected)


@pytest.mark.parametrize("name", ["a", "b", "c"])
def test_statistics(cases, name):
    samples = cases[f"features.{name}.samples"]
    for kind in public.STATISTICS:
        found = public.global_statistic(samples.astype(np.float64), kind)
        assert np.abs(found - cases[f"features.{name}.{kind}"]).max() < EXACT
    # one draw of all rows, so that what is drawn does not matter
    (drawn,) = public.sides([samples], "correlation", 2, np.random.default_rng(0))
    close(drawn.statistic, cases[f"features.{name}.correlation"])
    close(drawn.nodes, cases[f"features.{name}.nodewise"])


def test_inverse_covariance_of_many_variables(cases):
    row, column = np.indices((60, 100))
    samples = np.sin(0.7 * row + 1.3 * column) + 0.1 * np.cos(row * column)
    found = public.global_statistic(samples, "inverse-covariance")
    assert np.abs(found[:8, :8] / cases["features.wide"] - 1).max() < 1e-6


# -- the pipeline


def shifted_task(n_variables=6, n_rows=80, n_regimes=2) -> Task:
    rng = np.random.default_rng([n_variables, n_rows])
    mix = np.eye(n_variables) + np.triu(rng.normal(size=(n_variables, n_variables)), 1)
    draw = lambda: rng.normal(size=(n_rows, n_variables)) @ mix  # noqa: E731
    names = [f"x{i}" for i in range(n_variables)]
    return Task(
        name="t",
        variables=names,
        observational=draw(),
        regimes=[draw() + 1 for _ in range(n_regimes)],
    )


@pytest.fixture(scope="module")
def imported(lightning, states, tmp_path_factory):
    folder = tmp_path_factory.mktemp("imported")
    return {
        name: str(import_weights(lightning(states[name], folder / f"{name}.ckpt")).weights)
        for name in ("sea", *TARGET_NETWORKS)
    }


def test_global_random_state_is_left_alone(imported):
    torch.manual_seed(3)
    before = torch.get_rng_state()
    method(weights=imported["axial"], n_batches=2).predict_targets(shifted_task())
    assert torch.equal(before, torch.get_rng_state())


def method(**parameters) -> LoadedMethod:
    return LoadedMethod(PublicCDN(**parameters), "", parameters)


@pytest.mark.parametrize("name", TARGET_NETWORKS)
def test_the_pipeline_scores_every_variable_the_same_under_any_names(imported, name):
    task = shifted_task()
    ours = method(weights=imported[name], n_batches=6)
    scores = ours.predict_targets(task, seed=1)
    assert scores.shape == (2, 6) and np.isfinite(scores).all()
    assert np.array_equal(scores, ours.predict_targets(task, seed=1))
    assert not np.allclose(scores, ours.predict_targets(task, seed=2))
    order = [3, 0, 5, 1, 4, 2]
    assert np.allclose(
        ours.predict_targets(task.select(order), seed=1), scores[:, order], atol=1e-5
    )


@pytest.mark.parametrize("n_variables", [2, 3, 12])
def test_few_variables_and_constant_or_repeated_columns(imported, n_variables):
    task = shifted_task(n_variables, n_rows=10)
    columns = task.observational.copy()
    columns[:, 0] = 1.0
    columns[:, -1] = columns[:, 1]
    odd = Task(
        name="odd",
        variables=task.variables,
        observational=columns,
        regimes=[columns, *task.regimes],
    )
    for statistic in public.STATISTICS:
        scores = method(
            weights=imported["axial-difference"], n_batches=4, statistic=statistic
        ).predict_targets(odd)
        assert np.isfinite(scores).all()


def test_what_it_cannot_run_it_says(imported):
    with pytest.raises(CannotRun, match="bench weights import"):
        method().predict_targets(shifted_task())
    with pytest.raises(InvalidParameter, match="bench weights import"):
        method(weights="absent.safetensors").predict_targets(shifted_task())
    with pytest.raises(CannotRun, match="without a target head"):
        method(weights=imported["sea"]).predict_targets(shifted_task())
    with pytest.raises(CannotRun, match="at most 12 variables"):
        method(weights=imported["axial"]).predict_targets(shifted_task(13))
    with pytest.raises(CannotRun, match="at least 2"):
        method(weights=imported["axial"]).predict_targets(shifted_task(1))
    with pytest.raises(InvalidParameter, match="statistic"):
        PublicCDN(statistic="cosine")
    with pytest.raises(InvalidParameter, match="n_batches"):
        PublicCDN(n_batches=1)


def test_dense_tokens_put_each_pair_in_its_place():
    rng = np.random.default_rng(5)
    nodes = np.stack([rng.choice(7, 4, replace=False) for _ in range(6)])
    tokens = rng.integers(1, 8, (6, 4, 4))
    dense, pairs = public.dense_tokens(torch.from_numpy(nodes), torch.from_numpy(tokens))
    held = {
        (t, nodes[t, a], nodes[t, b]): tokens[t, a, b]
        for t in range(6)
        for a in range(4)
        for b in range(4)
        if a != b
    }
    assert [tuple(p) for p in pairs.tolist()] == sorted({(i, j) for _, i, j in held})
    for t in range(6):
        for column, (i, j) in enumerate(pairs.tolist()):
            assert dense[t, column] == held.get((t, i, j), 0)


def test_batch_correlations_are_numpys():
    rng = np.random.default_rng(6)
    samples = rng.normal(size=(40, 7)) @ rng.normal(size=(7, 7))
    samples[:, 2] = 4.0
    nodes, rows = public.draw_batches(samples, 5, rng)
    assert all(len(set(r)) == 40 for r in rows) and nodes.shape == (5, 5)
    for t, found in enumerate(public.batch_correlations(samples, nodes, rows)):
        with np.errstate(invalid="ignore"):
            expected = np.nan_to_num(np.corrcoef(samples[rows[t]][:, nodes[t]].T))
        np.fill_diagonal(expected, 1)
        assert np.abs(found - expected).max() < 1e-12


def test_every_edge_has_a_public_token():
    marks = torch.full((1, 2, 2), NONE, dtype=torch.int8)

    def token(at_first: int, at_second: int) -> int:
        both = marks.clone()
        both[0, 1, 0], both[0, 0, 1] = at_first, at_second
        return int(public.public_tokens(both)[0, 0, 1])

    assert int(public.public_tokens(marks)[0, 0, 1]) == 1
    assert token(TAIL, ARROW) == 2 and token(ARROW, TAIL) == 3 and token(ARROW, ARROW) == 4
    assert token(CIRCLE, CIRCLE) == token(TAIL, TAIL) == 7
    assert {token(ARROW, CIRCLE), token(CIRCLE, ARROW)} == {5, 6}
    assert token(TAIL, CIRCLE) == 2 and token(CIRCLE, TAIL) == 3
