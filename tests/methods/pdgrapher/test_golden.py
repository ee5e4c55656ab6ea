"""Networks, losses, gradients and epochs equal those of the reference (golden/make_pdgrapher.py
says how they were made)."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

from cdnbench.methods.pdgrapher import training
from cdnbench.methods.pdgrapher.network import (
    Discovery,
    Graph,
    Layers,
    Network,
    NormLinear,
    Response,
    Table,
)
from cdnbench.methods.pdgrapher.training import Batches, Pair, Samples, Schedule, best, encode

HERE = Path(__file__).parent / "golden"
GOLDEN = dict(np.load(HERE / "pdgrapher.npz"))
spec = importlib.util.spec_from_file_location("make_pdgrapher", HERE / "make_pdgrapher.py")
assert spec and spec.loader
made = importlib.util.module_from_spec(spec)
spec.loader.exec_module(made)

N, Q, D = made.N, 500, 16
GRAPH = Graph(*(getattr(Graph.of(N, made.edges()), part).double() for part in ("between", "own")))
DATA = made.problem()
TABLES = {
    Response: (("embed_layer_ge", Q), ("embed_layer_pert", 2)),
    Discovery: (("embed_layer_diseased", Q), ("embed_layer_treated", Q)),
}


def name_of(kind: type) -> str:
    return "ResponsePredictionModel" if kind is Response else "PerturbationDiscoveryModel"


def copied(kind: type, name: str) -> Network:
    """Ours with the reference's weights, and tables with a row for every bin."""

    def of(key: str, *shape: int) -> torch.Tensor:
        return torch.from_numpy(made.weights(f"{name_of(kind)}.{key}", shape))

    def copy(key: str, parameter) -> None:
        parameter.data.copy_(of(key, *parameter.shape))

    tables = []
    for table, categories in TABLES[kind]:
        rows = of(f"{table}.embedding.weight", N * categories, D)
        tables.append(Table(rows, torch.arange(N).repeat_interleave(categories), N))
        copy(f"{table}.bias", tables[-1].bias)
    layers = made.LAYERS[name]
    network = kind(*tables, Layers(D, **layers)).double()
    copy("positional_embeddings.weight", network.position)
    norms: list[NormLinear] = [*network.convolutions, *network.head]
    for i in range(layers["n_layers_gnn"]):
        linear = network.start if i == 0 else network.convolutions[i - 1].linear
        copy(f"convs.{i}.lin.weight", linear.weight)
        copy(f"convs.{i}.bias", network.shifts[i])
    for i, layer in enumerate(network.head):
        copy(f"mlp.{i}.weight", layer.linear.weight)
        copy(f"mlp.{i}.bias", layer.linear.bias)
    theirs = [f"bns.{i}" for i in range(layers["n_layers_gnn"])] + [
        f"bns_mlp.{i}" for i in range(len(network.head) - 1)
    ]
    for key, layer in zip(theirs, norms, strict=True):
        for part in ("weight", "bias", "running_mean", "running_var"):
            copy(f"{key}.{part}", getattr(layer.norm, part))
    return network


def numbers(x: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(x.T))


def batches(some: slice) -> Batches:
    rows = (numbers(encode(DATA[k][some], GOLDEN[f"edges/{k}"])) for k in ("before", "after"))
    known = np.ones_like(DATA["after"][some])
    return Batches(
        *rows, *(numbers(a) for a in (DATA["after"][some], known, DATA["targets"][some]))
    )


def where(x: np.ndarray) -> torch.Tensor:
    """node * B + sample of what is set in (B, N)."""
    return numbers(x).reshape(-1).nonzero()[:, 0]


def close(ours, theirs, tolerance=1e-5) -> None:
    ours = ours.detach().numpy() if isinstance(ours, torch.Tensor) else ours
    np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance)


def test_bins():
    values = DATA["after"]
    for key in ("before", "after"):
        counted = np.arange(len(values)) < made.SAMPLES
        binning = training.Binning.of(DATA[key], np.broadcast_to(counted[:, None], values.shape), Q)
        close(binning.edges, GOLDEN[f"edges/{key}"], 1e-7)
    bins = encode(values, GOLDEN["edges/after"]) - Q * np.arange(N)
    np.testing.assert_array_equal(bins[made.MIXED], GOLDEN["bins"])
    assert bins.max() == Q - 1 and bins.min() == 0


@pytest.mark.parametrize("mode", ["training", "evaluation"])
@pytest.mark.parametrize("name", made.LAYERS)
def test_forward(name, mode):
    response, discovery = (
        copied(kind, name).train(mode == "training") for kind in (Response, Discovery)
    )
    golden = {
        k.rsplit("/", 1)[1]: v for k, v in GOLDEN.items() if k.startswith(f"forward/{name}/{mode}/")
    }
    b, mutated = batches(made.MIXED), where(DATA["mutations"][made.MIXED])
    assert len(mutated)

    close(response(b.at_before, b.intervened(), GRAPH, mutated=mutated).T, golden["response"])
    scores = discovery(b.at_before, b.at_after, GRAPH, mutated)
    close(scores.T, golden["scores"])
    chosen = best(scores, b.known, b.targets.sum(0))
    assert sorted(chosen.tolist()) == where(golden["chosen"]).tolist()
    close(response(b.at_before, chosen, GRAPH, scores, mutated).T, golden["cycle"])
    if mode == "training":
        first = [*discovery.convolutions, *discovery.head][0]
        close(first.norm.running_var, golden["running_var"])


