"""A `FormsNetwork` that starts from what another network has learnt: one of `cdn-suites`, or a
`FormsNetwork` that reads more or less than it does."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from cdnbench.methods.cdn.forms_network import FORMS, FormsNetwork


def inherit(network: FormsNetwork, tensors: Mapping[str, Tensor]) -> None:
    """Give a full `network` what `tensors`, of a `CausalDifferentialNetwork` of the same sizes,
    have learnt.

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
        return [f"tests.{test[1]}.{form}.{test[2]}" for form in range(len(FORMS))]
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


def adopt(network: FormsNetwork, other: FormsNetwork) -> list[str]:
    """Give `network` what `other`, of the same sizes, has learnt, and return the names of the
    tensors that stay as they were drawn, because `other` has nothing for them.

    The networks may differ in forms, evidence and contexts. A matrix that reads forms keeps the
    columns of those that both see. Where all of these are zero, `other` never read them, and the
    matrix stays as it was drawn.

    Raises
    ------
    ValueError: the sizes of the networks differ.
    """
    state, source, anew = network.state_dict(), other.state_dict(), []
    for name, drawn in state.items():
        learnt = _of_other(name, source, network, other)
        if learnt is None or (not learnt.any() and drawn.any() and _READS_FORMS.fullmatch(name)):
            anew.append(name)
        elif learnt.shape != drawn.shape:
            raise ValueError(f"{name} is {tuple(learnt.shape)}; here it is {tuple(drawn.shape)}")
        else:
            state[name] = learnt
    network.load_state_dict(state)
    return anew


_READS_FORMS = re.compile(
    r"(grid|node)_(before|after|shift)\.weight|(grid|node)_tests\.\d+\.weight"
)


def _of_other(
    name: str, source: Mapping[str, Tensor], network: FormsNetwork, other: FormsNetwork
) -> Tensor | None:
    """What `other` has for the tensor of that name of `network`; None if nothing."""
    here, there = network.shape.forms, other.shape.forms
    if test := re.fullmatch(r"tests\.(\d+)\.(\d+)\.(.+)", name):
        form = here[int(test[2])]
        if form not in there:
            return None
        name = f"tests.{test[1]}.{there.index(form)}.{test[3]}"
    if name not in source or here == there or not _READS_FORMS.fullmatch(name):
        return source.get(name)
    if not set(here) <= set(there):
        return None
    tensor = source[name]
    belief = int("_tests" in name)  # one column more, of the belief of the stage before
    width = (tensor.shape[1] - belief) // len(there)
    parts = [tensor[:, width * there.index(form) :][:, :width] for form in here]
    return torch.cat([*parts, tensor[:, tensor.shape[1] - belief :]], dim=1)
