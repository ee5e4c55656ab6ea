"""Whose design a network is and what it was trained on, in words: two things that tables must not
mix up. A design is a `MethodInfo.design`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

PAPER = "Wu et al. 2025"
OWN = "this package"
OWN_NETWORK = (
    "This package's own network; the idea is that of Wu, Padia, Murphy, Barzilay, Jaakkola 2025, "
    "Identifying biological perturbation targets through causal differential networks, ICML"
)
"""What networks of our own design cite: not the paper as if it were theirs."""

BEFORE: Mapping[str, str] = {
    "cdn": OWN,
    "cdn-forms": OWN,
    "cdn-suites": OWN,
    "cdn-cells": OWN,
    "cdn-axial": PAPER,
    "cdn-mlp": PAPER,
    "cdn-public": PAPER,
}
"""The networks of versions whose records do not hold the design."""

FITTED_BEFORE = frozenset(
    {
        "cdn-cells",
        "centred-shift",
        "gears",
        "genept",
        "genept-style",
        "linear",
        "mlp",
        "nearest-profile",
        "pdgrapher",
    }
)
"""The methods that have to be trained, of versions whose records do not name the fit."""

MEANING = (
    "Behind a network: whose design it is; the laws that it was trained on. suites: the suites' "
    "own generator, other seeds and never all mechanisms; worlds: a wider generator; hard only: no "
    "other interventions. Same laws, other design: the difference is the architecture. Same "
    "design, other laws: it is the training data."
)
"""What `told` means, for notes under tables."""


def laws_seen(trained_on: Mapping[str, Any]) -> str:
    """What `LoadedMethod.trained_on` says, in a few words; "" for nothing.

    >>> laws_seen({"intervention": ["hard-uniform"], "noise": ["gaussian"]})
    'suites, hard only'
    """
    if not trained_on:
        return ""
    interventions, noise = trained_on.get("intervention", ()), trained_on.get("noise", ())
    words = ["worlds"] if set(noise) - {"gaussian"} else []
    if "nn" in trained_on.get("mechanism", ()) or not words:  # the worlds' networks are others
        hard = interventions and all(name.startswith("hard") for name in interventions)
        words.append("suites, hard only" if hard else "suites")
    words += ["cell lines"] if trained_on.get("cell_line") else []
    return " + ".join(words)


def told(design: str, trained_on: Mapping[str, Any]) -> str:
    """Design and laws together, "" for a method that is no network.

    >>> told("this package", {"intervention": ["soft-scale"], "noise": ["gaussian"]})
    'this package; suites'
    """
    laws = laws_seen(trained_on)
    return f"{design}; {laws}" if design and laws else design


def both(trained_on: Mapping[str, Any], further: Mapping[str, Any]) -> dict[str, Any]:
    """What either of two trainings had: of two lists of values, or of two ranges.

    >>> both({"noise": ["gaussian"]}, {"noise": ["laplace"], "rows": {"from": 50, "to": 90}})
    {'noise': ['gaussian', 'laplace'], 'rows': {'from': 50, 'to': 90}}
    """
    found = dict(trained_on)
    for factor, new in further.items():
        known = found.get(factor)
        if isinstance(known, dict):
            ends = min(known["from"], new["from"]), max(known["to"], new["to"])
            found[factor] = {"from": ends[0], "to": ends[1]}
        elif known is not None:
            found[factor] = [*known, *(value for value in new if value not in known)]
        else:
            found[factor] = new
    return found
