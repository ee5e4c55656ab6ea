"""Where knowledge lies: a folder, or a list of files by kind."""

from __future__ import annotations

import hashlib
from pathlib import Path

from cdnbench.errors import InvalidData, did_you_mean

KINDS = ("annotations", "interactions", "gene_text", "embeddings", "identifiers")


def find_knowledge(where: str) -> dict[str, Path]:
    """Kind -> file, from `kind=path,kind=path` or a folder with files or folders named after the
    kinds.

    Raises
    ------
    InvalidData: a path that does not exist, or a folder without knowledge.
    UnknownName: a kind that does not exist.
    """
    if not where:
        return {}
    if "=" in where:
        found = {}
        for part in filter(None, where.split(",")):
            kind, _, path = part.partition("=")
            if kind not in KINDS:
                raise did_you_mean("kind of knowledge", kind, KINDS)
            found[kind] = Path(path).expanduser()
    else:
        folder = Path(where).expanduser()
        named = [
            (kind, path)
            for kind in KINDS
            for path in [folder / kind, *sorted(folder.glob(f"{kind}.*"))]
        ]
        found = {kind: path for kind, path in reversed(named) if path.exists()}
        if not found:
            kinds = ", ".join(f"{kind}.*" for kind in KINDS)
            raise InvalidData(
                f"{where} holds no knowledge ({kinds}). Write kind=FILE,kind=FILE or rename them."
            )
    for kind, path in found.items():
        if not path.exists():
            raise InvalidData(
                f"{path} ({kind}) does not exist. `bench data fetch knowledge` says where to get "
                "it."
            )
    return found


def file_digest(path: Path) -> str:
    """Digest of the content of a file, or of all files in a folder."""
    h = hashlib.blake2b(digest_size=16)
    for file in [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file()):
        h.update(file.relative_to(path).as_posix().encode() + b"\0")
        with file.open("rb") as stream:
            while block := stream.read(2**20):
                h.update(block)
    return h.hexdigest()
