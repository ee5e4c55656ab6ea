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

from cdnbench.design import both
from cdnbench.errors import InvalidParameter
from cdnbench.files import output

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
    "cdn-axial-wide": "bench train cdn-axial --laws cdn",
    "cdn-hard": "bench train cdn --laws paper",
}
"""The command that makes each shipped file."""


def _make(name: str, model: str) -> str:
    """The command that makes these weights, by shipped name, or weights of this model."""
    return MAKE.get(name) or MAKE.get(model, "bench train --help")


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
    make = f"Make it with: {_make(name, model)} --out {path}"
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
    return Weights(card, _tensors(path_of(name), card["digest"], _make(name, model)))


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
        model = ""
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
    """Write tensors and card, each whole or not at all and the card last; the card gets its format
    and digest."""
    from safetensors.torch import save

    content = save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()})
    full = {"format": FORMAT, **card, "digest": file_digest(content)}
    text = json.dumps(full, indent=1) + "\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    with output(path) as file:
        file.write(content)
    with output(path.with_suffix(".json")) as file:
        file.write(text.encode())


def trained_on(card: Mapping[str, Any]) -> dict[str, Any]:
    """From factors of the suites to the values that training covered, see
    `LoadedMethod.trained_on`.

    Of weights that were trained on a mixture, a value that any of its parts has counts, under the
    names that the suites use (`_SUITES_NAMES`); parts that train the screening alone do not.
    """
    laws = card["laws"]
    parts = laws if isinstance(laws, list) else [{"source": "suites", "laws": laws}]
    parts = [part for part in parts if not part.get("evidence_only")]
    read = {"suites": _of_suites, "worlds": _of_worlds}
    found: dict[str, Any] = {}
    for part in parts:
        found = both(found, read[part["source"]](part["laws"]))
    if "fine_tuned" in card:
        found["cell_line"] = card["fine_tuned"]["cell_lines"]
    return found


def _of_suites(laws: Mapping[str, Any]) -> dict[str, Any]:
    most = max(high for _, high in laws["sizes"])
    return {
        "n_nodes": _range(laws["sizes"]),
        "rows": _range(laws["rows"]),
        **{f: list(dict.fromkeys(laws[f + "s"])) for f in _SUITES_LISTS},
        "noise": ["gaussian"],
        "marginal": ["plain"],
        "n_hidden": {"from": 0, "to": most // 5 if laws["hidden"] else 0},
    }


def _of_worlds(laws: Mapping[str, Any]) -> dict[str, Any]:
    most = max(high for _, high in laws["sizes"])
    families = laws["families"]
    return {
        "n_nodes": _range(laws["sizes"]),
        "rows": {"from": laws.get("fewest_rows", 3), "to": _MOST_ROWS},
        **{
            factor: [name for family in values for name in _SUITES_NAMES.get(family, (family,))]
            for factor, values in families.items()
        },
        "protocol": ["clean"],  # one noise variance per node
        "n_hidden": {"from": 0, "to": 1 + most // 8 if laws["confounded"] else 0},
    }


def _range(pairs: Sequence[Sequence[float]]) -> dict[str, float]:
    return {"from": min(low for low, _ in pairs), "to": max(high for _, high in pairs)}


_SUITES_LISTS = ("graph", "mechanism", "intervention", "protocol")
_SUITES_NAMES = {"hard": ("hard-normal",), "scale": ("soft-scale",), "shift": ("soft-shift",)}
"""Families of worlds that the suites have under other names. All others keep theirs."""

_MOST_ROWS = 4000
"""Of the observational data of worlds."""


def trained_origins(name: str, model: str) -> frozenset[str]:
    """`TaskSpec.origin` of the tasks of a suite that the weights were fine-tuned on."""
    return frozenset(read_card(name, model).get("fine_tuned", {"origins": ()})["origins"])


def file_digest(content: bytes) -> str:
    """The identity of a weights file in keys and cards."""
    return hashlib.blake2b(content, digest_size=16).hexdigest()
