"""Downloads with checksums, from mirrors in turn, which are resumed where they stopped."""

from __future__ import annotations

from pathlib import Path

from cdnbench.datasets.cells.screens.catalogue import RemoteFile, Screen
from cdnbench.datasets.cells.screens.checksums import record_or_compare
from cdnbench.datasets.cells.screens.download import Progress, Resuming
from cdnbench.errors import InvalidData


def fetch(
    screen: Screen, folder: Path, progress: Progress = lambda what, done, of: None
) -> list[Path]:
    """Download the files of a screen to `folder`; complete files are not fetched again.

    Raises
    ------
    InvalidData: no source can be reached, or a file has another checksum or size. The message says
    which file to place where.
    """
    import pooch

    pooch.get_logger().setLevel("WARNING")
    folder.mkdir(parents=True, exist_ok=True)
    return [_file(file, folder, screen, progress) for file in screen.files]


def _file(file: RemoteFile, folder: Path, screen: Screen, progress: Progress) -> Path:
    import pooch
    import requests
    import urllib3

    path = folder / file.name
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():
        _check(file, path, f"Delete {path} and fetch it again")
        if not file.md5:
            record_or_compare(folder, file.name, new=False)
        return path
    tried = []
    for url in file.urls:
        try:
            pooch.retrieve(
                url,
                f"md5:{file.md5}" if file.md5 else None,
                fname=path.name,
                path=path.parent,
                downloader=Resuming(path.parent, path.name, progress, checked=bool(file.md5)),
            )
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            tried.append(f"{url}: {error}")
            continue
        except ValueError as error:  # pooch: another hash; nothing of it is kept
            tried.append(f"{url}: {str(error).splitlines()[0]}")
            continue
        _check(file, path, f"Delete {path} and try again later")
        if not file.md5:
            record_or_compare(folder, file.name, new=True)
        return path
    reasons = "\n  ".join(tried)
    raise InvalidData(
        f"{screen.name}: {file.name} could not be fetched.\n  {reasons}\n"
        f"Place it at {path} yourself ({screen.accession}; {', '.join(file.urls)}) and run the "
        f"command again. {screen.note}".rstrip()
    )


def _check(file: RemoteFile, path: Path, cure: str) -> None:
    import pooch

    size = path.stat().st_size
    if file.size and size != file.size:
        raise InvalidData(
            f"{path} has {size:,} bytes; the published file has {file.size:,}. {cure}."
        )
    if file.md5 and (found := pooch.file_hash(str(path), alg="md5")) != file.md5:
        raise InvalidData(f"{path} has the MD5 {found}; the published file has {file.md5}. {cure}.")
