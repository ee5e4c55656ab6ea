"""The encoder against its own description, a graph, a line, a pair at a time, at random weights.

What a graph's encoding may depend on is that graph alone: the public code's scatter writes every
graph's list of pairs into all graphs of a batch, so everything here is also asked of graphs that
were encoded together.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from cdnbench.digest import generator
from cdnbench.methods.cdn.paper import aggregator, axial
from cdnbench.methods.cdn.paper.aggregator import (
    Block,
    Encoder,
    EncoderConfig,
    PairPooling,
    Pairs,
    StructureLearner,
    graph_classes,
    graph_logits,
    graph_loss,
)
from cdnbench.methods.cdn.paper.axial import (
    AxialLayer,
    FeedForward,
    LineAttention,
    MLPHead,
    SequenceAttention,
    attend,
)
from cdnbench.methods.cdn.paper.featuriser import Features, featurise
from cdnbench.methods.cdn.paper.marginals import N_TOKENS

SMALL = EncoderConfig(width=16, n_heads=4, batch_heads=2, n_blocks=3, hidden=24)
VARIANTS = {
    "default": {},
    "no marginals": {"marginals": False},
    "no global statistic": {"global_statistic": False},
    "neither": {"marginals": False, "global_statistic": False},
    "two channels": {"statistic": "corr+cov"},
    "correlation": {"statistic": "corr"},
    "table": {"identities": "table"},
    "table, no marginals": {"identities": "table", "marginals": False},
    "untied": {"tied": False},
}
variants = pytest.mark.parametrize("variant", VARIANTS)


def at_random(module: nn.Module, seed: int = 0) -> nn.Module:
    """In evaluation mode; no parameter is left at the 0 or 1 at which a mistake would not show."""
    draws = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += torch.randn(parameter.shape, generator=draws) * 0.3
    return module.eval()


def config_of(variant: str) -> EncoderConfig:
    return replace(SMALL, **VARIANTS[variant])


def mixed_features(
    n: int = 7, n_sets: int = 8, n_batches: int = 6, statistic="precision"
) -> Features:
    """Data sets of several sizes, densities and units; with T = 6 and N = 7 some pairs are sampled
    never, some often."""
    rng = generator("aggregator", n)
    sets = []
    for _ in range(n_sets):
        weights = np.triu(rng.normal(size=(n, n)) * (rng.random((n, n)) < rng.uniform(0.1, 0.9)), 1)
        x = (
            rng.normal(size=(rng.integers(12, 700), n))
            @ (np.eye(n) + weights)
            * 10 ** rng.uniform(-1, 1, n)
        )
        sets.append(x[:, rng.permutation(n)])
    return featurise(sets, n_batches, rng, statistic=statistic)


def random_tokens(features: Features, width: int = 16) -> torch.Tensor:
    return torch.randn(*features.tokens.shape, width, generator=torch.Generator().manual_seed(1))


def random_grid(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(2))


def close(a: torch.Tensor, b: torch.Tensor, atol: float = 1e-5) -> None:
    torch.testing.assert_close(a, b, atol=atol, rtol=1e-5)


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
    model = StructureLearner(config).train()
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


# Axial layers


def test_tied_attention_has_one_map_for_all_lines():
    layer, x = at_random(LineAttention(16, 4)), random_grid(3, 6, 5, 16)
    with torch.no_grad():
        normed = layer.norm(x)
        queries, keys = layer.queries_keys(normed).chunk(2, dim=-1)
        q, k, v = (z.unflatten(-1, (4, 4)) for z in (queries, keys, layer.values(normed)))
        logits = (
            torch.einsum("blihc,bljhc->bhij", q, k) / 6 / 4**0.5
        )  # mean over lines; four channels a head
        attention = (logits * layer.log_scale.exp()[:, None, None]).softmax(-1)
        expected = layer.out(torch.einsum("bhij,bljhc->blihc", attention, v).flatten(-2))
        close(layer(x), expected)


def test_tied_attention_means_the_same_at_any_number_of_lines():
    layer, x = at_random(LineAttention(16, 4)), random_grid(2, 3, 5, 16)
    with torch.no_grad():
        close(layer(x.repeat(1, 20, 1, 1)), layer(x).repeat(1, 20, 1, 1))


def as_torch_attention(layer: LineAttention | SequenceAttention) -> nn.MultiheadAttention:
    theirs = nn.MultiheadAttention(16, layer.n_heads, batch_first=True).eval()
    parts = (
        [layer.queries_keys, layer.values]
        if isinstance(layer, LineAttention)
        else [layer.queries_keys_values]
    )
    theirs.in_proj_weight.copy_(torch.cat([part.weight for part in parts]))
    theirs.in_proj_bias.copy_(torch.cat([part.bias for part in parts]))
    theirs.out_proj.load_state_dict(layer.out.state_dict())
    return theirs


@torch.no_grad()
def test_untied_attention_is_that_of_torch_in_every_line():
    layer, x = at_random(LineAttention(16, 4, tied=False)), random_grid(2, 6, 5, 16)
    theirs, found = as_torch_attention(layer), layer(x)
    for line in range(6):
        own = layer.norm(x[:, line])
        close(found[:, line], theirs(own, own, own)[0])


@torch.no_grad()
def test_attention_within_a_batch_is_that_of_torch():
    layer, x = at_random(SequenceAttention(16, 2)), random_grid(2, 3, 20, 16)
    own = layer.norm(x).flatten(0, 1)
    close(layer(x), as_torch_attention(layer)(own, own, own)[0].unflatten(0, (2, 3)))
    assert attend(own, own, own, 2).shape == own.shape


@pytest.mark.parametrize("tied", [True, False])
@torch.no_grad()
def test_an_axial_layer_goes_along_rows_then_columns_then_feeds_forward(tied):
    """On a grid that is not square: the head's may have a row more than columns."""
    layer, grid = at_random(AxialLayer(16, 4, 24, 0.1, tied)), random_grid(2, 6, 5, 16)
    after_rows = grid + layer.along_rows(grid)
    columns = torch.stack([after_rows[:, :, c] for c in range(5)], dim=1)  # each column on its own
    after_columns = after_rows + layer.along_columns(columns).transpose(1, 2)
    close(layer(grid), after_columns + layer.feed_forward(after_columns))


