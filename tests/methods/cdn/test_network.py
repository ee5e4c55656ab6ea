"""The network of `cdn`, at random weights: what it may not depend on, its loss, and input at the
edge."""

from dataclasses import asdict

import numpy as np
import pytest
import torch

from cdnbench.methods.cdn.network import Beliefs, CausalDifferentialNetwork, Shape, build, loss
from cdnbench.methods.cdn.summary import stack, summarise

SMALL = Shape(d=8, c=16, heads=2, paths=3, stages=(1, 2))


def network(shape: Shape = SMALL, seed: int = 0) -> CausalDifferentialNetwork:
    """At random weights, larger than those that training starts from, so that beliefs are
    opinions."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        made = CausalDifferentialNetwork(shape)
        with torch.no_grad():
            for head in [*made.target_heads, *made.edge_heads]:
                for parameter in head.parameters():
                    parameter += 0.3 * torch.randn_like(parameter)
    return made.eval()


def data_sets(n_variables=5, n_regimes=3, rows=60, seed=0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    mix = (
        np.eye(n_variables)
        + np.triu(rng.normal(size=(n_variables, n_variables)), 1) / n_variables**0.5
    )
    found = []
    for d in range(n_regimes + 1):
        noise = rng.normal(size=(rows + 7 * d, n_variables))
        if d:
            noise[:, d % n_variables] += 2
        found.append(noise @ mix)
    return found


def truth(n_tasks=2, n_regimes=3, n_variables=5, seed=0) -> tuple[torch.Tensor, torch.Tensor]:
    """Targets and graphs."""
    rng = np.random.default_rng(seed)
    targets = torch.from_numpy(rng.random((n_tasks, n_regimes, n_variables)) < 0.3)
    graphs = np.triu(rng.random((n_tasks, n_variables, n_variables)) < 0.5, 1)
    order = rng.permutation(n_variables)
    return targets, torch.from_numpy(graphs[:, order][:, :, order])


# --- what it may not depend on


def test_beliefs_of_every_stage():
    beliefs = network()(summarise(data_sets()))
    assert len(beliefs) == 2
    for stage in beliefs:
        assert stage.targets.shape == (1, 3, 5) and stage.edges.shape == (1, 5, 5, 3)
        torch.testing.assert_close(
            stage.edges.transpose(1, 2)[..., [0, 2, 1]], stage.edges
        )  # [j, i] says what [i, j] says
        assert stage.targets.std() > 0.02 and stage.edges.std() > 0.02


@pytest.mark.parametrize("n_variables", [5, 21])
def test_other_orders_of_variables_reorder_the_beliefs(n_variables):
    sets = data_sets(n_variables)
    order = np.random.default_rng(1).permutation(n_variables)
    before, after = (network()(summarise(s)) for s in (sets, [x[:, order] for x in sets]))
    for a, b in zip(before, after, strict=True):
        torch.testing.assert_close(b.targets, a.targets[..., order], rtol=1e-4, atol=1e-4)
        off = ~torch.eye(n_variables, dtype=torch.bool)
        torch.testing.assert_close(
            b.edges[:, off], a.edges[:, order][:, :, order][:, off], rtol=1e-4, atol=1e-4
        )


def test_other_orders_of_regimes_reorder_the_targets_and_leave_the_graph():
    sets, order = data_sets(), [2, 0, 1]
    before, after = (
        network()(summarise(s)) for s in (sets, [sets[0], *(sets[1 + r] for r in order)])
    )
    for a, b in zip(before, after, strict=True):
        torch.testing.assert_close(b.targets, a.targets[:, order], rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(b.edges, a.edges, rtol=1e-4, atol=1e-4)


def test_regimes_of_a_task_inform_each_other():
    """They share the graph: without the others a regime is read differently, and twice the same
    regime is no news."""
    sets, net = data_sets(), network()
    alone = net(summarise(sets[:2]))[-1].targets[0, 0]
    together = net(summarise(sets))[-1].targets[0, 0]
    assert (alone - together).abs().max() > 1e-3
    sure = net(summarise([sets[0], sets[1], sets[1]]))[0].targets[0]
    torch.testing.assert_close(sure[0], sure[1])


def test_tasks_of_a_batch_do_not_inform_each_other():
    tasks = [summarise(data_sets(seed=s)) for s in range(4)]
    net = network()
    together = net(stack(tasks))
    for b, single in enumerate(tasks):
        for batch, one in zip(together, net(single), strict=True):
            torch.testing.assert_close(batch.targets[b : b + 1], one.targets, rtol=1e-4, atol=1e-4)
            torch.testing.assert_close(batch.edges[b : b + 1], one.edges, rtol=1e-4, atol=1e-4)


def test_a_network_is_built_from_what_a_card_stores():
    made = network()
    config = asdict(SMALL)
    again = build({**config, "stages": list(config["stages"])})  # as JSON gives it back
    assert again.shape == SMALL
    again.load_state_dict(made.state_dict())
    summary = summarise(data_sets())
    torch.testing.assert_close(
        again.eval()(summary)[-1].targets, made(summary)[-1].targets, rtol=0, atol=0
    )


# --- the loss


def slow_loss(beliefs: list[Beliefs], targets, adjacency, known) -> float:
    """One variable, one pair at a time."""
    n_tasks, n_regimes, n = targets.shape
    total = 0.0
    for stage, belief in enumerate(beliefs):
        entropies = []
        for index in np.ndindex(n_tasks, n_regimes, n):
            p = 1 / (1 + np.exp(-float(belief.targets[index])))
            entropies.append(-np.log(p if targets[index] else 1 - p))
        edges = []
        for b in range(n_tasks):
            for i in range(n):
                for j in range(i + 1, n):
                    kind = 1 if adjacency[b, i, j] else 2 if adjacency[b, j, i] else 0
                    logits = belief.edges[b, i, j].numpy().astype(float)
                    if known[b]:
                        edges.append(np.log(np.exp(logits).sum()) - logits[kind])
        weight = 1.0 if stage == len(beliefs) - 1 else 0.4
        total += weight * np.mean(entropies) + 0.3 * (np.mean(edges) if edges else 0)
    return float(total)


@pytest.mark.parametrize("known", [[True, True], [True, False], [False, False]])
def test_loss_is_the_mean_entropy_of_targets_and_of_known_edges(known):
    beliefs = [
        Beliefs(torch.randn(2, 3, 5, generator=g), torch.randn(2, 5, 5, 3, generator=g))
        for g in (torch.Generator().manual_seed(s) for s in range(2))
    ]
    targets, adjacency = truth()
    value, parts = loss(beliefs, targets, adjacency, torch.tensor(known))
    assert float(value) == pytest.approx(slow_loss(beliefs, targets, adjacency, known), rel=1e-5)
    last = slow_loss(beliefs[-1:], targets, adjacency, known)
    assert parts["targets"] + 0.3 * parts["edges"] == pytest.approx(last, rel=1e-5)


def test_graphs_that_are_not_known_teach_nothing():
    net, summary = network(), stack([summarise(data_sets(seed=s)) for s in range(2)])
    targets, adjacency = truth()

    def gradients(adjacency, known) -> tuple[float, list[torch.Tensor]]:
        net.zero_grad()
        value, _ = loss(net(summary), targets, adjacency, torch.tensor(known))
        value.backward()
        return float(value.detach()), [p.grad for p in net.edge_heads[-1].parameters()]

    value, of_last_edges = gradients(adjacency, [False, False])
    assert np.isfinite(value)
    assert all(
        g is None or bool((g == 0).all()) for g in of_last_edges
    )  # nothing reads the last stage's edges but the loss
    everything = [p.grad for p in net.parameters() if p.grad is not None]
    assert all(torch.isfinite(g).all() for g in everything)
    other = adjacency.clone()
    other[1] = adjacency[1].T
    assert gradients(adjacency, [True, False])[0] == gradients(other, [True, False])[0]
    assert gradients(adjacency, [True, True])[0] != gradients(other, [True, True])[0]


def test_every_parameter_is_trained():
    net, summary = network(), stack([summarise(data_sets(seed=s)) for s in range(2)])
    value, _ = loss(net(summary), *truth(), torch.tensor([True, True]))
    value.backward()
    without = [name for name, p in net.named_parameters() if p.grad is None or not p.grad.any()]
    assert without == []
    assert all(torch.isfinite(p.grad).all() for p in net.parameters())


# --- at the edge


@pytest.mark.parametrize("n_variables, n_regimes", [(2, 1), (2, 3), (3, 1), (24, 1)])
def test_few_and_many(n_variables, n_regimes):
    net = network()
    beliefs = net(summarise(data_sets(n_variables, n_regimes)))
    value, _ = loss(beliefs, *truth(1, n_regimes, n_variables), torch.tensor([True]))
    value.backward()
    assert torch.isfinite(value) and beliefs[-1].targets.shape == (1, n_regimes, n_variables)
    assert all(torch.isfinite(p.grad).all() for p in net.parameters() if p.grad is not None)


def test_degenerate_samples_have_finite_beliefs_and_gradients():
    sets = [np.column_stack([x, x[:, 0], -x[:, 1]]) for x in data_sets(n_variables=5, rows=30)]
    for x in sets:
        x[:, 3] = 1
    sets[1][:, 2] = 0
    net = network()
    beliefs = net(summarise(sets))
    loss(beliefs, *truth(1, 3, 7), torch.tensor([True]))[0].backward()
    assert all(torch.isfinite(b.targets).all() and torch.isfinite(b.edges).all() for b in beliefs)
    assert all(torch.isfinite(p.grad).all() for p in net.parameters())
