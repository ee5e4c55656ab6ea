"""Files of tensors (.safetensors) and the networks they belong to, checked before memory is
taken."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from cdnbench.errors import InvalidParameter

N = TypeVar("N", bound=nn.Module)


def read_tensors(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Metadata and tensors of a file.

    Raises
    ------
    InvalidParameter: the file is missing, damaged, or no .safetensors file.
    """
    from safetensors import safe_open

    try:
        with safe_open(path, framework="pt") as file:
            return dict(file.metadata() or {}), {
                name: file.get_tensor(name)
                for name in file.keys()  # noqa: SIM118  (not a mapping)
            }
    except MemoryError:
        raise
    except Exception as error:  # the library has kinds of its own
        raise _damaged(path, error) from error


def tensors_in(content: bytes, path: Path) -> dict[str, Tensor]:
    """The tensors of a file whose bytes have been read already.

    Raises
    ------
    InvalidParameter: as `read_tensors`.
    """
    from safetensors.torch import load

    try:
        return load(content)
    except MemoryError:
        raise
    except Exception as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> InvalidParameter:
    return InvalidParameter(
        f"{path} is not a safetensors file, or is damaged ({error}). Make or fetch it again."
    )


_ALWAYS_FINE = 256
"""Numbers of a configuration, some of which no tensor has as a side."""


def network_of(
    build: Callable[[], N], config: object, tensors: Mapping[str, Tensor], path: object
) -> N:
    """A network with its weights. No number of its configuration may exceed the largest side of
    its tensors (or `_ALWAYS_FINE`), so that it takes about as much memory as they do.

    build: makes the network that `config` describes.

    Raises
    ------
    InvalidParameter: the configuration is not that of the tensors; the message names the first that
    differs.
    """
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    largest = max([len(found), *(n for shape in found.values() for n in shape)], default=0)
    if any(not 0 <= size <= max(largest, _ALWAYS_FINE) for size in _sizes(config)):
        raise InvalidParameter(
            f"{path}: its card describes a network that is larger than its tensors ({config})."
        )
    try:
        with torch.random.fork_rng(devices=[]):  # building draws weights
            network = build()
    except Exception as error:  # whatever a network does with sizes that do not fit
        raise InvalidParameter(
            f"{path}: its card describes no network ({config}: {error})."
        ) from error
    expected = {name: tuple(t.shape) for name, t in network.state_dict().items()}
    for name in sorted({*expected, *found}, key=lambda n: (n in found and n in expected, n)):
        if expected.get(name) != found.get(name):
            raise InvalidParameter(
                f"{path}: {name} is {_told(found.get(name))}, but the network of its card has "
                f"{_told(expected.get(name))}."
            )
    network.load_state_dict(dict(tensors))
    return network


def _told(shape: tuple[int, ...] | None) -> str:
    return "none" if shape is None else f"of shape {shape}"


def _sizes(config: object) -> Iterator[int]:
    """All whole numbers of a configuration."""
    if isinstance(config, Mapping):
        for value in config.values():
            yield from _sizes(value)
    elif isinstance(config, list | tuple):
        for value in config:
            yield from _sizes(value)
    elif isinstance(config, int) and not isinstance(config, bool):
        yield config
