"""Golden values of PDGrapher: what the reference computes on a small problem.

    git clone https://github.com/mims-harvard/PDGrapher && git -C PDGrapher checkout 41285f9
    python tests/methods/pdgrapher/golden/make_pdgrapher.py PDGrapher
    tests/methods/pdgrapher/golden/pdgrapher.npz

Its networks, layers, losses and passes over data run as they are. What they import from
torch_scatter, torch_sparse, PyTorch Geometric and lightning, in versions that no longer install
together, is stood in for by the few lines below.

One thing is changed: `GCNConv.message` views the messages of B samples over E edges, (B, E), as (E,
B) before it multiplies them by the weights of the edges, so that with B > 1 they get those of other
edges (as of 41285f9). Outputs in evaluation are made one sample at a time, by the code as it is;
all else with the weights in order (`message` below).

The graph has loops, as the reference's `export_data_for_torch_geometric.py` adds them. Weights are
numbers of numpy's RandomState seeded with the CRC of their name, so that a test can draw them
again. `forward/...` are outputs on one batch, of networks in training and in evaluation; `loss/...`
one loss of the discovery and gradients; `epochs/...` the losses (response, discovery, and both on
the other samples) of `_train_one_pass` and `_val_one_pass` over the same batches again and again.
All in float64.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import sys
import types
import zlib
from pathlib import Path

import numpy as np
import torch

N, SAMPLES, BATCH, HELD, EPOCHS = 12, 10, 5, 4, 4
SUPERVISION = 0.5  # more than in use, so that both parts have gradients
MIXED = slice(SAMPLES - 2, SAMPLES + 3)  # a batch of samples of training and others
LAYERS = {
    "one": {"n_layers_gnn": 1, "n_layers_nn": 1},
    "two": {"n_layers_gnn": 2, "n_layers_nn": 2},
}
GRADIENTS = (
    "positional_embeddings.weight",
    "convs.0.lin.weight",
    "bns.0.weight",
    "bns.0.bias",
    "mlp.0.weight",
    "mlp.1.bias",
)


class Inspector:
    """Which arguments a function of a layer takes, as PyTorch Geometric 2.0 finds them."""

    def __init__(self, base):
        self.base, self.params = base, {}

    def inspect(self, function, pop_first=False):
        names = dict(inspect.signature(function).parameters)
        if pop_first:
            names.pop(next(iter(names)))
        self.params[function.__name__] = names

    def keys(self, functions):
        return {name for function in functions for name in self.params[function]}

    def implements(self, name):
        return any(
            name in c.__dict__
            for c in type(self.base).__mro__
            if c.__name__ not in ("MessagePassing", "Module")
        )

    def distribute(self, name, values):
        return {key: values.get(key, p.default) for key, p in self.params[name].items()}


class Linear(torch.nn.Linear):
    def __init__(self, n_in, n_out, bias=True, weight_initializer=None):
        super().__init__(n_in, n_out, bias=bias)


class Fabric:
    def __init__(self, **options):
        pass

    def to_device(self, x):
        return x

    def backward(self, loss):
        loss.backward()

    def setup(self, model, optimiser):
        return model, optimiser


def scatter(x, index, dim=-1, dim_size=None, reduce="sum"):
    dim = dim % x.ndim
    shape = [*x.shape[:dim], dim_size, *x.shape[dim + 1 :]]
    wide = index.view([-1 if d == dim else 1 for d in range(x.ndim)]).expand_as(x)
    return torch.zeros(shape, dtype=x.dtype).scatter_add_(dim, wide, x)


def scatter_add(x, index, dim=-1, dim_size=None):
    return scatter(x, index, dim, dim_size)


def _missing(*arguments, **options):
    raise NotImplementedError


STAND_INS = {
    "torch_scatter": {
        "scatter": scatter,
        "scatter_add": scatter_add,
        "gather_csr": _missing,
        "segment_csr": _missing,
    },
    "torch_sparse": {
        "SparseTensor": type("SparseTensor", (), {}),
        **dict.fromkeys(("fill_diag", "matmul", "mul", "sum"), _missing),
    },
    "torch_geometric": {},
    "torch_geometric.nn": {},
    "torch_geometric.nn.dense": {},
    "torch_geometric.nn.dense.linear": {"Linear": Linear},
    "torch_geometric.nn.inits": {
        "zeros": lambda tensor: None if tensor is None else tensor.data.fill_(0)
    },
    "torch_geometric.typing": dict.fromkeys(("Adj", "OptTensor", "PairTensor", "Size"), object),
    "torch_geometric.utils": {"add_remaining_self_loops": _missing},
    "torch_geometric.utils.num_nodes": {"maybe_num_nodes": lambda edges, number: number},
    "torch_geometric.nn.conv": {},
    "torch_geometric.nn.conv.utils": {},
    "torch_geometric.nn.conv.utils.helpers": {"expand_left": _missing},
    "torch_geometric.nn.conv.utils.inspector": {
        "Inspector": Inspector,
        "func_body_repr": _missing,
        "func_header_repr": _missing,
    },
    "torch_geometric.nn.conv.utils.jit": {"class_from_module_repr": _missing},
    "torch_geometric.nn.conv.utils.typing": dict.fromkeys(
        ("parse_types", "resolve_types", "sanitize", "split_types_repr"), _missing
    ),
    "torch_geometric.loader": {"DataLoader": _missing},
    "lightning": {"Fabric": Fabric},
    "lightning.fabric": {},
    "lightning.fabric.wrappers": {"_FabricModule": torch.nn.Module},
}


def load_reference(checkout: Path) -> types.SimpleNamespace:
    """Its modules: models, train, utils."""
    for name, content in STAND_INS.items():
        module = types.ModuleType(name)
        module.__path__ = []  # type: ignore[attr-defined]
        module.__dict__.update(content)
        sys.modules[name] = module
    overload, torch.jit._overload = torch.jit._overload, lambda function: function
    sys.path.insert(0, str(checkout / "src"))
    try:
        return types.SimpleNamespace(
            **{
                name: importlib.import_module(f"pdgrapher.{'_' * (name != 'train')}{name}")
                for name in ("models", "train", "utils")
            }
        )
    finally:
        sys.path.pop(0)
        torch.jit._overload = overload


def message(self, x_j, edge_weight, x_j_mask):
    """Messages (B * E, F) times the weights of their edges (E,)."""
    weighted = x_j.view(-1, len(edge_weight), x_j.shape[1]) * edge_weight.view(1, -1, 1)
    return (
        weighted.view_as(x_j) if x_j_mask is None else weighted.view_as(x_j) * x_j_mask.view(-1, 1)
    )


def edges() -> np.ndarray:
    """(E, 2): a ring with chords; the last node has no edge."""
    rng = np.random.RandomState(5)
    pairs = {(i, i + 1) for i in range(N - 2)} | {
        tuple(sorted(rng.choice(N - 1, 2, replace=False).tolist())) for _ in range(9)
    }
    return np.array(sorted(pairs))


def problem() -> dict[str, np.ndarray]:
    """before, after (P, N); targets (P, N), one or two a sample; mutations (P, N).

    Expression repeats nowhere and stays within that of training: of equal quantiles the reference
    takes any, and so it does below them.
    """
    rng = np.random.RandomState(0)
    p = SAMPLES + HELD
    values = [rng.uniform(size=(p, N)).astype(np.float32) for _ in range(2)]
    values = [v.clip(v[:SAMPLES].min(), v[:SAMPLES].max()) for v in values]
    targets, mutations = np.zeros((p, N), np.float32), np.zeros((p, N), np.float32)
    for i in range(p):
        targets[i, rng.choice(N, 1 + i % 2, replace=False)] = 1
        mutations[i, rng.choice(N, i % 3, replace=False)] = 1
    return {"before": values[0], "after": values[1], "targets": targets, "mutations": mutations}


def weights(name: str, shape: tuple[int, ...]) -> np.ndarray:
    drawn = np.random.RandomState(zlib.crc32(name.encode())).normal(size=shape)
    if name.endswith("running_var"):
        return np.abs(drawn) + 0.5
    return 0.3 * drawn + (len(shape) == 1 and "bn" in name and name.endswith("weight"))


def build(reference: types.SimpleNamespace, layers: dict[str, int]) -> list[torch.nn.Module]:
    """Response and discovery."""
    i, j = edges().T
    loops = np.arange(N)
    edge_index = torch.from_numpy(np.array([np.r_[i, j, loops], np.r_[j, i, loops]]))
    arguments = reference.models.GCNArgs(num_vars=N, **layers)
    made = []
    for kind in ("ResponsePredictionModel", "PerturbationDiscoveryModel"):
        model = getattr(reference.models, kind)(arguments, edge_index)
        model.load_state_dict(
            {
                k: torch.from_numpy(weights(f"{kind}.{k}", v.shape)) if v.is_floating_point() else v
                for k, v in model.state_dict().items()
            }
        )
        made.append(model.double())
    return made


def batch(
    data: dict[str, np.ndarray], some: slice, *, mutated: bool = True
) -> types.SimpleNamespace:
    """As PyTorch Geometric joins samples."""
    values = {k: torch.from_numpy(v[some].reshape(-1)).double() for k, v in data.items()}
    n = len(data["before"][some])
    return types.SimpleNamespace(
        diseased=values["before"],
        treated=values["after"],
        intervention=values["targets"],
        mutations=values["mutations"] * mutated,
        num_nodes=n * N,
        batch=torch.arange(n).repeat_interleave(N),
    )


def columns(*parts: torch.Tensor) -> torch.Tensor:
    return torch.cat([part.view(-1, 1) for part in parts], 1)


def forward(
    networks: list, one: types.SimpleNamespace, edges_of: dict[str, torch.Tensor]
) -> dict[str, np.ndarray]:
    """Response to the targets, scores, and response to the best of these, each (B, N)."""
    response, discovery = networks
    common = {"mutilate_mutations": one.mutations}
    before = {"threshold_input": edges_of["diseased"], **common}
    out, _ = response(columns(one.diseased, one.intervention), one.batch, **before)
    scores = discovery(
        columns(one.diseased, one.treated), one.batch, threshold_input=edges_of, **common
    )
    number = one.intervention.view(-1, N).sum(1)
    cycle, chosen = response(
        columns(one.diseased, scores), one.batch, binarize_intervention=True, topK=number, **before
    )
    named = {"response": out, "scores": scores, "cycle": cycle, "chosen": chosen}
    return {key: value.detach().view(-1, N).numpy() for key, value in named.items()}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkout", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    reference = load_reference(arguments.checkout)
    data = problem()
    training = [batch(data, slice(i, i + 1), mutated=False) for i in range(SAMPLES)]
    edges_of = reference.utils.get_thresholds(
        types.SimpleNamespace(train_dataset_backward=training)
    )
    golden = {
        f"edges/{name}": edges_of[key].numpy()
        for name, key in (("before", "diseased"), ("after", "treated"))
    }
    treated = torch.from_numpy(data["after"][MIXED].reshape(-1, 1)).double()
    _, bins = build(reference, LAYERS["one"])[1].embed_layer_treated(
        treated, threshold_input=edges_of["treated"]
    )
    golden["bins"] = bins.view(-1, N).numpy()
    layer = sys.modules["pdgrapher._torch_geometric._gcn_conv"].GCNConv
    as_it_is = layer.message
    for name, layers in LAYERS.items():
        layer.message = as_it_is
        networks = [m.eval() for m in build(reference, layers)]
        singly = [
            forward(networks, batch(data, slice(i, i + 1)), edges_of)
            for i in range(*MIXED.indices(SAMPLES + HELD))
        ]
        golden |= {
            f"forward/{name}/evaluation/{key}": np.concatenate([one[key] for one in singly])
            for key in singly[0]
        }
        layer.message = message
        networks = [m.train() for m in build(reference, layers)]
        golden |= {
            f"forward/{name}/training/{k}": v
            for k, v in forward(networks, batch(data, MIXED), edges_of).items()
        }
        golden[f"forward/{name}/training/running_var"] = networks[1].bns[0].running_var.numpy()

        # One loss of the discovery, and the gradients that go through the frozen response.
        response, discovery = build(reference, layers)
        trainer = reference.train.Trainer(
            use_forward_data=False,
            use_backward_data=True,
            use_supervision=True,
            supervision_multiplier=SUPERVISION,
        )
        positive = reference.utils.calculate_loss_sample_weights(training, "intervention")
        positive = positive[1] / positive[0]
        es_1, es_2 = types.SimpleNamespace(is_stopped=True), types.SimpleNamespace(is_stopped=False)
        value = trainer._train_one_pass(
            response,
            discovery,
            es_1,
            es_2,
            [],
            [batch(data, slice(0, BATCH), mutated=False)],
            edges_of,
            positive,
        )
        golden[f"loss/{name}/positive"], golden[f"loss/{name}/value"] = (
            positive.numpy(),
            np.array(value[2]),
        )
        parameters = dict(discovery.named_parameters())
        golden |= {f"loss/{name}/gradient/{key}": parameters[key].grad.numpy() for key in GRADIENTS}
        for key in ("embed_layer_diseased", "embed_layer_treated"):
            golden[f"loss/{name}/gradient/{key}.bias"] = parameters[f"{key}.bias"].grad.numpy()

        # Epochs, with the reference's Adam.
        response, discovery = build(reference, layers)
        for k, network in enumerate((response, discovery), 1):
            optimiser = torch.optim.Adam(network.parameters(), lr=0.01)
            setattr(trainer, f"_op{k}_zero_grad", optimiser.zero_grad)
            setattr(trainer, f"_op{k}_step", optimiser.step)
        loader = [batch(data, slice(i, i + BATCH), mutated=False) for i in range(0, SAMPLES, BATCH)]
        other = [batch(data, slice(SAMPLES, None), mutated=False)]
        es_1.is_stopped = False
        log = []
        for _ in range(EPOCHS):
            row = trainer._train_one_pass(
                response, discovery, es_1, es_2, [], loader, edges_of, positive
            )[1:]
            row += trainer._val_one_pass(
                response, discovery, es_1, es_2, [], other, edges_of, positive
            )[1:]
            log.append(row)
        golden[f"epochs/{name}"] = np.array(log)
        golden[f"epochs/{name}/position"] = discovery.positional_embeddings.weight.detach().numpy()
    np.savez_compressed(arguments.out, **golden)


if __name__ == "__main__":
    main()
