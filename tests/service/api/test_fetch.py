"""Images by URL: a table of hostile ones, none of which may be connected to.

Names resolve as the tests say, and connections to public addresses end at a server of ours.
"""

import asyncio
import itertools

import httpcore2
import numpy as np
import pytest
from pydantic import ValidationError

from service.api.fetch import Fetcher, Refused, is_public
from service.errors import InvalidRequest, RequestTooLarge
from service.settings import Settings
from tests.service.api.dialects.test_openai import ask, floats
from tests.service.api.test_embed import error, vectors
from tests.service.server.test_connections import connect, metric
from tests.support.eventually import eventually
from tests.support.images import jpeg
from tests.support.process import running

PUBLIC = "93.184.215.14"

NAMES = {
    "photos.example": [PUBLIC],
    "inner.example": ["10.0.0.7"],
    "metadata.example": ["169.254.169.254"],
    "both.example": [PUBLIC, "127.0.0.1"],
    "none.example": [],
    "2130706433": ["127.0.0.1"],
    "0177.0.0.1": ["127.0.0.1"],
    "127.1": ["127.0.0.1"],
    "0x7f000001": ["127.0.0.1"],
}

LOCATIONS = {
    "/to-metadata": "http://169.254.169.254/latest/meta-data/",
    "/to-inner": "http://inner.example/",
    "/to-file": "file:///etc/passwd",
    "/to-port": "http://photos.example:22/",
    "/to-user": "http://photos.example@127.0.0.1/",
    "/to-itself": "/to-itself",
    "/to-nowhere": "",
    "/to-image": "//photos.example/image",
}


class Web(httpcore2.AsyncNetworkBackend):
    """The public internet: one host, which says how to behave in its paths."""

    def __init__(self) -> None:
        self.connected: list[str] = []

    async def connect_tcp(self, host, port, *_, **__):
        self.connected.append(host)
        return Stream()


class Stream(httpcore2.AsyncNetworkStream):
    def __init__(self) -> None:
        self.answer = iter(())

    async def write(self, buffer, *_, **__):
        if buffer.startswith(b"GET"):
            self.answer = self.answer_to(buffer.split(b" ")[1].decode())

    def answer_to(self, path):
        if path in LOCATIONS:
            yield f"HTTP/1.1 302 Found\r\nLocation: {LOCATIONS[path]}\r\n\r\n".encode()
        elif path == "/endless":
            yield b"HTTP/1.1 200 OK\r\n\r\n"
            yield from itertools.repeat(b"\0" * 65536)
        elif path in {"/slow", "/silent"}:
            yield b"HTTP/1.1 200 OK\r\n\r\n" if path == "/slow" else None
            yield from itertools.repeat(None)
        elif path == "/image":
            image = jpeg("coffee")
            yield b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(image), image)
        else:
            yield b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"

    async def read(self, max_bytes, *_, **__):
        piece = next(self.answer, b"")
        if piece is None:
            await asyncio.sleep(3600)
        return piece

    async def aclose(self):
        pass

    def get_extra_info(self, info):
        return None


@pytest.fixture
def web():
    return Web()


async def by_table(host, port):
    return NAMES.get(host, [host])


def fetcher(web, resolve=by_table, **settings):
    allowed = {"image_url_hosts": "*", "max_request_bytes": 1_000_000} | settings
    return Fetcher(Settings(allow_image_urls=True, **allowed), resolve, web)


def fetch(web, url, **options):
    return asyncio.run(fetcher(web, **options).fetch(url))


