"""Make the texts of docs/results from the stores there, or check that they are equal.

    python benchmarks/texts.py           # write them
    python benchmarks/texts.py --check   # exit code 1 if one differs

No text may be edited by hand: every number of theirs comes from a store, and `provenance.txt` tells
which results and weights come from a tree with uncommitted changes. table7.txt, table8.txt and
attention.txt rest on the stores in `variants` as well; weights.txt is made of the cards beside the
weights. The check fails too where a result or a card names a commit that the history of this
checkout does not have, since nobody could make it again, and where a number that is typed in a
marked table of README.md is not that of the stores (`typed_numbers`).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import attention_or_mlp
import pandas as pd
import typed_numbers

from cdnbench import report
from cdnbench.reports import texts
from cdnbench.reports.tables import build

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "results"
CARDS = ROOT / "methods" / "cdn" / "weights"
WEIGHTS, ATTENTION, PAGE = "weights.txt", "attention.txt", "README.md"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument(
        "--check", action="store_true", help="write nothing, and fail if one differs"
    )
    check = parser.parse_args().check
    made = [
        (report(FOLDER / "store"), texts.TEXTS),
        (report(FOLDER / "variants"), texts.OF_VARIANTS),
    ]
    others = {WEIGHTS: weights(), ATTENTION: "\n".join(attention_or_mlp.table()) + "\n"}
    if not check:
        for one, names in made:
            for path in texts.write(one, FOLDER, names):
                print(f"Wrote {path}.")
        for name, text in others.items():
            (FOLDER / name).write_text(text, encoding="utf-8")
        return 0
    wrong = [what for one, names in made for what in texts.differences(one, FOLDER, names)]
    for name, text in others.items():
        path = FOLDER / name
        if not path.exists():
            wrong.append(f"{path} does not exist.")
        elif path.read_text(encoding="utf-8") != text:
            wrong.append(f"{path} does not equal what it is made from.")
    named = pd.concat([one.jobs["git_sha"] for one, _ in made]).dropna().astype(str)
    wrong += unknown_commits(named.value_counts().to_dict() | _commits_of_cards())
    if wrong:
        wrong.append("`python benchmarks/texts.py` makes texts anew.")
    frame_of = cache(lambda name: build(made[0][0].results, name).frame)
    page = (FOLDER / PAGE).read_text(encoding="utf-8")
    wrong += [f"{PAGE}, {what}." for what in typed_numbers.wrong_numbers(page, frame_of)]
    for what in wrong:
        print(what)
    return bool(wrong)


def unknown_commits(named: dict[str, int | str], checkout: Path = ROOT) -> list[str]:
    """What is wrong with `named`: commit -> the number of jobs, or the weights, that name it."""
    if _git(checkout, "rev-parse", "--is-shallow-repository") != "false":
        return [f"{checkout} is no clone with a full history: commits cannot be looked up."]
    known = set(_git(checkout, "rev-list", "HEAD").split())
    return [
        f"{commit} is named by {f'{who} jobs' if isinstance(who, int) else who} and is no commit "
        "of this history: run them again from one that is."
        for commit, who in named.items()
        if commit not in known
    ]


def _git(checkout: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", checkout, *arguments], capture_output=True, text=True)
    return done.stdout.strip()


def _commits_of_cards() -> dict[str, int | str]:
    cards = {path.stem: _card(path) for path in _weights()}
    return {card["git_sha"]: f"the card of {name}" for name, card in cards.items()}


def _card(weights: Path) -> dict[str, Any]:
    return json.loads(weights.with_suffix(".json").read_text(encoding="utf-8"))


def _weights() -> list[Path]:
    return sorted(CARDS.glob("*.safetensors"))


def weights() -> str:
    """Commit, day and state of the tree of every weights file, as their cards tell."""
    lines = [f"{'weights':<14}  {'commit':<8}  {'date':<10}  uncommitted changes"]
    return "\n".join([*lines, *_cards()]) + "\n"


def _cards() -> Iterator[str]:
    for path in _weights():
        card = _card(path)
        sha, dirty = card.get("git_sha") or "unknown", card.get("dirty")
        told = "unknown" if dirty is None else "yes" if dirty else "no"
        yield f"{path.stem:<14}  {sha[:8]:<8}  {card.get('date', 'unknown'):<10}  {told}"


if __name__ == "__main__":
    sys.exit(main())
