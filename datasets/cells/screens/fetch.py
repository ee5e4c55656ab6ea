"""Downloads with checksums, from mirrors in turn, which are resumed where they stopped."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from cdnbench.datasets.cells.screens.catalogue import RemoteFile, Screen
from cdnbench.errors import InvalidData

BLOCK = 2**16
TIMEOUT_S = 30
Progress = Callable[[str, int, int], None]


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

    path = folder / file.name
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():
        _check(file, path, f"Delete {path} and fetch it again")
        return path
    tried = []
    for url in file.urls:
        try:
            pooch.retrieve(
                url,
                f"md5:{file.md5}" if file.md5 else None,
                fname=path.name,
                path=path.parent,
                downloader=_Resuming(path.parent, progress),
            )
        except (requests.RequestException, OSError) as error:
            tried.append(f"{url}: {error}")
            continue
        except ValueError as error:  # pooch: another hash; nothing of it is kept
            tried.append(f"{url}: {str(error).splitlines()[0]}")
            continue
        _check(file, path, f"Delete {path} and try again later")
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


class _Resuming:
    """Downloader for pooch that collects a file in <name>.part. A later call continues it if the
    server can."""

    def __init__(self, folder: Path, progress: Progress) -> None:
        self.folder, self.progress = folder, progress

    def __call__(self, url: str, output_file, pooch) -> None:
        import requests

        name = url.rsplit("/", 1)[-1]
        partial = self.folder / f"{name}.part"
        have = partial.stat().st_size if partial.exists() else 0
        headers = {"Range": f"bytes={have}-"} if have else {}
        with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT_S) as answer:
            if answer.status_code == 416:  # nothing is left to send
                pass
            else:
                answer.raise_for_status()
                if have and answer.status_code != 206:
                    have = 0
                total = have + int(answer.headers.get("Content-Length", 0))
                with partial.open("ab" if have else "wb") as out:
                    for block in answer.iter_content(BLOCK):
                        out.write(block)
                        have += len(block)
                        self.progress(name, have, total)
                if total and have < total:
                    raise OSError(
                        f"the connection ended after {have:,} of {total:,} bytes; run again to go "
                        "on"
                    )
        partial.replace(output_file)