HOSTILE = [
    "http://127.0.0.1/",
    "http://localhost/",
    "http://2130706433/",
    "http://0177.0.0.1/",
    "http://0x7f000001/",
    "http://127.1/",
    "http://0.0.0.0/",
    "http://10.1.2.3/",
    "http://172.16.0.1/",
    "http://192.168.1.1/",
    "http://100.64.0.1/",
    "http://169.254.169.254/latest/meta-data/",
    "http://168.63.129.16/",
    "http://192.0.0.192/",
    "http://192.88.99.1/",
    "http://224.0.0.1/",
    "http://255.255.255.255/",
    "http://[::1]/",
    "http://[::]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[::ffff:7f00:1]/",
    "http://[::127.0.0.1]/",
    "http://[64:ff9b::7f00:1]/",
    "http://[64:ff9b:1::a9fe:a9fe]/",
    "http://[2002:7f00:1::]/",
    "http://[2001:0:7f00:1::]/",
    "http://[fe80::1]/",
    "http://[fe80::1%25eth0]/",
    "http://[fc00::1]/",
    "http://[fd00:ec2::254]/",
    "http://[fec0::1]/",
    "http://[3fff::1]/",
    "http://[::ffff:168.63.129.16]/",
    "http://[ff02::1]/",
    "http://inner.example/",
    "http://metadata.example/",
    "http://both.example/",
    "http://none.example/",
    "http://photos.example@127.0.0.1/",
    "http://127.0.0.1\\@photos.example/",
    "http://user:pass@photos.example/image",
    "http://photos.example:22/",
    "http://photos.example:99999/",
    "http:///image",
    "http://photos.example/a b",
    "http://photos.example/\r\nHost: inner.example",
    "http://ⓛocalhost/",
    "file:///etc/passwd",
    "ftp://photos.example/image",
    "gopher://photos.example/",
    "//photos.example/image",
    "data:image/png;base64,AAAA",
]


@pytest.mark.parametrize("url", HOSTILE)
def test_hostile_urls_are_refused_without_a_connection(web, url):
    names = {"localhost": ["127.0.0.1", "::1"]}

    async def table(host, port):
        return names.get(host) or await by_table(host, port)

    with pytest.raises(Refused):
        fetch(web, url, resolve=table)
    assert web.connected == []


@pytest.mark.parametrize("path", sorted(set(LOCATIONS) - {"/to-image"}))
def test_each_redirect_is_checked(web, path):
    with pytest.raises(Refused):
        fetch(web, f"http://photos.example{path}")
    assert set(web.connected) == {PUBLIC}


def test_a_redirect_to_an_image_is_followed(web):
    assert fetch(web, "http://photos.example/to-image") == jpeg("coffee")


def test_the_address_that_was_checked_is_the_one_connected_to(web):
    answers = itertools.chain([[PUBLIC]], itertools.repeat(["127.0.0.1"]))

    async def rebinding(host, port):
        return next(answers)

    assert fetch(web, "http://photos.example/image", resolve=rebinding) == jpeg("coffee")
    assert web.connected == [PUBLIC]
    with pytest.raises(Refused):
        fetch(web, "http://photos.example/image", resolve=rebinding)


@pytest.mark.parametrize("path", ["/slow", "/silent"])
def test_slow_hosts_are_given_up(web, path):
    with pytest.raises(InvalidRequest, match="not fetched within"):
        fetch(web, f"http://photos.example{path}", image_url_timeout_s=0.05)


def test_endless_bodies_are_cut_off(web):
    with pytest.raises(RequestTooLarge):
        fetch(web, "http://photos.example/endless")


def test_what_is_not_there(web):
    with pytest.raises(InvalidRequest, match="404"):
        fetch(web, "http://photos.example/nothing")


@pytest.mark.parametrize("url", ["http://other.example/image", "http://aphotos.example/image"])
def test_only_named_hosts(web, url):
    with pytest.raises(Refused, match="SWIN_IMAGE_URL_HOSTS"):
        fetch(web, url, image_url_hosts="photos.example")
    assert fetch(web, "http://PHOTOS.example/image", image_url_hosts="Photos.example")


def test_other_ports_are_named_with_their_host(web):
    assert fetch(web, "http://photos.example:8080/image", image_url_hosts="photos.example:8080")
    with pytest.raises(Refused):
        fetch(web, "http://photos.example/image", image_url_hosts="photos.example:8080")


