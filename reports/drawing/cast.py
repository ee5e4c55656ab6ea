"""Who is drawn in a figure: names, marks, and the choice where there are more methods than room."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import pandas as pd

from cdnbench.errors import did_you_mean
from cdnbench.reports.drawing.colours import Mark, mark
from cdnbench.reports.drawing.look import Look
from cdnbench.reports.frame import CEILING, Results
from cdnbench.reports.standings import RANKING, TRIVIAL, block_title, standings

TRAINED = "†"
TRAINED_NOTE = f"{TRAINED} a network that was trained on simulated data."


@dataclass(frozen=True)
class Actor:
    """One reading as a figure draws it.

    label: as in tables. name: short, for figures; `full` is the label as figures write it. order:
    among overlapping things, the highest is on top. stands_out: it is highlighted. bold: for texts.
    """

    label: str
    name: str
    method: str
    mark: Mark
    stands_out: bool = False

    @property
    def full(self) -> str:
        return _drawn(self.label)

    @property
    def order(self) -> float:
        return 4.0 if self.stands_out else 3.0

    @property
    def weight(self) -> str:
        return "bold" if self.stands_out else "normal"

    @property
    def width(self) -> float:
        """Of lines, in points."""
        return 2.2 if self.stands_out else 1.2


def plain_actor(method: str, look: Look) -> Actor:
    """A method that is known by its name alone, as in tables beside stores."""
    own, chosen = mark(method), look.highlight == method
    pale = bool(look.highlight) and not chosen
    return Actor(method, _drawn(method), method, own.faded() if pale else own, chosen)


def _drawn(name: str) -> str:
    """A name as a text of a figure: what stands between dollars would be read as a formula."""
    return name.replace("$", r"\$")


@dataclass(frozen=True, eq=False)
class Block:
    """The results of one combination of factors.

    rows: its standings. drawn: what of them has a value.
    """

    key: tuple[str, ...]
    title: str
    rows: pd.DataFrame

    @property
    def drawn(self) -> pd.DataFrame:
        return self.rows.dropna(subset=[RANKING])


class Cast:
    """The readings of results, by label.

    Raises
    ------
    UnknownName: no reading is what is to be highlighted.
    """

    def __init__(self, results: Results, look: Look) -> None:
        columns = ["label", "short", "method", "is_default"]
        found = results.readings[columns].drop_duplicates("label").astype({c: str for c in columns})
        short = found["short"]
        twice = set(short[short.duplicated(keep=False)])
        trained = _trained(results)
        known = {*found["label"], *found["short"], *found["method"]} - {CEILING}
        if look.highlight and look.highlight not in known:
            raise did_you_mean("method", look.highlight, sorted(known))
        self._actors: dict[str, Actor] = {}
        for label, name, method, is_default in found.itertuples(index=False):
            chosen = _is_highlighted(look.highlight, label, name, method, found)
            shown = label if name in twice else name + (TRAINED if label in trained else "")
            own = mark(method, is_default == "True")
            pale = bool(look.highlight) and not chosen and method != CEILING
            drawn = own.faded() if pale else own
            self._actors[label] = Actor(label, _drawn(shown), method, drawn, chosen)

    def __getitem__(self, label: object) -> Actor:
        return self._actors[str(label)]

    def notes(self, labels) -> str:
        """What the names of these readings need to be understood."""
        return TRAINED_NOTE if any(TRAINED in self[label].name for label in labels) else ""

    def chosen(self, rows: pd.DataFrame, most: int) -> list[Actor]:
        """At most so many of the standings of a block: one reading per method, the trivial
        baselines and what is highlighted among them, then the best. The ceiling is none of them.
        The best comes first.
        """
        candidates = rows[rows["kind"] != "reference"].dropna(subset=[RANKING])
        candidates = candidates.assign(
            first=[
                0 if self[label].stands_out else 1 if method in TRIVIAL else 2
                for label, method in zip(candidates["label"], candidates["method"], strict=True)
            ]
        )
        whole = candidates["finished"] == candidates["total"]
        ordered = candidates.assign(partial=~whole).sort_values(
            ["first", "partial", RANKING], ascending=[True, True, False], kind="stable"
        )
        kept = ordered.drop_duplicates("method").head(most)
        kept = kept.sort_values(RANKING, ascending=False, kind="stable")
        return [self[label] for label in kept["label"]]


def blocks(results: Results) -> Iterator[Block]:
    """The blocks of the leaderboard in its order, each with its standings."""
    for key, rows in results.factors.blocks(_standings(results)):
        yield Block(key, block_title(results, key), rows.reset_index(drop=True))


def left_out(shown: Sequence[Actor], block: Block) -> str:
    """A sentence on how many methods had no room, "" if all are there."""
    methods = set(block.drawn.loc[block.drawn["kind"] != "reference", "method"])
    if len(methods) <= len(shown):
        return ""
    return (
        f"The best {len(shown)} of {len(methods)} methods, trivial baselines included; "
        "one reading of each."
    )


@lru_cache(maxsize=4)
def _standings(results: Results) -> pd.DataFrame:
    return standings(results)


def _trained(results: Results) -> set[str]:
    """Labels of networks, which were trained before they came here."""
    jobs = results.jobs
    return set(jobs.loc[jobs["trained_on"].ne("{}") & jobs["design"].ne(""), "label"])


def _is_highlighted(
    highlight: str, label: str, name: str, method: str, found: pd.DataFrame
) -> bool:
    """A label or a short name stands for one reading, and a method for all of its readings where no
    reading has just its name."""
    if not highlight:
        return False
    if highlight in (label, name):
        return True
    return highlight == method and highlight not in {*found["label"], *found["short"]}
