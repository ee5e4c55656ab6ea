"""Downloads without a published checksum: what a server sends is the whole of one edition, or it is
refused."""

import http.server
import threading
from dataclasses import dataclass, field

import pytest

from cdnbench.datasets.cells.screens.catalogue import RemoteFile, Screen
from cdnbench.datasets.cells.screens.fetch import fetch
from cdnbench.errors import InvalidData

FIRST, SECOND = b"first edition " * 4000, b"second edition " * 4000


@dataclass
class Answers:
    """What the server sends. honours_if_range: it compares If-Range with its ETag, as it must."""

    body: bytes = FIRST
    etag: str = '"1"'
    sent: int | None = None  # bytes after which the connection ends
    headers: dict[str, str] = field(default_factory=dict)
    honours_if_range: bool = True
    ranges: list[str | None] = field(default_factory=list)


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        answers: Answers = self.server.answers
        asked, condition = self.headers.get("Range"), self.headers.get("If-Range")
        answers.ranges.append(asked)
        first = 0
        if asked and (condition in (None, answers.etag) or not answers.honours_if_range):
            first = int(asked.removeprefix("bytes=").rstrip("-"))
        body = answers.body
        headers = {"ETag": answers.etag, "Content-Length": str(len(body) - first)}
        if first:
            headers["Content-Range"] = f"bytes {first}-{len(body) - 1}/{len(body)}"
        self.send_response(206 if first else 200)
        for name, value in (headers | answers.headers).items():
            if value:
                self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body[first : answers.sent])

    def log_message(self, *arguments):
        pass


@pytest.fixture
def answers():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as served:
        served.answers = Answers()
        served.answers.url = f"http://127.0.0.1:{served.server_port}/k.obo"
        threading.Thread(target=served.serve_forever, daemon=True).start()
        yield served.answers
        served.shutdown()


def fetched(answers, folder, name="k.obo"):
    file = RemoteFile(name, (answers.url,))
    return fetch(Screen("k", "", "", "K0", "", (file,), ""), folder)[0]


def broken_off(answers, folder):
    """A first part of the first edition is left in the folder."""
    answers.sent = 1000
    with pytest.raises(InvalidData, match="1000 bytes read, 55000 more|1,000 of 56,000 bytes"):
        fetched(answers, folder)
    assert (folder / "k.obo.part").read_bytes() == FIRST[:1000]
    answers.sent = None


def test_a_part_is_continued_where_the_edition_is_the_same(answers, tmp_path):
    broken_off(answers, tmp_path)
    assert fetched(answers, tmp_path).read_bytes() == FIRST
    assert answers.ranges == [None, "bytes=1000-"]


@pytest.mark.parametrize("honours", [True, False])
def test_a_part_of_an_old_edition_is_not_spliced_onto_a_new_one(answers, tmp_path, honours):
    broken_off(answers, tmp_path)
    answers.body, answers.etag, answers.honours_if_range = SECOND, '"2"', honours
    assert fetched(answers, tmp_path).read_bytes() == SECOND


def test_a_part_of_which_nothing_is_known_is_not_continued(answers, tmp_path):
    (tmp_path / "k.obo.part").write_bytes(SECOND[:1000])
    assert fetched(answers, tmp_path).read_bytes() == FIRST
    assert answers.ranges == [None]


def test_a_weak_etag_does_not_name_an_edition(answers, tmp_path):
    answers.etag = 'W/"1"'
    broken_off(answers, tmp_path)
    answers.body = SECOND
    assert fetched(answers, tmp_path).read_bytes() == SECOND


@pytest.mark.parametrize(
    ("headers", "body", "message"),
    [
        ({"Content-Type": "text/html; charset=utf-8"}, FIRST, "web page .text/html."),
        ({}, b"\n<!DOCTYPE html><title>Log in</title>", "web page in place of the file"),
        ({"Content-Encoding": "gzip"}, FIRST, "packs the file on the way .gzip."),
        ({"Content-Length": ""}, FIRST, "does not say how long"),
        ({"Content-Length": "-3"}, FIRST, "says that the file has '-3' bytes"),
    ],
)
def test_what_is_not_the_file_is_refused(answers, tmp_path, headers, body, message):
    answers.headers, answers.body = headers, body
    with pytest.raises(InvalidData, match=message):
        fetched(answers, tmp_path)
    assert not (tmp_path / "k.obo").exists()


@pytest.mark.parametrize("stated", ["bytes 0-55999/56000", "bytes 1000-1999/56000", "bytes a-b/c"])
def test_a_range_other_than_the_one_asked_for_is_not_appended(answers, tmp_path, stated):
    broken_off(answers, tmp_path)
    answers.headers = {"Content-Range": stated}
    try:
        assert fetched(answers, tmp_path).read_bytes() == FIRST
    except InvalidData:
        assert not (tmp_path / "k.obo").exists()


def test_a_file_is_what_it_was_when_it_was_first_fetched(answers, tmp_path):
    path = fetched(answers, tmp_path)
    fetched(answers, tmp_path)
    assert len(answers.ranges) == 1
    path.write_bytes(SECOND)
    with pytest.raises(InvalidData, match="has changed since it was fetched"):
        fetched(answers, tmp_path)
