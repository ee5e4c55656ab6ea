"""What the networks that read mixtures are trained on: worlds, the suites' laws, and screens; and
the same with something left out, for studies of what training needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from cdnbench.datasets.synthetic import training
from cdnbench.datasets.worlds import without as without_worlds
from cdnbench.datasets.worlds.laws import WIDE
from cdnbench.datasets.worlds.laws import Laws as WorldLaws
from cdnbench.datasets.worlds.mixture import Part
from cdnbench.datasets.worlds.reduction import PARTS
from cdnbench.errors import did_you_mean
from cdnbench.training.curricula import EVERYTHING, HARD

Mixture = tuple[Part, ...]

SCREENS = replace(
    WIDE, sizes=((10, 30), (30, 120), (200, 1500)), regimes=(1, 12), rows_at_once=16_000
)
"""Worlds of up to many variables, on which the screening alone is trained: it costs little."""


def wide(cells: int) -> Mixture:
    """What `cdn` is trained on: worlds, the laws of `cdn-suites`, and screens. cells: grid cells
    (regimes x N^2) per step of the first two."""
    return (*worlds(cells)[:1], Part(share=0.20, laws=EVERYTHING, cells=cells), *worlds(cells)[1:])


def worlds(cells: int) -> Mixture:
    """Worlds and screens alone."""
    return (
        Part(share=0.50, laws=WIDE, cells=cells),
        Part(share=0.30, laws=SCREENS, cells=3_000_000, most=4, evidence_only=True),
    )


def suites(cells: int) -> Mixture:
    """The laws of `cdn-suites` alone."""
    return (Part(share=1.0, laws=EVERYTHING, cells=cells),)


def paper(cells: int) -> Mixture:
    """What `cdn-axial` and `cdn-mlp` are trained on: hard interventions only."""
    return (Part(share=1.0, laws=HARD, cells=cells),)


MIXTURES: dict[str, Callable[[int], Mixture]] = {
    "cdn": wide,
    "worlds": worlds,
    "suites": suites,
    "paper": paper,
}
"""What `bench train cdn --laws` takes."""

SCREENING = "screens"
"""What `without` calls the part on which the screening alone is trained."""

LEFT_OUT = (*PARTS, SCREENING)
"""What `without` can leave out."""


def check_left_out(what: str) -> None:
    """Check the name of a part, "" for none.

    Raises
    ------
    UnknownName: there is no such part; the message lists the nearest names.
    """
    if what and what not in LEFT_OUT:
        raise did_you_mean("part of the training data", what, LEFT_OUT)


def without(mixture: Mixture, what: str) -> Mixture:
    """The mixture without screens, or without one of the parts that worlds have
    (`cdnbench.datasets.worlds.reduction`). Where the suites' laws have it too, which is so of
    hidden causes alone, it is left out there as well.

    Raises
    ------
    ValueError: there is no such part, or nothing would be left.
    """
    if what == SCREENING:
        kept = tuple(part for part in mixture if not part.evidence_only)
        if not kept:
            raise ValueError("a mixture of screens alone is nothing without them")
        return kept
    return tuple(replace(part, laws=_without(part.laws, what)) for part in mixture)


def _without(laws: WorldLaws | training.Laws, what: str) -> WorldLaws | training.Laws:
    if isinstance(laws, WorldLaws):
        return without_worlds(laws, what)
    return replace(laws, hidden=0.0) if what == "hidden-causes" else laws


FEWEST_ROWS = 10
"""Rows of every data set in `encodable`: what `cdn-axial` and `cdn-mlp` need."""


def encodable(cells: int) -> Mixture:
    """The mixture of `cdn` as far as the paper's networks can read it: without screens, and with
    `FEWEST_ROWS` rows in every data set."""
    return tuple(
        replace(part, laws=replace(part.laws, fewest_rows=FEWEST_ROWS))
        if isinstance(part.laws, WorldLaws)
        else part
        for part in without(wide(cells), SCREENING)
    )
