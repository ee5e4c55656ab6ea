"""Whether `bench` keeps what it promises where things go wrong.

    python benchmarks/trust.py stores [--number 1000] [--seed 0]

Each kind of trial is a module in `benchmarks/trials`. Its table takes the place of the section of
the same name in docs/results/trust.txt.
"""

import argparse
import importlib
import pkgutil
import re
from pathlib import Path

import trials

from cdnbench.files import write_atomically
from cdnbench.runners.provenance import host

KEPT = Path(__file__).parents[1] / "docs/results/trust.txt"


def sections() -> dict[str, object]:
    """Name -> module, for each module that makes a section."""
    names = [module.name for module in pkgutil.iter_modules(trials.__path__)]
    found = {name: importlib.import_module(f"trials.{name}") for name in names}
    return {name: module for name, module in found.items() if hasattr(module, "SUMMARY")}


def keep(path: Path, name: str, text: str) -> None:
    """Put a section into the file, in place of the one of the same name."""
    old = path.read_text() if path.exists() else ""
    parts = dict(re.findall(r"^=== (\S+)\n(.*?)(?=^=== |\Z)", old, flags=re.DOTALL | re.MULTILINE))
    parts[name] = f"\n{text.rstrip()}\n\n"
    whole = "".join(f"=== {each}\n{part}" for each, part in sorted(parts.items()))
    write_atomically(path, (whole.rstrip() + "\n").encode())


def main() -> None:
    known = sections()
    summaries = "\n".join(f"  {name}: {module.SUMMARY}" for name, module in known.items())  # type: ignore[attr-defined]
    parser = argparse.ArgumentParser(
        description=f"{__doc__}\n{summaries}", formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("section", choices=sorted(known))
    parser.add_argument("--number", type=int, help="how many trials")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, default=KEPT, help="the file that gets the section")
    given = parser.parse_args()
    module = known[given.section]
    number = given.number or module.NUMBER  # type: ignore[attr-defined]
    text = f"python benchmarks/trust.py {given.section} --number {number} --seed {given.seed}\n"
    text += f"{host()}\n\n{module.main(number, given.seed)}"  # type: ignore[attr-defined]
    print(text)
    keep(given.keep, given.section, text)


if __name__ == "__main__":
    main()
