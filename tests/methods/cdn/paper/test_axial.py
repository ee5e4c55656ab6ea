"""Axial layers and their parts against the formulas and against attention of torch."""

import pytest
import torch
from random_encoders import at_random, close, config_of, mixed_features, random_grid
from torch import nn
from torch.nn import functional as F

from cdnbench.methods.cdn.paper import axial
from cdnbench.methods.cdn.paper.aggregator import Encoder
from cdnbench.methods.cdn.paper.axial import (
    AxialLayer,
    FeedForward,
    LineAttention,
    MLPHead,
    SequenceAttention,
    attend,
)


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
    theirs = nn.MultiheadAttention(16, layer.n_heads, batch_first=True).double().eval()
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
