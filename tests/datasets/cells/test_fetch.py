"""Downloads from a local server: resumed, from mirrors, checked."""

import hashlib
import http.server
import threading

import pytest

from cdnbench.datasets.cells.screens.catalogue import SCREENS, RemoteFile, Screen, screen
from cdnbench.datasets.cells.screens.fetch import fetch
from cdnbench.errors import InvalidData, UnknownName

CONTENT = bytes(range(256)) * 5000
MD5 = hashlib.md5(CONTENT).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    """/whole sends all, /ranges what is asked for, /cut half of what it promises, /other something
    else, /none 404."""

    def do_GET(self):
        self.server.asked.append((self.path, self.headers.get("Range")))
        kind = self.path.split("/")[1]
        if kind == "none":
            return self.send_error(404)
        body, first = CONTENT, 0
        if kind == "other":
            body = CONTENT[::-1]
        if kind == "ranges" and (asked := self.headers.get("Range")):
            first = int(asked.removeprefix("bytes=").rstrip("-"))
            if first >= len(body):
                return self.send_error(416)
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {first}-{len(body) - 1}/{len(body)}")
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(body) - first))
        self.end_headers()
        self.wfile.write(body[first : len(body) // 2] if kind == "cut" else body[first:])

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as served:
        served.asked = []
        served.address = f"http://127.0.0.1:{served.server_port}"
        thread = threading.Thread(target=served.serve_forever, daemon=True)
        thread.start()
        yield served
        served.shutdown()


def remote(*urls: str, md5: str = MD5, size: int = len(CONTENT)) -> Screen:
    file = RemoteFile("a.h5ad", urls, md5, size)
    return Screen("demo", "a screen", "someone", "GSE0", "none", (file,), "", note="Ask them.")


def test_a_file_is_fetched_once(server, tmp_path):
    demo = remote(f"{server.address}/whole/a.h5ad")
    (path,) = fetch(demo, tmp_path)
    assert path.read_bytes() == CONTENT
    fetch(demo, tmp_path)
    assert len(server.asked) == 1


def test_a_stopped_download_goes_on(server, tmp_path):
    (tmp_path / "a.h5ad.part").write_bytes(CONTENT[:1000])
    (path,) = fetch(remote(f"{server.address}/ranges/a.h5ad"), tmp_path)
    assert path.read_bytes() == CONTENT and server.asked[-1][1] == "bytes=1000-"
    assert [p.name for p in tmp_path.iterdir()] == ["a.h5ad"]


def test_a_server_without_ranges_begins_anew(server, tmp_path):
    (tmp_path / "a.h5ad.part").write_bytes(b"x" * 1000)
    assert fetch(remote(f"{server.address}/whole/a.h5ad"), tmp_path)[0].read_bytes() == CONTENT


def test_a_download_that_breaks_off_is_kept_and_told(server, tmp_path):
    with pytest.raises(InvalidData, match="a.h5ad could not be fetched"):
        fetch(remote(f"{server.address}/cut/a.h5ad"), tmp_path)
    assert not (tmp_path / "a.h5ad").exists()
    kept = (tmp_path / "a.h5ad.part").read_bytes()
    assert CONTENT.startswith(kept) and len(kept) > 0
    assert fetch(remote(f"{server.address}/ranges/a.h5ad"), tmp_path)[0].read_bytes() == CONTENT


def test_mirrors_are_tried_in_turn(server, tmp_path):
    demo = remote(
        f"{server.address}/none/a.h5ad",
        f"{server.address}/other/a.h5ad",
        f"{server.address}/whole/a.h5ad",
    )
    assert fetch(demo, tmp_path)[0].read_bytes() == CONTENT


def test_without_a_network_it_says_what_to_place_where(tmp_path):
    with pytest.raises(
        InvalidData,
        match=r"(?s)could not be fetched.*Place it at .*a.h5ad yourself \(GSE0.*Ask them",
    ):
        fetch(remote("http://127.0.0.1:9/a.h5ad"), tmp_path)


def test_another_file_than_published_is_refused(server, tmp_path):
    with pytest.raises(InvalidData, match="MD5|hash"):
        fetch(remote(f"{server.address}/other/a.h5ad"), tmp_path)
    assert not (tmp_path / "a.h5ad").exists()
    (tmp_path / "a.h5ad").write_bytes(CONTENT[:-1])
    with pytest.raises(
        InvalidData, match="1,279,999 bytes; the published file has 1,280,000.*Delete"
    ):
        fetch(remote(f"{server.address}/whole/a.h5ad"), tmp_path)
    (tmp_path / "a.h5ad").write_bytes(CONTENT[::-1])
    with pytest.raises(InvalidData, match=f"the published file has {MD5}"):
        fetch(remote(f"{server.address}/whole/a.h5ad"), tmp_path)


def test_the_catalogue_has_the_data_sets_of_the_paper_and_more():
    assert {s.name for s in SCREENS if s.paper} == {
        "k562_gw",
        "k562_es",
        "rpe1",
        "hepg2",
        "jurkat",
        "a172",
        "t98g",
    }
    assert {"papalexi", "norman", "adamson"} <= {s.name for s in SCREENS}
    for found in SCREENS:
        assert (
            found.accession and found.licence and found.prepare.startswith(f"--line {found.name}")
        )
        assert all(url.startswith("https://") for file in found.files for url in file.urls)
    with pytest.raises(UnknownName, match="Did you mean rpe1"):
        screen("rpe")


def test_knowledge_comes_as_it_is_looked_for(server, tmp_path, monkeypatch):
    """Files in folders of their kind; `find_knowledge` takes the whole."""
    from cdnbench.datasets.cells.screens import sources
    from cdnbench.knowledge import find_knowledge

    files = [
        RemoteFile(f.name, (f"{server.address}/whole",)) for s in sources.SOURCES for f in s.files
    ]
    for file in files:
        fetch(Screen("k", "", "", "", "", (file,), ""), tmp_path)
    assert set(find_knowledge(str(tmp_path))) == {"annotations", "interactions", "identifiers"}
    assert (tmp_path / "annotations").is_dir()