@torch.no_grad()
def test_each_half_of_an_axial_layer_looks_along_its_line():
    """Untied and without columns, an entry reaches its row and nothing else; without rows, its
    column."""
    grid = random_grid(1, 6, 5, 16)
    changed = grid.clone()
    changed[0, 2, 3] += random_grid(16)
    for silent, expected in (
        ("along_columns", [(2, c) for c in range(5)]),
        ("along_rows", [(r, 3) for r in range(6)]),
    ):
        layer = at_random(AxialLayer(16, 4, 24, 0.1, tied=False))
        for parameter in getattr(layer, silent).out.parameters():
            parameter.zero_()
        reached = (layer(changed) - layer(grid)).abs().amax(-1)[0] > 1e-6
        assert sorted(map(tuple, reached.nonzero().tolist())) == sorted(expected)


@pytest.mark.parametrize("size", [1, 40, 100])
@pytest.mark.parametrize("variant", ["default", "untied"])
def test_inference_in_chunks_changes_nothing(variant, size, monkeypatch):
    encoder, features = at_random(Encoder(config_of(variant))), mixed_features(n_sets=4)
    whole = encoder(features).detach()
    monkeypatch.setattr(axial, "CHUNK_TOKENS", size)
    pieces = []
    monkeypatch.setattr(
        axial, "_join", lambda parts, join=axial._join: pieces.append(len(parts)) or join(parts)
    )
    with torch.no_grad():
        close(encoder(features), whole)
    assert -(-7 // max(1, size // (4 * 7))) in pieces, "it did go in pieces"
    pieces.clear()
    encoder(features)
    assert set(pieces) == {1}, "but not where a gradient is needed"


@torch.no_grad()
def test_feed_forward_and_head():
    layer, x = at_random(FeedForward(16, 24)), random_grid(2, 3, 4, 16)
    close(
        layer(x),
        layer.out(F.gelu(layer.into(F.layer_norm(x, (16,), layer.norm.weight, layer.norm.bias)))),
    )
    head = at_random(MLPHead(16, 3))
    close(head(x), nn.Sequential(head.into, nn.GELU(), head.norm, head.out)(x))


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