@pytest.mark.parametrize("name", made.LAYERS)
def test_forward_in_the_precision_in_use(name):
    response, discovery = (copied(kind, name).float().eval() for kind in (Response, Discovery))
    b, mutated, graph = (
        batches(made.MIXED),
        where(DATA["mutations"][made.MIXED]),
        Graph.of(N, made.edges()),
    )
    golden = f"forward/{name}/evaluation"
    close(
        response(b.at_before, b.intervened(), graph, mutated=mutated).T,
        GOLDEN[f"{golden}/response"],
    )
    close(discovery(b.at_before, b.at_after, graph, mutated).T, GOLDEN[f"{golden}/scores"])


@pytest.mark.parametrize("name", made.LAYERS)
def test_loss_and_gradients(name):
    response, discovery = (
        copied(Response, name).eval().requires_grad_(False),
        copied(Discovery, name).train(),
    )
    pair = Pair(
        response, discovery, GRAPH, float(GOLDEN[f"loss/{name}/positive"]), made.SUPERVISION
    )
    loss = pair.discovery_loss(batches(slice(0, made.BATCH)))
    loss.backward()
    close(loss, GOLDEN[f"loss/{name}/value"])
    theirs = {
        k.split("/gradient/")[1]: v
        for k, v in GOLDEN.items()
        if k.startswith(f"loss/{name}/gradient/")
    }
    first = [*discovery.convolutions, *discovery.head][0].norm
    ours = {
        "positional_embeddings.weight": discovery.position,
        "convs.0.lin.weight": discovery.start.weight,
        "bns.0.weight": first.weight,
        "bns.0.bias": first.bias,
        "mlp.0.weight": discovery.head[0].linear.weight,
        "mlp.1.bias": discovery.head[1].linear.bias,
        "embed_layer_diseased.bias": discovery.first.bias,
        "embed_layer_treated.bias": discovery.second.bias,
    }
    assert set(ours) == set(theirs)
    for key, parameter in ours.items():
        assert np.abs(theirs[key]).max() > 1e-3, key
        close(parameter.grad, theirs[key], 1e-6)


@pytest.mark.parametrize("name", made.LAYERS)
def test_epochs(name, monkeypatch):
    """All of training, but for the order of samples: losses, and weights of the discovery at the
    end.

    Ours has rows for the bins that occur only, of which all get the reference's values.
    """
    size = made.BATCH

    def in_order(samples, batch, rng):
        return np.split(samples, range(size, len(samples), size))

    means = []

    def noted(pair, loss):
        def wrapped(b):
            value = loss(pair, b)
            means.append((loss.__name__, value.item()))
            return value

        return wrapped

    def copies(before, after, n_nodes, layers, initial, rng):
        made_networks = copied(Response, name), copied(Discovery, name)
        for network in made_networks:
            for table, binning in ((network.first, before), (network.second, after)):
                if len(table.weight) == N * Q:
                    table.weight.data = table.weight.data[binning.codes]
                    table.node = torch.from_numpy(binning.codes // Q)
        return made_networks

    monkeypatch.setattr(training, "shuffled", in_order)
    monkeypatch.setattr(training, "networks", copies)
    for loss in (Pair.response_loss, Pair.discovery_loss):
        monkeypatch.setattr(Pair, loss.__name__, lambda pair, b, loss=loss: noted(pair, loss)(b))
    p = made.SAMPLES + made.HELD
    samples = Samples(
        DATA["before"],
        DATA["after"],
        np.ones((p, N), bool),
        DATA["targets"] > 0,
        np.arange(p) >= made.SAMPLES,
    )
    result = training.train(
        samples,
        GRAPH,
        Layers(D, **made.LAYERS[name]),
        Schedule(made.EPOCHS, batch=size, supervision=made.SUPERVISION),
        n_bins=Q,
        initial=lambda *_: pytest.fail("weights are the reference's"),
        rng=np.random.default_rng(0),
    )

    golden = GOLDEN[f"epochs/{name}"]
    close(result.losses, golden[:, 2:])
    ours = np.array([value for _, value in means]).reshape(
        made.EPOCHS, -1
    )  # two batches each, and validation
    close(np.stack([ours[:, :2].mean(1), ours[:, 2:4].mean(1)], 1), golden[:, :2])
    assert golden[-1, 3] == golden[:, 3].min()  # so that the best epoch is the last
    close(result.discovery["position"].numpy(), GOLDEN[f"epochs/{name}/position"], 1e-4)
