"""Checksums of files whose publishers give none: recorded when a file is first used, in
checksums.json of the folder, and compared afterwards."""

from __future__ import annotations

import json
from pathlib import Path

from cdnbench.errors import InvalidData
from cdnbench.files import write_atomically

RECORD = "checksums.json"


def record_or_compare(folder: Path, name: str, *, new: bool) -> None:
    """Record the SHA-256 of a file, or compare it with the one that was recorded.

    name: of the file, within the folder. new: whether it was fetched just now, so that it replaces
    what was recorded.

    Raises
    ------
    InvalidData: the file is another than the recorded one, or the record cannot be read.
    """
    import pooch

    path, place = folder / name, folder / RECORD
    known = _read(place)
    found = pooch.file_hash(str(path), alg="sha256")
    if not new and known.get(name, found) != found:
        raise InvalidData(
            f"{path} has changed since it was fetched: its SHA-256 is {found}, and {place} has "
            f"{known[name]}. Delete {path} and fetch it again; if the new file is meant, remove "
            f"its line from {place}."
        )
    if known.get(name) != found:
        text = json.dumps({**known, name: found}, indent=1, sort_keys=True) + "\n"
        write_atomically(place, text.encode())


def _read(place: Path) -> dict[str, str]:
    if not place.exists():
        return {}
    try:
        known = json.loads(place.read_text(encoding="utf-8"))
    except (ValueError, RecursionError, OSError):
        known = None
    if not isinstance(known, dict) or not all(isinstance(v, str) for v in known.values()):
        raise InvalidData(
            f"{place} is no record of checksums. Delete it; it is written anew from the files that "
            "are there."
        )
    return known
