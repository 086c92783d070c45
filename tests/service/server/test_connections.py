"""Clients that are slow, send too much, are too many, or leave: on real sockets."""

import json
import socket
import struct
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from http.client import HTTPResponse

import pytest

from tests.service.test_main import SOON, get, running
from tests.support.eventually import eventually
from tests.support.images import encode, noise

HEAD = (
    b"POST /embed HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: 100000\r\n\r\n"
)


@pytest.fixture(scope="module")
def address(artifact):
    with running(model=artifact, read_timeout_s=0.5, max_connections=20) as (_, address):
        yield address


def connect(address: str) -> socket.socket:
    host, port = address.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), SOON)


def answer(connection: socket.socket) -> tuple[int, str]:
    """Status and error code of what the server says before it closes."""
    with connection, connection.makefile("rb") as stream:
        text = stream.read().decode()
    head, _, body = text.partition("\r\n\r\n")
    return int(head.split()[1]), json.loads(body)["error"]["code"]


def metric(address: str, name: str) -> float:
    with urllib.request.urlopen(f"{address}/metrics", timeout=SOON) as response:
        lines = response.read().decode().splitlines()
    values = [line.removeprefix(f"{name} ") for line in lines if line.startswith(f"{name} ")]
    return float(values[0]) if values else 0.0


@pytest.mark.parametrize("sent", [b"", b"POST /em", HEAD[:-2]])
def test_a_head_that_does_not_arrive(address, sent):
    connection = connect(address)
    connection.sendall(sent)
    assert answer(connection) == (408, "timeout")


@pytest.mark.parametrize("sent", [HEAD, HEAD + b"\x89PNG"])
def test_a_body_that_does_not_arrive(address, sent):
    connection = connect(address)
    connection.sendall(sent)
    assert answer(connection) == (408, "timeout")


TLS_HELLO = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"
CHUNKED = b"POST /embed HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize("sent", [TLS_HELLO, b"post / HTTP/1.1\r\n\r\n", CHUNKED + b"zz\r\n"])
def test_what_is_no_http(address, sent):
    refused = 'swin_refused_connections_total{reason="malformed"}'
    before = metric(address, refused)
    connection = connect(address)
    connection.sendall(sent)
    assert answer(connection) == (400, "invalid_request")
    assert metric(address, refused) == before + 1


def test_a_head_that_does_not_end(address):
    connection = connect(address)
    connection.sendall(b"GET / HTTP/1.1\r\nX-Long: " + b"a" * 100_000)
    assert answer(connection) == (431, "request_too_large")


def test_a_second_request_on_a_connection_has_its_own_time(address):
    connection = connect(address)
    stream = connection.makefile("rb")
    for _ in range(2):
        connection.sendall(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
        while stream.readline() != b"\r\n":
            pass
        assert json.loads(stream.read(len(b'{"live":true}'))) == {"live": True}
    connection.sendall(b"GET /health")
    stream.close()
    assert answer(connection) == (408, "timeout")


EARLY = b"POST /nothing HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n"


@pytest.mark.parametrize(
    ("request_", "later"),
    [
        (b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n", b""),
        (b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n", b"\r\n"),
        (EARLY, b"x"),
    ],
    ids=["nothing", "an empty line", "the body of a request that has its answer"],
)
def test_what_is_no_request_does_not_keep_a_connection(artifact, request_, later):
    with (
        running(model=artifact, keep_alive_s=1, read_timeout_s=10) as (_, address),
        connect(address) as connection,
        connection.makefile("rb") as stream,
    ):
        connection.sendall(request_)
        answered = HTTPResponse(connection)
        answered.begin()
        answered.read()
        connection.sendall(later)
        assert stream.read() == b""


def test_a_request_that_lasts_longer_than_a_connection_is_kept_is_answered(artifact):
    gets = b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"
    with (
        running(model=artifact, keep_alive_s=1, read_timeout_s=10) as (_, address),
        connect(address) as connection,
        connection.makefile("rb") as answers,
    ):
        connection.sendall(gets + HEAD[:-2])  # the second is under way when the first is answered
        assert answers.readline() == b"HTTP/1.1 200 OK\r\n"
        connection.sendall(b"\r\n")
        time.sleep(1.5)
        connection.sendall(b"x" * 100_000)
        assert any(b"HTTP/1.1 422" in line for line in answers)


def test_one_connection_too_many(address):
    crowd = [connect(address) for _ in range(25)]
    refused = 0
    for connection in crowd:
        status, _ = answer(connection)
        refused += status == 503
    assert refused >= 5
    assert get(f"{address}/health/live") == 200


def test_a_client_that_leaves_in_the_middle_of_its_body(address):
    left = 'swin_requests_total{door="embed",method="POST",status="499"}'
    before = metric(address, left)
    for _ in range(10):
        connection = connect(address)
        connection.sendall(HEAD + b"\x89PNG")
        connection.close()
    eventually(lambda: metric(address, left) == before + 10)
    assert get(f"{address}/health/ready") == 200


def reset(connection: socket.socket) -> None:
    """Close at once, with a reset, whatever was not read."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


@pytest.mark.parametrize("leave", [reset, socket.socket.close])
def test_a_client_that_leaves_takes_its_images_along(artifact, leave):
    image = encode(noise(2200, 2200))
    request = HEAD.replace(b"100000", str(len(image)).encode()) + image
    with running(model=artifact, streams=1) as (_, address), ExitStack() as connections:
        clients = [connections.enter_context(connect(address)) for _ in range(16)]
        with ThreadPoolExecutor(len(clients)) as senders:
            for client in clients:
                senders.submit(client.sendall, request)
            eventually(lambda: metric(address, "swin_requests_in_flight") > 1)
            for client in clients:
                leave(client)
        eventually(lambda: metric(address, "swin_requests_in_flight") == 1)
        left = metric(address, 'swin_requests_total{door="embed",method="POST",status="499"}')
        assert left > 0
        assert metric(address, "swin_queue_depth") == 0
        assert get(f"{address}/health/ready") == 200
