"""Batches, and the gradients of the decoder against automatic ones."""

import numpy as np
import pytest
import torch

from cdnbench.methods.gears import training
from cdnbench.methods.gears.decoder import EPS, Decoder, Workspace


def plain(a, c, w, w1, scale1, shift1, w2, scale2, shift2, v):
    """The formulas of the decoder's docstring."""
    weights = (w / len(a))[:, None, None]

    def norm(x, scale, shift):
        mean = (weights * x).sum((0, 1))
        return (x - mean) * torch.rsqrt(
            (weights * (x - mean) ** 2).sum((0, 1)) + EPS
        ) * scale + shift

    r = norm((a + c[:, None]).relu() @ w1.T, scale1, shift1).relu()
    return (norm(r @ w2.T, scale2, shift2) * v).sum(-1)


@pytest.mark.parametrize(
    "n, n_genes", [(1, 5), (3, 7), (2, 1100), (9, 300)]
)  # blocks of one, several and all
def test_decoder(n, n_genes):
    rng, hidden = np.random.default_rng(0), 4
    weights = rng.dirichlet(np.ones(n))
    shapes = [
        (n_genes, hidden),
        (n, hidden),
        None,
        (8, hidden),
        8,
        8,
        (hidden, 8),
        hidden,
        hidden,
        (n_genes, hidden),
    ]
    values = [weights if shape is None else rng.normal(size=shape) for shape in shapes]
    ours, theirs = (
        [torch.tensor(v, requires_grad=v is not weights) for v in values] for _ in range(2)
    )
    out, expected = Decoder.apply(Workspace(torch.float64), *ours)[0], plain(*theirs)
    torch.testing.assert_close(out, expected, rtol=1e-9, atol=1e-9)
    gradient = torch.from_numpy(rng.normal(size=(n, n_genes)))
    out.backward(gradient)
    expected.backward(gradient)
    for mine, other in zip(ours, theirs, strict=True):
        if mine.requires_grad:
            torch.testing.assert_close(mine.grad, other.grad, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("group", [1, 4, 100])
def test_an_epoch_has_each_cell_at_most_once_and_full_batches(group):
    sizes = [10, 3, 25]
    found = list(training.batches(sizes, 8, group, np.random.default_rng(0)))
    assert len(found) == sum(sizes) // 8
    assert all(sum(map(len, cells.values())) == 8 for cells in found)
    for c, size in enumerate(sizes):
        seen = [cell for cells in found for cell in cells.get(c, ())]
        assert len(set(seen)) == len(seen) and set(seen) <= set(range(size))


def test_groups_stay_together():
    found = list(training.batches([40, 40, 40, 40], 8, 4, np.random.default_rng(0)))
    assert max(len(cells) for cells in found) == 2
    assert (
        max(len(cells) for cells in training.batches([40] * 4, 8, 1, np.random.default_rng(0))) == 4
    )
