"""Make the texts of docs/results from the stores there, or check that they are equal.

    python benchmarks/texts.py           # write them
    python benchmarks/texts.py --check   # exit code 1 if one differs

No text may be edited by hand: every number of theirs comes from a store, and `provenance.txt` tells
which results and weights come from a tree with uncommitted changes. weights.txt is made of the
cards beside the weights.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path

from cdnbench import report
from cdnbench.reports import texts

FOLDER = Path(__file__).parents[1] / "docs" / "results"
CARDS = Path(__file__).parents[1] / "methods" / "cdn" / "weights"
WEIGHTS = "weights.txt"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument(
        "--check", action="store_true", help="write nothing, and fail if one differs"
    )
    check = parser.parse_args().check
    made, cards = report(FOLDER / "store"), weights()
    if not check:
        for path in texts.write(made, FOLDER):
            print(f"Wrote {path}.")
        (FOLDER / WEIGHTS).write_text(cards, encoding="utf-8")
        return 0
    wrong = list(texts.differences(made, FOLDER))
    if (FOLDER / WEIGHTS).read_text(encoding="utf-8") != cards:
        wrong.append(f"{FOLDER / WEIGHTS} does not equal the cards beside the weights.")
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
