import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import aiohttp
import numpy as np
import pytest
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from swin_embed.batch import job, local
from swin_embed.batch.collection import Collection
from swin_embed.batch.errors import ItemError, SourceError
from swin_embed.batch.items import Item
from swin_embed.batch.recipe import Recipe, Row

GONE = Row("a", "p/a", error="unreadable: no", gone=True)
MISSING = Row("c", "p/c", error="unreadable: 404")
THERE = Row("b", "p/b", "00", error="invalid_image: no")


def test_rows_that_can_be_read_pass():
    rows = [*[GONE] * 99, THERE] * 2
    assert list(job.readable(rows)) == rows


def test_a_source_that_has_gone_ends_the_job():
    with pytest.raises(SourceError, match=r"100 images in a row .* p/a: unreadable: no"):
        list(job.readable([THERE, *[GONE] * 100]))


def answered(status: int) -> aiohttp.ClientResponseError:
    request = aiohttp.RequestInfo(URL("http://host/a.png"), "GET", CIMultiDictProxy(CIMultiDict()))
    return aiohttp.ClientResponseError(request, (), status=status)


def test_definite_answers_end_no_job():
    assert len(list(job.readable([MISSING] * 300))) == 300


@pytest.mark.parametrize(
    ("error", "definite"),
    [
        (FileNotFoundError(2, "not there"), True),
        (PermissionError(13, "not yours"), True),
        (ItemError("larger than"), True),
        (ValueError("Protocol not known: nope"), True),
        (aiohttp.InvalidURL("http://[/a.png"), True),
        (answered(410), True),
        (answered(429), False),
        (answered(503), False),
        (aiohttp.ClientConnectionError(), False),
        (TimeoutError(), False),
        (ConnectionResetError(), False),
    ],
)
def test_an_answer_is_definite_or_none(error, definite):
    assert Row.unreadable(Item("a", "p/a", "p/a"), error).gone is not definite


class Answers(BaseHTTPRequestHandler):
    """Answers `/404` with a 404, and so on."""

    def do_GET(self):
        self.send_response(int(self.path.removeprefix("/")))
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_HEAD(self):
        self.do_GET()

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def web():
    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize(("status", "gone"), [(404, False), (403, False), (429, True), (503, True)])
def test_what_a_server_answers_is_told(web, embedder, status, gone):
    url = f"{web}/{status}"
    (row,) = local.embed([Item(url, url, url)], embedder, normalize=True)
    assert row.error.startswith(f"unreadable: {status}, ")
    assert row.gone is gone


def test_a_host_that_does_not_answer_has_gone(embedder):
    with socket.socket() as closed:  # bound and not listening: nobody else gets this port
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
        items = (Item(f"{url}/{n}", f"{url}/{n}", f"{url}/{n}") for n in range(150))
        rows = job.readable(local.embed(items, embedder, normalize=True))
        with pytest.raises(SourceError, match=r"100 images in a row .* Cannot connect to host"):
            list(rows)


def test_what_came_before_a_source_went_is_written(tmp_path, embedder):
    collection = Collection.at(str(tmp_path / "out"))
    recipe = Recipe(embedder.card, embedder.model.digest)
    vector = np.ones(128, np.float32)
    good = [Row(f"g{n}", f"p/g{n}", "00", 1, 1, vector) for n in range(7)]
    dead = [Row(f"d{n}", f"p/d{n}", error="unreadable: no", gone=True) for n in range(150)]
    parts = job.write(job.readable([*good, *dead]), collection, recipe, "parquet", 1000)
    assert next(parts).rows == 107
    with pytest.raises(SourceError, match="100 images in a row"):
        next(parts)
    done = {row for table in collection.tables("id") for row in table["id"].to_pylist()}
    assert len(done) == 107
    rest = [row for row in dead if row.id not in done]  # what the same command does next
    for _ in job.write(job.readable(rest), collection, recipe, "parquet", 1000):
        pass
    assert sum(table.num_rows for table in collection.tables("id")) == 157
