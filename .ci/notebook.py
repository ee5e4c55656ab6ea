"""Run a notebook of docs/ from top to bottom in an empty folder.

    python .ci/notebook.py docs/predict.ipynb SCRATCH [--write]

The notebook must be stored with its outputs. --write stores those of this run.
"""

import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

MOST_BYTES = 300_000


def main(path: Path, scratch: Path, write: bool) -> None:
    scratch.mkdir(parents=True)
    book = nbformat.read(path, as_version=4)
    stored = [cell for cell in book.cells if cell.cell_type == "code"]
    without = [i for i, cell in enumerate(stored) if cell.execution_count is None]
    assert write or not without, f"{path}: cells without outputs; run it with --write"
    NotebookClient(
        book, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(scratch)}}
    ).execute()  # raises where a cell does
    if write:
        for cell in book.cells:
            cell.metadata.pop("execution", None)  # times of this run
            if cell.cell_type == "code":  # warnings name folders of this machine
                cell.outputs = [o for o in cell.outputs if o.get("name") != "stderr"]
        nbformat.write(book, path)
    size = path.stat().st_size
    assert size <= MOST_BYTES, f"{path} has {size:,} bytes; make its outputs smaller"
    print(f"{path}: {len(stored)} cells ran")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), "--write" in sys.argv[3:])
