"""One download: what a server sends is compared with what it says of it, and a part of a file is
continued only if it is a part of the same edition.

RFC 9110: 8.3 and 8.4 (kind and coding of content), 13.1.5 (If-Range), 14.4 (Content-Range).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

BLOCK = 2**16
TIMEOUT_S = 30
Progress = Callable[[str, int, int], None]
_PAGE = re.compile(rb"\s*<(!doctype html|html)", re.IGNORECASE)


class Resuming:
    """Downloader for pooch that collects a file in <name>.part. A later call continues it if the
    server can.

    checked: whether a checksum of the file is known, so that parts of two editions are found out.
    """

    def __init__(self, folder: Path, target: str, progress: Progress, *, checked: bool) -> None:
        self.folder, self.target, self.progress = folder, target, progress
        self.checked = checked

    def __call__(self, url: str, output_file: Any, pooch: object) -> None:
        """Raises
        ------
        OSError: the server sends something else than the file, or less than the whole.
        """
        name = url.rsplit("/", 1)[-1]
        partial = self.folder / f"{name}.part"
        edition = self.folder / f"{name}.part.json"
        known = _edition(edition, url)
        if partial.exists() and not (self.checked or _validator(known)):
            partial.unlink()  # nothing tells whether it is a part of what the server has now
        if not self._collected(url, name, partial, edition, known):
            partial.unlink(missing_ok=True)
            edition.unlink(missing_ok=True)
            self._collected(url, name, partial, edition, {})
        _check_start(partial, self.target)
        partial.replace(output_file)
        edition.unlink(missing_ok=True)

    def _collected(
        self, url: str, name: str, partial: Path, edition: Path, known: Mapping[str, str]
    ) -> bool:
        """Fetch what is missing of a file. False if the part that is there is of no use."""
        import requests

        have = partial.stat().st_size if partial.exists() else 0
        headers = {"Accept-Encoding": "identity"}
        if have:
            headers["Range"] = f"bytes={have}-"
            if validator := _validator(known):
                headers["If-Range"] = validator
        with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT_S) as answer:
            sent = answer.headers
            if have and answer.status_code == 416:  # nothing is left to send, or too much is there
                whole = re.fullmatch(r"bytes \*/(\d+)", sent.get("Content-Range", ""))
                return int(whole[1]) == have if whole else self.checked
            answer.raise_for_status()
            if have and answer.status_code == 206:
                if _other_edition(known, sent) or not _continues(sent, have, self.checked):
                    return False
            elif answer.status_code != 200:
                raise OSError(f"the server answered {answer.status_code}, not with the file")
            else:
                have = 0
            _check_kind(sent, self.target)
            length = _length(sent)
            total = 0 if length is None else have + length
            if not have:
                kept = {key: sent[key] for key in ("ETag", "Last-Modified") if key in sent}
                edition.write_text(json.dumps({"url": url, **kept}), encoding="utf-8")
            chunked = "chunked" in sent.get("Transfer-Encoding", "").lower()
            if length is None and not chunked and not self.checked:
                raise OSError("the server does not say how long the file is")
            with partial.open("ab" if have else "wb") as out:
                for block in answer.raw.stream(BLOCK, decode_content=False):
                    out.write(block)
                    have += len(block)
                    self.progress(name, have, total)
            if length is not None and have != total:
                raise OSError(
                    f"the connection ended after {have:,} of {total:,} bytes; run again to go on"
                )
        return True


def _edition(path: Path, url: str) -> dict[str, str]:
    """What the server said of the edition of which a part is there; nothing if that is unknown."""
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
        return known if known["url"] == url else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _validator(known: Mapping[str, str]) -> str:
    """What names an edition exactly, "" if nothing does. A weak ETag does not."""
    tag = known.get("ETag", "")
    return tag if tag and not tag.startswith("W/") else known.get("Last-Modified", "")


def _other_edition(known: Mapping[str, str], sent: Mapping[str, str]) -> bool:
    return any(
        key in known and key in sent and known[key] != sent[key]
        for key in ("ETag", "Last-Modified")
    )


def _continues(sent: Mapping[str, str], have: int, checked: bool) -> bool:
    """Whether a part (206) begins where ours ends and goes to the end of the file.

    Without Content-Range, which RFC 9110 requires, only a checksum can tell.
    """
    stated = sent.get("Content-Range")
    if stated is None:
        return checked
    found = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+|\*)", stated)
    if not found or int(found[1]) != have:
        return False
    whole = found[3] == "*" or int(found[2]) + 1 == int(found[3])
    length = _length(sent)
    return whole and (length is None or length == int(found[2]) + 1 - have)


def _length(sent: Mapping[str, str]) -> int | None:
    stated = sent.get("Content-Length")
    if stated is None:
        return None
    if not re.fullmatch(r"\d+", stated.strip()):
        raise OSError(f"the server says that the file has {stated!r} bytes")
    return int(stated)


def _check_kind(sent: Mapping[str, str], target: str) -> None:
    """Raises
    ------
    OSError: a web page in place of a file, or a file that is packed on the way.
    """
    kind = sent.get("Content-Type", "").split(";")[0].strip().lower()
    if kind in ("text/html", "application/xhtml+xml") and not target.endswith((".html", ".htm")):
        raise OSError(
            "the server sent a web page (text/html) in place of the file, perhaps to log in. Open "
            "the address in a browser"
        )
    coding = sent.get("Content-Encoding", "identity").strip().lower()
    packed_anyway = coding in ("gzip", "x-gzip") and target.endswith((".gz", ".tgz"))
    if coding not in ("", "identity") and not packed_anyway:
        raise OSError(f"the server packs the file on the way ({coding}), which was not asked for")


def _check_start(partial: Path, target: str) -> None:
    with partial.open("rb") as file:
        start = file.read(200)
    if _PAGE.match(start) and not target.endswith((".html", ".htm")):
        partial.unlink()
        raise OSError("the server sent a web page in place of the file")
