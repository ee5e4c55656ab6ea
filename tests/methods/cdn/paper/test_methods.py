"""`cdn-axial` and `cdn-mlp` from samples to scores, with small networks at random weights."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from cdnbench import Task
from cdnbench.digest import generator
from cdnbench.errors import CannotRun, InvalidParameter
from cdnbench.loaded import LoadedMethod
from cdnbench.methods.cdn import weights
from cdnbench.methods.cdn.paper import methods as paper
from cdnbench.methods.cdn.paper.aggregator import EncoderConfig
from cdnbench.methods.cdn.paper.differential import DifferentialConfig, DifferentialNetwork
from cdnbench.methods.cdn.paper.featuriser import featurise
from cdnbench.methods.cdn.paper.methods import CDNMLP, CDNAxial, target_scores
from cdnbench.methods.cdn.weights import save_weights

ENCODER = EncoderConfig(width=16, n_heads=4, batch_heads=2, n_blocks=1, hidden=24)
CONFIGS = {
    "axial": DifferentialConfig(encoder=ENCODER, hidden=32),
    "mlp": DifferentialConfig(encoder=ENCODER, head="mlp"),
    "final": DifferentialConfig(
        encoder=replace(ENCODER, statistic="corr"),
        node_statistics=True,
        combination="difference",
        hidden=32,
    ),
    "two channels": DifferentialConfig(encoder=replace(ENCODER, statistic="corr+cov"), hidden=32),
    "no marginals": DifferentialConfig(encoder=replace(ENCODER, marginals=False), hidden=32),
    "no global statistic": DifferentialConfig(
        encoder=replace(ENCODER, global_statistic=False), hidden=32
    ),
}
N, R = 7, 5


def random_network(config: DifferentialConfig, seed: int = 0) -> DifferentialNetwork:
    """No parameter is left at the 0 or 1 at which a mistake would not show."""
    network, draws = DifferentialNetwork(config), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += torch.randn(parameter.shape, generator=draws) * 0.3
    return network.eval()


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Path of the weights of each configuration."""
    folder = tmp_path_factory.mktemp("weights")
    for name, config in CONFIGS.items():
        card = {"model": f"cdn-{config.head}", "config": config.plain()}
        save_weights(folder / f"{name}.safetensors", random_network(config).state_dict(), card)
    return {name: str(folder / f"{name}.safetensors") for name in CONFIGS}


def random_task(n: int = N, n_regimes: int = R, n_rows: int = 40, unit: float = 1.0) -> Task:
    rng = generator("paper", n, n_regimes)
    mixing = np.eye(n) + np.triu(rng.normal(size=(n, n)) * (rng.random((n, n)) < 0.4), 1)

    def sample(rows):
        return rng.normal(size=(rows, n)) @ mixing * unit

    regimes = [sample(n_rows + 5 * r) for r in range(n_regimes)]
    for r, x in enumerate(regimes):
        x[:, r % n] *= 3
    return Task(
        name="random",
        variables=[f"v{i}" for i in range(n)],
        observational=sample(600),
        regimes=regimes,
    )


