"""The authors' checkpoints under our names: an explicit table with one entry per tensor, and the
files made from it.

`import_weights` writes two files: `<name>.safetensors` with the weights under our names and the
network's sizes in its header, and the card `<name>.json` for people.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from cdnbench.errors import InvalidParameter
from cdnbench.methods.cdn.public.checkpoint import Checkpoint, read_checkpoint
from cdnbench.methods.cdn.public.modules import PublicConfig, PublicNetwork, build
from cdnbench.tensor_files import network_of, read_tensors

FORMAT = "cdnbench-public-1"
HOW = "Download the authors' checkpoint and run `bench weights import FILE`"
METERS = ("auroc.", "auprc.", "acc.")  # state of the training code's metrics
DEFAULT_HEADS = 8

LINEAR = ("weight", "bias")
ATTENTION = {
    "norm": "layer_norm",
    "query": "layer.q_proj",
    "key": "layer.k_proj",
    "value": "layer.v_proj",
}
ATTENTION |= {"output": "layer.out_proj"}
AXIAL = {f"between_columns.{ours}": f"row_attn.{theirs}" for ours, theirs in ATTENTION.items()}
AXIAL |= {f"between_rows.{ours}": f"col_attn.{theirs}" for ours, theirs in ATTENTION.items()}
AXIAL |= {"feed_forward.norm": "ffn.layer_norm", "feed_forward.widen": "ffn.layer.fc1"}
AXIAL |= {"feed_forward.narrow": "ffn.layer.fc2"}
PROJECTION = {"inner": "linear", "norm": "layer_norm", "outer": "linear2"}
TABLES = {
    "encoder.token_table.weight": "encoder.embed_tokens.weight",
    "encoder.node_table.weight": "encoder.embed_nodes.weight",
    "encoder.pair_table.weight": "encoder.embed_edges.weight",
    "encoder.trial_table.weight": "encoder.embed_time.weight",
}
ENCODER = {
    "encoder.statistic": "encoder.embed_feats",
    "encoder.marginal_norm_in": "encoder.emb_layer_norm_before",
    "encoder.marginal_norm_out": "encoder.emb_layer_norm_after",
    "encoder.grid_norm_in": "encoder.feat_layer_norm_before",
    "encoder.grid_norm_out": "encoder.feat_layer_norm_after",
}


@dataclass(frozen=True)
class ImportedWeights:
    """The files that an import wrote, and the network they describe."""

    weights: Path
    card: Path
    config: PublicConfig
    statistic: str


def write_random(path: Path) -> None:
    """Write a tiny network of the public architecture with random weights, in the form that an
    import has. It predicts nothing; it is for trying the code."""
    config = PublicConfig(dim=8, n_heads=2, n_blocks=1, hidden=4, n_nodes=20, n_trials=60)
    header = {
        "format": FORMAT,
        "network": json.dumps(dataclasses.asdict(config)),
        "statistic": "correlation",
    }
    with torch.random.fork_rng():
        torch.manual_seed(0)
        save_file(build(config).state_dict(), path, metadata=header)


def public_names(config: PublicConfig) -> dict[str, str]:
    """From our name to the public name of every tensor of a network of this configuration."""
    modules = dict(ENCODER)
    names = dict(TABLES)
    modules |= _under("encoder.pair", "encoder.embed_edges", PROJECTION)
    for b in range(config.n_blocks):
        ours, theirs = f"encoder.blocks.{b}", f"encoder.layers.{b}"
        names[f"{ours}.unsampled"] = f"{theirs}.pad"
        modules[f"{ours}.merge"] = f"{theirs}.linear"
        modules |= _under(f"{ours}.marginal", f"{theirs}.graph_layer", AXIAL)
        modules |= _under(f"{ours}.grid", f"{theirs}.feat_layer", AXIAL)
    if config.edge_head:
        modules |= _under("edges", "top_layer", PROJECTION)
    if config.node_statistics:
        modules |= _under("nodes", "encoder_1d", PROJECTION)
    if config.head == "axial":
        for i in range(config.head_layers):
            theirs = "axial_N_N_d2" if config.head_layers == 1 else f"axial_N_N_d2.layers.{i}"
            modules |= _under(f"targets.layers.{i}", theirs, AXIAL)
    if config.head == "mlp":
        modules |= _under("targets.entry", "mlp_out", PROJECTION)
    if config.head != "none":
        modules["targets.out"] = "linear_out"
    for ours, theirs in modules.items():
        names |= {f"{ours}.{part}": f"{theirs}.{part}" for part in LINEAR}
    return names


def _under(ours: str, theirs: str, table: Mapping[str, str]) -> dict[str, str]:
    return {f"{ours}.{a}": f"{theirs}.{b}" for a, b in table.items()}


def from_public(
    state: Mapping[str, Tensor], *, n_heads: int = DEFAULT_HEADS
) -> tuple[PublicConfig, dict[str, Tensor]]:
    """The configuration that the shapes of a public state dict imply, and its tensors under our
    names.

    n_heads: attention heads, the one size that no shape implies.

    Raises
    ------
    InvalidParameter: names that are missing or unexpected, or a shape that does not fit the others.
    """
    state = {name: tensor for name, tensor in state.items() if not name.startswith(METERS)}
    config = _implied(state, n_heads)
    names = public_names(config)
    missing, unexpected = set(names.values()) - set(state), set(state) - set(names.values())
    if missing or unexpected:
        raise InvalidParameter(
            "Not the weights of a public SEA or CDN network that is known here: "
            + "; ".join(
                f"{len(which)} {kind} ({_some(which)})"
                for kind, which in (("missing", missing), ("unexpected", unexpected))
                if which
            )
            + "."
        )
    ours = {name: state[public] for name, public in names.items()}
    _check_shapes(config, ours, names)
    return config, ours


def to_public(config: PublicConfig, ours: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The inverse of `from_public`: tensors under the public names."""
    return {public: ours[name] for name, public in public_names(config).items()}


