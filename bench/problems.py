"""What in a store cannot be used: named, counted, and set aside by the next run.

Reading a store changes nothing in it. A run moves what it cannot use into a folder of its own below
`set-aside/`, under the name that it had. Nothing is deleted.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from dataclasses import dataclass, field
from pathlib import Path

from cdnbench.files import opened_file, what_is, write_atomically
from cdnbench.printable import printable

SET_ASIDE = "set-aside"


@dataclass
class Problems:
    """The problems of the store in `folder`.

    moved: what has been set aside, in words.
    """

    folder: Path
    moved: list[str] = field(default_factory=list)
    _whole: dict[Path, str] = field(default_factory=dict)
    _parts: dict[Path, dict[str, str]] = field(default_factory=dict)
    _newer: dict[Path, str] = field(default_factory=dict)
    _aside: Path | None = None

    def whole(self, path: Path, why: object) -> None:
        """Nothing of a file can be used."""
        self._whole.setdefault(path, str(why))

    def part(self, path: Path, place: str, why: object) -> None:
        """One part of a file cannot be used."""
        self._parts.setdefault(path, {}).setdefault(place, str(why))

    def forget(self, path: Path) -> None:
        """Parts of a file that could not be used are gone: another file stands in its place."""
        self._parts.pop(path, None)

    def newer(self, path: Path, why: object) -> None:
        """A newer version of this package wrote the file. It is not set aside: it is sound."""
        self._newer.setdefault(path, str(why))

    @property
    def texts(self) -> list[str]:
        """One sentence per file."""
        found = {path: f"{path} cannot be used: {why}." for path, why in self._whole.items()}
        found |= {path: f"{path} {why}." for path, why in self._newer.items()}
        for path, parts in self._parts.items():
            place, why = next(iter(parts.items()))
            first = f"{place}: {why}"
            many = f"{len(parts)} parts of {path} cannot be used; the first is {first}."
            found.setdefault(path, f"{path} {first}." if len(parts) == 1 else many)
        return [printable(text) for _, text in sorted(found.items())]

    @property
    def written_by_newer(self) -> list[str]:
        """The sentences on files of newer versions."""
        return [printable(f"{path} {why}.") for path, why in sorted(self._newer.items())]

    def is_whole(self, path: Path) -> bool:
        """Whether nothing of a file can be used."""
        return path in self._whole

    def set_aside(self) -> None:
        """Move away all files of which nothing can be used."""
        for path in sorted(self._whole):
            self.move(path)

    def copy_parts(self) -> None:
        """Copy the files that can be used in part, before they are written anew."""
        for path, parts in sorted(self._parts.items()):
            if what_is(path) == "a file":
                with opened_file(path) as file:
                    write_atomically(into := self.place(path), file.read())
                self.tell(path, into, f"{len(parts)} of its parts cannot be used")

    def move(self, path: Path) -> None:
        """Move what stands at a path. Links are moved, not what they point to."""
        into = self.place(path)
        with contextlib.suppress(OSError):  # another run was faster, or it may not be moved
            os.rename(path, into)
            self.tell(path, into, self._whole.pop(path, "it is in the way"))

    def tell(self, path: Path, into: Path, why: str) -> None:
        """Note that the content of a file is elsewhere now."""
        self._parts.pop(path, None)
        self.moved.append(printable(f"{path} was set aside as {into}: {why}"))

    def place(self, path: Path) -> Path:
        """Where a file goes; its folder is made."""
        if self._aside is None:
            run = f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{secrets.token_hex(4)}"
            root = self.folder / SET_ASIDE
            if root.is_symlink() or (root.exists() and not root.is_dir()):
                os.rename(root, self.folder / f"{SET_ASIDE}-{secrets.token_hex(4)}")
            self._aside = root / run
        into = self._aside / path.relative_to(self.folder)
        into.parent.mkdir(parents=True, exist_ok=True)
        return into