def close(a, b):
    np.testing.assert_allclose(a, b, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("together", [1, 2 * N**2, 3 * N**2])
def test_regimes_encoded_in_groups_have_the_scores_of_all_at_once(together, monkeypatch):
    task, network = random_task(), random_network(CONFIGS["axial"])
    expected = target_scores(network, task, 6, generator("scores"))
    assert expected.shape == (R, N) and expected.dtype == np.float64
    monkeypatch.setattr(paper, "_CELLS_AT_ONCE", together)
    close(target_scores(network, task, 6, generator("scores")), expected)


@pytest.mark.parametrize("name", CONFIGS)
def test_scores_are_those_of_each_pair_of_data_sets(name):
    """Featurised in order, the observational one first, then compared regime by regime."""
    task, network = random_task(), random_network(CONFIGS[name])
    config = network.config.encoder
    features = featurise(
        [task.observational, *task.regimes],
        6,
        generator("scores"),
        statistic=config.statistic,
        marginals=config.marginals,
    )
    with torch.no_grad():
        before, *after = [network.encode(features.select([b])) for b in range(R + 1)]
        expected = np.stack([network(before, side)[0].numpy() for side in after])
    close(target_scores(network, task, 6, generator("scores")), expected)
    assert np.ptp(expected, axis=1).min() > 1e-3, "the scores tell variables apart"


@pytest.mark.parametrize("name", CONFIGS)
def test_the_method_is_deterministic_in_its_seed(saved, name):
    method = (CDNMLP if name == "mlp" else CDNAxial)(weights=saved[name], n_batches=6)
    task = random_task()
    scores = method.predict_targets(task, seed=0)
    assert scores.shape == (R, N) and np.isfinite(scores).all()
    np.testing.assert_array_equal(method.predict_targets(task, seed=0), scores)
    differs = not np.array_equal(method.predict_targets(task, seed=1), scores)
    assert differs == (name != "no marginals"), "only the batches are random"


@pytest.mark.parametrize("name", CONFIGS)
def test_relabelling_permutes_the_scores(saved, name):
    """And so does another name of a variable nothing."""
    method = (CDNMLP if name == "mlp" else CDNAxial)(weights=saved[name], n_batches=6)
    task, order = random_task(), generator("order").permutation(N)
    scores = method.predict_targets(task)
    close(method.predict_targets(task.select(order)), scores[:, order])
    np.testing.assert_array_equal(
        method.predict_targets(replace(task, variables="abcdefg")), scores
    )


def test_variables_that_nothing_tells_apart_get_one_score(saved):
    task = random_task()
    copied = Task(
        name="copies",
        variables=[*task.variables, "copy"],
        observational=np.column_stack([task.observational, task.observational[:, 2]]),
        regimes=[np.column_stack([x, x[:, 2]]) for x in task.regimes],
    )
    scores = CDNAxial(weights=saved["axial"], n_batches=6).predict_targets(copied)
    np.testing.assert_array_equal(scores[:, 7], scores[:, 2])


@pytest.mark.parametrize("unit", [1e-30, 1e30])
@pytest.mark.parametrize("name", CONFIGS)
def test_scores_are_finite_in_any_unit(saved, name, unit):
    task = random_task(unit=unit)
    constant = np.array(task.regimes[0])
    constant[:, [1, 4]] = 3
    task = replace(task, regimes=[constant, *task.regimes[1:]])
    method = (CDNMLP if name == "mlp" else CDNAxial)(weights=saved[name], n_batches=6)
    assert np.isfinite(method.predict_targets(task)).all()


@pytest.mark.parametrize("n", [2, 3, 4])
def test_few_variables(saved, n):
    scores = CDNAxial(weights=saved["axial"], n_batches=6).predict_targets(random_task(n, 2))
    assert scores.shape == (2, n) and np.isfinite(scores).all()


def test_a_single_variable_cannot_be_compared(saved):
    for method in (CDNAxial(weights=saved["axial"]), CDNMLP(weights=saved["mlp"])):
        with pytest.raises(
            CannotRun, match=f"{method.info.name} compares variables .* needs at least 2"
        ):
            method.predict_targets(random_task(1, 1))


def test_few_rows_are_skipped(saved):
    loaded = LoadedMethod(CDNAxial(weights=saved["axial"], n_batches=6), "", {})
    assert loaded.predict_targets(random_task(n_rows=10)).shape == (R, N)
    with pytest.raises(
        CannotRun, match="9 samples in the smallest data set; cdn-axial needs at least 10"
    ):
        loaded.predict_targets(random_task(n_rows=9))


# Weights


@pytest.mark.parametrize("call", ["predict_targets", "weights_digest"])
@pytest.mark.parametrize("kind, option", [(CDNAxial, "axial"), (CDNMLP, "mlp")])
def test_missing_weights_name_the_command_that_makes_them(
    kind, option, call, tmp_path, monkeypatch
):
    monkeypatch.setattr(weights, "SHIPPED", tmp_path)
    missing = tmp_path / "absent.safetensors"
    for method, path in (
        (kind(weights=str(missing)), missing),
        (kind(), tmp_path / f"cdn-{option}.safetensors"),
    ):
        arguments = (random_task(),) if call == "predict_targets" else ()
        with pytest.raises(InvalidParameter) as error:
            getattr(method, call)(*arguments)
        assert f"{path}, which does not exist" in str(error.value)
        assert f"bench train cdn-{option} --out {path}" in str(error.value)


def test_weights_of_the_other_model_are_refused(saved):
    with pytest.raises(
        InvalidParameter, match="holds cdn-mlp in format 1; this version needs cdn-axial"
    ):
        CDNAxial(weights=saved["mlp"]).predict_targets(random_task())


def test_weights_made_anew_give_their_own_scores(tmp_path):
    """In one process, as when a network is trained again in a notebook."""
    path, scores, digests = tmp_path / "mine.safetensors", [], []
    method = CDNAxial(weights=str(path), n_batches=6)
    for seed in (0, 1):
        network = random_network(CONFIGS["axial"], seed)
        save_weights(
            path, network.state_dict(), {"model": "cdn-axial", "config": CONFIGS["axial"].plain()}
        )
        scores.append(method.predict_targets(random_task()))
        digests.append(method.weights_digest())
    assert digests[0] != digests[1] and not np.allclose(scores[0], scores[1], atol=1e-3)


@pytest.mark.parametrize("n_batches", [0, 10_001])
@pytest.mark.parametrize("kind", [CDNAxial, CDNMLP])
def test_bad_numbers_of_batches(kind, n_batches):
    with pytest.raises(
        InvalidParameter,
        match=f"{kind.info.name}: n_batches is between 1 and 10000; got {n_batches}",
    ):
        kind(n_batches=n_batches)
