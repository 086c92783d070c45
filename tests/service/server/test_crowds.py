"""Clients that hold connections and do nothing, beside others: on real sockets."""

import contextlib
import socket
from http.client import HTTPResponse

import pytest

from service.server import places
from service.server.connections import TCP_CLOSE
from tests.service.server.test_refusals import count, raw, serving, until_closed
from tests.support.eventually import eventually
from tests.support.images import encode, jpeg, noise

LIVE = b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"
IMAGE = encode(noise(8, 8))
EMBED = b"POST /embed HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"
GOOD = EMBED % len(IMAGE) + IMAGE
PLACES = 3


@pytest.fixture
def start(artifact):
    with contextlib.ExitStack() as stack:
        yield lambda **settings: stack.enter_context(serving(model=artifact, **settings))


@contextlib.contextmanager
def crowd(service, sent: bytes = b"", size: int = PLACES):
    """Connections that send this, and then neither send nor read."""
    with contextlib.ExitStack() as stack:
        crowd = [stack.enter_context(raw(service)) for _ in range(size)]
        for one in crowd:
            one.sendall(sent)
        yield crowd


def answered(connection: socket.socket) -> tuple[int, bytes]:
    with contextlib.closing(HTTPResponse(connection)) as response:
        response.begin()
        return response.status, response.read()


def was_reset(connection: socket.socket) -> bool:
    return connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == TCP_CLOSE


def refused(service, reason: str) -> float:
    return count(service, "swin_refused_connections_total", reason=reason)


@pytest.mark.parametrize("sent", [b"", LIVE[:-2], LIVE, EMBED % 1000 + b"\x89PNG"])
def test_who_does_nothing_makes_room(start, monkeypatch, sent):
    monkeypatch.setattr(places, "IDLE_S", 0.0)
    service = start(max_connections=PLACES)
    with crowd(service, sent), raw(service) as connection:
        connection.sendall(GOOD)
        assert answered(connection)[0] == 200
        eventually(lambda: refused(service, "idle") >= 1)


@pytest.mark.parametrize("probe", ["/health/live", "/health/ready", "/v2/health/live"])
def test_a_probe_is_answered_though_all_places_are_taken(start, monkeypatch, probe):
    monkeypatch.setattr(places, "IDLE_S", 60.0)
    service = start(max_connections=PLACES)
    with crowd(service) as others:
        for _ in range(3):
            with raw(service) as connection:
                connection.sendall(LIVE.replace(b"/health/live", probe.encode()))
                assert until_closed(connection).startswith(b"HTTP/1.1 200 ")
        with raw(service) as connection:
            connection.sendall(GOOD)
            refusal = until_closed(connection)
        assert refusal.startswith(b"HTTP/1.1 503 ")
        assert b"\r\nRetry-After: 1\r\n" in refusal
        for one in others:
            one.sendall(LIVE)
            assert answered(one) == (200, b'{"live":true}')


def test_an_answer_that_is_not_read_ends_the_connection(start):
    service = start(read_timeout_s=0.4)
    asks = b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n"
    with raw(service) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        with contextlib.suppress(ConnectionError):
            connection.sendall(asks * 200)
        eventually(lambda: refused(service, "unread") == 1)
        eventually(lambda: was_reset(connection))  # so that the kernel keeps nothing either
        assert not service.server.server_state.connections


def test_no_answer_is_begun_before_there_is_room_for_it(start):
    service = start()
    asks = b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n"
    with raw(service) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        connection.sendall(asks * 29 + asks.replace(b"Host: x", b"Host: x\r\nConnection: close"))
        held = service.server.server_state.connections
        eventually(lambda: any(one.flow.write_paused for one in held))
        assert service.server.server_state.total_requests < 30
        assert until_closed(connection).count(b"HTTP/1.1 200 OK") == 30


@pytest.mark.parametrize("requests", [1, 3])
def test_a_client_that_sends_no_more_gets_its_answers(start, requests):
    service = start()
    photo = jpeg("coffee")
    with raw(service) as connection:
        connection.sendall((EMBED % len(photo) + photo) * requests)
        connection.shutdown(socket.SHUT_WR)
        answers = until_closed(connection)
    assert answers.count(b"HTTP/1.1 200 OK") == requests
    assert answers.count(b"connection: close") == 1


def test_an_idle_client_that_sends_no_more_is_let_go(start):
    with raw(start()) as connection:
        connection.sendall(LIVE)
        assert answered(connection)[0] == 200
        connection.shutdown(socket.SHUT_WR)
        assert until_closed(connection) == b""


def test_http_1_0_keeps_a_connection_that_asks_for_it(start):
    old = LIVE.replace(b"1.1", b"1.0")
    with raw(start()) as connection:
        for _ in range(2):
            connection.sendall(old.replace(b"Host: x", b"Connection: keep-alive"))
            with contextlib.closing(HTTPResponse(connection)) as response:
                response.begin()
                assert response.headers["Connection"] == "keep-alive"
                assert response.read() == b'{"live":true}'
        connection.sendall(old)
        assert b"connection: close" in until_closed(connection)


CHUNKED = b"POST /embed HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
BEGUN = b"\xff\xd8\xff" + bytes(59_997)  # of a JPEG
BODIES = {
    "declared": EMBED % 100_000 + BEGUN,
    "chunked": CHUNKED + b"%x\r\n" % len(BEGUN) + BEGUN + b"\r\n",
}


def held(service) -> float:
    return count(service, "swin_memory_held_bytes")


@pytest.mark.parametrize("body", BODIES)
def test_what_the_memory_budget_has_no_room_for_is_refused(start, monkeypatch, body):
    monkeypatch.setattr(places, "IDLE_S", 60.0)
    service = start(memory_budget_bytes=100_000)
    assert count(service, "swin_memory_budget_bytes") == 100_000
    with raw(service) as first, raw(service) as second:
        first.sendall(BODIES[body])
        eventually(lambda: held(service) == len(BEGUN))
        second.sendall(BODIES[body])
        with contextlib.closing(HTTPResponse(second)) as refusal:
            refusal.begin()
            assert refusal.status == 429
            assert int(refusal.headers["Retry-After"]) >= 1
            assert b"queue_full" in refusal.read()
        assert held(service) <= 100_000
    eventually(lambda: held(service) == 0)


def test_a_body_that_stopped_coming_makes_room_for_another(start, monkeypatch):
    monkeypatch.setattr(places, "IDLE_S", 0.0)
    service = start(memory_budget_bytes=100_000)
    with raw(service) as idle, raw(service) as other:
        idle.sendall(BODIES["declared"])
        eventually(lambda: held(service) == len(BEGUN))
        photo = encode(noise(120, 120))
        assert 40_000 < len(photo) < 100_000
        other.sendall(EMBED % len(photo) + photo)
        assert answered(other)[0] == 200
        assert until_closed(idle) == b""
    assert held(service) == 0


def test_answers_that_are_not_read_count(start):
    service = start()
    asks = b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n"
    with raw(service) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.sendall(asks * 100)
        eventually(lambda: held(service) > 0)
    eventually(lambda: held(service) == 0)
