"""Requests that are wrong in themselves: refused as RFC 9112 asks, after what came before them."""

import contextlib

import pytest

from tests.service.server.test_connections import answer, connect, metric
from tests.service.server.test_upgrades import LIVE, told
from tests.service.test_main import running
from tests.support.eventually import eventually
from tests.support.images import encode, noise

IMAGE = encode(noise(8, 8))
EMBED = b"POST /embed HTTP/1.1\r\nHost: x\r\n"
GOOD = EMBED + b"Content-Length: %d\r\n\r\n" % len(IMAGE) + IMAGE
CHUNKED = EMBED + b"Transfer-Encoding: chunked\r\n\r\n"
LARGE = LIVE.replace(b"Host", b"X-Large: " + b"a" * 70_000 + b"\r\nHost")


@pytest.fixture(scope="module")
def address(artifact):
    with running(model=artifact, read_timeout_s=1) as (_, address):
        yield address


@pytest.mark.parametrize("hosts", [b"", b"Host: x\r\nhost: x\r\n"], ids=["none", "two"])
def test_a_request_names_one_host(address, hosts):
    connection = connect(address)
    connection.sendall(b"GET /health/live HTTP/1.1\r\n" + hosts + b"\r\n")
    assert answer(connection) == (400, "invalid_request")


def test_before_http_1_1_there_was_no_host(address):
    with connect(address) as connection, connection.makefile("rb") as stream:
        connection.sendall(b"GET /health/live HTTP/1.0\r\n\r\n")
        assert told(stream) == (200, {"live": True})


@pytest.mark.parametrize("first", [b"", LIVE], ids=["first", "second"])
def test_a_large_head_is_refused_though_it_ends(address, first):
    refused = 'swin_refused_connections_total{reason="large_head"}'
    before = metric(address, refused)
    with connect(address) as connection, connection.makefile("rb") as stream:
        connection.sendall(first + LARGE)
        if first:
            assert told(stream)[0] == 200
        assert told(stream)[0] == 431
        assert stream.read() == b""
    assert metric(address, refused) == before + 1


@pytest.mark.parametrize("trailer", [b"a" * 100, b"X: y\r\n" * 20], ids=["one line", "many"])
def test_trailers_without_end_are_refused(address, trailer):
    refused = 'swin_refused_connections_total{reason="large_head"}'
    before = metric(address, refused)
    with connect(address) as connection, contextlib.suppress(ConnectionError):
        connection.sendall(CHUNKED + b"0\r\nX-Trailer: ")
        while True:
            connection.sendall(trailer * 1000)
    eventually(lambda: metric(address, refused) == before + 1)


WRONG = {
    "an unknown method": (LIVE.replace(b"GET", b"FOO"), 400),
    "no URL": (LIVE.replace(b"/health/live", b"a://"), 400),
    "a URL of other letters": (LIVE.replace(b"live", b"\xe9"), 400),
    "no host": (LIVE.replace(b"Host: x\r\n", b""), 400),
    "a bad chunk": (CHUNKED + b"zz\r\n", 400),
    "a head that does not end": (LIVE[:-2], 408),
    "a body that does not end": (GOOD[:-1], 408),
}


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("before", [0, 1, 2])
def test_requests_before_it_get_their_answers(address, before, wrong):
    request, refused = WRONG[wrong]
    with connect(address) as connection, connection.makefile("rb") as stream:
        connection.sendall(GOOD * before + request)
        for _ in range(before):
            status, answered = told(stream)
            assert (status, len(answered["embeddings"])) == (200, 1)
        assert told(stream)[0] == refused
        assert stream.read() == b""


def test_what_is_wrong_is_told(address):
    with connect(address) as connection, connection.makefile("rb") as stream:
        connection.sendall(WRONG["an unknown method"][0])
        assert "Invalid method" in told(stream)[1]["error"]["message"]


def test_a_request_that_has_its_answer_gets_no_second(address):
    with connect(address) as connection, connection.makefile("rb") as stream:
        connection.sendall(CHUNKED.replace(b"Host", b"Content-Type: text/plain\r\nHost"))
        assert told(stream)[0] == 415
        connection.sendall(b"zz\r\n")
        assert stream.read() == b""
