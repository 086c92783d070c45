"""Bodies that are too large or come in pieces, on a real socket."""

import re
import select
import socket
from pathlib import Path

import pytest

from tests.images import jpeg
from tests.service.test_main import SOON, running

MEGABYTE = 1_000_000
PIECE = b"10000\r\n" + b"\0" * 0x10000 + b"\r\n"


def connected(address: str) -> socket.socket:
    host, _, port = address.removeprefix("http://").partition(":")
    return socket.create_connection((host, int(port)), timeout=SOON)


def post(*headers: str, path: str = "/embed") -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: localhost", "Content-Type: image/jpeg", *headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def status(connection: socket.socket) -> int:
    return int(connection.recv(65536).split(b" ", 2)[1])


def memory(pid: int, key: str) -> int:
    """`VmRSS`, resident bytes now, or `VmHWM`, the most there ever were."""
    found = re.search(rf"{key}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) * 1024


@pytest.fixture(scope="module")
def service(artifact):
    with running(model=artifact) as started:
        yield started


def test_an_endless_upload_is_cut_off_at_the_limit_in_little_memory(service):
    process, address = service
    before = memory(process.pid, "VmRSS")
    with connected(address) as connection:
        connection.sendall(post("Transfer-Encoding: chunked"))
        sent = 0
        while sent < 2_000 * MEGABYTE and not select.select([connection], [], [], 0)[0]:
            connection.sendall(PIECE)
            sent += 0x10000
        assert status(connection) == 413
    assert sent < 200 * MEGABYTE
    assert memory(process.pid, "VmHWM") - before < 20 * MEGABYTE


def test_a_client_that_only_reads_after_sending_still_gets_its_answer(service):
    _, address = service
    body = b"\0" * (40 * MEGABYTE)
    with connected(address) as connection:
        connection.sendall(post(f"Content-Length: {len(body)}") + body)
        assert status(connection) == 413


def test_a_body_is_asked_for_where_the_client_waits_for_that(service):
    _, address = service
    image = jpeg("coffee")
    with connected(address) as connection:
        connection.sendall(post(f"Content-Length: {len(image)}", "Expect: 100-continue"))
        assert status(connection) == 100
        connection.sendall(image)
        assert status(connection) == 200


def test_a_body_that_would_be_too_large_is_not_asked_for(service):
    _, address = service
    with connected(address) as connection:
        connection.sendall(post(f"Content-Length: {40 * MEGABYTE}", "Expect: 100-continue"))
        assert status(connection) == 413