def import_weights(
    file: Path, out: Path | None = None, *, encoder: Path | None = None
) -> ImportedWeights:
    """Translate a checkpoint of the public code, executing nothing that it contains.

    out: the .safetensors file to write; by default beside `file` and named after it. encoder: the
    SEA checkpoint to take the encoder from where `file` holds a target head only, as the public
    code saves its MLP variant.

    Raises
    ------
    InvalidParameter: the file cannot be read, or does not hold the weights of a known public
    network.
    """
    checkpoint = read_checkpoint(file)
    state, settings = dict(checkpoint.state), dict(checkpoint.settings)
    if encoder is not None:
        below = read_checkpoint(encoder)
        state = {k: v for k, v in below.state.items() if k.startswith("encoder.")} | state
        settings = below.settings | settings
    try:
        config, ours = from_public(state, n_heads=_heads(Checkpoint(state, settings)))
    except InvalidParameter as error:
        raise InvalidParameter(f"{file}: {error}") from None
    out = file.with_suffix(".safetensors") if out is None else out
    card_file = out.with_suffix(".json")
    if out.suffix != ".safetensors":
        raise InvalidParameter(f"--out takes a file that ends in .safetensors; got {out}.")
    statistic = "correlation" if config.node_statistics else "inverse-covariance"
    card = {
        "format": FORMAT,
        "network": dataclasses.asdict(config),
        "statistic": statistic,
        "n_parameters": sum(t.numel() for t in ours.values()),
        "source": {"file": file.name, "sha256": _sha256(file)},
        "encoder_source": None
        if encoder is None
        else {"file": encoder.name, "sha256": _sha256(encoder)},
        "settings": {
            k: v
            for k, v in sorted(settings.items())
            if not (isinstance(v, str) and ("/" in v or "\\" in v))
        },
        "note": "Weights of the authors of CDN, under their terms. Run them with the method "
        "cdn-public.",
    }
    header = {"format": FORMAT, "network": json.dumps(card["network"]), "statistic": statistic}
    save_file(
        {name: tensor.float().contiguous() for name, tensor in ours.items()}, out, metadata=header
    )
    card_file.write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
    return ImportedWeights(out, card_file, config, statistic)


