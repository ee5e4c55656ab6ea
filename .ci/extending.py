"""Do what docs/extending.md says, in a copy of the repository, and run its commands.

    python .ci/extending.py SCRATCH

HTML comments before a block say what it is: `file: PATH` (a new file), `into: PATH, after: LINE`
(lines to insert), `replace: PATH, this: TEXT`, or `run` (commands). The packages of `examples/` are
installed.
"""

import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BLOCK = re.compile(r"<!-- (.*?) -->\n```\w+\n(.*?)^```", re.M | re.S)
INSTALL = ["pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "-e", "."]


def main(scratch: Path) -> None:
    scratch.mkdir(parents=True, exist_ok=True)
    copy, work = scratch / "copy", scratch / "work"
    names = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.splitlines()
    for name in names:
        if (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, copy / name)
    work.mkdir()
    python = environment(scratch / "venv")
    install(python, copy)
    for example in sorted((copy / "examples").iterdir()):
        install(python, example)
    counts = {"changes": 0, "commands": 0}
    for what, block in BLOCK.findall((ROOT / "docs" / "extending.md").read_text("utf-8")):
        if what == "run":
            install(python, copy)
            for line in block.splitlines():
                print("$", line, flush=True)
                command = f'PATH="{python.parent}:$PATH"; {line}'
                subprocess.run(["bash", "-ec", command], cwd=work, check=True)
                counts["commands"] += 1
        else:
            change(copy, what, block)
            counts["changes"] += 1
    assert min(counts.values()) >= 8, f"only {counts} found"
    for tool in (["ruff", "check", "."], ["ruff", "format", "--check", "."]):
        subprocess.run([python.parent / "python", "-m", *tool], cwd=copy, check=True)
    tests = ["tests/contract", "-k", "mean-change or doses or change-net", "-p", "no:cacheprovider"]
    subprocess.run([python, "-m", "pytest", "-q", *tests], cwd=copy, check=True)


def environment(folder: Path) -> Path:
    """A virtual environment that borrows this one's packages; its Python."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    python = folder / "bin" / "python"
    ask = "import sysconfig; print(sysconfig.get_path('purelib'))"
    own = subprocess.run([python, "-c", ask], check=True, capture_output=True, text=True).stdout
    (Path(own.strip()) / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python


def install(python: Path, copy: Path) -> None:
    subprocess.run([python, "-m", *INSTALL], cwd=copy, check=True)


def change(copy: Path, what: str, block: str) -> None:
    """Make one change. A place that is not there exactly once is an error in the page."""
    kind, _, rest = what.partition(": ")
    if kind == "file":
        path = copy / rest
        assert not path.exists(), f"{rest} is there already"
        path.write_text(block, "utf-8")
        return
    name, _, place = re.split(r"(, after: |, this: )", rest)
    path = copy / name
    text = path.read_text("utf-8")
    old = place + "\n" if kind == "into" else place
    new = old + block if kind == "into" else block.rstrip("\n")
    assert text.count(old) == 1, f"{name} has {text.count(old)} times {place!r}"
    path.write_text(text.replace(old, new), "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
