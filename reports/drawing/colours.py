"""The mark of every method: one colour and one shape, the same in every figure.

The hues are those of Paul Tol's "muted" and of Okabe and Ito, which colour-blind readers can tell
apart. There are more methods than such hues, so a shape comes with each, and no two methods have
both in common. Methods that often stand in one figure have hues of their own. A method that is not
listed, such as one from a package of your own, has a mark by a digest of its name.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache

from cdnbench.digest import generator

HUES = {
    "black": "#000000",
    "grey": "#8a8a8a",
    "slate": "#4d5a66",
    "indigo": "#332288",
    "blue": "#0072b2",
    "cyan": "#56b4e9",
    "teal": "#44aa99",
    "green": "#117733",
    "olive": "#8a8a2b",
    "amber": "#d99a1c",
    "vermillion": "#d55e00",
    "rose": "#cc6677",
    "wine": "#882255",
    "purple": "#aa4499",
}
SHAPES = "o^sDvPX<>pdh*"

_LISTED = {
    # what bounds methods
    "ceiling": "black o",
    "random": "grey o",
    "target-shift": "slate s",
    # networks
    "cdn": "indigo o",
    "cdn-suites": "cyan D",
    "cdn-axial": "teal ^",
    "cdn-mlp": "green v",
    "cdn-hard": "indigo D",
    "cdn-axial-wide": "teal s",
    "cdn-public": "blue p",
    "cdn-cells": "blue o",
    "cdn-cells-stack": "cyan P",
    "cdn-axial-cells": "teal P",
    "cdn-mlp-cells": "green P",
    "sea": "teal D",
    # tests of mechanisms and graphs
    "quantile-invariance": "vermillion o",
    "regression-invariance": "amber s",
    "mechanism-shift": "purple D",
    "ut-igsp": "wine ^",
    "dci": "rose v",
    "dci-reference": "rose ^",
    "cd-nod": "olive X",
    "prediter": "amber P",
    "gnies": "wine P",
    "rcd": "purple <",
    "dcdi-g": "blue s",
    "dcdi-dsf": "cyan s",
    "dcdi-g-tuned": "blue D",
    "bacadi": "olive o",
    # tests of single variables
    "ks-shift": "grey D",
    "target-shift-down": "slate v",
    "lfc-rank": "amber o",
    "lfc-rank-down": "amber v",
    "control-mean": "grey X",
    "effect-size": "olive P",
    "moderated-t": "green o",
    "deseq2": "green s",
    "baro": "rose o",
    "precision-shift": "cyan ^",
    "cholesky-root-cause": "purple s",
    "traversal": "amber D",
    "fused": "vermillion D",
    # trained on perturbations
    "nearest-profile": "olive ^",
    "centred-shift": "teal o",
    "linear": "rose s",
    "mlp": "green ^",
    "genept": "wine s",
    "genept-style": "wine D",
    "gears": "vermillion ^",
    "pdgrapher": "purple o",
    "profiles": "green D",
}
_SHARED = ("grey", "slate", "black")
"""Hues that unknown methods do not get."""


@dataclass(frozen=True)
class Mark:
    """colour: of lines and points. shape: a marker of matplotlib. is_open: drawn hollow."""

    colour: str
    shape: str
    is_open: bool = False

    @property
    def face(self) -> str:
        return "white" if self.is_open else self.colour

    def faded(self) -> Mark:
        """The same hue, half way to white: for what stands behind a highlighted method."""
        parts = [int(self.colour[i : i + 2], 16) for i in (1, 3, 5)]
        return replace(
            self, colour="#" + "".join(f"{round(0.45 * p + 0.55 * 255):02x}" for p in parts)
        )


@cache
def mark(method: str, is_default: bool = True) -> Mark:
    """The mark of a method. Its readings other than the default one are hollow.

    >>> mark("cdn").colour == mark("cdn", is_default=False).colour
    True
    """
    if method in _LISTED:
        hue, shape = _LISTED[method].split()
    else:
        taken = set(_LISTED.values())
        free = [f"{h} {s}" for h in HUES if h not in _SHARED for s in SHAPES]
        free = [look for look in free if look not in taken]
        place = int(generator("reports", "mark", method).integers(len(free)))
        hue, shape = free[place].split()
    return Mark(HUES[hue], shape, not is_default)
