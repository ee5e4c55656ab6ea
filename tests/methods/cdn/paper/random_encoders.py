"""Encoders with random weights, and random things to encode.

Everything is in double precision. Two orders of the same sum then differ by some 1e-13, whatever
the processor, and a mistake by far more; in single precision the two come close to each other.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from cdnbench.digest import generator
from cdnbench.methods.cdn.paper.aggregator import (
    EncoderConfig,
)
from cdnbench.methods.cdn.paper.featuriser import Features, featurise

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
    return module.double().eval()


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
    features = featurise(sets, n_batches, rng, statistic=statistic)
    return replace(
        features, statistics=features.statistics.double(), moments=features.moments.double()
    )


def random_tokens(features: Features, width: int = 16) -> torch.Tensor:
    return normal(*features.tokens.shape, width, seed=1)


def random_grid(*shape: int) -> torch.Tensor:
    return normal(*shape, seed=2)


def normal(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def close(a: torch.Tensor, b: torch.Tensor) -> None:
    torch.testing.assert_close(a, b, atol=1e-9, rtol=1e-9)
