"""Bodies that are too large or come in pieces, on a real socket."""

import re
import select
import socket
from pathlib import Path

import pytest

from tests.service.test_main import SOON, running
from tests.support.images import jpeg

MEGABYTE = 1_000_000
PIECE = b"10000\r\n" + b"\0" * 0x10000 + b"\r\n"
FORM = "multipart/form-data; boundary=b"
PART = b'--b\r\nContent-Disposition: form-data; name="files"; filename="a.jpg"\r\n\r\n'


def connected(address: str) -> socket.socket:
    host, _, port = address.removeprefix("http://").partition(":")
    return socket.create_connection((host, int(port)), timeout=SOON)


def post(*headers: str, media_type: str = "image/jpeg") -> bytes:
    lines = ["POST /embed HTTP/1.1", "Host: localhost", f"Content-Type: {media_type}", *headers]
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


@pytest.mark.parametrize(
    ("media_type", "beginning"),
    [("image/jpeg", b"\0"), ("image/jpeg", b"\xff\xd8\xff\xe0"), (FORM, PART)],
    ids=["not an image", "an image", "a form"],
)
def test_an_endless_upload_is_cut_off_at_the_limit_in_little_memory(
    artifact, media_type, beginning
):
    with running(model=artifact) as (process, address), connected(address) as connection:
        before = memory(process.pid, "VmRSS")
        connection.sendall(post("Transfer-Encoding: chunked", media_type=media_type))
        connection.sendall(b"%x\r\n%b\r\n" % (len(beginning), beginning))
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
