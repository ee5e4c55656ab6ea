"""The paper's heads against loops over variables, at random weights: which entries each score
reads, and which it cannot."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from random_encoders import at_random, close, normal

from cdnbench.digest import generator
from cdnbench.methods.cdn.paper import axial
from cdnbench.methods.cdn.paper.aggregator import EncoderConfig, StructureLearner, graph_logits
from cdnbench.methods.cdn.paper.differential import (
    DifferentialConfig,
    DifferentialNetwork,
    Encoded,
    target_loss,
)
from cdnbench.methods.cdn.paper.featuriser import featurise

ENCODER = EncoderConfig(width=16, n_heads=4, batch_heads=2, n_blocks=1, hidden=24)
SMALL = DifferentialConfig(encoder=ENCODER, hidden=32)
CONFIGS = {
    f"{head} {combination}{' statistics' * statistics}": replace(
        SMALL, head=head, combination=combination, node_statistics=statistics
    )
    for head in ("axial", "mlp")
    for combination in ("concat", "difference")
    for statistics in (False, True)
}
configs = pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
N = 5


def random_side(seed: int, n_sets: int = 3, n: int = N) -> Encoded:
    moments = normal(n_sets, n, 2, seed=seed)
    moments[..., 1] = moments[..., 1].exp()
    return Encoded(normal(n_sets, n, n, 16, seed=seed + 100), moments)


@configs
@torch.no_grad()
def test_a_score_is_the_mean_over_the_incoming_edges(config):
    """Column j holds i -> j for every i; node statistics are one more entry of the column."""
    network, before, after = at_random(DifferentialNetwork(config)), random_side(1), random_side(2)

    def combine(x, y):
        return torch.cat([x, y]) if config.combination == "concat" else y - x

    def statistics(side, b, j):
        return network.nodes(torch.asinh(side.moments[b, j]))

    rows = []
    for b in range(3):
        columns = []
        for j in range(N):
            entries = [combine(before.grid[b, i, j], after.grid[b, i, j]) for i in range(N)]
            if config.node_statistics:
                entries.append(combine(statistics(before, b, j), statistics(after, b, j)))
            columns.append(torch.stack(entries))
        rows.append(torch.stack(columns, dim=1))
    grid = torch.stack(rows)  # (B, N or N + 1, N, d)
    entry = network.axial(grid) if config.head == "axial" else network.entries(grid)
    expected = torch.stack([network.out(entry[:, :, j].mean(1))[:, 0] for j in range(N)], dim=1)
    found = network(before, after)
    assert found.shape == (3, N)
    close(found, expected)


@torch.no_grad()
@pytest.mark.parametrize("combination", ["concat", "difference"])
def test_a_perceptron_score_reads_its_own_column_and_nothing_else(combination):
    network = at_random(DifferentialNetwork(CONFIGS[f"mlp {combination}"]))
    before, after = random_side(1, n_sets=1), random_side(2, n_sets=1)
    expected = network(before, after)
    for i, j in np.ndindex(N, N):
        grid = after.grid.clone()
        grid[0, i, j] += 1
        moved = (network(before, Encoded(grid, after.moments)) - expected).abs()[0] > 1e-6
        assert moved.tolist() == [node == j for node in range(N)]


@configs
@torch.no_grad()
def test_relabelling_permutes_the_scores(config):
    network, before, after = at_random(DifferentialNetwork(config)), random_side(1), random_side(2)
    order = torch.from_numpy(generator("differential").permutation(N))
    one, two = (
        Encoded(x.grid[:, order][:, :, order], x.moments[:, order]) for x in (before, after)
    )
    close(network(one, two), network(before, after)[:, order])


@configs
@torch.no_grad()
def test_an_item_has_the_scores_it_has_alone(config):
    network, before, after = at_random(DifferentialNetwork(config)), random_side(1), random_side(2)
    together = network(before, after)
    for b in range(3):
        close(network(before.select([b]), after.select([b]))[0], together[b])
    close(network(before.select([0]).expand(3), after), network(before.select([0, 0, 0]), after))


@pytest.mark.parametrize("config", [c for c in CONFIGS.values() if c.combination == "difference"])
@torch.no_grad()
def test_the_difference_of_equal_sides_knows_nothing(config):
    """One score for all variables of all data sets: the head sees zeros everywhere."""
    network = at_random(DifferentialNetwork(config))
    scores = torch.cat([network(side, side) for side in (random_side(1), random_side(2))])
    close(scores, scores[0, 0].expand(6, N))


@torch.no_grad()
def test_concatenation_tells_the_sides_apart_and_a_difference_their_order():
    for combination in ("concat", "difference"):
        network = at_random(DifferentialNetwork(CONFIGS[f"axial {combination}"]))
        before, after = random_side(1), random_side(2)
        assert not torch.allclose(network(before, after), network(after, before), atol=1e-3)
        shifted = [Encoded(x.grid + 1, x.moments) for x in (before, after)]
        assert torch.allclose(network(*shifted), network(before, after), atol=1e-4) == (
            combination == "difference"
        )


@configs
@torch.no_grad()
def test_moments_count_only_as_node_statistics(config):
    network, before, after = at_random(DifferentialNetwork(config)), random_side(1), random_side(2)
    other = Encoded(after.grid, after.moments * 3 + 1)
    assert torch.equal(network(before, other), network(before, after)) != config.node_statistics


@torch.no_grad()
def test_extreme_moments_give_finite_scores():
    network, before = (
        at_random(DifferentialNetwork(CONFIGS["axial concat statistics"])),
        random_side(1),
    )
    extreme = Encoded(before.grid, torch.tensor([-3e38, 3e38]).expand(3, N, 2).double())
    assert torch.isfinite(network(before, extreme)).all()


@configs
@torch.no_grad()
def test_chunks_change_nothing(config, monkeypatch):
    network, before, after = at_random(DifferentialNetwork(config)), random_side(1), random_side(2)
    whole = network(before, after)
    monkeypatch.setattr(axial, "CHUNK_TOKENS", 1)
    close(network(before, after), whole)


# Training


def features_of(n_sets: int = 2, **options):
    rng = generator("differential features")
    return featurise([rng.normal(size=(60, N)) for _ in range(n_sets)], 4, rng, **options)


def backward(network: DifferentialNetwork) -> dict[str, bool]:
    """Which parameters get a gradient from both losses."""
    before, after = network.encode(features_of()), network.encode(features_of())
    loss = target_loss(network(before, after), torch.eye(N)[:2])
    (loss + network.graph(before).square().mean()).backward()
    return {name: parameter.grad is not None for name, parameter in network.named_parameters()}


def is_encoder(name: str) -> bool:
    return name.startswith(("encoder.", "graph_head."))


def test_a_frozen_encoder_gets_no_gradient_and_stays_in_evaluation_mode():
    network = DifferentialNetwork(SMALL).train()
    assert network.training and network.axial.training and not network.encoder.training
    assert not any(module.training for module in network.encoder.modules())
    features = features_of()
    assert torch.equal(network.encode(features).grid, network.encode(features).grid), "no dropout"
    assert not network.encode(features).grid.requires_grad
    assert all(reached != is_encoder(name) for name, reached in backward(network).items())
    assert not network.eval().axial.training


def test_a_joint_encoder_is_trained_by_both_losses():
    network = DifferentialNetwork(replace(SMALL, joint=True)).train()
    assert all(module.training for module in network.modules())
    features = features_of()
    assert not torch.equal(network.encode(features).grid, network.encode(features).grid), "dropout"
    assert all(backward(network).values())


def test_the_encoder_comes_from_a_structure_learner():
    learner = at_random(StructureLearner(ENCODER)).float()
    network = at_random(DifferentialNetwork(SMALL), seed=1).float()
    head = {name: t.clone() for name, t in network.state_dict().items() if not is_encoder(name)}
    network.load_encoder(learner.state_dict())
    features = features_of()
    with torch.no_grad():
        encoded = network.encode(features)
        assert torch.equal(encoded.grid, learner.encoder(features)) and torch.equal(
            encoded.moments, features.moments
        )
        assert torch.equal(network.graph(encoded), learner(features))
        assert torch.equal(network.graph(encoded), graph_logits(encoded.grid, network.graph_head))
    after = network.state_dict()
    assert all(torch.equal(after[name], tensor) for name, tensor in head.items()), (
        "the head is left as it was"
    )
    assert not any(parameter.requires_grad for parameter in network.encoder.parameters()), (
        "still frozen"
    )


def test_an_encoder_of_other_sizes_is_refused():
    tensors = StructureLearner(replace(ENCODER, n_blocks=2)).state_dict()
    with pytest.raises(RuntimeError, match="Unexpected key"):
        DifferentialNetwork(SMALL).load_encoder(tensors)


def test_target_loss_is_the_mean_surprise_of_all_nodes():
    rng = generator("target loss")
    logits, targets = (
        torch.from_numpy(rng.normal(size=(4, N)) * 3),
        torch.from_numpy(rng.random((4, N)) < 0.3),
    )
    p = 1 / (1 + np.exp(-logits.numpy()))
    surprise = -np.log(np.where(targets.numpy(), p, 1 - p))
    assert target_loss(logits, targets).item() == pytest.approx(surprise.mean(), rel=1e-5)
    assert target_loss(logits.half(), targets).dtype == torch.float32


@configs
def test_a_configuration_survives_its_card(config):
    config = replace(
        config,
        joint=True,
        pretrained=False,
        dropout=0.0,
        encoder=replace(ENCODER, statistic="corr+cov"),
    )
    plain = json.loads(json.dumps(config.plain()))
    assert DifferentialConfig.from_plain(plain) == config
    with pytest.raises(TypeError, match="colour"):
        DifferentialConfig.from_plain({**plain, "colour": "red"})


@configs
def test_the_same_configuration_has_the_same_tensors(config):
    network = at_random(DifferentialNetwork(config))
    copy = DifferentialNetwork(DifferentialConfig.from_plain(config.plain()))
    copy.double().load_state_dict(network.state_dict())
    with torch.no_grad():
        expected = network(random_side(1), random_side(2))
        assert torch.equal(copy.eval()(random_side(1), random_side(2)), expected)
