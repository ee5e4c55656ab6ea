"""A `FormsNetwork` that starts from the weights of `cdn`."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from cdnbench.methods.cdn.forms_network import N_FORMS, FormsNetwork


def inherit(network: FormsNetwork, tensors: Mapping[str, Tensor]) -> None:
    """Give `network` what `tensors`, of a `CausalDifferentialNetwork` of the same shape, have
    learnt.

    Layers and heads are copied. What reads the values reads the levels as it did, and the normal
    scores with weights that are zero at first; mechanism tests start equal for both forms. What
    the other network has no part for (evidence, contexts, silence) stays as it was drawn.

    Raises
    ------
    ValueError: a tensor has no place here; the shapes of the networks differ.
    """
    state = network.state_dict()
    for name, tensor in tensors.items():
        for place in _places(name):
            if place not in state:
                raise ValueError(f"{name} of the other network has no place {place!r} in this one")
            state[place] = _fitted(name, tensor, state[place])
    network.load_state_dict(state)


def _places(name: str) -> list[str]:
    if test := re.fullmatch(r"tests\.(\d+)\.(.+)", name):
        return [f"tests.{test[1]}.{form}.{test[2]}" for form in range(N_FORMS)]
    if head := re.fullmatch(r"target_heads\.(\d+)\.net\.(\d)\.(.+)", name):
        part = "norm" if head[2] == "0" else f"among.{int(head[2]) - 1}"
        return [f"heads.{head[1]}.{part}.{head[3]}"]
    return [name]


def _fitted(name: str, tensor: Tensor, there: Tensor) -> Tensor:
    """The tensor itself, or a wider matrix that has it in the columns of the first form."""
    if tensor.shape == there.shape:
        return tensor
    if tensor.ndim != 2 or tensor.shape[0] != there.shape[0] or tensor.shape[1] > there.shape[1]:
        raise ValueError(f"{name} is {tuple(tensor.shape)}; this network has {tuple(there.shape)}")
    wide = torch.zeros_like(there)
    if "_tests." in name:  # the last column reads the belief of the stage before
        wide[:, : tensor.shape[1] - 1] = tensor[:, :-1]
        wide[:, -1] = tensor[:, -1]
    else:
        wide[:, : tensor.shape[1]] = tensor
    return wide
