"""Damage to files: bytes that change, ends that are missing, and parts that are not what they seem.

Everything is drawn from a `random.Random`, which hypothesis may stand behind.
"""

from __future__ import annotations

import gzip
import io
import random
import zipfile
from collections.abc import Callable

TOKENS = (
    *("", " ", "NA", "nan", "ND", "inf", "-inf", "1e999", "1e-999", "-0", "0x1F", "1_000", "true"),
    *("None", "1,5", "1.234,5", "1,234.5", "1+2j", "2020-01-02", "9007199254740993", "1e9", "é"),
    *('"', '""', "'", "\ufeff", "\x00", "\x1a", "\u2028", "#", "!", "+", "A+B", "ctrl", "GO:1"),
    "x" * 3000,
)
PAGE = b"<!DOCTYPE html>\n<html><body>Please log in.</body></html>\n"


def damaged(content: bytes, rng: random.Random) -> bytes:
    """One to three changes, inside of a .zip or .gz as often as outside."""
    for _ in range(rng.choice((1, 1, 2, 3))):
        if content[:4] == b"PK\x03\x04" and rng.random() < 0.6:
            content = _within_zip(content, rng)
        elif content[:2] == b"\x1f\x8b" and rng.random() < 0.6:
            content = _within_gzip(content, rng)
        else:
            content = rng.choice(_CHANGES)(content, rng)
    return content


def _within_zip(content: bytes, rng: random.Random) -> bytes:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = [(m, archive.read(m)) for m in archive.infolist()]
    except Exception:  # damaged before
        return content
    if not members:
        return content
    chosen = rng.randrange(len(members))
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for i, (member, inner) in enumerate(members):
            changed = rng.choice(_CHANGES)(inner, rng) if i == chosen else inner
            archive.writestr(member.filename, changed, compress_type=member.compress_type)
    return made.getvalue()


def _within_gzip(content: bytes, rng: random.Random) -> bytes:
    try:
        return gzip.compress(rng.choice(_CHANGES)(gzip.decompress(content), rng), mtime=0)
    except Exception:  # damaged before
        return content


def _place(content: bytes, rng: random.Random) -> int:
    """Early places are as frequent as late ones: there lie headers and footers."""
    kind = rng.random()
    if kind < 0.4:
        return rng.randrange(len(content) + 1)
    near = rng.randrange(min(len(content), 300) + 1)
    return near if kind < 0.75 else len(content) - near


def _flip(content: bytes, rng: random.Random) -> bytes:
    if not content:
        return b"\x00"
    changed = bytearray(content)
    for _ in range(rng.choice((1, 2, 8))):
        changed[min(_place(content, rng), len(content) - 1)] = rng.choice(
            (0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256), rng.randrange(256))
        )
    return bytes(changed)


def _number(content: bytes, rng: random.Random) -> bytes:
    """A number in its place that is far too large, or negative."""
    size = rng.choice((2, 4, 8))
    value = rng.choice((-1, 2 ** (8 * size - 1) - 1, 2 ** (8 * size - 2), 10_000, 0))
    at = _place(content, rng)
    order = rng.choice(("little", "big"))
    return content[:at] + value.to_bytes(size, order, signed=True) + content[at + size :]


def _cut(content: bytes, rng: random.Random) -> bytes:
    return content[: _place(content, rng)]


def _without(content: bytes, rng: random.Random) -> bytes:
    at = _place(content, rng)
    return content[:at] + content[at + rng.choice((1, 2, 7, 64)) :]


def _doubled(content: bytes, rng: random.Random) -> bytes:
    at, n = _place(content, rng), rng.choice((1, 3, 16, 200))
    return content[: at + n] + content[at:]


def _token(content: bytes, rng: random.Random) -> bytes:
    """A cell of a table that is something else."""
    separators = [i for i, byte in enumerate(content[:5000]) if byte in b",;\t\n "]
    if len(separators) < 2:
        return content + rng.choice(TOKENS).encode()
    i = rng.randrange(len(separators) - 1)
    token = rng.choice(TOKENS).encode()
    return content[: separators[i] + 1] + token + content[separators[i + 1] :]


def _line(content: bytes, rng: random.Random) -> bytes:
    lines = content.split(b"\n")
    i, j = rng.randrange(len(lines)), rng.randrange(len(lines))
    action = rng.randrange(4)
    if action == 0:
        lines[i], lines[j] = lines[j], lines[i]
    elif action == 1:
        lines.insert(i, lines[j])
    elif action == 2:
        del lines[i]
    else:
        lines[i] = lines[i][: rng.randrange(len(lines[i]) + 1)]
    return b"\n".join(lines)


def _all_ends(content: bytes, rng: random.Random) -> bytes:
    return content.replace(b"\n", rng.choice((b"\r\n", b"\r", b"\n\n")))


def _replaced(content: bytes, rng: random.Random) -> bytes:
    return rng.choice((PAGE, b"", b"\x00" * 64, b"\x89HDF\r\n\x1a\n", b"PK\x03\x04", b"[" * 5000))


def _recoded(content: bytes, rng: random.Random) -> bytes:
    if rng.random() < 0.5:
        return b"\xef\xbb\xbf" + content
    return content.decode("latin-1").encode("utf-16")


def _packed(content: bytes, rng: random.Random) -> bytes:
    return gzip.compress(content, mtime=0)


_CHANGES: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    *(_flip, _flip, _flip, _number, _number, _cut, _without, _doubled, _token, _token, _token),
    *(_line, _line, _all_ends, _replaced, _recoded, _packed),
)
