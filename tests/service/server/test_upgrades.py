"""Requests that offer to go on in another protocol, as Java's client does: served as any other."""

import http.client
import json
import socket
from typing import BinaryIO

import pytest

from tests.service.server.test_connections import answer, connect
from tests.service.test_main import running
from tests.support.images import encode, noise

pytestmark = pytest.mark.slow

IMAGE = encode(noise(8, 8))
LIVE = b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"
OFFERS = {
    "h2c": (
        b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
        b"HTTP2-Settings: AAEAAEAAAAIAAAAAAAMAAAAAAAQBAAAAAAUAAEAABgAGAAA\r\n"
    ),
    "websocket": (
        b"Upgrade: websocket\r\nConnection: keep-alive\r\nConnection: upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    ),
}
SENDERS = {
    "in one piece": lambda request: [request],
    "head first": lambda request: request.partition(b"\r\n\r\n"),
    "in small pieces": lambda request: [request[i : i + 7] for i in range(0, len(request), 7)],
}


@pytest.fixture(scope="module", params=[1, 2], ids=["one process", "workers"])
def connection_to(artifact, request):
    with running(model=artifact, workers=request.param) as (_, address):
        yield lambda: connect(address)


def chunked(body: bytes) -> bytes:
    pieces = [body[i : i + 50] for i in range(0, len(body), 50)]
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in [*pieces, b""])


def post(offer: str, body: bytes, *, in_chunks: bool = False) -> bytes:
    length = b"Transfer-Encoding: chunked" if in_chunks else b"Content-Length: %d" % len(body)
    head = b"POST /embed HTTP/1.1\r\nHost: x\r\n%s%s\r\n\r\n" % (OFFERS[offer], length)
    return head + (chunked(body) if in_chunks else body)


def told(stream: BinaryIO) -> tuple[int, dict]:
    """Status and body of the next answer."""
    status = int(stream.readline().split()[1])
    headers = http.client.parse_headers(stream)
    return status, json.loads(stream.read(int(headers["Content-Length"])))


def send(connection: socket.socket, pieces) -> None:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for piece in pieces:
        connection.sendall(piece)


@pytest.mark.parametrize("offer", OFFERS)
@pytest.mark.parametrize("in_chunks", [False, True], ids=["length", "chunked"])
@pytest.mark.parametrize("how", SENDERS)
def test_a_body_is_read_and_the_connection_goes_on(connection_to, offer, in_chunks, how):
    with connection_to() as connection, connection.makefile("rb") as stream:
        for _ in range(2):
            send(connection, SENDERS[how](post(offer, IMAGE, in_chunks=in_chunks)))
            status, answered = told(stream)
            assert (status, len(answered["embeddings"])) == (200, 1)


@pytest.mark.parametrize("offer", OFFERS)
@pytest.mark.parametrize("how", SENDERS)
def test_a_body_is_never_a_request(connection_to, offer, how):
    with connection_to() as connection, connection.makefile("rb") as stream:
        send(connection, SENDERS[how](post(offer, LIVE)))
        assert told(stream)[0] == 422
        connection.sendall(LIVE)
        assert told(stream) == (200, {"live": True})


@pytest.mark.parametrize("offer", OFFERS)
def test_requests_behind_it_are_answered(connection_to, offer):
    offering = LIVE.replace(b"Host", OFFERS[offer] + b"Host")
    with connection_to() as connection, connection.makefile("rb") as stream:
        connection.sendall(offering + post(offer, IMAGE) + offering + LIVE)
        assert [told(stream)[0] for _ in range(4)] == [200] * 4


def test_a_tunnel_is_no_request(connection_to):
    connection = connection_to()
    connection.sendall(b"CONNECT a://b/embed HTTP/1.1\r\nHost: x\r\n\r\n" + LIVE)
    assert answer(connection) == (400, "invalid_request")
