"""Weights files: safetensors with a JSON card beside them. Shipped ones lie in `weights/` in this
package.

A card says what the weights are (model, config), how they were made (command, laws, seeds, steps,
hardware, versions) and what they reached. Its `format` is the version of this layout, and its
`digest` identifies the tensors.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from cdnbench.errors import InvalidParameter

if TYPE_CHECKING:
    from torch import Tensor, nn

    N = TypeVar("N", bound=nn.Module)

FORMAT = 1
SHIPPED = Path(__file__).parent / "weights"
MAKE = {
    "sea": "bench train sea",
    "cdn-axial": "bench train cdn-axial",
    "cdn-mlp": "bench train cdn-mlp",
    "cdn-suites": "bench train cdn-suites",
    "cdn": "bench train cdn --from cdn-suites",
}
"""The command that makes each shipped file."""


class Weights(NamedTuple):
    """Weights and their card."""

    card: dict[str, Any]
    tensors: dict[str, Tensor]


def path_of(name: str) -> Path:
    """The file of shipped weights (`cdn`), or the path itself (anything that ends in
    .safetensors)."""
    return Path(name) if name.endswith(".safetensors") else SHIPPED / f"{name}.safetensors"


def read_card(name: str, model: str) -> dict[str, Any]:
    """The card, checked: it exists, has this format, and is of this model.

    Raises
    ------
    InvalidParameter: the card cannot be used; the message names the command that makes the file.
    """
    path = path_of(name)
    card_path = path.with_suffix(".json")
    make = f"Make it with: {MAKE.get(model, 'bench train --help')} --out {path}"
    if not path.exists() or not card_path.exists():
        missing = path if not path.exists() else card_path
        raise InvalidParameter(
            f"The weights of {model} need {missing}, which does not exist. {make}"
        )
    try:
        card = json.loads(card_path.read_text(encoding="utf-8"))
        found = card["format"], card["model"]
    except (ValueError, KeyError, TypeError, RecursionError, OSError) as error:
        raise InvalidParameter(
            f"{card_path} is not a card of weights ({error!r}). {make}"
        ) from None
    if found != (FORMAT, model):
        raise InvalidParameter(
            f"{path} holds {found[1]} in format {found[0]}; this version needs {model} in format "
            f"{FORMAT}. {make}"
        )
    if not isinstance(card.get("digest"), str):
        raise InvalidParameter(
            f"{card_path} is not a card of weights (no digest of the tensors). {make}"
        )
    tuned = card.get("fine_tuned", {"origins": [], "cell_lines": []})
    if not isinstance(tuned, dict) or not all(
        isinstance(tuned.get(part), list) for part in ("origins", "cell_lines")
    ):
        raise InvalidParameter(
            f"{card_path} does not say which tasks the weights were fine-tuned on. Fine-tune anew."
        )
    return card


def load_weights(name: str, model: str) -> Weights:
    """Card and tensors of weights, by shipped name or path.

    Raises
    ------
    InvalidParameter: missing, of another format or model, or not the tensors that the card
    describes.
    """
    card = read_card(name, model)
    return Weights(
        card, _tensors(path_of(name), card["digest"], MAKE.get(model, "bench train --help"))
    )


def load_any(name: str, models: Sequence[str]) -> Weights:
    """`load_weights` of weights that may be of any of several models.

    Raises
    ------
    InvalidParameter: as `load_weights`; weights of no such model are refused as those of the first.
    """
    try:
        card = path_of(name).with_suffix(".json").read_text(encoding="utf-8")
        model = json.loads(card)["model"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        model = None
    return load_weights(name, model if model in models else models[0])


def network_of(build: Callable[[Any], N], weights: Weights, name: str) -> N:
    """The network of a card's `config`, with the tensors that the card describes.

    Raises
    ------
    InvalidParameter: the two do not fit.
    """
    from cdnbench import tensor_files

    config = weights.card.get("config")
    return tensor_files.network_of(lambda: build(config), config, weights.tensors, path_of(name))


@lru_cache(maxsize=8)
def _tensors(path: Path, digest: str, make: str) -> dict[str, Tensor]:
    """The tensors, kept by digest, so that a file that was made anew is read anew."""
    from cdnbench.tensor_files import tensors_in

    content = path.read_bytes()
    if file_digest(content) != digest:
        raise InvalidParameter(
            f"{path} is not the file that its card describes: their digests differ. Take both from "
            f"one place, or make it anew with: {make}"
        )
    return tensors_in(content, path)


def save_weights(path: Path, tensors: Mapping[str, Tensor], card: Mapping[str, Any]) -> None:
    """Write tensors and card; the card gets its format and digest."""
    from safetensors.torch import save

    content = save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()})
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    full = {"format": FORMAT, **card, "digest": file_digest(content)}
    path.with_suffix(".json").write_text(json.dumps(full, indent=1) + "\n")


def trained_on(card: Mapping[str, Any]) -> dict[str, Any]:
    """From factors of the suites to the values that training covered, see
    `LoadedMethod.trained_on`."""
    laws = card["laws"]
    ranges = {"n_nodes": laws["sizes"], "rows": laws["rows"]}
    return {
        **{
            name: {"from": min(low for low, _ in r), "to": max(high for _, high in r)}
            for name, r in ranges.items()
        },
        **{f: laws[f + "s"] for f in ("graph", "mechanism", "intervention", "protocol")},
        "noise": ["gaussian"],
        "n_hidden": {
            "from": 0,
            "to": max(high for _, high in laws["sizes"]) // 5 if laws["hidden"] else 0,
        },
        **({"cell_line": card["fine_tuned"]["cell_lines"]} if "fine_tuned" in card else {}),
    }


def trained_on_mixture(card: Mapping[str, Any]) -> dict[str, Any]:
    """As `trained_on`, for weights that were trained on worlds beside the suites' own laws.

    A value that either source has counts, under the names that the suites use.
    """
    suites = next(part["laws"] for part in card["laws"] if part["source"] == "suites")
    worlds = next(part["laws"]["families"] for part in card["laws"] if part["source"] == "worlds")
    found = trained_on({"laws": suites})
    for factor, values in worlds.items():
        known = found.get(factor, [])
        found[factor] = [*known, *(value for value in values if value not in known)]
    found["rows"] = {"from": 3, "to": max(found["rows"]["to"], 4000)}
    return found


def trained_origins(name: str, model: str) -> frozenset[str]:
    """`TaskSpec.origin` of the tasks of a suite that the weights were fine-tuned on."""
    return frozenset(read_card(name, model).get("fine_tuned", {"origins": ()})["origins"])


def file_digest(content: bytes) -> str:
    """The identity of a weights file in keys and cards."""
    return hashlib.blake2b(content, digest_size=16).hexdigest()
