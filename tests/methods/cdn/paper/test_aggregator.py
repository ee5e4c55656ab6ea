"""The encoder against its own description, a graph, a line, a pair at a time, at random weights.

What a graph's encoding may depend on is that graph alone: the public code's scatter writes every
graph's list of pairs into all graphs of a batch, so everything here is also asked of graphs that
were encoded together.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch
from random_encoders import (
    SMALL,
    VARIANTS,
    at_random,
    close,
    config_of,
    mixed_features,
    random_grid,
    random_tokens,
    variants,
)
from torch.nn import functional as F

from cdnbench.digest import generator
from cdnbench.methods.cdn.paper import aggregator
from cdnbench.methods.cdn.paper.aggregator import (
    Block,
    Encoder,
    PairPooling,
    Pairs,
    StructureLearner,
    graph_classes,
    graph_logits,
    graph_loss,
)
from cdnbench.methods.cdn.paper.axial import (
    MLPHead,
)
from cdnbench.methods.cdn.paper.featuriser import Features
from cdnbench.methods.cdn.paper.marginals import N_TOKENS

# A graph's encoding is its own


@variants
def test_a_batch_of_mixed_sets_is_encoded_as_each_alone(variant):
    config = config_of(variant)
    encoder, features = at_random(Encoder(config)), mixed_features(statistic=config.statistic)
    with torch.no_grad():
        together = encoder(features)
        assert together.shape == (8, 7, 7, 16) and torch.isfinite(together).all()
        for b in range(8):
            close(encoder(features.select([b]))[0], together[b])


def test_what_others_sampled_changes_nothing():
    """The same graph beside graphs of other batches, and beside copies of itself."""
    encoder, features = at_random(Encoder(SMALL)), mixed_features()
    with torch.no_grad():
        expected = encoder(features)
        for b in range(8):
            other = encoder(features.select([b, *[(b + 3) % 8] * 4]))
            close(other[0], expected[b])
            copies = encoder(features.select([b] * 3))
            close(copies, expected[b].expand(3, -1, -1, -1))


def test_gradients_stay_within_a_graph():
    config = replace(SMALL, n_blocks=2)
    encoder, features = at_random(Encoder(config)), mixed_features()
    statistics = features.statistics.clone().requires_grad_()
    encoder(replace(features, statistics=statistics))[3].square().sum().backward()
    reached = statistics.grad.abs().sum((1, 2, 3)) > 0
    assert reached.tolist() == [b == 3 for b in range(8)]


def test_pairs_are_counted_a_graph():
    features = mixed_features()
    pairs = Pairs.of(features)
    expected: dict[tuple, list[int]] = {}
    flat = zip(features.rows.flatten(1).tolist(), features.columns.flatten(1).tolist(), strict=True)
    position = 0
    for b, (rows, columns) in enumerate(flat):
        for i, j in zip(rows, columns, strict=True):
            expected.setdefault((b, i, j), []).append(position)
            position += 1
    cells = [(c // 49, c // 7 % 7, c % 7) for c in pairs.cells.tolist()]
    assert cells == sorted(expected)
    assert pairs.counts[:, 0].tolist() == [len(expected[c]) for c in cells]
    for index, cell in enumerate(cells):
        assert (pairs.inverse == index).nonzero()[:, 0].tolist() == expected[cell]
    assert 0 < len(cells) < 8 * 7 * 6 and pairs.counts.max() > 2, (
        "some pairs are never sampled, some often"
    )


# Relabelling


def relabelled(features: Features, order: torch.Tensor) -> Features:
    """The features of the same samples with their columns in another order."""
    new_name = order.argsort()
    return replace(
        features,
        rows=new_name[features.rows],
        columns=new_name[features.columns],
        statistics=features.statistics[:, order][:, :, order],
        moments=features.moments[:, order],
    )


@pytest.mark.parametrize("variant", [v for v in VARIANTS if "table" not in v])
def test_relative_identities_are_equivariant(variant):
    config = config_of(variant)
    encoder, features = at_random(Encoder(config)), mixed_features(statistic=config.statistic)
    order = torch.from_numpy(generator("relabel").permutation(7))
    with torch.no_grad():
        close(encoder(relabelled(features, order)), encoder(features)[:, order][:, :, order])


def test_the_order_of_batches_counts_with_times_only():
    features = mixed_features()
    backwards = replace(
        features,
        tokens=features.tokens.flip(1),
        rows=features.rows.flip(1),
        columns=features.columns.flip(1),
    )
    for variant, same in (("default", True), ("table", False)):
        encoder = at_random(Encoder(config_of(variant)))
        with torch.no_grad():
            assert torch.allclose(encoder(backwards), encoder(features), atol=1e-5) == same


def test_a_table_tells_nodes_apart_and_forgets_them_in_training():
    config = replace(config_of("table"), dropout=0.0)
    encoder, features = at_random(Encoder(config)), mixed_features(n_sets=3)
    order = torch.from_numpy(generator("relabel").permutation(7))
    with torch.no_grad():
        canonical = encoder(features)
        assert torch.equal(encoder(features), canonical)
        assert not torch.allclose(
            encoder(relabelled(features, order)), canonical[:, order][:, :, order], atol=1e-3
        )
        encoder.train()
        drawn = [encoder(features, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)]
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.allclose(drawn[0], drawn[2], atol=1e-3) and not torch.allclose(
        drawn[0], canonical, atol=1e-3
    )


@pytest.mark.parametrize("training", [False, True])
def test_more_nodes_and_batches_than_a_table_holds(monkeypatch, training):
    monkeypatch.setattr(aggregator, "N_IDENTITIES", 5)
    monkeypatch.setattr(aggregator, "MAX_TIMES", 4)
    encoder = at_random(Encoder(config_of("table"))).train(training)
    assert torch.isfinite(encoder(mixed_features(n_sets=2))).all()


# Input and ablations


@variants
def test_every_parameter_is_used(variant):
    config = config_of(variant)
    model = StructureLearner(config).double().train()
    logits = model(
        mixed_features(n_sets=2, statistic=config.statistic), torch.Generator().manual_seed(0)
    )
    assert logits.shape == (2, 21, 3)
    logits.square().sum().backward()
    assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []


@pytest.mark.parametrize(
    "variant, reads_tokens, reads_statistics",
    [("default", True, True), ("no marginals", False, True), ("no global statistic", True, False)],
)
def test_an_ablated_stream_is_not_read(variant, reads_tokens, reads_statistics):
    encoder, features = at_random(Encoder(config_of(variant))), mixed_features(n_sets=2)
    other_tokens = replace(features, tokens=(features.tokens + 3) % N_TOKENS)
    other_statistics = replace(features, statistics=features.statistics * 2 + 1)
    with torch.no_grad():
        expected = encoder(features)
        assert torch.equal(encoder(other_tokens), expected) != reads_tokens
        assert torch.equal(encoder(other_statistics), expected) != reads_statistics


@pytest.mark.parametrize("variant", ["default", "table"])
@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_few_variables(n, variant):
    encoder, features = at_random(Encoder(config_of(variant))), mixed_features(n, n_sets=3)
    with torch.no_grad():
        encoded = encoder(features)
        assert encoded.shape == (3, n, n, 16) and torch.isfinite(encoded).all()
        close(encoder(features.select([1]))[0], encoded[1])


def test_slots_are_places_in_the_full_batch():
    """A batch of three uses the places (0..2, 0..2) of those of five."""
    slots = aggregator._slots(6, torch.device("cpu")).tolist()
    assert slots == [0 * 5 + 1, 0 * 5 + 2, 1 * 5 + 0, 1 * 5 + 2, 2 * 5 + 0, 2 * 5 + 1]
    assert len(set(aggregator._slots(20, torch.device("cpu")).tolist())) == 20


# The parts of a block


def tokens_of_pairs(features: Features) -> list[list[tuple[int, int]]]:
    """For each graph the lists of (t, p) of one pair."""
    graphs = []
    for rows, columns in zip(features.rows.tolist(), features.columns.tolist(), strict=True):
        found: dict[tuple[int, int], list[tuple[int, int]]] = {}
        for t in range(len(rows)):
            for p in range(len(rows[t])):
                found.setdefault((rows[t][p], columns[t][p]), []).append((t, p))
        graphs.append(found)
    return graphs


def test_pair_pooling_is_attention_over_the_tokens_of_a_pair():
    features = mixed_features()
    pooling, tokens = at_random(PairPooling(16, 4)), random_tokens(features)
    with torch.no_grad():
        pooled = pooling(tokens, Pairs.of(features))
        for b, found in enumerate(tokens_of_pairs(features)):
            for places in found.values():
                own = torch.stack([tokens[b, t, p] for t, p in places])
                logits, values = pooling.weights_values(pooling.norm(own)).split((4, 16), -1)
                weights = (10 * torch.tanh(logits / 10)).softmax(0)
                heads = [weights[:, h] @ values[:, 4 * h : 4 * h + 4] for h in range(4)]
                expected = pooling.out(torch.cat(heads))
                for t, p in places:
                    close(pooled[b, t, p], expected)


def test_pair_pooling_survives_extreme_logits():
    features = mixed_features(n_sets=2)
    pooling, tokens = at_random(PairPooling(16, 4)), random_tokens(features)
    with torch.no_grad():
        pooling.weights_values.weight[:4] *= 1e6
        assert torch.isfinite(pooling(tokens, Pairs.of(features))).all()


@pytest.mark.parametrize("last", [False, True])
def test_a_block_is_its_six_steps(last):
    """Step 4 as the paper has it: one Linear on the concatenation of the grid and the means, a
    scalar where there are none."""
    features = mixed_features()
    pairs = Pairs.of(features)
    block, tokens, grid = at_random(Block(SMALL)), random_tokens(features), random_grid(8, 7, 7, 16)
    with torch.no_grad():
        found_tokens, found_grid = block(tokens, grid, pairs, last=last)
        tokens = tokens + block.within_batch(tokens)
        tokens = tokens + block.along_pair(tokens, pairs)
        tokens = tokens + block.token_feed_forward(tokens)
        update = block.unsampled.expand(8, 7, 7, 16).clone()
        for b, found in enumerate(tokens_of_pairs(features)):
            for (i, j), places in found.items():
                update[b, i, j] = torch.stack([tokens[b, t, p] for t, p in places]).mean(0)
        weight = torch.cat([block.carry.weight, block.write.weight], dim=1)
        grid = block.axial(F.linear(torch.cat([grid, update], dim=-1), weight, block.carry.bias))
        close(found_grid, grid)
        if last:
            assert found_tokens is None
        else:
            back = grid[torch.arange(8)[:, None, None], features.rows, features.columns]
            close(found_tokens, tokens + back)


def test_a_block_without_tokens_carries_the_grid():
    block, grid = at_random(Block(SMALL)), random_grid(2, 5, 5, 16)
    with torch.no_grad():
        tokens, found = block(None, grid, None)
        assert tokens is None
        close(found, block.axial(block.carry(grid)))


# The graph head


def test_graph_classes_are_read_pair_by_pair():
    adjacency = torch.from_numpy(np.triu(generator("classes").random((3, 5, 5)) < 0.5, 1))
    order = torch.from_numpy(generator("classes order").permutation(5))
    adjacency = adjacency[:, order][:, :, order]
    classes = graph_classes(adjacency)
    for b in range(3):
        expected = [
            1 if adjacency[b, i, j] else 2 if adjacency[b, j, i] else 0
            for i in range(5)
            for j in range(i + 1, 5)
        ]
        assert classes[b].tolist() == expected and classes.dtype == torch.int64


def test_graph_logits_read_both_entries_of_a_pair():
    head, encoded = at_random(MLPHead(32, 3)), random_grid(2, 5, 5, 16)
    with torch.no_grad():
        logits = graph_logits(encoded, head)
        for b in range(2):
            pairs = [(i, j) for i in range(5) for j in range(i + 1, 5)]
            for row, (i, j) in zip(logits[b], pairs, strict=True):
                close(row, head(torch.cat([encoded[b, i, j], encoded[b, j, i]])))


def test_graph_loss_is_the_mean_surprise_of_all_pairs():
    rng = generator("loss")
    logits = torch.from_numpy(rng.normal(size=(2, 10, 3)))
    adjacency = torch.from_numpy(np.triu(rng.random((2, 5, 5)) < 0.5, 1))
    surprise = [
        -logits[b].log_softmax(-1)[pair, label].item()
        for b in range(2)
        for pair, label in enumerate(graph_classes(adjacency)[b].tolist())
    ]
    assert graph_loss(logits, adjacency).item() == pytest.approx(np.mean(surprise), rel=1e-5)


def test_the_structure_learner_is_the_encoder_with_the_head():
    model, features = at_random(StructureLearner(SMALL)), mixed_features(n_sets=2)
    with torch.no_grad():
        close(model(features), graph_logits(model.encoder(features), model.graph_head))
