"""Make the texts of docs/results from the stores there, or check that they are equal.

    python benchmarks/texts.py           # write them
    python benchmarks/texts.py --check   # exit code 1 if one differs

No text may be edited by hand: every number of theirs comes from a store, and `provenance.txt` tells
which results and weights come from a tree with uncommitted changes. table7.txt, table8.txt and
attention.txt rest on the stores in `variants` as well; weights.txt is made of the cards beside the
weights.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import attention_or_mlp

from cdnbench import report
from cdnbench.reports import texts

FOLDER = Path(__file__).parents[1] / "docs" / "results"
CARDS = Path(__file__).parents[1] / "methods" / "cdn" / "weights"
WEIGHTS, ATTENTION = "weights.txt", "attention.txt"


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
    for what in wrong:
        print(what)
    if wrong:
        print("`python benchmarks/texts.py` makes them anew.")
    return bool(wrong)


def weights() -> str:
    """Commit, day and state of the tree of every weights file, as their cards tell."""
    lines = [f"{'weights':<14}  {'commit':<8}  {'date':<10}  uncommitted changes"]
    return "\n".join([*lines, *_cards()]) + "\n"


def _cards() -> Iterator[str]:
    for path in sorted(CARDS.glob("*.safetensors")):
        card = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        sha, dirty = card.get("git_sha") or "unknown", card.get("dirty")
        told = "unknown" if dirty is None else "yes" if dirty else "no"
        yield f"{path.stem:<14}  {sha[:8]:<8}  {card.get('date', 'unknown'):<10}  {told}"


if __name__ == "__main__":
    sys.exit(main())