def load_network(file: Path) -> tuple[PublicNetwork, str]:
    """The network of imported weights, in evaluation mode, and the statistic that it was trained
    with.

    Raises
    ------
    InvalidParameter: the file is missing, damaged, or was not written by `import_weights`.
    """
    if not file.is_file():
        raise InvalidParameter(f"There are no weights at {file}. {HOW}.")
    try:
        header, state = read_tensors(file)
    except InvalidParameter as error:
        raise InvalidParameter(f"{file} is damaged ({error}). {HOW}.") from error
    if header.get("format") != FORMAT or "statistic" not in header:
        raise InvalidParameter(f"{file} holds no imported public weights of this version. {HOW}.")
    try:
        plain = json.loads(header["network"])
        config = PublicConfig(**plain)
        network = network_of(lambda: build(config), plain, state, file)
    except (TypeError, KeyError, ValueError, RecursionError) as error:
        raise InvalidParameter(f"{file} is damaged ({error}). {HOW}.") from error
    return network, header["statistic"]


def _implied(state: Mapping[str, Tensor], n_heads: int) -> PublicConfig:
    first = "encoder.layers.0.graph_layer.ffn.layer.fc1.weight"
    for name in (*TABLES.values(), first):
        if name not in state or state[name].ndim != 2:
            hint = " Give the SEA checkpoint as --encoder." if "linear_out.weight" in state else ""
            raise InvalidParameter(
                f"It has no {name}; expected a checkpoint of the public SEA or CDN code, found "
                f"{_some(state)}.{hint}"
            )
    tables = [state[name] for name in TABLES.values()]
    n_tokens, n_nodes, _, n_trials = (len(table) for table in tables)
    dim = tables[0].shape[1]
    blocks = {name.split(".")[2] for name in state if name.startswith("encoder.layers.")}
    layers = {name.split(".")[2] for name in state if name.startswith("axial_N_N_d2.layers.")}
    axial = any(name.startswith("axial_N_N_d2.") for name in state)
    mlp = any(name.startswith("mlp_out.") for name in state)
    width = (
        state["linear_out.weight"].shape[-1] if axial and "linear_out.weight" in state else 2 * dim
    )
    theirs = "axial_N_N_d2.layers.0" if layers else "axial_N_N_d2"
    wide = state.get(f"{theirs}.ffn.layer.fc1.weight")
    if n_heads < 1 or dim % n_heads:
        raise InvalidParameter(f"{n_heads} attention heads do not divide {dim} channels.")
    return PublicConfig(
        dim=dim,
        n_heads=n_heads,
        n_blocks=len(blocks),
        hidden=len(state[first]),
        n_tokens=n_tokens,
        n_nodes=n_nodes - 1,
        n_trials=n_trials - 1,
        head="axial" if axial else "mlp" if mlp else "none",
        combination="difference" if width == dim else "concat",
        node_statistics="encoder_1d.linear.weight" in state,
        edge_head="top_layer.linear.weight" in state,
        head_layers=max(1, len(layers)),
        head_hidden=256 if wide is None else len(wide),
    )


def _check_shapes(
    config: PublicConfig, ours: Mapping[str, Tensor], names: Mapping[str, str]
) -> None:
    with torch.device("meta"):  # without memory: the sizes are those of a file
        made = build(config).state_dict()
    expected = {name: tuple(tensor.shape) for name, tensor in made.items()}
    for name, shape in expected.items():
        if tuple(ours[name].shape) != shape:
            raise InvalidParameter(
                f"{names[name]} has shape {tuple(ours[name].shape)}; the other tensors imply "
                f"{shape}."
            )


def _heads(checkpoint: Checkpoint) -> int:
    heads = checkpoint.settings.get("n_heads", DEFAULT_HEADS)
    return heads if isinstance(heads, int) and not isinstance(heads, bool) else DEFAULT_HEADS


def _some(names: Iterable[str]) -> str:
    names = sorted(names)
    return ", ".join(names[:4]) + (", ..." if len(names) > 4 else "") if names else "nothing"


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