@pytest.mark.parametrize("address", [PUBLIC, "2606:2800:21f:cb07::1", "::ffff:93.184.215.14"])
def test_public_addresses(address):
    assert is_public(address)


def test_allowing_urls_needs_hosts():
    with pytest.raises(ValidationError, match="SWIN_IMAGE_URL_HOSTS"):
        Settings(allow_image_urls=True)


class Slow:
    """Instead of a fetcher: every image takes a while, or does not come at all."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.fetched = 0

    async def fetch(self, url):
        await asyncio.sleep(self.seconds)
        self.fetched += 1
        return jpeg("coffee")


@pytest.mark.parametrize(
    ("settings", "headers"),
    [
        ({"request_timeout_s": 0.2}, {}),
        ({}, {"X-Request-Timeout-Ms": "200"}),
    ],
)
def test_fetching_many_images_takes_no_longer_than_a_request_may(serve, settings, headers):
    client = serve(**settings)
    client.app.state.service.fetcher = slow = Slow(0.05)
    images = ["http://photos.example/image"] * 100
    answer = client.post("/v1/embeddings", json={"input": images}, headers=headers)
    assert "0.2 s" in error(answer, 504, "timeout")["message"]
    assert slow.fetched < len(images)


def test_time_spent_fetching_is_not_there_for_embedding(serve, monkeypatch):
    client = serve()
    client.app.state.service.fetcher = Slow(0.2)
    given: list[float] = []
    embedder = client.app.state.service.lifecycle.embedder
    submit = embedder.submit

    def note(images, timeout_s):
        given.append(timeout_s)
        return submit(images, timeout_s)

    monkeypatch.setattr(embedder, "submit", note)
    headers = {"X-Request-Timeout-Ms": "20000"}
    urls = {"input": ["http://photos.example/image"]}
    assert client.post("/v1/embeddings", json=urls, headers=headers).status_code == 200
    assert given[0] < 20 - 0.1


def test_a_time_that_is_none_is_refused_before_anything_is_fetched(serve):
    client = serve()
    client.app.state.service.fetcher = slow = Slow(0)
    headers = {"X-Request-Timeout-Ms": "soon"}
    answer = client.post("/v1/embeddings", json={"input": "http://a.example/"}, headers=headers)
    error(answer, 400, "invalid_request")
    assert slow.fetched == 0


NEVER = """
import asyncio, sys
from service import __main__
from service.api import fetch
async def never(self, url):
    await asyncio.sleep(1000)
fetch.Fetcher.fetch = never
sys.exit(__main__.main())
"""


def test_nothing_is_fetched_for_a_client_that_left(artifact):
    settings = {"allow_image_urls": True, "image_url_hosts": "*", "request_timeout_s": 1000}
    with running(("-c", NEVER), model=artifact, **settings) as (_, address):
        body = b'{"input": "http://photos.example/image"}'
        head = b"POST /v1/embeddings HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n" % len(body)
        with connect(address) as client:
            client.sendall(head + b"Content-Type: application/json\r\n\r\n" + body)
            eventually(lambda: metric(address, "swin_requests_in_flight") == 2)
        eventually(lambda: metric(address, "swin_requests_in_flight") == 1)
        left = 'swin_requests_total{door="openai",method="POST",status="499"}'
        assert metric(address, left) == 1


def test_at_the_door(serve, web):
    client = serve(allow_image_urls=True, image_url_hosts="photos.example")
    client.app.state.service.fetcher = fetcher(web, image_url_hosts="photos.example")
    expected = vectors(client.post("/embed", content=jpeg("coffee")))
    assert np.array_equal(floats(ask(client, "http://photos.example/image")), expected)
    told = error(ask(client, ["http://localhost/image"]), 400, "invalid_request")
    assert told["param"] == "input[0]"
