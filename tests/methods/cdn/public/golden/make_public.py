"""Golden values of the authors' public SEA and CDN networks, from their own code with random
weights.

    git clone https://github.com/rmwu/cdn && git -C cdn checkout 14fa0aa
    git clone https://github.com/rmwu/sea && git -C sea checkout bfb507b
    python tests/methods/cdn/golden/make_public.py cdn sea

Writes public_weights.safetensors (float16, public names, a prefix a network) and public_cases.npz
(inputs, the permutations that were drawn, outputs) beside this script. Needs PyTorch, numpy and
safetensors; the training framework that the public code imports is replaced by empty stand-ins. The
featurisation also needs causal-learn 0.1.4.8 and scikit-learn. README.md here says what the cases
are.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import sys
import tempfile
import types
from argparse import Namespace
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

HERE = Path(__file__).parent
N, K = 6, 3
TRIALS = {"obs": 4, "int": 5}
NODE_IDS = 12
SETTINGS = Namespace(
    num_vars=NODE_IDS,
    num_edge_types=8,
    embed_dim=8,
    n_heads=2,
    ffn_embed_dim=6,
    transformer_num_layers=2,
    target_transformer_num_layers=1,
    dropout=0.1,
    max_length=10**8,
    pretrained_path="",
)


class Anything:
    """Accepts being called or asked for any attribute."""

    def __init__(self, *_, **__):
        pass

    def __call__(self, *_, **__):
        return self


class LightningModule(torch.nn.Module):
    def save_hyperparameters(self, *_, **__):
        pass


def anything(attribute: str) -> type:
    if attribute.startswith("__"):
        raise AttributeError(attribute)
    return Anything


def stand_ins() -> None:
    for name in (
        "pytorch_lightning",
        "pytorch_lightning.loggers",
        "pytorch_lightning.callbacks",
        "torchmetrics",
        "torchmetrics.classification",
        "model",
        "pulp",
        "pulp.apis",
        "gies",
    ):
        module = types.ModuleType(name)
        module.__getattr__ = anything
        sys.modules[name] = module
    sys.modules["pytorch_lightning"].LightningModule = LightningModule


def package(name: str, folder: Path) -> None:
    """Make the modules of a folder importable as `name.module`, without its __init__ (which imports
    missing files)."""
    module = types.ModuleType(name)
    module.__path__ = [str(folder)]
    sys.modules[name] = module


class Recorder:
    """Seeded permutations in the place of torch.randperm, kept."""

    def __init__(self, seed: int) -> None:
        self.generator = torch.Generator().manual_seed(seed)
        self.original = torch.randperm
        self.drawn: list[torch.Tensor] = []

    def __enter__(self) -> Recorder:
        torch.randperm = lambda n, **_: self._draw(n)
        return self

    def __exit__(self, *_) -> None:
        torch.randperm = self.original

    def _draw(self, n: int) -> torch.Tensor:
        self.drawn.append(self.original(n, generator=self.generator))
        return self.drawn[-1]


def random_state(module: torch.nn.Module, seed: int) -> None:
    """Random weights that are exact in float16, far enough from their initial values that every
    term matters."""
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for name, tensor in module.state_dict().items():
        spread = 0.35 if tensor.ndim > 1 else 0.25
        centre = 1.0 if "layer_norm" in name and name.endswith("weight") else 0.0
        state[name] = (
            (centre + spread * torch.randn(tensor.shape, generator=generator)).half().float()
        )
    module.load_state_dict(state)
    module.eval()


def side(kind: str, seed: int) -> dict[str, torch.Tensor]:
    """One data set as the public code batches it: tokens and pair index of each trial, sorted
    pairs, statistics."""
    rng = np.random.default_rng([seed, len(kind), TRIALS[kind]])
    orders, tokens = [], []
    for _ in range(TRIALS[kind]):
        nodes = rng.choice(N, K, replace=False)
        orders += [(i, j) for i in nodes for j in nodes if i != j]
        tokens.append(rng.integers(1, 8, K * (K - 1)))
    unique, index = torch.unique(torch.tensor(np.array(orders)), dim=0, return_inverse=True)
    statistic = np.corrcoef(rng.normal(size=(N, 12)))
    statistic[0, 2] = statistic[2, 0] = statistic[4, 1] = 0.0
    return {
        "input": torch.tensor(np.array(tokens))[None],
        "index": index.reshape(1, TRIALS[kind], -1),
        "unique": unique[None] + 1,
        "feats_2d": torch.tensor(statistic).float()[None],
        "feats_1d": torch.tensor(np.stack([rng.normal(size=N), rng.uniform(0.3, 2, N)], 1)).float()[
            None
        ],
    }


def featurisation(cdn: Path, sea: Path) -> dict[str, np.ndarray]:
    """Tokens and pairs of T batches of 5 variables of one data set of N = 6, and the statistics of
    all of its rows."""
    package("public_cdn_data", cdn / "src" / "data")
    package("public_sea_data", sea / "src" / "data")
    data = importlib.import_module("public_cdn_data.utils")
    of_cdn = importlib.import_module("public_cdn_data.samplers")
    of_sea = importlib.import_module("public_sea_data.samplers")
    cases = {}
    for name, seed in (("a", 1), ("b", 2), ("c", 3)):
        rng = np.random.default_rng([7, seed])
        mix = np.eye(N) + np.triu(rng.uniform(-1, 1, (N, N)) * (rng.random((N, N)) < 0.5), 1)
        samples = (rng.normal(size=(150, N)) @ mix).astype(np.float32)
        nodes = np.stack([rng.choice(N, 5, replace=False) for _ in range(6)])
        with contextlib.chdir(tempfile.gettempdir()):
            results = [
                (data.run_fci(samples[:, chosen]), torch.from_numpy(chosen)) for chosen in nodes
            ]
        graphs, orders = data.convert_to_graphs(results, Namespace(algorithm="fci"))
        statistics = of_cdn.compute_features(samples.T), of_cdn.compute_features(samples.T, order=1)
        item = data.convert_to_item(statistics, graphs, orders)
        cases |= {
            f"features.{name}.samples": samples,
            f"features.{name}.nodes": nodes,
            f"features.{name}.input": item["input"].numpy(),
            f"features.{name}.index": item["index"].numpy(),
            f"features.{name}.unique": item["unique"].numpy(),
            f"features.{name}.correlation": item["feats_2d"].numpy(),
            f"features.{name}.nodewise": item["feats_1d"].numpy(),
            f"features.{name}.inverse-covariance": of_sea.compute_features(samples.T),
        }
    # 100 variables of a formula, so that nothing large has to be kept
    row, column = np.indices((60, 100))
    wide = np.sin(0.7 * row + 1.3 * column) + 0.1 * np.cos(row * column)
    cases["features.wide"] = of_sea.compute_features(wide.T)[:8, :8]
    return cases


def main(cdn: Path, sea: Path) -> None:
    torch.set_num_threads(1)
    stand_ins()
    package("public_cdn", cdn / "src" / "model")
    package("public_sea", sea / "src" / "model")
    modules = {
        name: importlib.import_module(f"public_cdn.{name}")
        for name in (
            "aggregator",
            "target_axial",
            "target_axial_1d_ft",
            "target_axial_1d_ft_sub",
            "target_mlp",
        )
    }
    sides = {kind: side(kind, seed=3) for kind in TRIALS}
    batch = {
        f"{key}_{kind}": value for kind, values in sides.items() for key, value in values.items()
    }
    batch["label"] = torch.zeros(1, N, dtype=torch.long)
    cases = {name: value[0].numpy() for name, value in batch.items() if name != "label"}
    weights = {}

    def keep(prefix: str, module: torch.nn.Module, skip: tuple[str, ...] = ()) -> None:
        for name, tensor in module.state_dict().items():
            if not name.startswith(skip or ("\0",)):
                assert torch.equal(tensor, tensor.half().float())
                weights[f"{prefix}/{name}"] = tensor.half()

    def permutations(name: str, recorder: Recorder) -> None:
        cases[f"{name}.permutations"] = torch.stack(recorder.drawn).numpy()

    # the encoder and its graph head; every other network shares this encoder
    aggregator = modules["aggregator"].Aggregator(SETTINGS)
    random_state(aggregator, 0)
    keep("sea", aggregator)
    with torch.no_grad(), Recorder(10) as recorder:
        arguments = [sides["obs"][key] for key in ("input", "index", "feats_2d", "unique")]
        encoded = aggregator.encoder(*arguments)
        label = torch.zeros(1, N, N, dtype=torch.long)
        edges, _ = aggregator.symmetrize(encoded, {"label": label}, reduce=False)
    cases |= {"sea.encoded": encoded[0].numpy(), "sea.edges": edges[0].numpy()}
    permutations("sea", recorder)

    # SEA's own version of the encoder, which hides exact zeros of the statistic
    original = importlib.import_module("public_sea.axial").AxialTransformer(SETTINGS)
    original.load_state_dict(aggregator.encoder.state_dict())
    original.eval()
    with torch.no_grad(), Recorder(11) as recorder:
        values = sides["obs"]
        encoded = original({**values, "feats": values["feats_2d"]})
    cases["sea-original.encoded"] = encoded[0].numpy()
    permutations("sea-original", recorder)

    with tempfile.TemporaryDirectory() as folder:
        pretrained = Path(folder) / "sea.ckpt"
        torch.save({"state_dict": aggregator.state_dict()}, pretrained)
        networks = {
            "axial": modules["target_axial"].JointModel,
            "axial-statistics": modules["target_axial_1d_ft"].JointModel,
            "axial-difference": modules["target_axial_1d_ft_sub"].JointModel,
            "mlp": modules["target_mlp"].IndependentModel,
        }
        for i, (name, network) in enumerate(networks.items()):
            settings = Namespace(**{**vars(SETTINGS), "pretrained_path": str(pretrained)})
            model = network(settings)
            random_state(model, 20 + i)
            shared = {k: v for k, v in aggregator.state_dict().items() if k in model.state_dict()}
            model.load_state_dict(shared, strict=False)
            keep(name, model, skip=("encoder.", "top_layer."))
            with torch.no_grad(), Recorder(30 + i) as recorder:
                found = model.encode_batch(batch, reduce=False)
            logits = found["pred"] if isinstance(found, dict) else found[0]
            cases[f"{name}.logits"] = logits[0].numpy()
            permutations(name, recorder)
            if name == "axial-statistics":
                # exact zeros away from the first column: hidden in the head, and no node is dropped
                crafted = torch.randn(1, N, N + 1, 16, generator=torch.Generator().manual_seed(40))
                crafted[0, 0, 3, 0] = crafted[0, 2, 1, 0] = crafted[0, 4, 6, 0] = 0.0
                with torch.no_grad():
                    logits, _ = model.fuse(crafted, batch["label"], reduce=False)
                cases |= {"zeros.input": crafted[0].numpy(), "zeros.logits": logits[0].numpy()}

    cases |= featurisation(cdn, sea)
    save_file(weights, HERE / "public_weights.safetensors")
    np.savez_compressed(HERE / "public_cases.npz", **cases)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: make_public.py CDN_FOLDER SEA_FOLDER")
    main(Path(sys.argv[1]), Path(sys.argv[2]))
